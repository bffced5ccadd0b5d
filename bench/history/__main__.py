"""How well `loadtest history --changes` finds changes of level, compared with Apache Otava, and how long it takes.

    python -m bench.history [HISTORIES]                60 of each kind and seed by default, some 5 minutes
    python -m bench.history published [HISTORIES]      on the series of TigerBeetle that Otava's own tests publish
    python -m bench.history equal [HISTORIES]          false change points of equal runs; of each kind 5,000 by default
    python -m bench.history time                       the time for a thousand runs only

Otava runs in a separate environment in a temporary folder: it pins another version of numpy than this product needs.
Both get the same series. A change is found if a change point is within `WITHIN` runs of it; a change point that finds
none is false. Ours runs with the error probability of each figure in a history of 40 names.
"""

import ast
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from bench.history import oracle
from bench.history.simulation import History, Made, make
from loadtest.comparing.change_points import change_points
from loadtest.comparing.changes import CHANCE, CHANCE_OF_ONE
from loadtest.comparing.difference import METRICS
from loadtest.comparing.run_figures import RunFigures
from loadtest.estimating.blocked_run import Name
from loadtest.run_folder import RECORD

ROOT = Path(__file__).parents[2]
WITHIN = 2
SEEDS = (21, 22, 23, 24, 25)
NAMES = 40
FIGURES = NAMES * len(METRICS)
CHANCE_OF_A_FIGURE = min(CHANCE_OF_ONE, CHANCE / FIGURES)
RUNS = 1_000
OTAVA = ("apache-otava==0.8.0", "numpy==2.2.0", "scipy==1.16.3")
"""Without its dependencies for databases and messengers, which change detection does not need."""
OTAVA_SCRIPT = """
import json, sys
from otava.analysis import compute_change_points, compute_change_points_orig
found = []
for series in json.load(sys.stdin):
    kinds = [compute_change_points(list(series))[0]]
    if sys.argv[1] == "divide":
        kinds.append(compute_change_points_orig(list(series), max_pvalue=0.01, seed=1)[0])
    found.append([[int(point.index) for point in points] for points in kinds])
json.dump(found, sys.stdout)
"""
KINDS = {
    "A/A, ±2 %": History(),
    "A/A, ±2 %, 3 % outliers": History(outliers=0.03),
    "A/A, ±2 %, autocorrelation 0.3": History(memory=0.3),
    "5 %, ±1 %": History(noise=0.01, changes=3),
    "5 %, ±1.5 %": History(noise=0.015, changes=3),
    "5 %, ±2 %": History(changes=3),
    "5 %, ±1 %, 3 % outliers": History(noise=0.01, changes=3, outliers=0.03),
    "5 %, ±1 %, errors of up to 4 %": History(noise=0.01, own=0.02, changes=3),
    "10 %, ±2 %": History(change=0.10, changes=3),
}
QUIET = 260
"""The last run of TigerBeetle's series at which Otava's own tests expect a change for p 0.001."""
HISTORY = 100
"""The number of runs in a history that is made from the later part."""
Score = list[int]
"""Found, missed, false."""
HEADS = "\n| history | | false per 100 runs | missed | F1, median | by seed |\n|---|---|--:|--:|--:|--:|"


def score(found: Sequence[int], true: Sequence[int]) -> Score:
    """Return the number of changes found and missed, and of false change points."""
    left = list(found)
    hits = 0
    for place in true:
        near = [one for one in left if abs(one - place) <= WITHIN]
        if near:
            hits += 1
            left.remove(min(near, key=lambda one: abs(one - place)))
    return [hits, len(true) - hits, len(left)]


