"""Calm, honest runs of every scenario in both models: none of them may be not trustworthy.

    python -m bench.calm [RUNS [SCENARIO …]]

A check of the trust rules' limits rather than of speed: each run is a whole `loadtest run` of 8 s against the sample
target, ten users in the closed model or 20 arrivals per second in the open one. It needs a machine that does nothing
else. 20 runs of each by default, about 20 s a run: an hour or more for all. It prints each run as it ends, then the
table of docs/measuring.md, and ends with an error when there was a false alarm.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from loadtest.scenarios import names

RUNS = 20
ROOT = Path(__file__).parents[1]
LOADS = {
    "closed": ("--profile", "quick", "--users", "10", "--spawn-rate", "10", "--run-time", "8s"),
    "open": ("--profile", "constant-arrival-rate", "--rate", "20", "--run-time", "8s"),
}


def found(scenario: str, load: tuple[str, ...], folder: Path) -> list[str]:
    """The trust rules that one run broke; what it printed, where it left no record."""
    settings = {"RUNS_DIR": folder, "RUN_ID": "calm", "EXPORTER_PORT": 0, "TARGET_PORT": 0}
    environment = {**os.environ, **{f"LOADTEST_{name}": str(value) for name, value in settings.items()}}
    command = [Path(sys.executable).with_name("loadtest"), "run", "--scenario", scenario, *load]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    record = folder / "calm" / "record.json"
    if not record.exists():
        sys.exit(f"{scenario}: no run was made\n{done.stdout}{done.stderr}")
    return [finding["rule"] for finding in json.loads(record.read_text())["findings"]]


def main() -> None:
    """Print a line a run, then the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    alarms: dict[tuple[str, str], Counter[str]] = {}
    believed: Counter[tuple[str, str]] = Counter()
    for scenario in sys.argv[2:] or names():
        for model, load in LOADS.items():
            row = (scenario, model)
            alarms[row] = Counter()
            for number in range(1, runs + 1):
                with tempfile.TemporaryDirectory() as folder:
                    rules = found(scenario, load, Path(folder))
                alarms[row].update(set(rules))
                believed[row] += not rules
                print(f"{scenario} {model} {number:2}: {', '.join(rules) or 'nothing found'}", flush=True)
    print("\n| scenario | model | runs | believed | false alarms |\n|---|---|---|---|---|")
    for row, rules in alarms.items():
        listed = ", ".join(f"{count} x `{rule}`" for rule, count in rules.most_common()) or "none"
        print(f"| `{row[0]}` | {row[1]} | {runs} | {believed[row]} | {listed} |")
    sys.exit(1 if sum(believed.values()) < runs * len(alarms) else 0)


if __name__ == "__main__":
    main()
