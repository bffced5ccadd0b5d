"""The cost of a scrape to the master, compared with prometheus_client rendering the same series.

    python -m bench.exporter

200 names whose every bucket changed since the last scrape, 36 buckets each, in two histograms. A greenlet records when
it is scheduled: the longest time between two turns is how long the scrape blocked the master's event loop. Both sides
are scraped alternately, in one process. Wall-clock time and CPU time: on a busy machine, only the CPU time is the
exporter's own. The usual limit of 12,000 series would fold some of the names, so it is lifted, and measured separately
in the last row.
"""

import gevent.monkey

gevent.monkey.patch_all()

import math  # noqa: E402 - nothing may be imported before the patch
import platform  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from itertools import pairwise  # noqa: E402

import gevent  # noqa: E402
from locust.env import Environment  # noqa: E402
from prometheus_client import CollectorRegistry, generate_latest  # noqa: E402
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric  # noqa: E402

from loadtest.exporting.exposition import Exposition  # noqa: E402
from loadtest.exporting.run_progress import RunProgress  # noqa: E402
from loadtest.exporting.series import BOUNDS_S  # noqa: E402
from loadtest.judging.judge import Judge  # noqa: E402
from loadtest.judging.outcome import decide  # noqa: E402
from loadtest.judging.threshold_parser import parse  # noqa: E402
from loadtest.measuring.record import RunRecord  # noqa: E402
from loadtest.measuring.recorder import Recorder  # noqa: E402
from loadtest.measuring.turn import end_turn  # noqa: E402
from loadtest.session import Session  # noqa: E402
from loadtest.swarm.record_keeper import RecordKeeper  # noqa: E402
from loadtest.swarm.session import start  # noqa: E402

NAMES = 200
SCRAPES = 100
LIFTED = 40_000
HOLD_LIMIT_S, TOTAL_LIMIT_S = 0.005, 0.100
RULES = 'p99 < 1s, error_ratio < 1%, p95{name="name 7"} < 50ms'


class Peer:
    """The same series rendered by prometheus_client, which rebuilds the families for each scrape."""

    def __init__(self, record: RunRecord) -> None:
        """Register a collector of the record."""
        self._record = record
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def describe(self) -> list[Metric]:
        """Return nothing, so that registration collects nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        labels = ("scenario", "method", "name")
        requests = CounterMetricFamily("loadtest_requests", "Requests.", labels=(*labels, "result"))
        times = {kind: HistogramMetricFamily(f"loadtest_{kind}_seconds", "Times.", labels=labels) for kind in _KINDS}
        for view in self._record.series():
            key = (view.scenario, view.method, view.name)
            requests.add_metric((*key, "success"), view.requests - view.failures)
            requests.add_metric((*key, "failure"), view.failures)
            for kind, family in times.items():
                histogram = getattr(view, kind)
                buckets = [(str(bound), n) for bound, n in zip(BOUNDS_S, histogram.counts_le(BOUNDS_S), strict=True)]
                family.add_metric(key, [*buckets, ("+Inf", histogram.count)], histogram.sum_s)
        yield requests
        yield from times.values()

    def text(self) -> bytes:
        """Return the exposition."""
        return generate_latest(self._registry)


_KINDS = ("response_time", "service_time")


def change(environment: Environment, second: int) -> None:
    """Count requests of every name, in every bucket, in a second of a run."""
    recorder, collector = Recorder.of(environment), RecordKeeper.of(environment)._collector
    times_s = [0.0001 * 1.2**step for step in range(74)]
    for number in range(NAMES):
        success = recorder.series("mine", "GET", f"name {number}").success
        for took_s in times_s:
            success(100.0, 100.001, 100.001 + took_s, 10)
    taken = recorder.take()
    collector.totals.add(taken)
    collector.recent.add(second, taken)


def held(text: Callable[[], bytes]) -> tuple[float, float, float, float]:
    """Scrape once: return the longest block and the total, each in wall-clock seconds and in CPU seconds."""
    turns: list[tuple[float, float]] = []

    def note() -> None:
        while True:
            turns.append((time.perf_counter(), time.process_time()))
            end_turn()

    watcher = gevent.spawn(note)
    end_turn()
    began, began_cpu = time.perf_counter(), time.process_time()
    text()
    took, took_cpu = time.perf_counter() - began, time.process_time() - began_cpu
    end_turn()
    watcher.kill()
    gaps = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(turns)]
    return max(gap for gap, _ in gaps), max(gap for _, gap in gaps), took, took_cpu


def quantile(values: list[float], share: float) -> str:
    """The nearest-rank quantile in milliseconds."""
    return f"{sorted(values)[math.ceil(share * len(values)) - 1] * 1e3:.1f}"


def main() -> int:
    """Print the table; return 1 if the CPU time exceeds a limit."""
    environment = Environment()
    environment.create_local_runner()
    start(environment)
    measured = RecordKeeper.of(environment)
    judge = Judge(parse(RULES, "the bench"), measured.totals)
    Session.of(environment).put(
        RunProgress, RunProgress(lambda: decide(measured.totals, [], judge.results()), None, time.time())
    )
    sides = {
        f"ours, {NAMES} names": Exposition(environment, LIFTED).text,
        "prometheus_client": Peer(measured.totals).text,
        "ours, at most 12,000": Exposition(environment).text,
    }
    seen: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in sides}
    series = {}
    for second in range(SCRAPES):
        change(environment, second)
        for name, text in sides.items():
            seen[name].append(held(text))
    for name, text in sides.items():
        series[name] = sum(not line.startswith(b"#") for line in text().splitlines())
    print(f"{platform.python_implementation()} {platform.python_version()}, {SCRAPES} scrapes each, milliseconds")
    print("| | series | | p50 | p90 | p99 | max |")
    print("|---|---|---|---|---|---|---|")
    what = ("longest hold", "longest hold, CPU", "whole scrape", "whole scrape, CPU")
    for name, rows in seen.items():
        for meaning, values in zip(what, zip(*rows, strict=True), strict=True):
            figures = " | ".join(quantile(list(values), share) for share in (0.5, 0.9, 0.99, 1.0))
            print(f"| {name} | {series[name]:,} | {meaning} | {figures} |")
    ours = seen[f"ours, {NAMES} names"]
    hold_cpu = sorted(row[1] for row in ours)[math.ceil(0.99 * SCRAPES) - 1]
    total_cpu = sorted(row[3] for row in ours)[math.ceil(0.99 * SCRAPES) - 1]
    environment.runner.quit()
    return int(hold_cpu >= HOLD_LIMIT_S or total_cpu >= TOTAL_LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
