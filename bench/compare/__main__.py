"""How often `loadtest compare` raises a false alarm, and how often it misses a real slow-down.

    python -m bench.compare simulated [PAIRS]          200 pairs by default, some 10 minutes
    python -m bench.compare coverage [RUNS]            2,000 runs of each system by default, some 3 minutes
    python -m bench.compare until-decided [PAIRS]      400 pairs of each system by default, some 15 minutes
    python -m bench.compare real [PAIRS] [SECONDS]     20 pairs of each kind, runs of 60 s by default, some 50 minutes

**Simulated**: pairs of runs of the same known distribution, with seconds that are independent, correlated, or
very noisy. A false alarm is a comparison in which any name is worse. With a margin of 0, every such alarm is an error
of the interval; the default margin is the usual case.

**Coverage**: how often the 95 % interval of a figure in one run contains the figure of an infinite run.

**Until decided**: pairs in which the second run is looked at until its comparison is decided. *Ever wrong* are those of
equal systems in which an interval of any look excludes 0.

**Real**: the sample target under Gunicorn, whose responses wait as if for a database (bench/compare/target.py), 160
requests per second. Two stacks at a time, first two unchanged, then one unchanged and one with one of two endpoints
10 % slower: a pair of each kind, A/A (must raise no alarm) and slowed (must be found). No run is in two pairs, and the
two runs of a pair do not overlap in time. Runs that are not trustworthy are excluded with their pair, and counted.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np

from bench.compare.simulation import System, intervals_of, run, truth
from loadtest.comparing import decision
from loadtest.comparing.comparison import MARGIN, Comparison, NameComparison, compare
from loadtest.comparing.difference import Conclusion
from loadtest.estimating import looks
from loadtest.estimating.blocked_run import BlockedRun
from loadtest.local import redis_server
from loadtest.local.process import free_port

ROOT = Path(__file__).parents[2]
RATE_PER_S = 80
SLOWED = "health/ready"
HALVES = ({"alike": 0.0, "slowed": 0.0}, {"alike": 0.0, "slowed": 0.1})
"""The slow-down of the endpoint in the first and in the second run of each kind of pair."""
SYSTEMS = {
    "independent seconds": System(weather=0.0, memory=0.0),
    "correlated seconds": System(weather=0.05, memory=0.7),
    "strong noise": System(weather=0.15, memory=0.9),
    "5 minutes": System(seconds=300, weather=0.10, memory=0.9, requests_per_s=10),
    "30 names": System(names=30, weather=0.05, memory=0.5),
    "many requests": System(names=4, requests_per_s=80, spread=0.3, weather=0.01, memory=0.5),
}
COVERED = {
    "independent seconds": System(names=1, weather=0.0, memory=0.0),
    "±5 %, autocorrelation 0.5": System(names=1, weather=0.05, memory=0.5),
    "±10 %, autocorrelation 0.7": System(names=1, weather=0.10, memory=0.7),
    "the same, 20 s": System(names=1, seconds=20, weather=0.10, memory=0.7),
    "the same, 5 minutes": System(names=1, seconds=300, weather=0.10, memory=0.7),
    "±10 %, autocorrelation 0.9, 5 minutes": System(names=1, seconds=300, weather=0.10, memory=0.9),
    "the same, a minute": System(names=1, weather=0.10, memory=0.9),
}
"""The systems for the coverage of a single run's intervals."""
LONGEST_S = 120
LOOKED_AT = {
    "independent seconds": System(LONGEST_S, 2, 150, spread=0.2, weather=0.0, memory=0.0),
    "±2 %, autocorrelation 0.7": System(LONGEST_S, 2, 150, spread=0.2, weather=0.02, memory=0.7),
    "±10 %, autocorrelation 0.9": System(LONGEST_S, 2, 150, spread=0.2, weather=0.10, memory=0.9),
}
"""Two names of 150 requests per second."""


def worse(comparison: Comparison) -> list[str]:
    """Return the names that were called worse."""
    return [
        f"{name.name.name} {one.metric} {one.change:+.1%} ({one.low:+.1%} to {one.high:+.1%})"
        for name in comparison.names
        for one in name.differences
        if one.conclusion is Conclusion.WORSE
    ]


def beyond_nothing(name: NameComparison) -> bool:
    """Return whether an interval of a name excludes 0 on the bad side."""
    return any(
        one.high < 0 if one.metric == "throughput" else one.low > 0 for one in name.differences if one.low is not None
    )


