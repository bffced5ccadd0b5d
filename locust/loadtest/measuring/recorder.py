"""Recorder: counts finished requests.

The hot path appends one number to a buffer, or two when the request was late: no histogram, no dictionary, no event. A
greenlet folds the buffers into histogram tables with numpy, at most `FOLD_SLICE` samples between two turns of the
event loop, so that folding does not delay users. Once a second the counts are taken out as `Measurements`.

Three times are kept apart: response time (end - intended start), service time (end - send), and, for requests that have
an intended start of their own, schedule lag (send - intended start). A request that was sent before its intended start
is not late: its lag is 0, and its response time is its service time.

Memory is bounded: `labels.MAX_SERIES` names, beyond which a name counts as ``other``, and
`measurements.MAX_MESSAGES` distinct error messages between two takes.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
import struct
import sysconfig
import time
import traceback
from bisect import bisect_right
from collections import defaultdict
from functools import lru_cache, partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urljoin

import gevent
import numpy as np
from locust import User
from locust.event import EventHook

from loadtest.measuring.error_classes import ERROR_CLASSES, NO_ANSWER, UNFINISHED
from loadtest.measuring.evidence import of_response
from loadtest.measuring.labels import LOAD, OTHER, PHASES, SETUP, SeriesKey, readable
from loadtest.measuring.measurements import OWN_END, Accumulator, ExceptionCount, Measurements
from loadtest.measuring.tallies import MAX_PLACES, NOWHERE, REDIRECT, SAME, SIZE, UNKNOWN, VARIED
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import FrameType, TracebackType

    import numpy.typing as npt
    from locust.env import Environment

    from loadtest.measuring.evidence import Evidence

_log = logging.getLogger(__name__)

FOLD_SLICE: Final = 8_192
"""The most samples that are folded between two turns of the event loop: about a millisecond."""
SERIES_SLICE: Final = 256
"""The most series that are folded between two turns: each costs about 2 µs in addition to its samples."""
FOLD_PAYS: Final = 64
"""Samples per series, on average, from which folding early is worth its cost; with fewer the second's end is soon
enough."""
MAX_MESSAGE_CHARS: Final = 300
STARTING_S: Final = 5.0
"""From here on, a user that is stopped in its on_start counts as one that never began: a run may end within a login."""
NOT_STARTED: Final = f"stopped in on_start, which had run for {STARTING_S:g} s or more"
STUCK_RATIO: Final = 0.5
STUCK: Final = "stopped in its own code, which had sent no request for most of its time"
"""In place of an exception's message: of a user that was stopped neither in a wait nor in a request."""
BROKEN_OFF: Final = "its on_stop was broken off, which had not ended when the stop timeout was over"
UNSTOPPED: Final = "did not end when it was stopped: it catches what ends it, or its on_stop hangs"
REDIRECTION: Final = 300
CLIENT_ERROR: Final = 400
BESIDE: Final = "loadtest_beside"
"""The attribute of a greenlet, or a response, with what happened beside a request of Locust's own clients."""
ANSWERED: Final = "loadtest_answered_s"
"""The attribute of a user that says when a client that fires ``events.request`` last had an answer, in seconds of
``time.perf_counter``; 0 before its first, and none where the user may have a client that does not."""
ITERATION: Final = "loadtest_iteration_s"
"""That which says when its iteration began, where Locust's own loop executes it."""

_PACKAGE: Final = str(Path(__file__).parents[1])
_SCENARIOS: Final = f"{_PACKAGE}/scenarios/"
_CLIENTS: Final = f"{_PACKAGE}/clients/"
_REPLACED: Final = f"{_PACKAGE}/swarm/replacements/"
_LIBRARIES: Final = (
    f"{_PACKAGE}/",
    "src/gevent/",
    *(sysconfig.get_paths()[kind] for kind in ("stdlib", "purelib", "platlib")),
)
_LOOKED_UP: Final = 8_192  # sets of labels whose series are remembered, including those that count as other
_AROUND_PATH: Final = re.compile(r"^(?:[A-Za-z][\w+.-]*:)?//[^/?#]*|[?#].*$", re.DOTALL)
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]+")
_masked = lru_cache(maxsize=256)(without_credentials)  # most errors of a run are the same few
_ATTRIBUTE: Final = "loadtest_recorder"  # where an Environment keeps its recorder
_COUNTED: Final = "loadtest_counted"  # on what says how a request failed that is counted
PHASE: Final = "loadtest_phase"
"""The attribute of a user that holds its phase."""


