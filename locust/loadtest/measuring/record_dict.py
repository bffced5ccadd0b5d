"""A record as a dictionary that is ready for JSON, as docs/reference/record.md describes it.

Tested by tests/unit/measuring/test_record.py.
"""

from __future__ import annotations

import base64
import math
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from loadtest.measuring.histogram import Histogram
from loadtest.measuring.labels import CHECK, CONNECTION_PHASES, ITERATION, PAIR, PAIRS, SETUP, TRANSACTION
from loadtest.measuring.tallies import VERSION

if TYPE_CHECKING:
    from loadtest.measuring.record import RunRecord
    from loadtest.measuring.record_rows import ErrorRow, SeriesView
    from loadtest.measuring.streams import StreamView

DICT_FORMAT: Final = 3
"""The version of what `as_dict` returns."""
QUANTILES: Final = {"p50_s": 0.5, "p90_s": 0.9, "p95_s": 0.95, "p99_s": 0.99, "p999_s": 0.999, "p9999_s": 0.9999}


def as_dict(record: RunRecord) -> dict[str, Any]:
    """The whole record, ready for JSON, as described in docs/reference/record.md; undefined numbers are None."""
    return {
        "format": DICT_FORMAT,
        "run_id": record.run_id,
        "started_at": datetime.fromtimestamp(record.started_at, UTC).isoformat(timespec="milliseconds"),
        "duration_s": record.duration_s,
        "load_s": record.load_s,
        "counted_s": record.counted_s,
        "warm_up_s": record.warm_up_s,
        "ended": record.ended,
        "interruption": asdict(record.interruption) if record.interruption else None,
        "reset_at_s": record.reset_at_s,
        "stream_error": record.stream_error,
        "configuration": record.configuration,
        "context": record.context,
        "delivery": asdict(record.delivery),
        "workers": list(record.workers),
        "total": _series_dict(record.total()),
        "series": [_series_dict(view) for view in record.series()],
        "scenarios": _scenario_dicts(record),
        "errors": [error_dict(error) for error in record.errors()],
        "tasks": [
            {"scenario": scenario, "task": task, "begun": begun, "idle": record.idle.get((scenario, task), 0)}
            for (scenario, task), begun in sorted(record.tasks.items())
        ],
        "exceptions": [asdict(row) for row in record.exceptions()],
        "tallies": [asdict(row) for row in record.tallies()],
        "service_versions": _service_versions(record),
        "traces": [asdict(row) for row in record.traces()],
        "setup": _setup_dict(record.of_phase(SETUP)),
        "streams": [_stream_dict(view, record.counted_s or 0.0) for view in record.streams()],
        "connections": _connection_dicts(record),
        "connections_peak": record.connections_peak,
        **_transaction_dicts(record.of_phase(TRANSACTION)),
        "checks": [
            {"scenario": view.scenario, "name": view.name, "made": view.requests, "failures": view.failures}
            for view in record.of_phase(CHECK).series()
        ],
        "events": [asdict(event) for event in sorted(record.events, key=lambda event: event.second)],
        "timeline": [
            {
                "second": point.second,
                "width_s": point.width_s,
                "requests": point.requests,
                "failures": point.failures,
                "users": point.users,
                "errors": dict(point.errors),
                **_quantiles(point.response_time.total()),
            }
            for point in record.timeline
        ],
        "blocks": record.block_table().as_dict(),
        **_pairs_dict(record),
    }


def _pairs_dict(record: RunRecord) -> dict[str, Any]:
    """The pairs of a duet's requests; empty if there are none."""
    series: dict[tuple[str, ...], dict[str, Any]] = {}
    for outcome, phase in PAIRS.items():  # outcomes that have blocks come first
        for view in record.of_phase(phase).series():
            labels = {"scenario": view.scenario, "method": view.method, "name": view.name}
            series.setdefault(tuple(labels.values()), labels | dict.fromkeys(PAIRS, 0))[outcome] = view.requests
    blocks = record.of_phase(PAIR).block_table().as_dict()
    return {"pairs": {"series": list(series.values()), "blocks": blocks}} if series else {}


