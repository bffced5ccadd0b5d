"""Certainty: the 95 % confidence interval of the figure that a threshold limits.

Times (percentiles and means), ratios and requests per second have such an interval, computed from the record's blocks.
Extremes, counts and sizes describe this run only and have none. Nor has a run with fewer independent segments than
`loadtest.estimating.resampling` needs.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from loadtest.estimating import intervals
from loadtest.estimating.blocked_run import ALL, BlockedRun
from loadtest.estimating.intervals import Interval
from loadtest.measuring.labels import SeriesKey

if TYPE_CHECKING:
    from loadtest.estimating.blocked_run import BlockedSeries
    from loadtest.judging.outcome import Result
    from loadtest.judging.threshold import Threshold
    from loadtest.measuring.blocks import BlockTable
    from loadtest.measuring.record import RunRecord

_EXTREMES: Final = (0.0, 1.0)
_OF_SCHEDULE: Final = {"schedule_lag", "dropped_ratio"}
_SHARES_OF_FAILURES: Final = {"error_ratio", "transaction_error_ratio", "dropped_ratio"}


def kept_as(rule: Threshold) -> tuple[str, str]:
    """Return the phase and the kind of times whose blocks a threshold needs."""
    if rule.metric in _OF_SCHEDULE:
        return rule.phase, "schedule_lag"
    if rule.result:
        return rule.phase, f"{rule.result}_time"
    return rule.phase, "service_time" if rule.metric == "service_time" else "response_time"


def blocks_of(record: RunRecord, phase: str, times: str) -> tuple[list[SeriesKey], BlockTable]:
    """Return the labels of each series, and the blocks for the result of `kept_as`."""
    if times == "schedule_lag":
        return [SeriesKey(scenario, "", "") for scenario in record.schedule_lag], record.lag_table()
    part = record.of_phase(phase)
    return part.keys(), part.block_table(times)


def with_interval(result: Result, keys: list[SeriesKey], table: BlockTable, begins_s: float) -> Result:
    """Return a result with the confidence interval of its value, if it has one.

    Args:
        result: the result of a threshold.
        keys: the labels of the series in the table.
        table: the blocks that the threshold is about.
        begins_s: when the judged part of the run begins, in seconds since the run's first second.
    """
    rule, value = result.threshold, result.value
    if value is None or not _varies(rule):
        return result
    rows = [row for row, key in enumerate(keys) if rule.selects(**key._asdict())]
    run = BlockedRun.of_table("", table, len(keys), {ALL: rows}, begins_s)
    if not run.blocks or (found := _interval(rule, run.series[ALL], run.width_s)) is None:
        return result
    interval = Interval(min(found.low, value), max(found.high, value))
    return replace(result, interval=interval, is_below=_is_below(rule, run.series[ALL], interval))


def _is_below(rule: Threshold, series: BlockedSeries, interval: Interval) -> bool:
    if rule.quantile is None or math.isfinite(interval.high):
        return False
    return intervals.is_below(series, rule.quantile, rule.limit)


def _varies(rule: Threshold) -> bool:
    if rule.kind == "time":
        return rule.aggregate == "mean" or rule.quantile not in {None, *_EXTREMES}
    return rule.kind in {"ratio", "rate"}


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