def otava(python: Path, series: list[list[float]], divide: bool) -> list[list[list[int]]]:
    """Return Otava's change points for each series, optionally also those of its E-divisive.

    E-divisive takes sixty times as long because of its permutations.
    """
    done = subprocess.run(
        [python, "-c", OTAVA_SCRIPT, "divide" if divide else ""],
        input=json.dumps(series),
        text=True,
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


def environment(folder: Path) -> Path:
    """Create an environment with Otava, and return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", *OTAVA], check=True)
    return python


def simulated(count: int, python: Path) -> None:
    """Print a row for each kind of history and each of the three methods, and the misses of two oracles."""
    print(f"{len(SEEDS)} x {count} histories of each kind, 100 runs each, 3 changes where there are some\n{HEADS}")
    for kind, history in KINDS.items():
        made = [[make(history, random) for _ in range(count)] for random in generators()]
        compare_on(kind, made, python)
        if history.changes and not history.outliers:
            compare_with_oracles(kind, history, [one for of_a_seed in made for one in of_a_seed])


def compare_with_oracles(kind: str, history: History, made: list[Made]) -> None:
    """Print a row for each of the two oracles: how many changes in normal noise they miss."""
    changes, known = sum(len(one.changed) for one in made), [history.noise**2 + one.errors**2 for one in made]
    for known_fact, missed in (
        ("positions", [oracle.missed_where(*each, CHANCE_OF_A_FIGURE) for each in zip(made, known, strict=True)]),
        ("number", [oracle.missed_number(*each, WITHIN, history.apart) for each in zip(made, known, strict=True)]),
    ):
        print(f"| {kind} | {known_fact} known | | {sum(missed) / changes:.1%} | | |", flush=True)


def compare_on(kind: str, made: list[list[Made]], python: Path) -> None:
    """Print a row for each method: on histories by their logarithms, errors and true changes; a list by seed."""
    all_scores: dict[str, list[Score]] = {}
    for number, of_a_seed in enumerate(made):
        print(f"{time.strftime('%H:%M:%S')} {kind}, seed {number + 1} of {len(made)}", file=sys.stderr, flush=True)
        theirs = otava(python, [np.exp(one.values).tolist() for one in of_a_seed], divide=not number)
        by_method = {"ours": [ours(one.values, one.errors) for one in of_a_seed]}
        by_method |= zip(("Otava", "E-divisive"), zip(*theirs, strict=True), strict=False)
        for name, all_found in by_method.items():
            scores = (score(found, one.changed) for found, one in zip(all_found, of_a_seed, strict=True))
            all_scores.setdefault(name, []).append([sum(column) for column in zip(*scores, strict=True)])
    runs = sum(len(one.values) for one in made[0])
    for name, by_seed in all_scores.items():
        hits, missed, false = map(sum, zip(*by_seed, strict=True))
        share, f1 = "", " | "
        if hits + missed:
            f1s = sorted(2 * hits / (2 * hits + missed + false) for hits, missed, false in by_seed)
            seeds = f"{f1s[0]:.3f} to {f1s[-1]:.3f}" if len(f1s) > 1 else "the first only"
            share, f1 = f"{missed / (hits + missed):.1%}", f"{median(f1s):.3f} | {seeds}"
        print(f"| {kind} | {name} | {false / runs / len(by_seed) * 100:.2f} | {share} | {f1} |", flush=True)


def equal(count: int) -> None:
    """Print how many change points equal runs have: of one figure, and of all figures in a history of many names."""
    print(f"{count:,} histories of each kind\n\n| history | false per 100 runs: a figure | {FIGURES} figures |")
    print("|---|--:|--:|")
    for kind, history in KINDS.items():
        if not history.changes:
            random = np.random.default_rng(SEEDS[0])
            made = (make(history, random) for _ in range(count))
            false = sum(len(ours(one.values, one.errors)) for one in made)
            of_a_figure = 100 * false / (count * history.runs)
            print(f"| {kind} | {of_a_figure:.4f} | {FIGURES * of_a_figure:.2f} |", flush=True)


def ours(values: np.ndarray, errors: np.ndarray) -> list[int]:
    """Return the change points of a figure of a history."""
    return [point.index for point in change_points(values, errors, CHANCE_OF_A_FIGURE)]


def published(count: int, folder: Path) -> None:
    """Print the change points of the series itself, and rows for histories of its noise, from random starts."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*command, "--no-build-isolation", "--dest", folder, OTAVA[0]], check=True)
    (archive,) = folder.glob("apache_otava-*.tar.gz")
    with tarfile.open(archive) as files:
        (path,) = (name for name in files.getnames() if name.endswith("/tests/tigerbeetle_test.py"))
        file = files.extractfile(path)
        tree = ast.parse(file.read() if file else b"")
    returned = next(node.value for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value)
    series = np.log(np.array(ast.literal_eval(returned), float))
    python = environment(folder / "otava")
    (points, divided), no_errors = otava(python, [np.exp(series).tolist()], divide=True)[0], np.zeros(len(series))
    print(f"{len(series)} runs: ours {ours(series, no_errors)}; Otava {points}; E-divisive {divided}\n")
    print(f"{len(SEEDS)} x {count} histories of {HISTORY} runs from run {QUIET} on\n{HEADS}")
    for change in (0.0, 0.02, 0.05):
        made = [[shaken(series[QUIET:], change, random) for _ in range(count)] for random in generators()]
        kind = f"{change:.0%}, TigerBeetle's noise" if change else "A/A, TigerBeetle's noise"
        compare_on(kind, made, python)


def generators() -> list[np.random.Generator]:
    """Return a history for each seed."""
    return [np.random.default_rng(seed) for seed in SEEDS]


def shaken(noise: np.ndarray, change: float, random: np.random.Generator) -> Made:
    """Return a history of a series' noise from a random start, with three changes unless the change is 0."""
    noise = np.roll(noise, random.integers(len(noise)))[:HISTORY]
    true = [int(place) for place in np.array((20, 50, 80)) + random.integers(-5, 6, 3)] if change else []
    steps = sum((random.choice((-1, 1)) * np.log1p(change) * (np.arange(HISTORY) >= at) for at in true), 0.0)
    return Made(noise + steps, np.zeros(HISTORY), true, np.zeros(HISTORY) + steps)


def timed(folder: Path) -> None:
    """Print how long the command takes for a thousand runs of forty names, whose figures are cached."""
    random = np.random.default_rng(22)
    columns = {
        (name, metric): make(History(runs=RUNS, changes=3), random)[:2]
        for name in [Name("", "", "all requests"), *(Name("s", "GET", f"name {number}") for number in range(NAMES))]
        for metric in METRICS
    }
    for number in range(RUNS):
        figures: dict[Name, dict[str, tuple[float, float]]] = {}
        for (name, metric), (values, errors) in columns.items():
            figures.setdefault(name, {})[metric] = float(values[number]), float(errors[number])
        run = RunFigures(f"run-{number:04}", f"2026-01-01T{number:06}", "s/quick", "passed", {}, {}, figures)
        (folder / run.run_id).mkdir()
        (folder / run.run_id / RECORD).touch()
        run.write(folder / run.run_id)
    command = [str(Path(sys.executable).with_name("loadtest")), "history", "--changes", "--json"]
    for _ in range(3):
        began_s, before_s = time.monotonic(), _cpu_s()
        done = subprocess.run(
            command, env={**os.environ, "LOADTEST_RUNS_DIR": str(folder)}, text=True, capture_output=True, check=True
        )
        took_s = time.monotonic() - began_s
        changed = len(json.loads(done.stdout)[0]["changed"])
        cpu_s = _cpu_s() - before_s
        print(
            f"{RUNS:,} runs of {NAMES} names: {took_s:.1f} s, CPU {cpu_s:.1f} s; {changed} runs with changes",
            flush=True,
        )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Run the benchmark named on the command line."""
    if sys.argv[1:2] == ["published"]:
        with tempfile.TemporaryDirectory(prefix="bench-history-") as folder:
            published(int(sys.argv[2]) if len(sys.argv) > 2 else 60, Path(folder))
        return
    if sys.argv[1:2] == ["equal"]:
        equal(int(sys.argv[2]) if len(sys.argv) > 2 else 5_000)
        return
    if sys.argv[1:2] == ["time"]:
        with tempfile.TemporaryDirectory(prefix="bench-history-") as folder:
            timed(Path(folder))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory(prefix="bench-history-") as folder:
        (Path(folder) / "runs").mkdir()
        timed(Path(folder) / "runs")
        simulated(count, environment(Path(folder) / "otava"))


if __name__ == "__main__":
    main()
