"""The names that Grafana's dashboards 11985 and 12081 ask for, when LOADTEST_EXPORTER_COMPATIBILITY is set.

They are gauges of Locust's own statistics: rounded to milliseconds, over the life of a run, and set back by the next
one. A new dashboard should ask for the names of `loadtest.exporting.metrics`.

- 11985 reads `locust_requests_*`, by `method` and `name`. It shows the row of all requests (an empty `method`) of two
  of them and sums up all rows of another, so only those two have that row: no sum counts a request twice.
- 12081 reads `locust_stats_*`, by `method` and `path`, where the row of all requests is called `Aggregated`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import gevent
from locust.runners import STATE_RUNNING, STATE_SPAWNING, STATE_STOPPED
from locust.stats import StatsEntry

from loadtest.exporting.metrics import Metric
from loadtest.exporting.series import head, sample
from loadtest.measuring import swarm
from loadtest.measuring.labels import OTHER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from locust.env import Environment

AGGREGATED: Final = "Aggregated"
MAX_ERRORS: Final = 100
"""Kinds of error (method, name, class) that are shown; further ones count as `other`."""
_RUNNING: Final = {STATE_SPAWNING: 1, STATE_RUNNING: 2}
_IN_TOTAL: Final = ("num_requests", "num_failures")
"""The statistics whose row of all requests dashboard 11985 shows."""


class _Statistic(NamedTuple):
    name: str
    meaning: str
    read: Callable[[StatsEntry], float]


_STATISTICS: Final = (
    _Statistic("num_requests", "Requests of the run.", lambda entry: entry.num_requests),
    _Statistic("num_failures", "Failed requests of the run.", lambda entry: entry.num_failures),
    _Statistic("avg_response_time", "Mean response time of the run in ms.", lambda entry: entry.avg_response_time),
    _Statistic("min_response_time", "Shortest of the run in ms.", lambda entry: entry.min_response_time or 0),
    _Statistic("max_response_time", "Longest of the run in ms.", lambda entry: entry.max_response_time),
    _Statistic("median_response_time", "Median of the run in ms.", lambda entry: entry.median_response_time),
    _Statistic("current_rps", "Requests per second, of late.", lambda entry: entry.current_rps),
    _Statistic("current_fail_per_sec", "Failures per second, of late.", lambda entry: entry.current_fail_per_sec),
    _Statistic("avg_content_length", "Mean bytes of a response of the run.", lambda entry: entry.avg_content_length),
)
_ALSO_IN_12081: Final = _Statistic(
    "ninetieth_response_time", "p90 of the run in ms.", lambda entry: entry.get_response_time_percentile(0.9) or 0
)
LINES_PER_NAME: Final = 2 * len(_STATISTICS) + 1
FIXED_LINES: Final = 12 + len(_IN_TOTAL) + 2 * LINES_PER_NAME + MAX_ERRORS + 1
"""What there is whatever names arrive: single gauges, the rows of all requests and of `other`, errors."""


def lines(environment: Environment, shown_name: Callable[[str, str], str]) -> Iterator[str]:
    """Yield the text of all of them, giving way to other greenlets between two.

    Args:
        environment: a master's.
        shown_name: returns the name under which a method and name are shown: their own, or `other`.
    """
    runner: Any = environment.runner
    yield from _of_swarm(environment, runner)
    total = runner.stats.total
    entries = _by_name(runner, shown_name)
    for statistic in _STATISTICS:
        metric = Metric(f"locust_requests_{statistic.name}", "gauge", ("method", "name"), statistic.meaning)
        yield head(metric)
        for (method, name), entry in entries.items():
            yield sample(metric, (method, name), statistic.read(entry))
        if statistic.name in _IN_TOTAL:
            yield sample(metric, ("", AGGREGATED), statistic.read(total))
        gevent.sleep(0)
    for statistic in (*_STATISTICS, _ALSO_IN_12081):
        metric = Metric(f"locust_stats_{statistic.name}", "gauge", ("method", "path"), statistic.meaning)
        yield head(metric)
        for (method, name), entry in entries.items():
            yield sample(metric, (method, name), statistic.read(entry))
        yield sample(metric, (AGGREGATED, AGGREGATED), statistic.read(total))
        gevent.sleep(0)
    yield from _errors(environment, shown_name)


def _of_swarm(environment: Environment, runner: Any) -> Iterator[str]:
    total, users = runner.stats.total, sum(swarm.of(environment).users.values())
    workers = len(getattr(runner, "clients", ()))
    late = {q: total.get_current_response_time_percentile(q) or 0 for q in (0.5, 0.95)}
    for name, meaning, value in (
        ("locust_up", "1.", 1),
        ("locust_running", "0 stopped, 1 spawning, 2 running.", _RUNNING.get(runner.state, 0)),
        ("locust_users", "Users that run.", users),
        ("locust_user_count", "Users that run.", users),
        ("locust_slaves_count", "Workers that are connected.", workers),
        ("locust_slave_count", "Workers that are connected.", workers),
        ("locust_requests_fail_ratio", "Share of the run's requests that failed.", total.fail_ratio),
        ("locust_fail_ratio", "Share of the run's requests that failed.", total.fail_ratio),
        ("locust_requests_current_response_time_percentile_50", "Median of late, in ms.", late[0.5]),
        ("locust_requests_current_response_time_percentile_95", "p95 of late, in ms.", late[0.95]),
    ):
        metric = Metric(name, "gauge", (), meaning)
        yield head(metric) + sample(metric, (), value)
    state = Metric("locust_state", "gauge", ("state",), "1 for the state that the master is in.")
    yield head(state) + sample(state, (runner.state or STATE_STOPPED,), 1)


def _by_name(runner: Any, shown_name: Callable[[str, str], str]) -> dict[tuple[str, str], StatsEntry]:
    """Locust's entries; those without a name of their own here are together in `other`."""
    entries: dict[tuple[str, str], StatsEntry] = {}
    for (name, method), entry in list(runner.stats.entries.items()):
        if shown_name(method, name) == name:
            entries[method, name] = entry
        else:
            entries.setdefault((OTHER, OTHER), StatsEntry(runner.stats, OTHER, OTHER)).extend(entry)
    return entries


def _errors(environment: Environment, shown_name: Callable[[str, str], str]) -> Iterator[str]:
    """The run's errors by class: their messages would be labels without bound."""
    metric = Metric("locust_errors", "gauge", ("method", "name", "path", "error"), "Errors of the run, by class.")
    counts: Counter[tuple[str, str, str]] = Counter()
    record = swarm.of(environment).record
    for row in record.errors() if record is not None else ():
        kind = (row.method, shown_name(row.method, row.name), row.error_class)
        counts[kind if kind in counts or len(counts) < MAX_ERRORS else (OTHER, OTHER, OTHER)] += row.occurrences
    yield head(metric)
    for (method, name, error), count in counts.items():
        yield sample(metric, (method, name, name, error), count)
