"""Measurements: the counts between two moments, and the Accumulator that makes them.

`Measurements` are the content of a delta, of a second of the time line, and of a frame on disk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from loadtest.measuring import evidence
from loadtest.measuring.histogram_table import HistogramTable, grown
from loadtest.measuring.labels import LOAD, OTHER, Labels
from loadtest.measuring.tallies import TallyCount
from loadtest.measuring.traces import Trace, Traces

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from loadtest.measuring.evidence import Evidence
    from loadtest.measuring.histogram_table import Part
    from loadtest.measuring.labels import SeriesKey

    Ints = npt.NDArray[np.int64]

MAX_MESSAGES: Final = 200
"""The maximum number of distinct error messages (by series and class) that are kept between two takes."""
MAX_TALLIES: Final = 5_000
"""The maximum number of distinct tallies that are kept between two takes."""
MAX_TASKS: Final = 500
"""The maximum number of tasks that are counted separately."""
FURTHER_MESSAGES: Final = "(further messages)"
OWN_END: Final = "the user ended itself"
"""The exception's message when a scenario's code stopped its own user."""
LISTENERS: Final = "listeners"
"""The scenario of an exception that a listener of Locust's events raised."""
_COMPACT_ABOVE: Final = 65_536
"""The maximum number of unmerged durations, which limits memory, and the time of one merge to a few milliseconds."""


class ErrorCount(NamedTuple):
    """The number of occurrences of one error message in one series."""

    series: int
    """Index into the measurements' series."""
    error_class: str
    message: str
    occurrences: int
    evidence: Evidence | None = None
    """One exchange as it was sent and answered; None for most."""


class TaskCount(NamedTuple):
    """The number of times that a scenario's users began one of their tasks."""

    scenario: str
    task: str
    """The function's name, qualified by its classes."""
    begun: int
    idle: int = 0
    """The number of iterations that ended without a request."""


class ExceptionCount(NamedTuple):
    """The number of times that a scenario's code raised one exception. Failed requests are not included."""

    scenario: str
    exception: str
    """The exception's class."""
    message: str
    place: str
    """File, line and function."""
    ends_user: bool
    """Whether it ended the user, as when ``on_start`` raises."""
    occurrences: int


@dataclass(frozen=True, slots=True)
class Measurements:
    """Counts by series and by scenario. Entry *i* of each array belongs to series (or scenario) *i*."""

    series: tuple[SeriesKey, ...]
    requests: Ints
    """All requests, including failed ones and those whose duration was refused."""
    failures: Ints
    response_bytes: Ints
    request_bytes: Ints
    response_time: HistogramTable
    service_time: HistogramTable | None
    """None if no request was sent late, so that it equals the response time."""
    errors: tuple[ErrorCount, ...]
    scenarios: tuple[str, ...]
    schedule_lag: HistogramTable
    dropped: Ints
    """Iterations that were scheduled but never began."""
    tasks: tuple[TaskCount, ...] = ()
    exceptions: tuple[ExceptionCount, ...] = ()
    failure_time: HistogramTable | None = None
    """The response times of failed requests; None if there are none."""
    tallies: tuple[TallyCount, ...] = ()
    traces: tuple[tuple[int, Trace], ...] = ()
    """Traces of the slowest requests, each with the index of its series."""

    def __bool__(self) -> bool:
        """Whether anything was counted."""
        return bool(self.series or self.tasks or self.exceptions) or bool(self.dropped.any())

    def by_phase(self) -> dict[str, Measurements]:
        """The measurements by phase. The load is always present, and has the iterations, tasks and exceptions."""
        others = {key.phase for key in self.series} - {LOAD}
        if not others:
            return {LOAD: self}
        requests_only = replace(
            self,
            scenarios=(),
            schedule_lag=HistogramTable.empty(0),
            dropped=np.zeros(0, np.int64),
            tasks=(),
            exceptions=(),
        )
        parts = {LOAD: self, **dict.fromkeys(others, requests_only)}
        return {
            phase: part._select(np.array([key.phase == phase for key in self.series], np.bool_))
            for phase, part in parts.items()
        }

    def _select(self, wanted: npt.NDArray[np.bool_]) -> Measurements:
        """The measurements of the selected series."""
        places = (np.cumsum(wanted) - 1).tolist()
        return replace(
            self,
            series=tuple([key for key, is_wanted in zip(self.series, wanted.tolist(), strict=True) if is_wanted]),
            requests=self.requests[wanted],
            failures=self.failures[wanted],
            response_bytes=self.response_bytes[wanted],
            request_bytes=self.request_bytes[wanted],
            response_time=self.response_time.select(wanted),
            service_time=None if self.service_time is None else self.service_time.select(wanted),
            failure_time=None if self.failure_time is None else self.failure_time.select(wanted),
            errors=tuple(error._replace(series=places[error.series]) for error in self.errors if wanted[error.series]),
            tallies=tuple(
                tally._replace(series=places[tally.series]) for tally in self.tallies if wanted[tally.series]
            ),
            traces=tuple((places[series], trace) for series, trace in self.traces if wanted[series]),
        )