class Series:
    """The samples of one (scenario, method, name) in one phase.

    ``success(intended_s, sent_s, end_s, response_bytes)`` counts a request that succeeded. The three times are
    `time.perf_counter` seconds; for a request without an intended start of its own pass the same object for
    ``intended_s`` and ``sent_s``. It is a closure over the buffers: this is the hot path.
    """

    __slots__ = (
        "_counts", "_failures", "_largest", "_last_answer", "_places", "_smallest", "failed", "is_checked", "key",
        "late", "row", "scenario_row", "success", "take_bytes", "times",
    )  # fmt: skip

    success: Callable[[float, float, float, int], None]
    take_bytes: Callable[[], int]
    """Returns the number of bytes received since its last call."""

    def __init__(self, key: SeriesKey, row: int, scenario_row: int, counts: Accumulator) -> None:
        """Made by `Recorder.series` only."""
        self.key = key
        self.row = row
        self.scenario_row = scenario_row
        self.is_checked = False  # whether the scenario looks what its answers hold
        self._counts = counts
        self._failures = 0
        self._smallest, self._largest = 0, -1  # bytes of its successes
        self._last_answer: int | None = None
        self._places: set[str] = set()
        # Lists, although arrays are smaller: the interpreter has an instruction of its own for appending to a list.
        self.times: list[float] = []  # service times of requests sent at their intended start
        self.late: list[float] = []  # lag and service time in turns
        self.failed: list[float] = []  # response times of failures, which are among the others too
        times, late = self.times, self.late
        total_bytes = 0

        def success(intended_s: float, sent_s: float, end_s: float, response_bytes: int) -> None:
            nonlocal total_bytes
            total_bytes += response_bytes
            if intended_s is sent_s:
                times.append(end_s - sent_s)
            else:
                late.append(sent_s - intended_s)
                late.append(end_s - sent_s)

        def take_bytes() -> int:
            nonlocal total_bytes
            taken, total_bytes = total_bytes, 0
            return taken

        self.success = success
        self.take_bytes = take_bytes

    def failure(  # noqa: PLR0917 - a failed sample has that many parts
        self,
        intended_s: float,
        sent_s: float,
        end_s: float,
        response_bytes: int,
        error_class: str,
        message: str,
        evidence: Callable[[], Evidence] | None = None,
    ) -> None:
        """Count a request that failed; its times count like those of any other.

        Args:
            intended_s: as for ``success``.
            sent_s: as for ``success``.
            end_s: as for ``success``.
            response_bytes: as for ``success``.
            error_class: one of `ERROR_CLASSES`; any other counts as ``other``.
            message: cut at 300 characters, addresses of objects are left out.
            evidence: makes what was sent and what came back; called for the first failures of a kind only.
        """
        self.success(intended_s, sent_s, end_s, response_bytes)
        self._failures += 1
        lag_s = 0.0 if intended_s is sent_s else max(sent_s - intended_s, 0.0)  # added up as when it is folded
        self.failed.append(lag_s + (end_s - sent_s))
        kind = (self.row, error_class if error_class in ERROR_CLASSES else OTHER, _message(message))
        self._counts.add_error(*kind)
        if evidence is not None:
            self._counts.note_evidence(*kind, evidence)

    def tally(self, kind: str, detail: str = "", seconds: float = 0.0) -> None:
        """Count what else happened: see `loadtest.measuring.tallies`."""
        self._counts.add_tally(self.row, kind, readable(detail), 1, seconds)

    def note_redirect(self, location: str) -> None:
        """Count a redirect that was followed, by the path that it led to."""
        place = _AROUND_PATH.sub("", location)
        if len(self._places) < MAX_PLACES:
            self._places.add(place)
        self.tally(REDIRECT, place if place in self._places else "")

    def note_size(self, size_bytes: int) -> None:
        """Note the size of a success, if it is smaller or larger than all before and nobody looks what it holds."""
        if not self.is_checked and not self._smallest <= size_bytes <= self._largest:
            self._smallest = min(self._smallest, size_bytes) if self._largest >= 0 else size_bytes
            self._largest = max(self._largest, size_bytes)
            self.tally(SIZE, str(1 << max(size_bytes.bit_length() - 1, 0)))

    def note_answer(self, content: bytes) -> None:
        """Note whether an answer that should vary is the one before it."""
        answer = hash(content)
        if self._last_answer is not None:
            self.tally(SAME if answer == self._last_answer else VARIED)
        self._last_answer = answer

    def take_failures(self) -> int:
        """The number of failures since this was last called."""
        taken, self._failures = self._failures, 0
        return taken


