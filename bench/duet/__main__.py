"""How often `loadtest duet` finds a small slow-down, and how often it raises a false alarm.

    python -m bench.duet simulated [DUETS]                      100 of each by default, some minutes
    python -m bench.duet until-decided [DUETS]                  the same, each run looked at until it is decided
    python -m bench.duet [--kind KIND] [--median-ms MS]         20 of each by default, 60 s each, some 60 minutes

**Simulated**: two runs whose requests share each second's fate, once compared as a duet and once as two runs.

**Real**: two targets (bench/duet/target.py, which has the kinds), 100 iterations of two requests a second on each. In
turns both are alike (A/A: must raise no alarm), and the second is slower (must be found); of the kind cold it is as
quick, but its first requests take twice as long. The load average is printed: other work is part of the question.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.compare import simulation
from bench.compare.simulation import System
from loadtest.comparing.comparison import Comparison, Conclusion, compare
from loadtest.comparing.duet import MARGIN, is_answer
from loadtest.comparing.pairing import Pairing
from loadtest.estimating import looks
from loadtest.estimating.blocked_run import BlockedRun
from loadtest.local.process import free_port

ROOT = Path(__file__).parents[2]
COLD_REQUESTS = 1_000
LONGEST_S = 120
SYSTEMS = {
    "±5 %, autocorrelation 0.7": System(names=2, requests_per_s=100, spread=0.2, weather=0.05, memory=0.7),
    "±15 %, autocorrelation 0.9": System(names=2, requests_per_s=100, spread=0.2, weather=0.15, memory=0.9),
    "±40 %, autocorrelation 0.9": System(names=2, requests_per_s=100, spread=0.2, weather=0.40, memory=0.9),
}
"""Two requests, 100 of each a second, ±20 % each, for 60 s; what all requests of a second share."""
PYTHON = {"PYTHONPATH": f"{ROOT}:{ROOT / 'locust'}"}


class Setting(NamedTuple):
    """What both targets have in common, and by what the second one differs."""

    kind: str = "all"
    slower: float = 0.03
    median_ms: str = "20"
    rate_per_s: str = "100"

    def environment(self, *, is_new: bool) -> dict[str, str]:
        """Return the variables of a target: see bench/duet/target.py."""
        slower = self.slower if is_new else 0.0
        cold = COLD_REQUESTS if is_new and self.kind == "cold" else 0
        own = {"KIND": self.kind, "SLOWER": str(slower), "MEDIAN_MS": self.median_ms, "COLD": str(cold)}
        return {**os.environ, **PYTHON, **{f"DUET_{name}": value for name, value in own.items()}}


@contextmanager
def target(environment: dict[str, str], folder: Path) -> Iterator[str]:
    """Run a target, and yield its base URL when it answers."""
    port = free_port()
    command = [sys.executable, "-m", "bench.duet.target", str(port)]
    with (folder / f"target-{port}.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def duet(setting: Setting, seconds: int, folder: Path, name: str) -> tuple[int, dict[str, Any]]:
    """Make a duet, and return its exit code and its comparison."""
    with ExitStack() as targets:
        sides = [setting.environment(is_new=is_new) for is_new in (False, True)]
        urls = [targets.enter_context(target(side, folder)) for side in sides]
        command = [str(Path(sys.executable).with_name("loadtest")), "duet", *urls, "--scenario", "health"]
        command += ["--rate", setting.rate_per_s, "--run-time", f"{seconds}s", "--workers", "1", "--users", "400"]
        variables = {**os.environ, **PYTHON, "LOADTEST_RUNS_DIR": str(folder), "LOADTEST_EXPORTER_PORT": "0"}
        with (folder / f"{name}.txt").open("w") as log:
            code = subprocess.run(
                [*command, "--run-id", name], cwd=ROOT, env=variables, stdout=log, stderr=log, check=False
            ).returncode
    return code, json.loads((folder / name / "comparison.json").read_text())


def changed(comparison: dict[str, Any]) -> list[str]:
    """Return what was called better or worse."""
    return [
        f"{name['name']} {one['metric']} {one['finding']} ({one['low']:+.1%} to {one['high']:+.1%})"
        for name in comparison["names"]
        for one in name["differences"]
        if one["finding"] in {"better", "worse"}
    ]


def simulated(count: int) -> None:
    """Print a row for each system."""
    random = np.random.default_rng(23)
    print("| system | false alarms | 3 % slow-down found | found as two runs |\n|---|--:|--:|--:|")
    for label, system in SYSTEMS.items():
        alarms = found = alone = 0
        for _ in range(count):
            alike, slower = (simulation.duet(system, random, {0: one}) for one in (1.0, 1.03))
            alarms += changes_anything(compare(*alike[:2], MARGIN, pairing=alike[2]))
            found += changes_anything(compare(*slower[:2], MARGIN, pairing=slower[2]))
            alone += changes_anything(compare(*slower[:2], MARGIN))
        print(f"| {label} | {alarms / count:.0%} | {found / count:.0%} | {alone / count:.0%} |", flush=True)


def until_decided(count: int) -> None:
    """Print a row for each system and slow-down: duets of at most 120 s that end when their answer is known."""
    random, share = np.random.default_rng(24), looks.share(LONGEST_S)
    print(
        f"{count} duets of at most {LONGEST_S} s, looked at after {[round(at_s) for at_s in looks.within(LONGEST_S)]} s"
    )
    print("| system | slower | better or worse | the same | seconds, median |\n|---|--:|--:|--:|--:|")
    for label, system in SYSTEMS.items():
        for slower in (0.0, 0.03, 0.05):
            made = (simulation.duet(replace(system, seconds=LONGEST_S), random, {0: 1 + slower}) for _ in range(count))
            ends = [looked_at(*one, share) for one in made]
            clear = sum(changes_anything(found) for found, _ in ends) / count
            same = sum(is_answer(found) and not changes_anything(found) for found, _ in ends) / count
            took_s = sorted(at_s for _, at_s in ends)[count // 2]
            print(f"| {label} | {slower:.0%} | {clear:.0%} | {same:.0%} | {took_s} |", flush=True)


def looked_at(base: BlockedRun, new: BlockedRun, pairing: Pairing, share: float) -> tuple[Comparison, int]:
    """Return the comparison at the first look at which the answer is known, or at the last, and its moment."""
    for at_s in map(int, looks.within(LONGEST_S)):
        ratios = replace(pairing, ratios=pairing.ratios.first(at_s))
        found = compare(base.first(at_s), new.first(at_s), MARGIN, pairing=ratios, share=share)
        if is_answer(found):
            break
    return found, at_s


def changes_anything(comparison: Comparison) -> bool:
    """Return whether anything is better or worse."""
    return comparison.conclusion in {Conclusion.BETTER, Conclusion.WORSE}


def main() -> None:
    """Make the duets, and print what became of each."""
    if (kind := {"simulated": simulated, "until-decided": until_decided}.get("".join(sys.argv[1:2]))) is not None:
        kind(int(sys.argv[2]) if len(sys.argv) > 2 else 100)
        return
    parser = argparse.ArgumentParser(prog="python -m bench.duet")
    parser.add_argument("--duets", type=int, default=20, help="of each")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--kind", choices=("all", "one", "tail", "cpu", "cold"), default="all")
    parser.add_argument("--percent", type=float, default=3.0)
    parser.add_argument("--median-ms", default="20")
    parser.add_argument("--rate", default="100", help="iterations of two requests a second")
    given = parser.parse_args()
    slow = Setting(given.kind, 0.0 if given.kind == "cold" else given.percent / 100, given.median_ms, given.rate)
    folder = Path(tempfile.mkdtemp(prefix="bench-duet-"))
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}; runs in {folder}")
    alarms, found, alike = 0, 0, "all" if given.kind == "cold" else given.kind
    label = "cold" if given.kind == "cold" else f"{given.percent:g} % slower, {given.kind}"
    for number in range(given.duets):
        for is_slow, setting in enumerate((slow._replace(kind=alike, slower=0.0), slow)):
            code, comparison = duet(setting, given.seconds, folder, f"{number}-{is_slow}")
            seen = changed(comparison)
            alarms += bool(seen) and not is_slow
            found += bool(is_slow) and any(" worse " in one for one in seen)
            text = f"{by_pairs(comparison)}; {'; '.join(seen) or 'nothing changed'}; exit code {code}"
            what = label if is_slow else "A/A"
            print(f"{number + 1}, {what}: {text}, load average {os.getloadavg()[0]:.1f}", flush=True)
    print(f"\nfalse alarms: {alarms} of {given.duets} A/A duets; {label}: worse in {found} of {given.duets}")


def by_pairs(comparison: dict[str, Any]) -> str:
    """Return the figure by pairs of all requests, with its interval."""
    (one,) = (one for one in comparison["names"][0]["differences"] if one["metric"] == "pairs")
    return f"by pairs {one['change']:+.2%} ({one['low']:+.2%} to {one['high']:+.2%})" if one["change"] else "no pairs"


if __name__ == "__main__":
    main()