class Accumulator:
    """Sums durations, or `Measurements`, until they are taken. Its rows are those of its labels."""

    def __init__(self, labels: Labels | None = None) -> None:
        """Create an empty accumulator, with its own labels unless some are given."""
        self.labels = Labels() if labels is None else labels
        self._totals: Ints = np.zeros((4, 16), np.int64)  # requests, failures, bytes received, bytes sent
        self._on_time: list[Part] = []  # times of requests whose response time equals their service time
        self._response: list[Part] = []
        self._service: list[Part] = []
        self._lag: list[Part] = []
        self._failed: list[Part] = []
        self._waiting = 0  # requests whose single durations are among these
        self._errors: dict[tuple[int, str, str], int] = {}
        self._evidence: dict[tuple[int, str, str], Evidence | None] = {}
        self._quota = evidence.EvidenceQuota()
        self.keeps_evidence = True
        self._dropped: dict[int, int] = {}
        self._tasks: dict[tuple[str, str], tuple[int, int]] = {}
        self._exceptions: dict[tuple[str, str, str, str, bool], int] = {}
        self._tallies: dict[tuple[int, str, str], tuple[int, float]] = {}
        self._traces = Traces()

    def __bool__(self) -> bool:
        """Whether anything was counted since the last take."""
        return bool(self._totals[0].any()) or bool(self._dropped or self._tasks or self._exceptions)

    def add_on_time(self, rows: Ints, lengths: Ints, service_s: npt.NDArray[np.float64]) -> None:
        """Count requests that were sent at their intended start.

        Args:
            rows: the rows of the series; a row may be repeated.
            lengths: the number of durations of each entry of ``rows``, at least 1.
            service_s: the durations in seconds, those of the first entry first.
        """
        self._add_requests(rows, lengths)
        self._on_time.append((rows, HistogramTable.of(service_s, lengths)))
        self._compact(len(service_s))

    def add_late(
        self,
        rows: Ints,
        scenario_rows: Ints,
        lengths: Ints,
        lag_s: npt.NDArray[np.float64],
        service_s: npt.NDArray[np.float64],
    ) -> None:
        """Count requests with an intended start of their own. The arguments are as for `add_on_time`."""
        self._add_requests(rows, lengths)
        # One pass over all three times: numpy's cost is per call rather than per number.
        times = HistogramTable.of(np.concatenate((lag_s + service_s, service_s, lag_s)), np.tile(lengths, 3))
        response, service, lag = times.split(len(lengths))
        self._response.append((rows, response))
        self._service.append((rows, service))
        self._lag.append((scenario_rows, lag))
        self._compact(len(service_s))

    def add_failed(self, rows: Ints, lengths: Ints, response_s: npt.NDArray[np.float64]) -> None:
        """Keep the response times of failures that are already counted. The arguments are as for `add_on_time`."""
        self._failed.append((rows, HistogramTable.of(response_s, lengths)))

    def _add_requests(self, rows: Ints, requests: Ints) -> None:
        self._totals = grown(self._totals, len(self.labels.keys))
        self._totals[0, rows] += requests

    def _compact(self, added: int) -> None:
        self._waiting += added
        if self._waiting > _COMPACT_ABOVE:
            rows = np.arange(len(self.labels.keys))
            for parts in (self._on_time, self._response, self._service, self._lag, self._failed):
                if parts:
                    parts[:] = [(rows, HistogramTable.merge(parts, rows))]
            self._waiting = 0

    def add_outcomes(self, failures: list[int], response_bytes: list[int], request_bytes: list[int]) -> None:
        """Count failures and bytes of the first series; entry *i* belongs to row *i*."""
        self._totals[1, : len(failures)] += np.array(failures, np.int64)
        self._totals[2, : len(response_bytes)] += np.array(response_bytes, np.int64)
        self._totals[3, : len(request_bytes)] += np.array(request_bytes, np.int64)

    def add_error(self, row: int, error_class: str, message: str, occurrences: int = 1) -> None:
        """Count an error. Beyond `MAX_MESSAGES` distinct ones, the message is dropped but the error still counts."""
        key = (row, error_class, message)
        if key not in self._errors and len(self._errors) >= MAX_MESSAGES:
            key = (row, error_class, FURTHER_MESSAGES)
        self._errors[key] = self._errors.get(key, 0) + occurrences

    def note_evidence(self, row: int, error_class: str, message: str, make: Callable[[], Evidence]) -> None:
        """Make the evidence of an error that is counted, if it is among the first of its kind."""
        kind = (row, error_class, message)
        if self.keeps_evidence and not self._quota.holds(*kind) and self._quota.admits(*kind):
            self._evidence[kind] = evidence.made(make)

    def forget_evidence(self) -> None:
        """Begin a run, in which the first errors of each kind get evidence again."""
        self._quota = evidence.EvidenceQuota()

    def add_dropped(self, scenario_row: int, count: int) -> None:
        """Count iterations that were scheduled but never began."""
        self._dropped[scenario_row] = self._dropped.get(scenario_row, 0) + count

    def add_task(self, scenario: str, task: str, begun: int, idle: int = 0) -> None:
        """Count tasks that began, and those without a request. Beyond `MAX_TASKS`, a task counts as ``other``."""
        key = (scenario, task)
        if key not in self._tasks and len(self._tasks) >= MAX_TASKS:
            key = (OTHER, OTHER)
        had_begun, was_idle = self._tasks.get(key, (0, 0))
        self._tasks[key] = (had_begun + begun, was_idle + idle)

    def add_exception(  # noqa: PLR0917 - an exception has that many parts
        self, scenario: str, exception: str, message: str, place: str, ends_user: bool, occurrences: int = 1
    ) -> None:
        """Count an exception. Beyond `MAX_MESSAGES` distinct ones the message is dropped; beyond twice that number,
        everything but the count.
        """
        key = (scenario, exception, message, place, ends_user)
        if key not in self._exceptions and len(self._exceptions) >= MAX_MESSAGES:
            key = (scenario, exception, FURTHER_MESSAGES, place, ends_user)
        if key not in self._exceptions and len(self._exceptions) >= 2 * MAX_MESSAGES:
            key = (OTHER, OTHER, FURTHER_MESSAGES, OTHER, ends_user)
        self._exceptions[key] = self._exceptions.get(key, 0) + occurrences

    def add_tally(self, row: int, kind: str, detail: str, times: int = 1, seconds: float = 0.0) -> None:
        """Count a further event in a series. Beyond `MAX_TALLIES` distinct ones, the detail is dropped."""
        key = (row, kind, detail)
        if key not in self._tallies and len(self._tallies) >= MAX_TALLIES:
            key = (row, kind, "")
        had, took_s = self._tallies.get(key, (0, 0.0))
        self._tallies[key] = (had + times, took_s + seconds)

    def add_trace(self, row: int, trace: Trace) -> None:
        """Keep the trace of a counted request if it is among the slowest of its series."""
        self._traces.add(row, trace)

    def add(self, measured: Measurements, rows: Ints | None = None) -> None:
        """Add measurements.

        Args:
            measured: the measurements to add; a series may be repeated.
            rows: the rows of its series; looked up if not given.
        """
        rows = self.labels.rows(measured.series) if rows is None else rows
        scenario_rows = self.labels.scenario_rows(measured.scenarios)
        if len(rows):
            self._add_series(measured, rows)
        if not measured.schedule_lag.is_empty:
            self._lag.append((scenario_rows, measured.schedule_lag))
        for place in np.flatnonzero(measured.dropped).tolist():
            self.add_dropped(int(scenario_rows[place]), int(measured.dropped[place]))
        for task in measured.tasks:
            self.add_task(*task)
        for exception in measured.exceptions:
            self.add_exception(*exception)

    def _add_series(self, measured: Measurements, rows: Ints) -> None:
        self._totals = grown(self._totals, len(self.labels.keys))
        columns = (measured.requests, measured.failures, measured.response_bytes, measured.request_bytes)
        for total, column in enumerate(columns):
            np.add.at(self._totals[total], rows, column)
        if measured.service_time is None:
            self._on_time.append((rows, measured.response_time))
        else:
            self._response.append((rows, measured.response_time))
            self._service.append((rows, measured.service_time))
        if measured.failure_time is not None:
            self._failed.append((rows, measured.failure_time))
        for series, error_class, message, occurrences, shown in measured.errors:
            kind = (int(rows[series]), error_class, message)
            self.add_error(*kind, occurrences)
            if shown is not None and self._quota.admits(*kind):
                self._evidence.setdefault(kind, shown)
        for tally in measured.tallies:
            self.add_tally(int(rows[tally.series]), *tally[1:])
        for series, trace in measured.traces:
            self.add_trace(int(rows[series]), trace)

    def take(self) -> Measurements:
        """Remove and return everything since the last call, with series and scenarios in the order of their rows."""
        rows = np.flatnonzero(self._totals[0])
        response, service = self._merge_times(rows)
        requests, failures, response_bytes, request_bytes = self._totals[:, rows]
        scenarios = tuple(self.labels.scenarios)
        taken = Measurements(
            series=tuple([self.labels.keys[row] for row in rows.tolist()]),
            requests=requests,
            failures=failures,
            response_bytes=response_bytes,
            request_bytes=request_bytes,
            response_time=response,
            service_time=service,
            errors=tuple(
                ErrorCount(int(np.searchsorted(rows, kind[0])), *kind[1:], occurrences, self._evidence.get(kind))
                for kind, occurrences in self._errors.items()
            ),
            scenarios=scenarios,
            schedule_lag=HistogramTable.merge(self._lag, np.arange(len(scenarios))),
            dropped=np.array([self._dropped.get(row, 0) for row in range(len(scenarios))], np.int64),
            tasks=tuple(TaskCount(*key, *counted) for key, counted in self._tasks.items()),
            exceptions=tuple(ExceptionCount(*key, times) for key, times in self._exceptions.items()),
            failure_time=HistogramTable.merge(self._failed, rows) if self._failed else None,
            tallies=self._take_tallies(rows),
            traces=tuple((int(np.searchsorted(rows, row)), trace) for row, trace in self._traces if row in rows),
        )
        self._totals[:, rows] = 0
        self._on_time, self._response, self._service, self._lag, self._failed = [], [], [], [], []
        self._waiting, self._errors, self._evidence, self._dropped = 0, {}, {}, {}
        self._tasks, self._exceptions, self._traces = {}, {}, Traces()
        return taken

    def _take_tallies(self, rows: Ints) -> tuple[TallyCount, ...]:
        """Remove and return the tallies of these rows; those of requests in progress stay until these are counted."""
        taken, self._tallies = self._tallies, {}
        places = {row: place for place, row in enumerate(rows.tolist())} if taken else {}
        self._tallies = {key: counted for key, counted in taken.items() if key[0] not in places}
        return tuple(
            TallyCount(places[row], kind, detail, *counted)
            for (row, kind, detail), counted in taken.items()
            if row in places
        )

    def _merge_times(self, rows: Ints) -> tuple[HistogramTable, HistogramTable | None]:
        on_time = HistogramTable.merge(self._on_time, rows)
        if not self._response:
            return on_time, None
        both = [(rows, on_time)]
        return HistogramTable.merge(self._response + both, rows), HistogramTable.merge(self._service + both, rows)