def simulated(pairs: int) -> None:
    """Print a row for each system."""
    random = np.random.default_rng(20)
    print(f"{pairs} A/A pairs of each system, {max(1, pairs // 4)} pairs with one name 10 % slower\n")
    print(f"| system | false alarms, margin 0 | false alarms, margin {MARGIN:.0%} | 10 % slow-down found |")
    print("|---|---|---|---|")
    for name, system in SYSTEMS.items():
        bare = alarms = found = 0
        slowed_pairs = max(1, pairs // 4)
        for number in range(pairs):
            base, new = run(system, random), run(system, random)
            comparison = compare(base, new)
            bare += any(map(beyond_nothing, comparison.names))
            alarms += bool(worse(comparison))
            if number < slowed_pairs:
                slowed = run(system, random, {1: 1.1})
                found += any(text.startswith("name 1 ") for text in worse(compare(base, slowed)))
            if sys.stderr.isatty():
                print(f"\r{name} {number + 1}/{pairs}", end="", file=sys.stderr, flush=True)
        print(
            f"| {name} | {bare} ({bare / pairs:.1%}) | {alarms} ({alarms / pairs:.1%}) | {found / slowed_pairs:.0%} |",
            flush=True,
        )


def coverage(runs: int) -> None:
    """Print a row for each system: how often the interval of a run contains the system's figure."""
    random, figures = np.random.default_rng(21), list(truth(System()))
    print(f"{runs} runs of each system\n")
    print(f"| system | {' | '.join(figures)} | without |\n|---|{'--:|' * (len(figures) + 1)}")
    for name, system in COVERED.items():
        true, held, known = truth(system), Counter[str](), Counter[str]()
        for _ in range(runs):
            (series, *_) = run(system, random).series.values()
            for figure, interval in intervals_of(series).items():
                if interval is not None:
                    known[figure] += 1
                    held[figure] += interval.low <= true[figure] <= interval.high
        shares = " | ".join(f"{held[figure] / max(1, known[figure]):.1%}" for figure in figures)
        print(f"| {name} | {shares} | {1 - known.total() / (runs * len(figures)):.1%} |", flush=True)


def until_decided(pairs: int) -> None:
    """Print a row for each system and slow-down: runs of at most `LONGEST_S` that end when they are decided."""
    random, moments = np.random.default_rng(28), [int(at_s) for at_s in looks.within(LONGEST_S)]
    print(f"{pairs} pairs of equal runs, a quarter as many others, of at most {LONGEST_S} s; looks after {moments} s\n")
    print("| system | slower | worse | better | the same | undecided | ever wrong | seconds, median |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for label, system in LOOKED_AT.items():
        for slower in (0.0, 0.1, 0.2):
            ends: Counter[str] = Counter()
            took_s: list[int] = []
            made = max(1, pairs // 4) if slower else pairs
            for _ in range(made):
                base, new = run(system, random), run(system, random, {1: 1 + slower})
                found, at_s, ever_wrong = looked_at(base, new, moments)
                ends[found.conclusion.value if decision.is_answer(found, LONGEST_S) else "undecided"] += 1
                ends["ever wrong"] += ever_wrong
                took_s.append(at_s)
            kinds = ("worse", "better", "same", "undecided", *(["ever wrong"] if not slower else []))
            shares = " | ".join(f"{ends[kind] / made:.1%}" for kind in kinds)
            more = " |" if slower else ""
            print(f"| {label} | {slower:.0%} | {shares} |{more} {sorted(took_s)[made // 2]} |", flush=True)


def looked_at(base: BlockedRun, new: BlockedRun, moments: list[int]) -> tuple[Comparison, int, bool]:
    """Return the comparison at the first look at which it is decided, or at the last, and the time of the look.

    And whether an interval of any look, including later ones, excludes 0.
    """
    share, end, ever_wrong = looks.share(LONGEST_S), None, False
    for at_s in moments:
        found = compare(base.first(at_s), new.first(at_s), share=share)
        ever_wrong |= any(
            one.low > 0 or one.high < 0 for name in found.names for one in name.differences if one.low is not None
        )
        if end is None and decision.is_answer(found, LONGEST_S):
            end = found, at_s
    return (*(end or (found, moments[-1])), ever_wrong)


class Target:
    """The sample target in a separate process."""

    def __init__(self, redis_url: str, slower: float, folder: Path) -> None:
        """Start it, and wait until it responds."""
        self.port = free_port()
        variables = {
            "TARGET_APP_BIND": f"127.0.0.1:{self.port}",
            "TARGET_APP_THREADS": "64",
            "REDIS_URL": redis_url,
            "COMPARE_SLOWER": str(slower),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'locust'}",
        }
        command = [sys.executable, "-m", "gunicorn", "-c", "python:target_app.gunicorn_conf"]
        self._log = (folder / f"target-{self.port}.log").open("w")
        self._process = subprocess.Popen(
            [*command, "bench.compare.target:create_app()"],
            cwd=ROOT,
            env={**os.environ, **variables},
            stdout=self._log,
            stderr=self._log,
        )
        until_s = time.monotonic() + 30
        while time.monotonic() < until_s:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz/ready", timeout=1):
                    return
            except OSError:
                time.sleep(0.2)
        self.end()
        raise RuntimeError(f"the target did not answer; its log: {self._log.name}")

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


def start_run(target: Target, folder: Path, name: str, seconds: int) -> subprocess.Popen:
    """Start a run against the target."""
    ports = {f"LOADTEST_{part}_PORT": "0" for part in ("WEB", "EXPORTER", "TARGET")}
    command = [
        str(Path(sys.executable).with_name("loadtest")),
        "run",
        "--scenario",
        "health",
        "--workers",
        "1",
        "--users",
        "100",
    ]
    command += ["--profile", "constant-arrival-rate", "--rate", str(RATE_PER_S), "--run-time", f"{seconds}s"]
    command += ["--host", f"http://127.0.0.1:{target.port}", "--run-id", name]
    variables = {**os.environ, **ports, "LOADTEST_RUNS_DIR": str(folder), "PYTHONPATH": f"{ROOT}:{ROOT / 'locust'}"}
    with (folder / f"{name}.txt").open("w") as log:
        return subprocess.Popen(command, cwd=ROOT, env=variables, stdout=log, stderr=log)


def one_of_each(redis_url: str, number: int, seconds: int, folder: Path) -> list[dict[str, BlockedRun | None]]:
    """Make the runs of a pair of each kind: the first ones, then the second ones; None for an untrustworthy one."""
    made: list[dict[str, BlockedRun | None]] = []
    for half, slower in enumerate(HALVES):
        targets = {kind: Target(redis_url, slower[kind], folder) for kind in slower}
        try:
            names = {kind: f"{number}-{kind}-{half}" for kind in targets}
            running = {kind: start_run(target, folder, names[kind], seconds) for kind, target in targets.items()}
            codes = {kind: process.wait(seconds + 120) for kind, process in running.items()}
        finally:
            for target in targets.values():
                target.end()
        made.append({kind: _read(folder / names[kind]) if not codes[kind] else None for kind in targets})
    return made


def _read(folder: Path) -> BlockedRun:
    return BlockedRun.of(json.loads((folder / "record.json").read_text()))


def real(pairs: int, seconds: int) -> None:
    """Make the runs, and print the result of each pair."""
    folder = Path(tempfile.mkdtemp(prefix="bench-compare-"))
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}; runs in {folder}")
    print(f"load average {os.getloadavg()[0]:.1f} at the start; {pairs} pairs of each kind, runs of {seconds} s\n")
    counts = {"alike": [0, 0], "slowed": [0, 0]}
    left_out = 0
    with redis_server.running(folder / "redis.log", print) as redis_url:
        for number in range(pairs):
            first, second = one_of_each(redis_url, number, seconds, folder)
            for kind, count in counts.items():
                base, new = first[kind], second[kind]
                if base is None or new is None:
                    left_out += 1
                    print(f"pair {number + 1}, {kind}: left out, a run was not trustworthy")
                    continue
                found = worse(compare(base, new))
                count[0] += 1
                count[1] += any(text.startswith(SLOWED) for text in found) if kind == "slowed" else bool(found)
                print(f"pair {number + 1}, {kind}: {'; '.join(found) or 'nothing is worse'}")
            print(f"pair {number + 1} of {pairs}: load average {os.getloadavg()[0]:.1f}", flush=True)
    (all_alike, alarms), (all_slowed, hits) = counts.values()
    print(f"\n{left_out} pairs were left out, as a run was not trustworthy")
    print(f"false alarms: {alarms} of {all_alike} A/A pairs; the 10 % slow-down found in {hits} of {all_slowed}")


def main() -> None:
    """Run the benchmarks named on the command line."""
    kind, *numbers = sys.argv[1:] or ["simulated"]
    chosen = [int(text) for text in numbers]
    if kind == "real":
        defaults = (20, 60)
        real(*(chosen + [*defaults][len(chosen) :]))
        return
    measure, count = {"coverage": (coverage, 2_000), "until-decided": (until_decided, 400)}.get(kind, (simulated, 200))
    measure(chosen[0] if chosen else count)


if __name__ == "__main__":
    main()
