"""PercentileIntervals: the 95 % confidence interval of each percentile, next to its value in the run's document.

Readers of the document find it in the figures of a histogram, under `intervals`: see docs/reference/record.md. A
percentile with too few samples, or of a run that is too short, has none.

Tested in tests/unit/reporting/test_document.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from loadtest.estimating import intervals
from loadtest.estimating.blocked_run import BlockedRun, Name
from loadtest.measuring.histogram import samples_needed
from loadtest.measuring.labels import CONNECTION_PHASES, ITERATION, SETUP, TRANSACTION
from loadtest.measuring.record_dict import QUANTILES
from loadtest.measuring.streams import TIMES

if TYPE_CHECKING:
    from loadtest.estimating.blocked_run import BlockedSeries
    from loadtest.estimating.intervals import Interval
    from loadtest.measuring.blocks import BlockTable
    from loadtest.measuring.record import RunRecord

Times = dict[str, Any]
Part = tuple[Times | None, Sequence[int]]
"""Times, with the numbers of their series in a table of blocks."""

MAX_PERCENTILES: Final = 400
"""The maximum number of names per kind, most frequent first, whose percentiles get intervals, as in the report."""
_KINDS: Final = ("response_time", "service_time", "success_time", "failure_time")


def add(document: dict[str, Any], record: RunRecord) -> None:
    """Add the intervals to the percentiles in a record's document."""
    for part, of in ((record, document), (record.of_phase(SETUP), document["setup"])):
        rows: list[tuple[dict[str, Any], Sequence[int]]] = [(of["total"], range(len(of["series"])))]
        rows += [(one, [row]) for row, one in enumerate(of["series"])]
        rows += [(group, group["members"]) for group in of.get("groups", ())]
        for kind in _KINDS:
            parts = [(one[kind], members) for one, members in rows if one.get(kind)]
            _add(parts, part.block_table(kind), len(of["series"]))
    transactions = [(one["response_time"], [row]) for row, one in enumerate(document["transactions"])]
    _add(transactions, record.of_phase(TRANSACTION).block_table(), len(transactions))
    lags = [(one["schedule_lag"], [row]) for row, one in enumerate(document["scenarios"])]
    _add(lags, record.lag_table(), len(lags))
    _add_apart(record, ITERATION, {(one["scenario"], "", ""): one["iteration_time"] for one in document["scenarios"]})
    for kind in TIMES:
        streams = {(one["scenario"], one["method"], one["name"]): one[kind] for one in document["streams"]}
        _add_apart(record, kind, streams)
    for phase in CONNECTION_PHASES:
        _add_apart(record, phase, {(one["scenario"], "", one["host"]): one[phase] for one in document["connections"]})


def _add_apart(record: RunRecord, phase: str, times: dict[tuple[str, str, str], Times]) -> None:
    """Add the intervals of a phase's times, given by the labels of its series."""
    part = record.of_phase(phase)
    keys = part.keys()
    _add([(times.get(key[:3]), [row]) for row, key in enumerate(keys)], part.block_table(), len(keys))


def _add(parts: Iterable[Part], table: BlockTable, count: int) -> None:
    known = sorted(((times, rows) for times, rows in parts if times), key=lambda part: -part[0]["count"])[
        : MAX_PERCENTILES + 1
    ]
    groups = {Name("", "", str(number)): rows for number, (_, rows) in enumerate(known)}
    run = BlockedRun.of_table("", table, count, groups, 0.0)
    if not run.blocks:
        return
    for name, (times, _) in zip(groups, known, strict=True):
        times["intervals"] = _intervals(times, run.series[name])


def _intervals(times: Times, series: BlockedSeries) -> dict[str, list[float | None] | None]:
    return {
        figure: _around(intervals.of_quantile(series, share), times[figure])
        for figure, share in QUANTILES.items()
        if times["count"] >= samples_needed(share)
    }


def _around(interval: Interval | None, value: float) -> list[float | None] | None:
    """Return an interval widened to contain the value of the whole run, whose first and last blocks it leaves out."""
    if interval is None:
        return None
    return [min(interval.low, value), max(interval.high, value) if math.isfinite(interval.high) else None]
