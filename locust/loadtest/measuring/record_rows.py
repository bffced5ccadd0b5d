"""What a record lists: series, errors, exceptions, tallies and events; and how it was delivered, or broken off.

Tested by tests/unit/measuring/test_record.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.measuring.measurements import OWN_END

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadtest.measuring.evidence import Evidence
    from loadtest.measuring.histogram import Histogram


@dataclass(frozen=True, slots=True)
class Missing:
    """Deltas of one worker that the record does not hold."""

    worker: int
    """The worker's index."""
    deltas: int
    start_s: float
    """Seconds since the run's first second."""
    end_s: float | None
    """None when the worker ended without a final delta."""

    def __str__(self) -> str:
        """A sentence for reports."""
        until = f"{self.end_s:.0f} s" if self.end_s is not None else "its unannounced end"
        return f"worker {self.worker}: {self.deltas} interval(s) missing, from {self.start_s:.0f} s to {until}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How much of what the workers measured the record holds."""

    completeness: float = 1.0
    """The share of the workers' numbered deltas, 0 to 1."""
    missing: tuple[Missing, ...] = ()
    refused: int = 0
    """Deltas from unknown workers, of other runs, or damaged."""
    repeated: int = 0
    """Deltas that were received more than once and counted once."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """What ended a run before its plan was done."""

    by: str
    """Who or what, such as Ctrl-C, SIGTERM, or: all workers left."""
    second: float
    """Seconds since the run's first second."""
    load_s: float
    """How long the load had lasted."""
    planned_s: float | None
    """How long it was to last; None for a run without a planned end."""

    @property
    def sentence(self) -> str:
        """Who or what, when, and how much of the plan was done."""
        if self.planned_s is None:
            return f"interrupted after {self.load_s:.1f} s of load, which had no planned end: {self.by}"
        done_percent = math.floor(100 * min(1.0, self.load_s / self.planned_s)) if self.planned_s else 0
        return (
            f"interrupted after {self.load_s:.1f} s of {self.planned_s:g} s of load "
            f"({done_percent}% of the plan): {self.by}"
        )


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the run, such as a lost worker."""

    second: float
    """Seconds since the run's first second."""
    kind: str
    """A single word: start, stage, users, reset, worker, software, redis, feed, interrupted."""
    text: str


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One distinct error. Times are seconds since the epoch."""

    scenario: str
    method: str
    name: str
    error_class: str
    message: str
    occurrences: int
    first_seen: float
    last_seen: float
    evidence: Evidence | None = None
    """One of them as it was sent and answered; of the first of each kind only."""


@dataclass(frozen=True, slots=True)
class TallyRow:
    """What else was counted of one request name: see `loadtest.measuring.tallies`."""

    scenario: str
    method: str
    name: str
    kind: str
    detail: str
    times: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One request of which the service under test may keep a trace."""

    scenario: str
    method: str
    name: str
    error_class: str | None
    """None of a success."""
    trace_id: str
    response_time_s: float
    seen: float
    """When it ended, in whole seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class ExceptionRow:
    """One distinct exception of a scenario's code. Times are seconds since the epoch."""

    scenario: str
    exception: str
    """Its class."""
    message: str
    place: str
    """File, line and function."""
    ends_user: bool
    occurrences: int
    first_seen: float
    last_seen: float

    @property
    def is_own_end(self) -> bool:
        """Whether a user ended itself: no error, although it may leave load out."""
        return self.message == OWN_END

    def __str__(self) -> str:
        """What was raised, and where."""
        return f"{self.exception}: {self.message} at {self.place}"


@dataclass(frozen=True, slots=True)
class SeriesCounts:
    """What one series of a record counted, or all of them together."""

    scenario: str
    method: str
    name: str
    requests: int
    """Failed requests included."""
    failures: int
    response_bytes: int
    request_bytes: int
    errors: Mapping[str, int]
    """Occurrences by error class."""


@dataclass(frozen=True, slots=True)
class SeriesView(SeriesCounts):
    """The counts of a series with its times; the histograms are copies, of 16 KiB each."""

    response_time: Histogram
    service_time: Histogram
    failure_time: Histogram
    """The response times of the failures alone."""

    @property
    def success_time(self) -> Histogram:
        """The response times of the successes alone."""
        return self.response_time.without(self.failure_time) if self.failures else self.response_time
