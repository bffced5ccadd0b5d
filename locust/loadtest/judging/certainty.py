"""Certainty: between which values the figure that a threshold limits lies, with 95 %.

Only what the record keeps by block has such an interval: times of requests, transactions and iterations (percentiles
and means), ratios of errors and checks, and requests per second. Extremes, counts, times by result, and those of
streams and connections have none, and neither has a run of fewer independent stretches than
`loadtest.estimating.resampling` needs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loadtest.estimating import intervals
from loadtest.estimating.blocked_run import ALL, BlockedRun
from loadtest.estimating.intervals import Interval

if TYPE_CHECKING:
    from loadtest.estimating.blocked_run import BlockedSeries
    from loadtest.judging.outcome import Result
    from loadtest.judging.threshold import Threshold
    from loadtest.measuring.blocks import BlockTable
    from loadtest.measuring.labels import SeriesKey

_EXTREMES = (0.0, 1.0)
_TIMES = {"response_time", "service_time", "transaction_time", "iteration_time"}
_SHARES_OF_FAILURES = {"error_ratio", "transaction_error_ratio"}


def with_interval(result: Result, keys: list[SeriesKey], table: BlockTable, begins_s: float) -> Result:
    """Return a result with the interval of its value, where it has one.

    Args:
        result: of a threshold.
        keys: the labels of the series in the table.
        table: the blocks of what the threshold is about; without rows where it is not kept by block.
        begins_s: when what the threshold judges begins, in seconds since the run's first.
    """
    rule, value = result.threshold, result.value
    if value is None or not _is_kept_by_block(rule):
        return result
    rows = [row for row, key in enumerate(keys) if rule.selects(**key._asdict())]
    run = BlockedRun.of_table("", table, len(keys), {ALL: rows}, begins_s)
    if not run.blocks or (found := _interval(rule, run.series[ALL], run.width_s)) is None:
        return result
    return replace(result, interval=Interval(min(found.low, value), max(found.high, value)))


def _is_kept_by_block(rule: Threshold) -> bool:
    if rule.metric not in _TIMES:
        return rule.metric in {*_SHARES_OF_FAILURES, "check_ratio", "requests_per_s"}
    return not rule.result and (rule.aggregate == "mean" or rule.quantile not in {None, *_EXTREMES})


def _interval(rule: Threshold, series: BlockedSeries, width_s: int) -> Interval | None:
    if rule.metric in _SHARES_OF_FAILURES:
        return intervals.of_share(series.failures, series.requests)
    if rule.metric == "check_ratio":
        return intervals.of_share(series.requests - series.failures, series.requests)
    if rule.metric == "requests_per_s":
        return intervals.of_rate(series.requests, width_s)
    if rule.quantile is not None:
        return intervals.of_quantile(series, rule.quantile)
    return intervals.of_mean(series)
