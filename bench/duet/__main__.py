"""How often `loadtest duet` finds a small slow-down, and how often it raises a false alarm.

    python -m bench.duet simulated [DUETS]                      100 of each by default, some minutes
    python -m bench.duet until-decided [DUETS]                  the same, with looks at each run until it is decided
    python -m bench.duet tail [DUETS]                           the same, with a slow-down of the slowest requests only
    python -m bench.duet [--kind KIND] [--median-ms MS]         20 of each by default, 60 s each, some 60 minutes

**Simulated**: two runs whose requests share a factor per second, compared as a duet and as two separate runs.

**Real**: two targets (bench/duet/target.py lists the kinds), each with 100 iterations of two requests per second.
Alternately both are equal (A/A: must raise no alarm), and the second is slower (must be found); of the kind cold it is
as fast, but its first requests take twice as long. The load average before and after each duet is printed, since other
work affects the result.
"""

import argparse
import json
import math
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
from loadtest.comparing.comparison import Comparison, compare
from loadtest.comparing.difference import Conclusion
from loadtest.comparing.duet import MARGIN, is_answer
from loadtest.comparing.pairing import Pairing
from loadtest.estimating import looks
from loadtest.estimating.blocked_run import BlockedRun
from loadtest.local.process import free_port

ROOT = Path(__file__).parents[2]
COLD_REQUESTS = 1_000
LONGEST_S = 120
TAIL = 0.95
"""The quantile above which requests are slower in `tail`."""
SYSTEMS = {
    "±5 %, autocorrelation 0.7": System(names=2, requests_per_s=100, spread=0.2, weather=0.05, memory=0.7),
    "±15 %, autocorrelation 0.9": System(names=2, requests_per_s=100, spread=0.2, weather=0.15, memory=0.9),
    "±40 %, autocorrelation 0.9": System(names=2, requests_per_s=100, spread=0.2, weather=0.40, memory=0.9),
}
"""Two requests, 100 per second each, ±20 % each, for 60 s; by the factor that all requests of a second share."""
PYTHON = {"PYTHONPATH": f"{ROOT}:{ROOT / 'locust'}"}