class _Uncounted(Series):
    """A series of which nobody keeps a record."""

    __slots__ = ()

    def __init__(self, key: SeriesKey, row: int, scenario_row: int, counts: Accumulator) -> None:
        super().__init__(key, row, scenario_row, counts)
        self.success = _count_nothing
        self.take_bytes = int

    def failure(self, *_: object) -> None:
        """Count nothing."""

    def tally(self, kind: str, detail: str = "", seconds: float = 0.0) -> None:
        """Count nothing."""


def _count_nothing(*_: object) -> None:
    """In the place of a series's counting."""


class _Place(NamedTuple):
    """Where an exception was raised."""

    path: str
    line: int
    function: str

    @classmethod
    def of(cls, trace: TracebackType | None) -> _Place:
        """The innermost call of the scenario's own code; the innermost of all where there is none."""
        places = cls.all_of(trace)
        own = [place for place in places if place.is_of_scenario]
        return (own or places or [cls("?", 0, "?")])[-1]

    @classmethod
    def all_of(cls, trace: TracebackType | None) -> list[_Place]:
        """Every call, the innermost last."""
        return [cls.at(frame, line) for frame, line in traceback.walk_tb(trace)]

    @classmethod
    def at(cls, frame: FrameType, line: int) -> _Place:
        """The place of one call."""
        return cls(frame.f_code.co_filename, line, frame.f_code.co_name)

    @property
    def is_of_scenario(self) -> bool:
        """Whether it is neither a library's nor this product's."""
        return self.path.startswith(_SCENARIOS) or not self.path.startswith(_LIBRARIES)

    @property
    def is_request(self) -> bool:
        """Whether it is in a client that counts a request whose user is stopped."""
        return self.path.startswith(_CLIENTS) or (self.path.startswith(_REPLACED) and self.function == "request")

    def __str__(self) -> str:
        path = Path(self.path)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return f"{shown}:{self.line} in {self.function}"


def exception_count(
    scenario: str, exception: BaseException, place: _Place | None = None, *, ends_user: bool = False
) -> ExceptionCount:
    """Describe one exception: see `Recorder.add_exception`."""
    return ExceptionCount(
        readable(scenario),
        readable(type(exception).__name__),
        _message(str(exception)),
        readable(str(place or _Place.of(exception.__traceback__))),
        ends_user,
        1,
    )


class _SeriesByLabels(dict[tuple[str, ...], Series]):
    """Makes a missing series. A dictionary takes half the time of a cached function of three arguments."""

    def __init__(self, make: Callable[..., Series]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, labels: tuple[str, ...]) -> Series:
        if len(self) >= _LOOKED_UP:
            self.clear()
        series = self[labels] = self._make(*labels)
        return series


