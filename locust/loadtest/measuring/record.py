"""RunRecord: everything measured in a run, the source of its display, its reports and its verdict.

It holds counts and histograms per series and per scenario, errors, the time line, and the completeness. Its memory is
bounded. A series takes 16 KiB for response times, as much again for service times once a request was sent late, and for
failures once one failed. At most `MAX_ERRORS` distinct errors are kept, some with evidence. The time line has its own
bound.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loadtest.measuring.blocks import Blocks
from loadtest.measuring.evidence import Evidence, EvidenceQuota
from loadtest.measuring.histogram import Histogram
from loadtest.measuring.histogram_table import DenseHistogramTable, grown
from loadtest.measuring.labels import (
    CHECK,
    CONNECTION_PHASES,
    ENDED_BY,
    ITERATION,
    LOAD,
    OTHER,
    PAIR,
    SETUP,
    TRANSACTION,
    Labels,
)
from loadtest.measuring.measurements import FURTHER_MESSAGES, LISTENERS, MAX_TALLIES, MAX_TASKS
from loadtest.measuring.record_rows import (
    Delivery,
    ErrorRow,
    Event,
    ExceptionRow,
    Interruption,
    SeriesCounts,
    SeriesView,
    TallyRow,
    TraceRow,
)
from loadtest.measuring.streams import TIMES, StreamView
from loadtest.measuring.timeline import Timeline
from loadtest.measuring.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from loadtest.measuring.blocks import BlockTable
    from loadtest.measuring.labels import SeriesKey
    from loadtest.measuring.measurements import ExceptionCount, Measurements
    from loadtest.measuring.timeline import Window
    from loadtest.measuring.traces import Trace

    Ints = npt.NDArray[np.int64]

MAX_ERRORS: Final = 1_000
"""The maximum number of distinct errors (by series, class and message) that are kept."""
MAX_EXCEPTIONS: Final = 200
"""The maximum number of distinct exceptions (by scenario, class, message and place) that are kept."""
RESET: Final = "reset"
"""The event kind that says what a reset of the statistics removed from the record."""
FEED: Final = "feed"
"""The event kind that says that the test data ended the load, or how much of the data was used."""
DECIDED: Final = "decided"
"""The event kind that says that the load ended because a comparison had its answer."""
ABORTED: Final = "aborted"
"""The event kind that says that a threshold with abort_on_fail ended the load."""
USERS, RATE = "users", "rate"
"""The event kinds that say that a person changed the load during the run: its users, or its arrivals per second."""
SOFTWARE: Final = "software"
"""The event kind that says that a worker ran code other than the master's."""
_IN_BLOCKS: Final = frozenset({LOAD, SETUP, PAIR, TRANSACTION, CHECK, ITERATION, *TIMES, *CONNECTION_PHASES})
MAX_EVENTS: Final = 500
"""The maximum number of events that are kept; later ones are dropped."""


