"""False alarms of the trust rules: undisturbed runs of every scenario in both models must be trustworthy.

    python -m bench.calm [RUNS [SCENARIO …]]

A check of the trust rules' limits rather than of speed: each run is 8 s of load against the sample target, ten users in
the closed model or 20 arrivals per second in the open one. A scenario's runs follow one another in one stack, as its
web UI starts them. It needs an idle machine. 20 runs of each by default: about 45 minutes in total. It prints each run
as it ends, then the table of docs/measuring.md, and ends with an error if there was a false alarm.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from loadtest.local.process import free_port
from loadtest.scenarios import names

RUNS: Final = 20
ROOT: Final = Path(__file__).parents[1]
LOADS: Final = {
    "closed": {"user_count": "10", "spawn_rate": "10", "run_time": "8s", "load_profile": "as-entered"},
    "open": {
        "user_count": "1",
        "spawn_rate": "1",
        "run_time": "8s",
        "load_profile": "constant-arrival-rate",
        "arrival_rate": "20",
    },
}
WAIT_S: Final = 120.0


@contextmanager
def web_ui(scenario: str, runs_dir: Path) -> Iterator[str]:
    """Run the stack with its web UI, and yield the UI's URL."""
    port = free_port()
    settings = {"RUNS_DIR": runs_dir, "EXPORTER_PORT": 0, "TARGET_PORT": 0, "WEB_PORT": port, "WORKERS": 1}
    environment = {**os.environ, **{f"LOADTEST_{name}": str(value) for name, value in settings.items()}}
    command = [Path(sys.executable).with_name("loadtest"), "run", "--ui", "--scenario", scenario]
    with (runs_dir / "stack.log").open("w") as log:
        stack = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stack.terminate()
        stack.wait(WAIT_S)


def start(url: str, load: dict[str, str]) -> None:
    """Start a run as soon as the stack accepts one."""
    until_s = time.monotonic() + WAIT_S
    while True:
        try:
            form = urllib.parse.urlencode(load).encode()
            with urllib.request.urlopen(f"{url}/swarm", form, timeout=60) as answer:  # noqa: S310 - loopback
                if json.load(answer)["success"]:
                    return
                reason = "it said no"
        except urllib.error.HTTPError as error:
            with error:
                reason = error.read().decode()
        except OSError as error:
            reason = str(error)
        if time.monotonic() > until_s:
            sys.exit(f"no run could be started: {reason}")
        time.sleep(0.5)


def records(runs_dir: Path) -> Iterator[dict[str, Any]]:
    """Yield the record of each run that ends, indefinitely."""
    seen: set[Path] = set()
    until_s = time.monotonic() + WAIT_S
    while True:
        for path in sorted(set(runs_dir.glob("*/record.json")) - seen):
            seen.add(path)
            yield json.loads(path.read_text())
            until_s = time.monotonic() + WAIT_S
        if time.monotonic() > until_s:
            sys.exit(f"a run left no record:\n{(runs_dir / 'stack.log').read_text()}")
        time.sleep(0.2)


def alarms(scenario: str, load: dict[str, str], runs: int) -> Iterator[list[str]]:
    """Yield the trust rules that each of a number of runs broke."""
    with tempfile.TemporaryDirectory() as folder, web_ui(scenario, Path(folder)) as url:
        ended = records(Path(folder))
        for _ in range(runs):
            start(url, load)
            yield [finding["rule"] for finding in next(ended)["findings"]]


def main() -> None:
    """Print a line per run, then the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    found: dict[tuple[str, str], Counter[str]] = {}
    believed: Counter[tuple[str, str]] = Counter()
    for scenario in sys.argv[2:] or names():
        for model, load in LOADS.items():
            row = (scenario, model)
            found[row] = Counter()
            for number, rules in enumerate(alarms(scenario, load, runs), 1):
                found[row].update(set(rules))
                believed[row] += not rules
                print(f"{scenario} {model} {number:2}: {', '.join(rules) or 'nothing found'}", flush=True)
    print("\n| scenario | model | runs | believed | false alarms |\n|---|---|---|---|---|")
    for row, rules in found.items():
        listed = ", ".join(f"{count} x `{rule}`" for rule, count in rules.most_common()) or "none"
        print(f"| `{row[0]}` | {row[1]} | {runs} | {believed[row]} | {listed} |")
    sys.exit(1 if sum(believed.values()) < runs * len(found) else 0)


if __name__ == "__main__":
    main()
