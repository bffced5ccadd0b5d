"""Snapshot: a run at this moment, for a progress line.

Tested in tests/unit/swarm/test_record_keeper.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from loadtest.measuring import steady_clock
from loadtest.measuring.histogram import samples_needed
from loadtest.measuring.in_flight import NONE_IN_FLIGHT, InFlight

if TYPE_CHECKING:
    from loadtest.measuring.record import RunRecord

WINDOW_S: Final = 10
"""Seconds covered by the rate and the percentiles."""
_QUANTILES: Final = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at this moment."""

    elapsed_s: float
    users: int
    requests_per_s: float
    """Requests per second over the last 10 s."""
    errors: int
    """Since the run began (or was reset)."""
    p50_s: float
    p95_s: float
    p99_s: float
    """The response time's percentiles over the last 10 s, in seconds; NaN for one with too few requests."""
    reason: str = ""
    """The most frequent class of errors; empty without errors."""
    in_flight: InFlight = NONE_IN_FLIGHT
    """The requests that wait for a response."""

    @classmethod
    def of(cls, record: RunRecord | None, users: int, *, running: bool, in_flight: InFlight = NONE_IN_FLIGHT) -> Self:
        """Return the state of a record whose run continues or has ended; None before the first run."""
        if record is None:
            return cls(0.0, 0, 0.0, 0, math.nan, math.nan, math.nan)
        window = record.window(WINDOW_S)
        elapsed_s = steady_clock.now() - record.started_at if running else float(record.duration_s)
        times = window.response_time
        p50_s, p95_s, p99_s = (
            value_s if times.count >= samples_needed(q) else math.nan
            for q, value_s in zip(_QUANTILES, times.quantiles(_QUANTILES), strict=True)
        )
        return cls(
            elapsed_s,
            users,
            window.requests_per_s,
            record.failures,
            p50_s,
            p95_s,
            p99_s,
            record.most_frequent_error(),
            in_flight,
        )
