"""Rows of a record: series, errors, exceptions, tallies and events, and its delivery and interruption.

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
    """Deltas of one worker that are missing from the record."""

    worker: int
    """The worker's index."""
    deltas: int
    start_s: float
    """Seconds since the run's first second."""
    end_s: float | None
    """Seconds since the run's first second; None when the worker ended without a final delta."""

    def __str__(self) -> str:
        """The gap as a sentence for reports."""
        until = f"{self.end_s:.0f} s" if self.end_s is not None else "its unannounced end"
        return f"worker {self.worker}: {self.deltas} interval(s) missing, from {self.start_s:.0f} s to {until}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How much of what the workers measured is in the record."""

    completeness: float = 1.0
    """The share of the workers' numbered deltas that the record holds, 0 to 1."""
    missing: tuple[Missing, ...] = ()
    refused: int = 0
    """Deltas that were refused: from unknown workers, of other runs, or damaged."""
    repeated: int = 0
    """Deltas that were received more than once; each is counted once."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """The end of a run before its plan was completed."""

    by: str
    """The cause, such as ``Ctrl-C``, ``SIGTERM`` or ``all workers left``."""
    second: float
    """Seconds since the run's first second."""
    load_s: float
    """Seconds for which the load had lasted."""
    planned_s: float | None
    """Seconds for which the load was planned; None for a run without a planned end."""

    @property
    def sentence(self) -> str:
        """The cause, the time, and how much of the plan was completed, as a sentence."""
        if self.planned_s is None:
            return f"interrupted after {self.load_s:.1f} s of load, which had no planned end: {self.by}"
        done_percent = math.floor(100 * min(1.0, self.load_s / self.planned_s)) if self.planned_s else 0
        return (
            f"interrupted after {self.load_s:.1f} s of {self.planned_s:g} s of load "
            f"({done_percent}% of the plan): {self.by}"
        )


@dataclass(frozen=True, slots=True)
class Event:
    """An event in the run, such as a lost worker."""

    second: float
    """Seconds since the run's first second."""
    kind: str
    """One word: start, stage, users, reset, worker, software, redis, feed, interrupted."""
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
    """One exchange as it was sent and answered, kept for the first of each kind only."""


@dataclass(frozen=True, slots=True)
class TallyRow:
    """A further count of one request name: see `loadtest.measuring.tallies`."""

    scenario: str
    method: str
    name: str
    kind: str
    detail: str
    times: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One request of which the service under test may have kept a trace."""

    scenario: str
    method: str
    name: str
    error_class: str | None
    """The class of the error; None for a success."""
    trace_id: str
    response_time_s: float
    seen: float
    """When the request ended, in whole seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class ExceptionRow:
    """One distinct exception of a scenario's code. Times are seconds since the epoch."""

    scenario: str
    exception: str
    """The exception's class."""
    message: str
    place: str
    """File, line and function."""
    ends_user: bool
    occurrences: int
    first_seen: float
    last_seen: float

    @property
    def is_own_end(self) -> bool:
        """Whether the user stopped itself, which is not an error although load may be missing because of it."""
        return self.message == OWN_END

    def __str__(self) -> str:
        """The exception and where it was raised."""
        return f"{self.exception}: {self.message} at {self.place}"


@dataclass(frozen=True, slots=True)
class SeriesCounts:
    """The counts of one series, or of all series together."""

    scenario: str
    method: str
    name: str
    requests: int
    """All requests, including failed ones."""
    failures: int
    response_bytes: int
    request_bytes: int
    errors: Mapping[str, int]
    """The number of errors by class."""


@dataclass(frozen=True, slots=True)
class SeriesView(SeriesCounts):
    """The counts and times of a series. The histograms are copies of 16 KiB each."""

    response_time: Histogram
    service_time: Histogram
    failure_time: Histogram
    """The response times of failed requests only."""

    @property
    def success_time(self) -> Histogram:
        """The response times of successful requests only."""
        return self.response_time.without(self.failure_time) if self.failures else self.response_time