class Recorder:
    """Counts the requests of one process until they are taken."""

    def __init__(self) -> None:
        """Make an empty recorder; use `Recorder.of` for the one of a Locust Environment."""
        self.listeners: list[Callable[..., None]] = []
        """The listeners of Locust's ``events.request``, this recorder first: a live list. If there are more, a
        client that counts a request without firing the event calls ``notify``."""
        self.open_requests: dict[int, float] = {}
        """When requests of clients other than this product's were sent, in seconds of ``time.perf_counter``, by any
        number that is theirs alone; such a client enters and removes them."""
        self.by_labels = _SeriesByLabels(self._series_of)
        """The series of (scenario, method, name), for callers that look it up for each request, with a phase behind the
        name where it is not the load: see `series`."""
        self._by_key: dict[SeriesKey, Series] = {}
        self._series: list[Series] = []
        self._buffers: list[list[float]] = []
        self._counts = Accumulator()
        self._labels = self._counts.labels
        self._folded = 0  # series that the fold under way has behind it
        self._begun: dict[str, dict[Any, int]] = {}
        self._idle: dict[str, dict[Any, int]] = {}
        self._environment: Environment | None = None
        self._kind = Series

    @classmethod
    def of(cls, environment: Environment) -> Recorder:
        """The recorder of this Locust Environment, made on first use, when it replaces Locust's own listener.

        From then on Locust's statistics are no longer fed by ``events.request`` but from the record.
        """
        recorder: Recorder | None = getattr(environment, _ATTRIBUTE, None)
        if recorder is None:
            recorder = cls()
            setattr(environment, _ATTRIBUTE, recorder)
            recorder.listeners = _RequestHook.of(environment)._handlers
            foreign = [
                each for each in recorder.listeners if not (_is_locusts_own(each) or isinstance(each, _Listener))
            ]
            recorder.listeners[:] = [_Listener(recorder, environment), *foreign]
            recorder._environment = environment
            environment.events.user_error.add_listener(recorder.on_user_error)  # type: ignore[no-untyped-call]
        return recorder

    @classmethod
    def beside_locusts(cls, environment: Environment) -> Recorder:
        """The recorder of this Environment, as `of` gives it; under plain Locust one that counts nothing.

        Where nobody has asked for a record before the first user, Locust's own statistics are the only ones. They stay
        listeners of ``events.request``, and are notified of each request.
        """
        hook = environment.events.request
        if hasattr(environment, _ATTRIBUTE) or not any(map(_is_locusts_own, hook._handlers)):
            return cls.of(environment)
        recorder = cls()
        recorder._kind = _Uncounted
        recorder.listeners = hook._handlers
        recorder.listeners.insert(0, _Listener(None, environment))
        setattr(environment, _ATTRIBUTE, recorder)
        return recorder

    def notify(self, **request: Any) -> None:
        """Call the other listeners of ``events.request`` for a request that is counted already.

        Args:
            request: What Locust fires the event with.

        Raises:
            StopUser, StopTest, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet: A listener raised it to
                steer the user; any other error of a listener is logged.
        """
        if self._kind is _Uncounted and getattr(request.get("exception"), "error_class", "") == UNFINISHED:
            return  # Locust counts no request of a user that it stops, and its exit code would be that of a failure
        others = EventHook()  # type: ignore[no-untyped-call]
        others._handlers = [each for each in self.listeners if not isinstance(each, _Listener)]
        others.fire(**request)  # type: ignore[no-untyped-call]

    def series(self, scenario: str, method: str, name: str, phase: str = LOAD) -> Series:
        """The series of these labels, to be looked up once and kept.

        Beyond `labels.MAX_SERIES` series a new name counts as ``other`` of its scenario and method. Labels are made
        readable: see `labels.readable`.
        """
        return self.by_labels[(scenario, method, name) if phase == LOAD else (scenario, method, name, phase)]

    def _series_of(self, scenario: str, method: str, name: str, phase: str = LOAD) -> Series:
        phase = phase if phase in PHASES else LOAD  # a scenario's own attribute may have the name of ours
        bounded = self._labels.bounded(SeriesKey(readable(scenario), readable(method), readable(name), phase))
        if bounded not in self._by_key:
            row = self._labels.row(bounded)
            series = self._kind(bounded, row, self._labels.scenario_row(bounded.scenario), self._counts)
            self._series.append(series)
            self._buffers += (series.times, series.late)
            self._by_key[bounded] = series
        return self._by_key[bounded]

    def drop_iterations(self, scenario: str, count: int = 1) -> None:
        """Count iterations that the load profile asked for and that never began."""
        self._counts.add_dropped(self._labels.scenario_row(scenario), count)

    def begun(self, scenario: str) -> dict[Any, int]:
        """How often each task of a scenario began since the last take: add 1 to a task's number when it begins."""
        return self._begun.setdefault(scenario, defaultdict(int))

    def idle(self, scenario: str) -> dict[Any, int]:
        """The same of the iterations of each task that ended without a request."""
        return self._idle.setdefault(scenario, defaultdict(int))

    def on_user_error(
        self, user_instance: Any, exception: BaseException, tb: TracebackType | None = None, **_: Any
    ) -> None:
        """Count an exception of a scenario's code: what Locust's ``events.user_error`` is fired with.

        One that says how a request failed which is counted, as ``raise_for_status()`` does, is left out. One of a
        request that is not counted as failed, as of a body that broke off behind its head, or of a client that reports
        nothing, is counted here.
        """
        if _is_counted(exception) or _is_counted(getattr(exception, "response", None)):
            return
        user = getattr(user_instance, "user", user_instance)  # of a TaskSet
        if self._environment is not None and user.environment is not self._environment:
            return  # environments may share their events
        self.add_exception(scenario_of(user), exception, _Place.of(tb), ends_user=user_instance is user)

    def add_exception(
        self, scenario: str, exception: BaseException, place: _Place | None = None, *, ends_user: bool = False
    ) -> None:
        """Count an exception of code that is not this product's.

        Args:
            scenario: whose code it is.
            exception: what was raised.
            place: where; by default what its traceback says.
            ends_user: whether a user ended with it.
        """
        self.count_exception(exception_count(scenario, exception, place, ends_user=ends_user))

    def count_exception(self, count: ExceptionCount) -> None:
        """Count an exception that was described before."""
        self._counts.add_exception(*count)

    def on_end(self, user: Any, ending: BaseException, began_s: float, *, is_started: bool) -> None:
        """Count that a user ended itself, when code of its scenario raised what ended it, such as StopUser; or that it
        was stopped before it made any load, or while its own code had kept it from making any.

        Args:
            user: the user.
            ending: what ended it.
            began_s: when its on_start began, in seconds of ``time.perf_counter``.
            is_started: whether its on_start was over.
        """
        places, now_s = _Place.all_of(ending.__traceback__), time.perf_counter()
        # The intended start of an iteration is there until its first request.
        begun_s = max(getattr(user, "intended_start_s", None) or 0.0, getattr(user, ITERATION, 0.0))
        known_s = [getattr(user, "last_request_s", lambda: None)(), getattr(user, ANSWERED, None)]
        requests_s = [request_s for request_s in known_s if request_s is not None]
        idle_s = now_s - max(began_s, begun_s, *requests_s) if requests_s else 0.0
        is_own_code = any(place.is_of_scenario for place in places) and not any(place.is_request for place in places)
        message = ""
        if places and places[-1].is_of_scenario:
            self._add_own_end(user, type(ending).__name__, places[-1])
        elif not is_started and now_s - began_s >= STARTING_S:
            message = NOT_STARTED
        elif is_started and is_own_code and idle_s >= max(STARTING_S, STUCK_RATIO * (now_s - began_s)):
            message = STUCK
        if message:
            place = readable(str(_Place.of(ending.__traceback__)))
            self._counts.add_exception(readable(scenario_of(user)), type(ending).__name__, message, place, True)

    def on_own_stop(self, user: Any) -> None:
        """Count that a user ended itself by calling its ``stop()``."""
        calls = [(frame, line) for frame, line in traceback.walk_stack(None) if _Place.at(frame, line).is_of_scenario]
        if calls:
            self._add_own_end(user, "stop()", _Place.at(*calls[0]))

    def on_unstopped(self, user: Any) -> None:
        """Count that a user goes on although it was stopped, and where."""
        frame = user.greenlet.gr_frame
        places = [_Place.at(*call) for call in traceback.walk_stack(frame)] if frame is not None else []
        place = next((place for place in places if place.is_of_scenario), _Place("?", 0, "?"))
        self._counts.add_exception(readable(scenario_of(user)), "GreenletExit", UNSTOPPED, readable(str(place)), True)

    def _add_own_end(self, user: Any, how: str, place: _Place) -> None:
        self._counts.add_exception(readable(scenario_of(user)), readable(how), OWN_END, readable(str(place)), True)

    def on_request(  # noqa: PLR0917 - Locust's arguments
        self,
        request_type: str,
        name: str,
        response_time: float | None,
        response_length: int | None,
        exception: BaseException | str | None = None,
        user: Any = None,
        response: Any = None,
        **_: Any,
    ) -> None:
        """Count a request of a stock Locust user: what ``events.request`` is fired with.

        Locust gives the duration in milliseconds, and the end is now. Without a duration (Locust allows None) the
        request counts, and its duration counts as refused.
        """
        end_s = time.perf_counter()
        if user is not None and not isinstance(user, type):
            setattr(user, ANSWERED, end_s)
        sent_s = end_s - response_time / 1e3 if response_time is not None else math.nan
        intended_s = sent_s
        if user is not None and getattr(user, "intended_start_s", None) is not None:
            intended_s, user.intended_start_s = user.intended_start_s, None
        series = self.series(scenario_of(user), str(request_type), str(name), phase_of(user))
        if exception:
            mark_counted(exception, response)
            if user is not None:
                note_failure(user)
            counted = (intended_s, sent_s, end_s, response_length or 0, _class_of(exception), _text_of(exception))
            is_of_http = all(hasattr(response, part) for part in ("request", "status_code", "headers"))
            series.failure(*counted, partial(of_response, response) if is_of_http else None)
        else:
            series.success(intended_s, sent_s, end_s, response_length or 0)
        _tally_beside(series, response)

    def waiting(self) -> int:
        """How many numbers are in the buffers."""
        return sum(map(len, self._buffers))

    def fold_slice(self) -> bool:
        """Fold at most `FOLD_SLICE` samples of `SERIES_SLICE` series; True when there may be more."""
        ahead = self._series[self._folded : self._folded + SERIES_SLICE]
        samples = accumulate([len(series.times) + len(series.late) // 2 for series in ahead])
        fitting = ahead[: bisect_right(list(samples), FOLD_SLICE)]
        if fitting:
            self._fold_on_time([(series.row, series.times) for series in fitting])
            self._fold_late([(series.row, series.scenario_row, series.late) for series in fitting])
            self._folded += len(fitting)
        elif ahead:  # the first of them alone has more
            series = ahead[0]
            times = _cut_off(series.times, FOLD_SLICE)
            late = _cut_off(series.late, 2 * (FOLD_SLICE - len(times)))
            self._fold_on_time([(series.row, times)])
            self._fold_late([(series.row, series.scenario_row, late)])
        more = self._folded < len(self._series)
        if not more:
            self._folded = 0
        return more

    def _fold_on_time(self, parts: list[tuple[int, list[float]]]) -> None:
        """Fold and empty these buffers of service times, by row."""
        filled = [part for part in parts if part[-1]]
        if filled:
            rows, buffers = zip(*filled, strict=True)
            lengths, values = _emptied(buffers)
            self._counts.add_on_time(np.array(rows), lengths, values)

    def _fold_late(self, parts: list[tuple[int, int, list[float]]]) -> None:
        """Fold and empty these buffers of lags and service times, by row and the scenario's row."""
        filled = [part for part in parts if part[-1]]
        if filled:
            rows, scenario_rows, buffers = zip(*filled, strict=True)
            lengths, values = _emptied(buffers)
            self._counts.add_late(
                np.array(rows),
                np.array(scenario_rows),
                lengths // 2,
                lag_s=np.maximum(values[::2], 0.0),
                service_s=values[1::2],
            )

    def fold(self) -> None:
        """Fold what is in the buffers, and let other greenlets run between slices.

        It ends even while users keep recording: it folds what was there when it was called, and a little more.
        """
        self._folded = 0
        # Two slices in a row are more than one full slice: a series that no longer fits goes into the next.
        slices = 2 * self.waiting() // FOLD_SLICE + len(self._series) // SERIES_SLICE
        while self.fold_slice() and slices:
            slices -= 1
            gevent.sleep(0)

    def fold_early(self) -> None:
        """Fold if there are enough samples to be worth it, which spreads the work over the second."""
        if self.waiting() >= FOLD_PAYS * len(self._series):
            self.fold()

    def forget_evidence(self) -> None:
        """Begin a run, of which the first failures of each kind get evidence again."""
        self._counts.forget_evidence()

    def keep_evidence(self, kept: bool) -> None:
        """Make evidence of failures from now on, or none."""
        self._counts.keeps_evidence = kept

    def has_counts(self) -> bool:
        """Whether anything was folded since the last take."""
        return bool(self._counts)

    def fold_all(self) -> None:
        """Fold what is in the buffers, without letting other greenlets run."""
        self._folded = 0
        more = self.waiting() > 0  # else no look at each series
        while more:
            more = self.fold_slice()

    def take(self) -> Measurements:
        """Fold the rest and take out everything counted since the last take."""
        self.fold_all()
        self._counts.add_outcomes(
            [series.take_failures() for series in self._series], [series.take_bytes() for series in self._series]
        )
        failed = [series for series in self._series if series.failed]
        if failed:
            lengths, values = _emptied([series.failed for series in failed])
            self._counts.add_failed(np.array([series.row for series in failed]), lengths, values)
        for scenario, begun in self._begun.items():
            idle = self.idle(scenario)
            for task in {**begun, **idle}:
                self._counts.add_task(readable(scenario), name_of_task(task), begun.get(task, 0), idle.get(task, 0))
            begun.clear()
            idle.clear()
        return self._counts.take()


def _cut_off(buffer: list[float], most: int) -> list[float]:
    """Take the first ``most`` numbers out of a buffer."""
    beginning = buffer[:most]
    del buffer[:most]
    return beginning


def _emptied(buffers: Sequence[list[float]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The lengths of these buffers and all their numbers, which are taken out of them."""
    lengths = np.array([len(buffer) for buffer in buffers])
    numbers: list[float] = []
    for buffer in buffers:
        numbers += buffer
        buffer.clear()
    # struct makes an array of floats several times faster than numpy does.
    return lengths, np.frombuffer(struct.pack(f"{len(numbers)}d", *numbers), np.float64)


def _message(text: str) -> str:
    """A message cut to its bound, without secrets of URLs; without addresses of objects, so equal ones count together.

    A URL is masked before it is cut: its beginning does not tell what it holds.
    """
    masked = _masked(text[: 4 * MAX_MESSAGE_CHARS])
    return _ADDRESS.sub("0x…", masked[:MAX_MESSAGE_CHARS]).encode("utf-8", "replace").decode()


def _tally_beside(series: Series, response: Any) -> None:
    """Count what happened beside a request of Locust's own clients: see `loadtest.swarm.replacements.clients`."""
    of_caught = getattr(response, BESIDE, None)
    beside = getattr(gevent.getcurrent(), BESIDE, None) if of_caught is None else of_caught
    if beside is None:
        series.tally(UNKNOWN)
        return
    for counted in beside:
        series.tally(*counted)
    if response is None:
        return
    for hop in getattr(response, "history", ()):
        series.note_redirect(str(hop.headers.get("location", "")))
    sent = getattr(getattr(response, "request", None), "headers", None) or ()
    asked, place = str(getattr(response, "url", "") or ""), (response.headers or {}).get("location") or ""
    place = str(place)  # a list where there are several
    if of_caught is None and leads_nowhere(response.status_code or 0, sent, asked, place):
        series.tally(NOWHERE, str(response.status_code))


def leads_nowhere(status: int, sent: Iterable[str], asked: str, place: str) -> bool:
    """Whether an answer that is no failure brings nothing of what was asked for.

    Args:
        status: its status.
        sent: the names of the headers that were sent; with a condition, as of a cache, 304 is an answer.
        asked: the URL that was asked for.
        place: where the answer redirects to, which was not followed; empty if to none. Another place is an answer.
    """
    if place and not _is_same(asked, place):
        return False
    return REDIRECTION <= status < CLIENT_ERROR and not any(name.lower().startswith("if-") for name in sent)


def _is_same(asked: str, place: str) -> bool:
    try:
        return urljoin(asked, place) == asked
    except ValueError:  # no URL, such as http://[
        return False


def name_of_task(task: Any) -> str:
    """The name under which a task is counted: that of its function, with its classes."""
    return readable(getattr(task, "__qualname__", type(task).__qualname__))


def mark_counted(*failures: Any) -> None:
    """Mark the exceptions and responses of a request that is counted as failed, so that it is not counted again."""
    for failure in failures:
        with contextlib.suppress(AttributeError, TypeError):
            setattr(failure, _COUNTED, True)


def _is_counted(failure: Any) -> bool:
    return getattr(failure, _COUNTED, False) is True


def note_failure(user: Any) -> None:
    """Note that a part of the transactions that a user is in has failed: see `loadtest.users.steps`."""
    user.failed_parts = getattr(user, "failed_parts", 0) + 1


def phase_of(user: Any) -> str:
    """The phase of a user; of one that is not this product's it is kept where its own attributes are not."""
    return SETUP if getattr(user, PHASE, None) == SETUP else LOAD


def scenario_of(user: Any) -> str:
    """The scenario of a User (instance or class), by default its class's name; ``other`` for None."""
    if user is None:
        return OTHER
    scenario: str | None = getattr(user, "scenario", None)
    return scenario or (user if isinstance(user, type) else type(user)).__name__


_CLASSES_BY_NAME: Final = {"CatchResponseError": "assertion", "GreenletExit": UNFINISHED}


def _class_of(exception: BaseException | str) -> str:
    """The class of an error that a stock Locust user reports."""
    name = type(exception).__name__
    if name in _CLASSES_BY_NAME:
        return _CLASSES_BY_NAME[name]
    status = getattr(getattr(exception, "response", None), "status_code", 0) or 0
    if status:
        return {4: "status_4xx", 5: "status_5xx"}.get(int(status) // 100, "status_other")
    if isinstance(exception, TimeoutError) or "Timeout" in name:
        return "timeout_connect" if "Connect" in name else "timeout_read"
    if isinstance(exception, ConnectionResetError):
        return "reset"
    if isinstance(exception, ConnectionError) or "Connection" in name:
        return "connect"
    return "exception"


def _text_of(exception: BaseException | str) -> str:
    if isinstance(exception, gevent.GreenletExit):
        return NO_ANSWER
    return exception if isinstance(exception, str) else repr(exception)


def current_user() -> Any:
    """The User whose greenlet, or one that it spawned, runs now, or None: Locust starts ``run_user(user)`` in each
    user's greenlet."""
    greenlet: Any = gevent.getcurrent()
    while greenlet is not None:
        for argument in getattr(greenlet, "args", None) or ():
            if isinstance(argument, User):
                return argument
        spawning = getattr(greenlet, "spawning_greenlet", None)
        greenlet = spawning() if spawning else None
    return None


def _is_locusts_own(listener: Callable[..., None]) -> bool:
    """Whether a listener is Locust's own statistics, which would count everything twice."""
    return getattr(listener, "__qualname__", "") == "Runner.__init__.<locals>.on_request"


class _Listener:
    """The recorder among the listeners of Locust's ``events.request``, in the place of Locust's own statistics.

    Under plain Locust, whose statistics stay, there is no recorder to tell.
    """

    def __init__(self, recorder: Recorder | None, environment: Environment) -> None:
        self._recorder = recorder
        only = environment.user_classes
        self._only_user = only[0] if len(only) == 1 else None

    def __call__(self, **request: Any) -> None:
        """Count the request."""
        if self._recorder is None:
            return
        user = current_user()
        try:
            self._recorder.on_request(**{**request, "user": user if user is not None else self._only_user})
        except Exception:
            _log.exception("a request could not be recorded: %s", request)


class _RequestHook(EventHook):
    """Locust's ``events.request``, which takes Locust's own statistics no more.

    The hook that is there becomes one, and its list of listeners stays the same object: code that bound the hook or
    its ``fire`` before, at import for example, still feeds the record.
    """

    @classmethod
    def of(cls, environment: Environment) -> EventHook:
        """The environment's hook."""
        hook = environment.events.request
        hook.__class__ = cls
        return hook

    def add_listener(self, handler: Callable[..., None]) -> Callable[..., None]:
        """Add a listener, unless it is Locust's own statistics."""
        if not _is_locusts_own(handler):
            super().add_listener(handler)  # type: ignore[no-untyped-call]
        return handler