@dataclass(slots=True)
class RunRecord:
    """Everything measured in one run, or since a process began."""

    run_id: str = ""
    started_at: float = 0.0
    """Seconds since the epoch. The time line's second 0 is the whole second that contains this moment."""
    configuration: dict[str, Any] = field(default_factory=dict)
    """The run's settings; anything that JSON can hold."""
    context: dict[str, Any] = field(default_factory=dict)
    """The run's plan, versions, host and source; anything that JSON can hold."""
    labels: Labels = field(default_factory=Labels)
    load_s: float | None = None
    """Seconds for which the load lasted; None while unknown."""
    counted_s: float | None = None
    """Seconds of load that the counts cover: since its beginning or the last reset; None like `load_s`."""
    warm_up_s: float = 0.0
    """Seconds at the beginning of the load that the thresholds leave out, set by WARM_UP or detected."""
    ended: bool = False
    """Whether the run ended; False in the file of a run whose master was killed."""
    interruption: Interruption | None = None
    """What ended the run before its plan was completed; None if nothing did, or not yet."""
    reset_at_s: int | None = None
    """The second of the last reset of the statistics; earlier requests are not in the record."""
    delivery: Delivery = field(default_factory=Delivery)
    workers: tuple[dict[str, Any], ...] = ()
    """The health of each worker and of the master: see `loadtest.measuring.health.Watch.summary`."""
    stream_error: str = ""
    """Why the record on disk is incomplete; empty if it is complete."""
    events: tuple[Event, ...] = ()
    timeline: Timeline = field(default_factory=Timeline)
    blocks: Blocks = field(default_factory=Blocks)
    schedule_lag: dict[str, Histogram] = field(default_factory=dict)
    """By scenario: the schedule lag of requests with an intended start of their own."""
    dropped: dict[str, int] = field(default_factory=dict)
    """By scenario: the iterations that were scheduled but never began."""
    connections_peak: int = 0
    """The highest number of open connections of the built-in clients, sampled once a second."""
    apart: dict[str, RunRecord] = field(default_factory=dict)
    """What no other figure includes, by phase and without a time line: requests of set-up, transactions, checks."""
    _totals: Ints = field(default_factory=lambda: np.zeros((4, 0), np.int64))
    _response: DenseHistogramTable = field(default_factory=DenseHistogramTable)
    _service: DenseHistogramTable | None = None  # None while every service time equals the response time
    _service_blocks: Blocks | None = None  # likewise
    _failed_blocks: Blocks = field(default_factory=Blocks)
    _lag_blocks: Blocks = field(default_factory=Blocks)  # by the scenario's position in `schedule_lag`
    _failed: DenseHistogramTable = field(default_factory=DenseHistogramTable)
    _classes: dict[int, dict[str, int]] = field(default_factory=dict)
    _errors: dict[tuple[int, str, str], list[float]] = field(default_factory=dict)
    _evidence: dict[tuple[int, str, str], Evidence] = field(default_factory=dict)
    _quota: EvidenceQuota = field(default_factory=EvidenceQuota)
    tasks: dict[tuple[str, str], int] = field(default_factory=dict)
    """By scenario and name: how often a task began."""
    idle: dict[tuple[str, str], int] = field(default_factory=dict)
    """By scenario and name: how many of those iterations ended without a request."""
    _exceptions: dict[tuple[str, str, str, str, bool], list[float]] = field(default_factory=dict)
    _tallies: dict[tuple[int, str, str], tuple[int, float]] = field(default_factory=dict)
    _traces: Traces = field(default_factory=Traces)
    _later: dict[int, RunRecord] = field(default_factory=dict)

    def since(self, second: int) -> RunRecord:
        """A record, without a time line, of everything added from now on for this second and later ones."""
        if second not in self._later:
            self._later[second] = self._new_part()
        return self._later[second]

    def forget(self, second: int) -> None:
        """Stop updating the record that `since` returned for this second."""
        self._later.pop(second, None)

    def add(self, measurements: Measurements, second: int | None = None) -> None:
        """Add measurements.

        Args:
            measurements: each series at most once, as `Accumulator.take` returns them.
            second: their second on the time line, in seconds since the run's first; None to leave the time line
                unchanged.
        """
        for first, later in self._later.items():
            if second is not None and second >= first:
                later.add(measurements)
        for phase, part in measurements.by_phase().items():
            if phase == LOAD:
                self._count(part, second)
            else:
                self.apart.setdefault(phase, self._new_part())._count(part, second, phase)

    def of_phase(self, phase: str) -> RunRecord:
        """The record of one phase: this record for the load, otherwise a separate one, which may be empty."""
        return self if phase == LOAD else self.apart.get(phase) or self._new_part()

    def _new_part(self) -> RunRecord:
        return RunRecord(self.run_id, self.started_at, labels=self.labels)

    @property
    def setup(self) -> RunRecord | None:
        """The requests of users' on_start and on_stop; None if there are none."""
        return self.apart.get(SETUP)

    def _count(self, measurements: Measurements, second: int | None, phase: str = LOAD) -> None:
        rows = self.labels.rows(measurements.series)
        if len(rows):
            self._totals = grown(self._totals, int(rows.max()) + 1)
            counts = (measurements.requests, measurements.failures)
            self._totals[:, rows] += (*counts, measurements.response_bytes, measurements.request_bytes)
            self._add_times(rows, measurements)
            self._add_errors(rows, measurements, second)
            self._add_tallies(rows, measurements)
            seen = math.floor(self.started_at) + (second or 0)
            for series, trace in reversed(measurements.traces):  # the slowest comes last, and becomes the latest
                self._traces.add(int(rows[series]), trace._replace(seen=float(seen)))
        for index, scenario in enumerate(measurements.scenarios):
            self._add_scenario(index, scenario, measurements)
        self._add_code(measurements, second)
        if second is not None and phase in _IN_BLOCKS:
            self._add_to_blocks(second, rows, measurements)
            self._add_lags_to_blocks(second, measurements)
        if second is not None and phase == LOAD:
            self.timeline.add(
                second,
                int(measurements.requests.sum()),
                int(measurements.failures.sum()),
                measurements.response_time,
                measurements.service_time,
                errors=[(error.error_class, error.occurrences) for error in measurements.errors],
            )

    def _add_to_blocks(self, second: int, rows: Ints, measurements: Measurements) -> None:
        if measurements.service_time is not None and self._service_blocks is None:
            self._service_blocks = self.blocks.copy()
        totals, response = np.stack((measurements.requests, measurements.failures)), measurements.response_time
        self.blocks.add(second, rows, totals, response)
        if self._service_blocks is not None:
            self._service_blocks.add(second, rows, totals, measurements.service_time or response)
        if measurements.failure_time is not None:
            self._failed_blocks.add(second, rows, totals, measurements.failure_time)

    def _add_lags_to_blocks(self, second: int, measurements: Measurements) -> None:
        scenarios, lags, dropped = list(self.schedule_lag), measurements.schedule_lag, measurements.dropped
        intended = lags.counts_per_row() + dropped
        some = intended > 0
        rows = np.array([scenarios.index(one) for one in measurements.scenarios], np.int64)[some]
        self._lag_blocks.add(second, rows, np.stack((intended, dropped))[:, some], lags.select(some))

    def note(self, second: float, kind: str, text: str) -> None:
        """Add an event; beyond `MAX_EVENTS` it is dropped."""
        if len(self.events) < MAX_EVENTS:
            self.events = (*self.events, Event(round(second, 3), kind, text))

    def note_connections(self, second: int, count: int) -> None:
        """Record the number of open connections of the built-in clients in a second; the highest number is kept."""
        self.connections_peak = max(self.connections_peak, count)
        for first, later in self._later.items():
            if second >= first:
                later.note_connections(second, count)

    def _add_times(self, rows: Ints, measurements: Measurements) -> None:
        if measurements.service_time is not None and self._service is None:
            self._service = self._response.copy()
        if self._service is not None:
            self._service.merge(measurements.service_time or measurements.response_time, rows)
        self._response.merge(measurements.response_time, rows)
        if measurements.failures.any():
            self._failed.grow(int(rows.max()) + 1)
        if measurements.failure_time is not None:
            self._failed.merge(measurements.failure_time, rows)

    def _add_errors(self, rows: Ints, measurements: Measurements, second: int | None) -> None:
        seen = math.floor(self.started_at) + (second or 0)
        for series, error_class, message, occurrences, evidence in measurements.errors:
            row = int(rows[series])
            if evidence is not None and self._quota.admits(row, error_class, message):
                self._evidence.setdefault((row, error_class, message), evidence)
            classes = self._classes.setdefault(row, {})
            classes[error_class] = classes.get(error_class, 0) + occurrences
            key = (row, error_class, message)
            if key not in self._errors and len(self._errors) >= MAX_ERRORS:
                key = (row, error_class, FURTHER_MESSAGES)
            error = self._errors.setdefault(key, [0, seen, seen])
            error[0] += occurrences
            error[1] = min(error[1], seen)
            error[2] = max(error[2], seen)

    def _add_tallies(self, rows: Ints, measurements: Measurements) -> None:
        for series, kind, detail, times, seconds in measurements.tallies:
            key = (int(rows[series]), kind, detail)
            if key not in self._tallies and len(self._tallies) >= MAX_TALLIES:
                key = (int(rows[series]), kind, "")
            had, took_s = self._tallies.get(key, (0, 0.0))
            self._tallies[key] = (had + times, took_s + seconds)

    def _add_code(self, measurements: Measurements, second: int | None) -> None:
        for scenario, task, begun, idle in measurements.tasks:
            key = (scenario, task)
            if key not in self.tasks and len(self.tasks) >= MAX_TASKS:
                key = (OTHER, OTHER)
            self.tasks[key] = self.tasks.get(key, 0) + begun
            self.idle[key] = self.idle.get(key, 0) + idle
        self.add_exceptions(measurements.exceptions, second)

    def add_exceptions(self, exceptions: Iterable[ExceptionCount], second: int | None) -> None:
        """Add exceptions raised by code that is not this product's."""
        seen = math.floor(self.started_at) + (second or 0)
        for scenario, exception, message, place, ends_user, occurrences in exceptions:
            what = (scenario, exception, message, place, ends_user)
            if what not in self._exceptions and len(self._exceptions) >= MAX_EXCEPTIONS:
                what = (OTHER, OTHER, FURTHER_MESSAGES, OTHER, ends_user)
            row = self._exceptions.setdefault(what, [0, seen, seen])
            row[0] += occurrences
            row[1], row[2] = min(row[1], seen), max(row[2], seen)

    def _add_scenario(self, index: int, scenario: str, measurements: Measurements) -> None:
        lag = measurements.schedule_lag
        if scenario not in self.schedule_lag:
            self.schedule_lag[scenario] = Histogram()
            self.dropped[scenario] = 0
        self.dropped[scenario] += int(measurements.dropped[index])
        if not lag.is_empty:
            self.schedule_lag[scenario].merge(lag.row(index))

    def reset(self, second: int) -> None:
        """Reset all counts, as a reset of Locust's statistics does; the run continues in this second."""
        if self.requests:
            gone = f"{self.requests:,} request{'' if self.requests == 1 else 's'}, {self.failures:,} of them failed"
            self.note(second, RESET, f"the statistics were reset at {second} s; in no figure of this run: {gone}")
        self.reset_at_s = second
        self._totals[:] = 0
        self._response, self._service, self._failed = DenseHistogramTable(), None, DenseHistogramTable()
        self._classes, self._errors, self._tallies, self._traces = {}, {}, {}, Traces()
        self.timeline, self.blocks, self._service_blocks = Timeline(), Blocks(), None
        self._failed_blocks, self._lag_blocks = Blocks(), Blocks()
        self.schedule_lag, self.dropped = {}, {}
        self.tasks, self.idle = {}, {}
        self.connections_peak = 0
        # Errors of listeners, and what ended users, also affect the time after the reset, so they are kept.
        self._exceptions = {
            what: row for what, row in self._exceptions.items() if what[0] == LISTENERS or what[-1] is True
        }
        self.apart = {phase: part for phase, part in self.apart.items() if phase == SETUP}
        for later in self._later.values():
            later.reset(second)

    @property
    def completeness(self) -> float:
        """The share of the workers' numbered deltas that the record holds, 0 to 1."""
        return self.delivery.completeness

    @property
    def duration_s(self) -> int:
        """Whole seconds from the run's first second to the last measured one."""
        return self.timeline.end

    @property
    def requests(self) -> int:
        """The number of all requests, including failed ones."""
        return int(self._totals[0].sum())

    @property
    def failures(self) -> int:
        """The number of failed requests."""
        return int(self._totals[1].sum())

    def counts(self) -> Iterator[SeriesCounts]:
        """The counts of every series so far, without the histograms, which account for most of the cost of `series`."""
        rows = np.flatnonzero(self._totals[0])
        for row, (requests, failures, received, sent) in zip(
            rows.tolist(), self._totals[:, rows].T.tolist(), strict=True
        ):
            classes = dict(self._classes.get(row, {}))
            yield SeriesCounts(*self.labels.keys[row][:3], requests, failures, received, sent, classes)

    def series(self, wanted: Callable[[SeriesKey], bool] | None = None) -> Iterator[SeriesView]:
        """Every series that counted a request, or of these the ones for which ``wanted`` is true."""
        for row in np.flatnonzero(self._totals[0]).tolist():
            key = self.labels.keys[row]
            if wanted is not None and not wanted(key):
                continue
            requests, failures, received, sent = self._totals[:, row].tolist()
            response = self._response.row(row)
            service = response if self._service is None else self._service.row(row)
            classes = dict(self._classes.get(row, {}))
            failed = self._failed.row(row) if failures else Histogram()
            yield SeriesView(*key[:3], requests, failures, received, sent, classes, response, service, failed)

    def extremes(self) -> Iterator[tuple[SeriesKey, float, float]]:
        """The lowest and the highest response time of every series that timed a request, in seconds."""
        for row in np.flatnonzero(self._totals[0]).tolist():
            lowest_s, highest_s = self._response.extremes_s(row)
            if lowest_s <= highest_s:
                yield self.labels.keys[row], lowest_s, highest_s

    def total(self) -> SeriesView:
        """The sum of all series, with empty labels."""
        requests, failures, received, sent = self._totals.sum(axis=1).tolist()
        classes: dict[str, int] = {}
        for by_class in self._classes.values():
            for error_class, occurrences in by_class.items():
                classes[error_class] = classes.get(error_class, 0) + occurrences
        response = self._response.total()
        service = response if self._service is None else self._service.total()
        failed = self._failed.total()
        return SeriesView("", "", "", requests, failures, received, sent, classes, response, service, failed)

    def streams(self) -> list[StreamView]:
        """The streamed responses, by request name."""
        found: dict[tuple[str, str, str], StreamView] = {}

        def view_of(part: SeriesView) -> StreamView:
            labels = (part.scenario, part.method, part.name)
            view = found.setdefault(labels, StreamView(*labels))
            view.response_bytes += part.response_bytes
            return view

        for times in TIMES:
            for part in self.of_phase(times).series():
                setattr(view_of(part), times, part.response_time)
        for who, phase in ENDED_BY.items():
            for part in self.of_phase(phase).series():
                view_of(part).ended_by[who] = part.requests
        return list(found.values())

    def most_frequent_error(self) -> str:
        """The most frequent class of errors; empty without errors."""
        classes: Counter[str] = Counter()
        for by_class in self._classes.values():
            classes.update(by_class)
        return max(classes, key=classes.__getitem__, default="")

    def errors(self) -> list[ErrorRow]:
        """The distinct errors, most frequent first."""
        rows = [
            ErrorRow(*self.labels.keys[kind[0]][:3], *kind[1:], int(times), first, last, self._evidence.get(kind))
            for kind, (times, first, last) in self._errors.items()
        ]
        return sorted(rows, key=lambda error: -error.occurrences)

    def tallies(self) -> list[TallyRow]:
        """The further counts of each request name, in order of first occurrence."""
        return [
            TallyRow(*self.labels.keys[row][:3], kind, detail, times, seconds)
            for (row, kind, detail), (times, seconds) in self._tallies.items()
        ]

    def traces(self) -> list[TraceRow]:
        """The traces of the slowest requests of each name and outcome, slowest first."""
        rows = [
            TraceRow(
                *self.labels.keys[row][:3], trace.error_class or None, trace.trace_id, trace.response_s, trace.seen
            )
            for row, trace in self._traces
        ]
        return sorted(rows, key=lambda trace: -trace.response_time_s)

    def latest_traces(self) -> dict[SeriesKey, list[Trace]]:
        """The latest trace of each series and outcome: the slowest of its second."""
        found: dict[SeriesKey, list[Trace]] = {}
        for (row, _), trace in self._traces.latest.items():
            found.setdefault(self.labels.keys[row], []).append(trace)
        return found

    def exceptions(self) -> list[ExceptionRow]:
        """The distinct exceptions of the scenario's code, most frequent first."""
        rows = [
            ExceptionRow(*what, int(occurrences), first_seen, last_seen)
            for what, (occurrences, first_seen, last_seen) in self._exceptions.items()
        ]
        return sorted(rows, key=lambda row: -row.occurrences)

    def window(self, seconds: int, end: int | None = None) -> Window:
        """The last ``seconds`` seconds, or those before second ``end``, merged; see `Timeline.window`."""
        return self.timeline.window(seconds, end)

    def keys(self) -> list[SeriesKey]:
        """The labels of every series that counted a request, in the order of `series`."""
        return [self.labels.keys[row] for row in np.flatnonzero(self._totals[0]).tolist()]

    def block_table(self, times: str = "response_time") -> BlockTable:
        """The blocks, with series in the order of `series`.

        Args:
            times: which times: ``response_time``, ``service_time``, ``success_time`` or ``failure_time``.
        """
        rows = np.flatnonzero(self._totals[0]).tolist()
        if times == "service_time":
            return (self._service_blocks or self.blocks).table(rows)
        table = self.blocks.table(rows)
        if times == "response_time":
            return table
        failed = self._failed_blocks.table(rows)
        return table.of_part(failed) if times == "failure_time" else table.without(failed)

    def lag_table(self) -> BlockTable:
        """The blocks of iterations, by scenario as in `schedule_lag`: their lags; dropped iterations are failures."""
        return self._lag_blocks.table([*range(len(self.schedule_lag))])
