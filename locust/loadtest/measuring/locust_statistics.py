"""Feeds Locust's own statistics from this product's measurements, so that its web UI, CSV and HTML match the RunRecord.

Requests, failures, bytes, minimum and maximum per name match the RunRecord exactly. Locust has no scenarios, so the
same name in several scenarios is summed. Response times enter Locust's table as the middle of their bin, in
milliseconds with three significant digits, so its percentiles are accurate to 1.3 %, even below one millisecond.

Tested in tests/unit/swarm/test_record_keeper.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from locust.stats import StatsError

from loadtest.measuring.histogram import MIDDLES_NS
from loadtest.measuring.histogram_table import MAX, MIN, SUM, total_summaries

if TYPE_CHECKING:
    from locust.stats import RequestStats, StatsEntry

    from loadtest.measuring.measurements import Measurements

_NS_PER_MS: Final = 1e6


def _rounded(milliseconds: float) -> float:
    rounded = float(f"{milliseconds:.3g}")
    return int(rounded) if rounded.is_integer() else rounded


_KEYS_MS: Final = [_rounded(middle / _NS_PER_MS) for middle in MIDDLES_NS.tolist()]

SECONDS_KEPT: Final = 60
"""The maximum number of per-second counts per entry. Locust reads the last 12 s but would keep the whole run."""
_OWN_LISTENERS: Final = (
    "setup_distributed_stats_event_listeners.<locals>.on_report_to_master",
    "setup_distributed_stats_event_listeners.<locals>.on_worker_report",
)


def is_locusts_own(listener: object) -> bool:
    """Whether a listener of ``report_to_master`` or ``worker_report`` transfers Locust's own statistics."""
    return getattr(listener, "__qualname__", "") in _OWN_LISTENERS


def feed(stats: RequestStats, measurements: Measurements, wall_s: float) -> None:
    """Add measurements of the time around ``wall_s``, in seconds since the epoch.

    It writes the fields that `RequestStats.log_request` and `RequestStats.log_error` write.
    """
    if measurements.series:
        times = measurements.response_time
        timed = times.counts_per_row().tolist()
        ends = np.cumsum(times.lengths).tolist()
        bins, filled = times.bins.tolist(), times.counts.tolist()
        rows = zip(
            measurements.series,
            measurements.requests.tolist(),
            measurements.failures.tolist(),
            measurements.response_bytes.tolist(),
            strict=True,
        )
        for row, (key, *counts) in enumerate(rows):
            own = slice(ends[row - 1] if row else 0, ends[row])
            summaries = times.summaries[:, row].tolist()
            _add(stats.entries[key.name, key.method], (*counts, timed[row]), summaries, bins[own], filled[own], wall_s)
        _add_total(stats.total, measurements, wall_s)
    _add_errors(stats, measurements, wall_s)


def _add_total(total: StatsEntry, measurements: Measurements, wall_s: float) -> None:
    times = measurements.response_time
    by_bin = np.bincount(times.bins, weights=times.counts).astype(np.int64)
    bins = np.flatnonzero(by_bin)
    columns = (measurements.requests, measurements.failures, measurements.response_bytes, times.counts)
    counts = tuple(int(column.sum()) for column in columns)
    _add(total, counts, total_summaries(times.summaries), bins.tolist(), by_bin[bins].tolist(), wall_s)


def _add(  # noqa: PLR0917 - one row of counts
    entry: StatsEntry,
    counts: tuple[int, ...],
    summaries: list[int],
    bins: list[int],
    filled: list[int],
    wall_s: float,
) -> None:
    requests, failures, response_bytes, timed = counts
    entry.num_requests += requests
    entry.num_none_requests += requests - timed
    entry.num_failures += failures
    entry.total_content_length += response_bytes
    entry.num_reqs_per_sec[int(wall_s)] += requests
    if failures:
        entry.num_fail_per_sec[int(wall_s)] += failures
    for per_second in (entry.num_reqs_per_sec, entry.num_fail_per_sec):
        if len(per_second) > SECONDS_KEPT:
            del per_second[next(iter(per_second))]
    entry.last_request_timestamp = max(entry.last_request_timestamp or 0.0, wall_s)
    if timed:
        # Locust's annotation is whole milliseconds, but it computes with fractions as well.
        low_ms: Any = summaries[MIN] / _NS_PER_MS
        sum_ms: Any = summaries[SUM] / _NS_PER_MS
        high_ms: Any = summaries[MAX] / _NS_PER_MS
        entry.total_response_time += sum_ms
        entry.min_response_time = low_ms if entry.min_response_time is None else min(entry.min_response_time, low_ms)
        entry.max_response_time = max(entry.max_response_time, high_ms)
        response_times: dict[Any, int] = entry.response_times
        for bin_, count in zip(bins, filled, strict=True):
            response_times[_KEYS_MS[bin_]] += count
    if entry.use_response_times_cache:
        entry._cache_response_times(int(wall_s))


def _add_errors(stats: RequestStats, measurements: Measurements, wall_s: float) -> None:
    for series, _, message, occurrences, _ in measurements.errors:
        key = measurements.series[series]
        name = StatsError.create_key(key.method, key.name, message)
        error = stats.errors.get(name)
        if error is None:
            error = stats.errors[name] = StatsError(key.method, key.name, message, first_seen=wall_s)
        error.occurrences += occurrences
        error.last_seen = max(error.last_seen or wall_s, wall_s)
