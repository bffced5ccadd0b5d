"""Snapshot: a run at this moment, for a progress line.

Tested in tests/unit/swarm/test_record_keeper.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from loadtest.measuring import steady_clock
from loadtest.measuring.in_flight import NONE_IN_FLIGHT, InFlight

if TYPE_CHECKING:
    from loadtest.measuring.record import RunRecord

WINDOW_S: Final = 10
"""The seconds that rate and percentile look back."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at this moment."""

    elapsed_s: float
    users: int
    requests_per_s: float
    """Over the last 10 s."""
    errors: int
    """Since the run began (or was reset)."""
    p95_s: float
    """The response time's 95th percentile over the last 10 s; NaN without requests."""
    in_flight: InFlight = NONE_IN_FLIGHT
    """The requests that wait for an answer."""

    @classmethod
    def of(cls, record: RunRecord | None, users: int, *, running: bool, in_flight: InFlight = NONE_IN_FLIGHT) -> Self:
        """Look at a record, whose run goes on or has ended; None before the first run."""
        if record is None:
            return cls(0.0, 0, 0.0, 0, math.nan)
        window = record.window(WINDOW_S)
        elapsed_s = steady_clock.now() - record.started_at if running else float(record.duration_s)
        p95_s = window.response_time.quantile(0.95)
        return cls(elapsed_s, users, window.requests_per_s, record.failures, p95_s, in_flight)
