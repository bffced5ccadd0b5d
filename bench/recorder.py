"""The cost of recording one sample, compared with Locust's ``RequestStats.log_request``.

    python -m bench.recorder

Both sides get the same samples in the same order, alternately, in one process. Ours includes everything between a
finished request and the wire: looking up the series by its three labels, keeping both times, folding (as often as at
60,000 samples per second), and one encoded delta per second. Locust's is `log_request` only, without its report.
CPU time by `time.process_time`, minus the empty loop.
"""

import itertools
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
from locust.stats import RequestStats

from loadtest.measuring.health import Health
from loadtest.measuring.packed import PackedMeasurements
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.wire import Delta

SAMPLES = 60_000
FOLD_EVERY = 6_000
ROUNDS = 9

Sample = tuple[str, float, float, float, int]


def samples(names: int, late_ratio: float) -> list[Sample]:
    """Return samples like those of a run: name, intended start, send, end, bytes."""
    source = np.random.default_rng(1)
    durations = source.lognormal(-6, 1, SAMPLES).tolist()
    lags = source.exponential(0.001, SAMPLES).tolist()
    late = (source.random(SAMPLES) < late_ratio).tolist()
    labels = [f"documents/operation-{number}" for number in range(names)]
    made = []
    for index, (label, duration, lag) in enumerate(zip(itertools.cycle(labels), durations, lags, strict=False)):
        sent = 1000.0 + index / 60_000
        made.append((label, sent - lag if late[index] else sent, sent, sent + duration, 1234))
    return made


class Side:
    """One way to record; created once, and warmed up before it is measured."""

    def __init__(self, given: list[Sample]) -> None:
        """Look up every series."""
        self.given = given
        self.stats = RequestStats(use_response_times_cache=False)
        self.recorder = Recorder()
        self.success = {name: self.recorder.series("documents", "GET", name).success for name, *_ in given[:2000]}

    def empty(self) -> None:
        """The empty loop."""
        for _name, _intended, _sent, _end, _size in self.given:
            pass

    def locust(self) -> None:
        """Locust's worker."""
        stats = self.stats
        for name, _intended, sent, end, size in self.given:
            stats.log_request("GET", name, (end - sent) * 1000, size)

    def looked_up(self) -> None:
        """Our worker, from the lookup to the encoded delta."""
        by_labels = self.recorder.by_labels
        for start in range(0, SAMPLES, FOLD_EVERY):
            for name, intended, sent, end, size in self.given[start : start + FOLD_EVERY]:
                by_labels["documents", "GET", name].success(intended, sent, end, size)
            self.recorder.fold_early()
        self.cut()

    def held(self) -> None:
        """The same for a client that holds its series by name, as ours do."""
        success = self.success
        for start in range(0, SAMPLES, FOLD_EVERY):
            for name, intended, sent, end, size in self.given[start : start + FOLD_EVERY]:
                success[name](intended, sent, end, size)
            self.recorder.fold_early()
        self.cut()

    def cut(self) -> None:
        """End the second."""
        self.recorder.fold()
        Delta("run", 1, 0.0, 1.0, False, {}, Health(), PackedMeasurements.of(self.recorder.take())).to_bytes()


def cost_ns(side: Callable[[], None]) -> float:
    """CPU time per sample."""
    start = time.process_time()
    side()
    return (time.process_time() - start) / SAMPLES * 1e9


def medians(given: list[Sample]) -> list[float]:
    """Measure Locust, series looked up and series held, alternately; the empty loop is subtracted."""
    side = Side(given)
    sides = (side.empty, side.locust, side.looked_up, side.held)
    rounds = [[cost_ns(one) for one in sides] for _ in range(ROUNDS + 1)][1:]  # the first one warms up
    alone, *costs = (statistics.median(column) for column in zip(*rounds, strict=True))
    return [cost - alone for cost in costs]


def main() -> None:
    """Print the table."""
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}; medians of {ROUNDS}\n")
    print("| names | late | Locust log_request | ours, looked up | ratio | ours, series held | ratio |")
    print("|---|---|---|---|---|---|---|")
    for names, late in ((1, 0.0), (50, 0.0), (100, 0.0), (2000, 0.0), (100, 1.0), (2000, 1.0)):
        theirs, looked_up, kept = medians(samples(names, late))
        print(
            f"| {names} | {late:.0%} | {theirs:.0f} ns | {looked_up:.0f} ns | {looked_up / theirs:.3f}x "
            f"| {kept:.0f} ns | {kept / theirs:.3f}x |"
        )


if __name__ == "__main__":
    main()