def _service_versions(record: RunRecord) -> list[str]:
    """The versions that the service reported, in order of first occurrence."""
    rows = [*record.of_phase(SETUP).tallies(), *record.tallies()]
    return list(dict.fromkeys(row.detail for row in rows if row.kind == VERSION and row.detail))


def error_dict(error: ErrorRow) -> dict[str, Any]:
    """A distinct error with the exchange kept as its example."""
    return {**asdict(error), "evidence": error.evidence and error.evidence._asdict()}


def _setup_dict(setup: RunRecord) -> dict[str, Any]:
    return {
        "total": _series_dict(setup.total()),
        "series": [_series_dict(view) for view in setup.series()],
        "errors": [error_dict(error) for error in setup.errors()],
    }


def _connection_dicts(record: RunRecord) -> list[dict[str, Any]]:
    """The phases of new connections, by scenario and host; None for a phase that did not occur."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for phase in CONNECTION_PHASES:
        for view in record.of_phase(phase).series():
            labels = {"scenario": view.scenario, "host": view.name}
            one = found.setdefault((view.scenario, view.name), labels | dict.fromkeys(CONNECTION_PHASES))
            one[phase] = histogram_dict(view.response_time)
    return list(found.values())


def _scenario_dicts(record: RunRecord) -> list[dict[str, Any]]:
    """The iterations of each scenario: how many were dropped, the lags of the others, and their durations."""
    took = {view.scenario: view.response_time for view in record.of_phase(ITERATION).series()}
    return [
        {
            "scenario": scenario,
            "dropped": record.dropped[scenario],
            "schedule_lag": histogram_dict(lag),
            "iteration_time": histogram_dict(took.get(scenario) or Histogram()),
        }
        for scenario, lag in record.schedule_lag.items()
    ]


def _stream_dict(view: StreamView, seconds: float) -> dict[str, Any]:
    return {
        "scenario": view.scenario,
        "method": view.method,
        "name": view.name,
        "ended_by": dict(view.ended_by),
        "events": view.events,
        "events_per_s": view.events / seconds if seconds else None,
        "pace_per_s": _number(view.pace_per_s),
        "response_bytes": view.response_bytes,
        "bytes_per_s": view.response_bytes / seconds if seconds else None,
        "first_byte": histogram_dict(view.first_byte),
        "first_event": histogram_dict(view.first_event),
        "event_gap": histogram_dict(view.event_gap),
    }


def _transaction_dicts(transactions: RunRecord) -> dict[str, Any]:
    """The transactions, with their blocks if there are any."""
    made = [_transaction_dict(view) for view in transactions.series()]
    blocks = {"transaction_blocks": transactions.block_table().as_dict()} if made else {}
    return {"transactions": made, **blocks}


def _transaction_dict(view: SeriesView) -> dict[str, Any]:
    return {
        "scenario": view.scenario,
        "name": view.name,
        "made": view.requests,
        "failures": view.failures,
        "response_time": histogram_dict(view.response_time),
    }


def _series_dict(view: SeriesView) -> dict[str, Any]:
    return {
        "scenario": view.scenario,
        "method": view.method,
        "name": view.name,
        "requests": view.requests,
        "failures": view.failures,
        "response_bytes": view.response_bytes,
        "request_bytes": view.request_bytes,
        "errors": dict(view.errors),
        "response_time": histogram_dict(view.response_time),
        "service_time": histogram_dict(view.service_time),
        "success_time": histogram_dict(view.success_time) if view.failures else None,
        "failure_time": histogram_dict(view.failure_time) if view.failures else None,
    }


def histogram_dict(histogram: Histogram) -> dict[str, Any]:
    """A histogram's figures, and its binary form in base64 (`Histogram.from_bytes` reads it)."""
    return {
        "count": histogram.count,
        "sum_s": histogram.sum_s,
        "mean_s": _number(histogram.mean_s),
        "min_s": _number(histogram.min_s),
        "max_s": _number(histogram.max_s),
        **_quantiles(histogram),
        "below_range": histogram.below,
        "above_range": histogram.above,
        "refused": histogram.refused,
        "histogram": base64.b64encode(histogram.to_bytes()).decode("ascii"),
    }


def _quantiles(histogram: Histogram) -> dict[str, float | None]:
    return dict(zip(QUANTILES, map(_number, histogram.quantiles(tuple(QUANTILES.values()))), strict=True))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