class Setting(NamedTuple):
    """The common properties of both targets, and the difference of the second one."""

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
    """Run a target, and yield its base URL once it responds."""
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
    """Run a duet, and return its exit code and its comparison."""
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
    """Return the figures that were called better or worse."""
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
    """Print a row for each system and slow-down: duets of at most 120 s that end when they are decided."""
    random, share = np.random.default_rng(24), looks.share(LONGEST_S)
    moments = [round(at_s) for at_s in looks.within(LONGEST_S)]
    print(f"{count} equal duets, a quarter as many others, of at most {LONGEST_S} s; looks after {moments} s")
    print("| system | slower | worse | better | the same | ever wrong | seconds, median |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for label, system in SYSTEMS.items():
        for slower in (0.0, 0.03, 0.05):
            number, longest = max(1, count // 4) if slower else count, replace(system, seconds=LONGEST_S)
            ends = [looked_at(*simulation.duet(longest, random, {0: 1 + slower}), share) for _ in range(number)]
            kinds = (Conclusion.WORSE, Conclusion.BETTER)
            clear = [sum(found.conclusion is kind for found, *_ in ends) for kind in kinds]
            same = sum(is_answer(found) and not changes_anything(found) for found, *_ in ends)
            shares = " | ".join(f"{one / number:.1%}" for one in (*clear, same))
            wrong = "" if slower else f"{sum(ever_wrong for *_, ever_wrong in ends) / number:.1%}"
            took_s = sorted(at_s for _, at_s, _ in ends)[number // 2]
            print(f"| {label} | {slower:.0%} | {shares} | {wrong} | {took_s} |", flush=True)


def tail(count: int) -> None:
    """Print a row for each system and slow-down of the slowest twentieth of one of two requests: p99, and no median."""
    random, kinds = np.random.default_rng(26), ("worse", "same", "inconclusive")
    print(f"| system | p99 slower | p99 {' | p99 '.join(kinds)} | all the same | min. detectable, median |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for label, system in SYSTEMS.items():
        for slower in (0.0, 0.03, 0.1, 0.2):
            p99s, same = [], 0
            for _ in range(count):
                made = simulation.duet(system, random, {0: 1 + slower}, above=TAIL)
                found = compare(*made[:2], MARGIN, pairing=made[2])
                (name,) = (one for one in found.names if one.name.name == "name 0")
                p99s += [one for one in name.differences if one.metric == "p99"]
                same += name.conclusion is Conclusion.SAME
            shares = [f"{sum(one.conclusion.value == kind for one in p99s) / count:.0%}" for kind in kinds]
            found_from = sorted(one.found_from for one in p99s if one.found_from is not None)[len(p99s) // 2]
            true = f"{slower_p99(system, slower):.1%}"
            print(f"| {label} | {true} | {' | '.join(shares)} | {same / count:.0%} | {found_from:.1%} |", flush=True)


def slower_p99(system: System, slower: float) -> float:
    """Return the change in p99 of a million requests if those above `TAIL` of their spread are slower."""
    random = np.random.default_rng(27)
    spread, weather = random.normal(0, system.spread, 10**6), random.normal(0, system.weather, 10**6)
    slowed = spread + weather + np.log1p(slower) * (spread >= np.quantile(spread, TAIL))
    return float(np.expm1(np.quantile(slowed, 0.99) - np.quantile(spread + weather, 0.99)))


def looked_at(base: BlockedRun, new: BlockedRun, pairing: Pairing, share: float) -> tuple[Comparison, int, bool]:
    """Return the comparison at the first look at which it is decided, or at the last, and the time of the look.

    And whether an interval of any look up to it excludes 0.
    """
    ever_wrong = False
    for at_s in map(int, looks.within(LONGEST_S)):
        ratios = replace(pairing, ratios=pairing.ratios.first(at_s))
        found = compare(base.first(at_s), new.first(at_s), MARGIN, pairing=ratios, share=share)
        differences = [one for name in found.names for one in name.differences if one.low is not None]
        ever_wrong |= any(one.low > 0 or one.high < 0 for one in differences)
        if is_answer(found):
            break
    return found, at_s, ever_wrong


def changes_anything(comparison: Comparison) -> bool:
    """Return whether anything is better or worse."""
    return comparison.conclusion in {Conclusion.BETTER, Conclusion.WORSE}


def main() -> None:
    """Run the duets, and print the result of each."""
    if (
        kind := {"simulated": simulated, "until-decided": until_decided, "tail": tail}.get("".join(sys.argv[1:2]))
    ) is not None:
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
    alike = "all" if given.kind == "cold" else given.kind
    label = "cold" if given.kind == "cold" else f"{given.percent:g} % slower, {given.kind}"
    made: dict[str, list[Made]] = {"A/A": [], label: []}
    for number in range(given.duets):
        for (what, of_it), setting in zip(made.items(), (slow._replace(kind=alike, slower=0.0), slow), strict=True):
            before = os.getloadavg()[0]
            code, comparison = duet(setting, given.seconds, folder, f"{number}-{what == label:d}")
            of_it.append(one := Made.of(comparison, (before, os.getloadavg()[0])))
            print(f"{number + 1}, {what}: {one.sentence}; exit code {code}", flush=True)
    print(
        "\n| duets | worse or better | worse | of | by pairs, all requests | width, points | p99 from | load average |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for what, of_it in made.items():
        print(Made.row(what, of_it))


class Made(NamedTuple):
    """The result of a duet."""

    seen: list[str]
    change: float
    """The change by pairs, of all requests."""
    low: float
    high: float
    p99_from: float
    """The smallest change in p99 that it was sure to find."""
    load: tuple[float, float]
    """The load average before and after it."""

    @classmethod
    def of(cls, comparison: dict[str, Any], load: tuple[float, float]) -> "Made":
        """Read the result from a comparison; unknown values are NaN."""
        by_metric = {one["metric"]: one for one in comparison["names"][0]["differences"]}
        known = [by_metric["pairs"][part] for part in ("change", "low", "high")] + [by_metric["p99"]["found_from"]]
        return cls(changed(comparison), *(math.nan if value is None else value for value in known), load)

    @property
    def sentence(self) -> str:
        """Return the result as a line."""
        return (
            f"by pairs {self.change:+.2%} ({self.low:+.2%} to {self.high:+.2%}); p99 from {self.p99_from:.1%} on; "
            f"{'; '.join(self.seen) or 'nothing changed'}; load average {self.load[0]:.1f} to {self.load[1]:.1f}"
        )

    @staticmethod
    def row(what: str, made: "list[Made]") -> str:
        """Return several results as a row."""
        loads = [load for one in made for load in one.load]
        widths = sorted(100 * (one.high - one.low) for one in made)
        changes = sorted(one.change for one in made)
        return (
            f"| {what} | {sum(bool(one.seen) for one in made)} "
            f"| {sum(any(' worse ' in text for text in one.seen) for one in made)} | {len(made)} "
            f"| {changes[0]:+.1%} to {changes[-1]:+.1%} | {widths[0]:.1f} to {widths[-1]:.1f} "
            f"| {min(one.p99_from for one in made):.1%} to {max(one.p99_from for one in made):.1%} "
            f"| {min(loads):.0f} to {max(loads):.0f} |"
        )


if __name__ == "__main__":
    main()
