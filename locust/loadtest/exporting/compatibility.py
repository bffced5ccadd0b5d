"""The metric names of Grafana's dashboards 11985 and 12081, exported if LOADTEST_EXPORTER_COMPATIBILITY is set.

They are gauges of Locust's own statistics: rounded to milliseconds, over the whole run, and reset by the next run. New
dashboards should use the names in `loadtest.exporting.metrics`.

- 11985 reads `locust_requests_*`, by `method` and `name`. It shows the total row (an empty `method`) of two of them and
  sums all rows of another, so only those two have a total row: no sum counts a request twice.
- 12081 reads `locust_stats_*`, by `method` and `path`, with `Aggregated` as the path of the total row.

Tested in tests/unit/exporting/test_series.py.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from locust.runners import STATE_RUNNING, STATE_SPAWNING, STATE_STOPPED
from locust.stats import StatsEntry

from loadtest.exporting.metrics import Metric
from loadtest.exporting.series import header, sample
from loadtest.measuring.labels import OTHER
from loadtest.measuring.turn import end_turn
from loadtest.swarm.record_keeper import RecordKeeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from locust.env import Environment

AGGREGATED: Final = "Aggregated"
MAX_ERRORS: Final = 100
"""Maximum number of combinations of method, name and error class that are exported; further ones count as `other`."""
_RUNNING: Final = {STATE_SPAWNING: 1, STATE_RUNNING: 2}
_IN_TOTAL: Final = ("num_requests", "num_failures")
"""The statistics whose total row is shown by dashboard 11985."""


class _Statistic(NamedTuple):
    name: str
    meaning: str
    read: Callable[[StatsEntry], float]


_STATISTICS: Final = (
    _Statistic("num_requests", "Requests of the run.", lambda entry: entry.num_requests),
    _Statistic("num_failures", "Failed requests of the run.", lambda entry: entry.num_failures),
    _Statistic("avg_response_time", "Mean response time of the run in ms.", lambda entry: entry.avg_response_time),
    _Statistic("min_response_time", "Shortest time of the run in ms.", lambda entry: entry.min_response_time or 0),
    _Statistic("max_response_time", "Longest time of the run in ms.", lambda entry: entry.max_response_time),
    _Statistic("median_response_time", "Median time of the run in ms.", lambda entry: entry.median_response_time),
    _Statistic("current_rps", "Requests per second, recently.", lambda entry: entry.current_rps),
    _Statistic("current_fail_per_sec", "Failures per second, recently.", lambda entry: entry.current_fail_per_sec),
    _Statistic("avg_content_length", "Mean response size of the run in bytes.", lambda entry: entry.avg_content_length),
)
_ALSO_IN_12081: Final = _Statistic(
    "ninetieth_response_time",
    "p90 of the run in ms.",
    lambda entry: entry.get_response_time_percentile(0.9) or 0,
)
LINES_PER_NAME: Final = 2 * len(_STATISTICS) + 1
FIXED_LINES: Final = 12 + len(_IN_TOTAL) + 2 * LINES_PER_NAME + MAX_ERRORS + 1
"""The number of lines that do not depend on names: single gauges, the rows of the total and of `other`, errors."""


def lines(environment: Environment, shown_name: Callable[[str, str], str]) -> Iterator[str]:
    """Yield the text of all metrics, letting other greenlets run in between.

    Args:
        environment: a master's Environment.
        shown_name: returns the name under which a method and name are exported: the name itself, or `other`.
    """
    runner: Any = environment.runner
    yield from _of_swarm(environment, runner)
    total = runner.stats.total
    entries = _by_name(runner, shown_name)
    for statistic in _STATISTICS:
        metric = Metric(f"locust_requests_{statistic.name}", "gauge", ("method", "name"), statistic.meaning)
        yield header(metric)
        for (method, name), entry in entries.items():
            yield sample(metric, (method, name), statistic.read(entry))
        if statistic.name in _IN_TOTAL:
            yield sample(metric, ("", AGGREGATED), statistic.read(total))
        end_turn()
    for statistic in (*_STATISTICS, _ALSO_IN_12081):
        metric = Metric(f"locust_stats_{statistic.name}", "gauge", ("method", "path"), statistic.meaning)
        yield header(metric)
        for (method, name), entry in entries.items():
            yield sample(metric, (method, name), statistic.read(entry))
        yield sample(metric, (AGGREGATED, AGGREGATED), statistic.read(total))
        end_turn()
    yield from _errors(environment, shown_name)


def _of_swarm(environment: Environment, runner: Any) -> Iterator[str]:
    total, users = runner.stats.total, sum(RecordKeeper.of(environment).users.values())
    workers = len(getattr(runner, "clients", ()))
    recent = {q: total.get_current_response_time_percentile(q) or 0 for q in (0.5, 0.95)}
    for name, meaning, value in (
        ("locust_up", "Always 1.", 1),
        ("locust_running", "0 stopped, 1 spawning, 2 running.", _RUNNING.get(runner.state, 0)),
        ("locust_users", "Running users.", users),
        ("locust_user_count", "Running users.", users),
        ("locust_slaves_count", "Connected workers.", workers),
        ("locust_slave_count", "Connected workers.", workers),
        ("locust_requests_fail_ratio", "Share of the run's requests that failed.", total.fail_ratio),
        ("locust_fail_ratio", "Share of the run's requests that failed.", total.fail_ratio),
        (
            "locust_requests_current_response_time_percentile_50",
            "Recent median in ms.",
            recent[0.5],
        ),
        (
            "locust_requests_current_response_time_percentile_95",
            "Recent p95 in ms.",
            recent[0.95],
        ),
    ):
        metric = Metric(name, "gauge", (), meaning)
        yield header(metric) + sample(metric, (), value)
    state = Metric("locust_state", "gauge", ("state",), "1 for the state of the master.")
    yield header(state) + sample(state, (runner.state or STATE_STOPPED,), 1)


def _by_name(runner: Any, shown_name: Callable[[str, str], str]) -> dict[tuple[str, str], StatsEntry]:
    """Return Locust's entries, with those whose name is not exported merged as `other`."""
    entries: dict[tuple[str, str], StatsEntry] = {}
    for (name, method), entry in list(runner.stats.entries.items()):
        if shown_name(method, name) == name:
            entries[method, name] = entry
        else:
            entries.setdefault((OTHER, OTHER), StatsEntry(runner.stats, OTHER, OTHER)).extend(entry)
    return entries


def _errors(environment: Environment, shown_name: Callable[[str, str], str]) -> Iterator[str]:
    """Yield the run's errors by class: with messages as labels, the number of series would be unbounded."""
    metric = Metric("locust_errors", "gauge", ("method", "name", "path", "error"), "Errors of the run, by class.")
    counts: Counter[tuple[str, str, str]] = Counter()
    record = RecordKeeper.of(environment).record
    for row in record.errors() if record is not None else ():
        kind = (row.method, shown_name(row.method, row.name), row.error_class)
        counts[kind if kind in counts or len(counts) < MAX_ERRORS else (OTHER, OTHER, OTHER)] += row.occurrences
    yield header(metric)
    for (method, name, error), count in counts.items():
        yield sample(metric, (method, name, name, error), count)
