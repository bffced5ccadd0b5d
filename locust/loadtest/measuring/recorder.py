"""Recorder: counts finished requests.

The hot path appends one number to a buffer, or two if the request was late: no histogram, no dictionary, no event. A
greenlet folds the buffers into histogram tables with numpy, at most `FOLD_SLICE` samples per turn of the event loop, so
that folding does not delay users. Once a second the counts are taken out as `Measurements`.

Three times are measured separately: response time (end - intended start), service time (end - send), and, for requests
with an intended start of their own, schedule lag (send - intended start). A request that was sent before its intended
start is not late: its lag is 0, and its response time is its service time.

Memory is bounded: there are at most `labels.MAX_SERIES` names, beyond which a name counts as ``other``, and at most
`measurements.MAX_MESSAGES` distinct error messages between two takes.
"""

from __future__ import annotations

import logging
import math
import struct
import time
import traceback
from bisect import bisect_right
from collections import defaultdict
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from locust.event import EventHook

from loadtest.measuring.error_classes import UNFINISHED
from loadtest.measuring.evidence import of_response
from loadtest.measuring.labels import LATE_START_S, LOAD, MAX_HOSTS, OTHER, PHASES, STARTING, SeriesKey, readable
from loadtest.measuring.measurements import LISTENERS, OWN_END, Accumulator, ExceptionCount, Measurements
from loadtest.measuring.places import Place
from loadtest.measuring.series import Series, SeriesByLabels, Uncounted, short_message
from loadtest.measuring.stock_requests import (
    Listener,
    RequestHook,
    add_pending_tallies,
    class_of,
    is_counted,
    is_locusts_own,
    mark_counted,
    size_of,
    text_of,
)
from loadtest.measuring.traces import Sampler, ids_of
from loadtest.measuring.turn import Turns
from loadtest.measuring.users import name_of_task, note_failure, phase_of, scenario_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    import numpy.typing as npt
    from locust.env import Environment

_log = logging.getLogger(__name__)

FOLD_SLICE: Final = 8_192
"""The maximum number of samples that are folded per turn of the event loop: about a millisecond."""
SERIES_SLICE: Final = 256
"""The maximum number of series that are folded per turn. Each costs about 2 µs in addition to its samples."""
FOLD_PAYS: Final = 64
"""The mean number of samples per series from which folding early pays off. With fewer, the end of the second is early
enough."""
FOLD_LEAST: Final = 2_048
"""The number of samples of all series together from which folding early pays off. Fewer cost just as much: a fold is
about fifty numpy calls, which take 0.1 ms of CPU if they are in the processor's caches and 1 ms if not, and delays the
reading of responses that arrive meanwhile."""
STARTING_S: Final = 5.0
"""Seconds after which a user stopped in its on_start counts as one that never began: a run may end during a log-in."""
NOT_STARTED: Final = f"stopped in on_start, which had run for {STARTING_S:g} s or more"
STUCK_RATIO: Final = 0.5
STUCK: Final = "stopped in its own code, which had sent no request for most of its time"
"""The exception's message for a user that was stopped neither in a wait nor in a request."""
BROKEN_OFF: Final = "its on_stop had not ended by the stop timeout, and was cut short"
UNSTOPPED: Final = "did not end when it was stopped: it catches the exception that ends it, or its on_stop hangs"
UNRECORDED: Final = "UnrecordedRequest"
ANSWERED: Final = "loadtest_answered_s"
"""The attribute of a user with the time of the last response to a client that fires ``events.request``, in seconds of
``time.perf_counter``; 0 before the first. It is absent if the user may have a client that does not fire it."""
ITERATION: Final = "loadtest_iteration_s"
"""The attribute of a user with the time at which its iteration began, if Locust's own loop executes it."""
_ATTRIBUTE: Final = "loadtest_recorder"  # the attribute of an Environment that holds its recorder


def exception_count(
    scenario: str, exception: BaseException, place: Place | None = None, *, ends_user: bool = False
) -> ExceptionCount:
    """Return the count of one exception: see `Recorder.add_exception`."""
    return ExceptionCount(
        readable(scenario),
        readable(type(exception).__name__),
        short_message(str(exception)),
        readable(str(place or Place.of(exception.__traceback__))),
        ends_user,
        1,
    )


class Recorder:
    """Counts the requests of one process until they are taken."""

    def __init__(self) -> None:
        """Create an empty recorder. Use `Recorder.of` for the recorder of a Locust Environment."""
        self.listeners: list[Callable[..., None]] = []
        """The listeners of Locust's ``events.request``, this recorder first: a live list. If there are others, a client
        that counts a request without firing the event must call ``notify``."""
        self.open_requests: dict[int, float] = {}
        """When the pending requests of other clients were sent, in seconds of ``time.perf_counter``, by a number unique
        to each request. Such a client adds and removes its entries."""
        self.by_labels = SeriesByLabels(self._series_of)
        """The series by (scenario, method, name), for callers that look one up per request. The key has a phase after
        the name if it is not the load: see `series`."""
        self.sampler = Sampler()
        """Decides which requests are traced; none by default."""
        self._by_key: dict[SeriesKey, Series] = {}
        self._series: list[Series] = []
        self._buffers: list[list[float]] = []
        self._counts = Accumulator()
        self._labels = self._counts.labels
        self._folded = 0  # series that the current fold has finished
        self._begun: dict[str, dict[Any, int]] = {}
        self._idle: dict[str, dict[Any, int]] = {}
        self._hosts: set[str] = set()
        self._environment: Environment | None = None
        self._kind: Callable[..., Series] = Series

    @classmethod
    def of(cls, environment: Environment) -> Recorder:
        """The recorder of a Locust Environment. Creating it, on first use, replaces Locust's own listener.

        From then on Locust's statistics are fed from the record instead of ``events.request``.
        """
        recorder: Recorder | None = getattr(environment, _ATTRIBUTE, None)
        if recorder is None:
            recorder = cls()
            setattr(environment, _ATTRIBUTE, recorder)
            recorder.listeners = RequestHook.of(environment)._handlers
            foreign = [each for each in recorder.listeners if not (is_locusts_own(each) or isinstance(each, Listener))]
            recorder.listeners[:] = [Listener(recorder.on_event, environment), *foreign]
            recorder._environment = environment
            environment.events.user_error.add_listener(recorder.on_user_error)  # type: ignore[no-untyped-call]
        return recorder

    @classmethod
    def alongside_locust(cls, environment: Environment) -> Recorder:
        """The recorder of an Environment, as `of` returns it; under plain Locust, one that counts nothing.

        If no record was requested before the first user, Locust's own statistics are the only ones. They remain
        listeners of ``events.request`` and are notified of each request.
        """
        hook = environment.events.request
        if hasattr(environment, _ATTRIBUTE) or not any(map(is_locusts_own, hook._handlers)):
            return cls.of(environment)
        recorder = cls()
        recorder._kind = Uncounted
        recorder.listeners = hook._handlers
        recorder.listeners.insert(0, Listener(None, environment))
        setattr(environment, _ATTRIBUTE, recorder)
        return recorder

    def notify(self, **request: Any) -> None:
        """Call the other listeners of ``events.request`` for a request that is already counted.

        Args:
            request: the arguments with which Locust fires the event.

        Raises:
            StopUser, StopTest, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet: raised by a listener to
                control the user. Any other error of a listener is logged.
        """
        if self._kind is Uncounted and getattr(request.get("exception"), "error_class", "") == UNFINISHED:
            return  # Locust counts no request of a user that it stops, and would exit with the code of a failure
        others = EventHook()  # type: ignore[no-untyped-call]
        others._handlers = [each for each in self.listeners if not isinstance(each, Listener)]
        others.fire(**request)  # type: ignore[no-untyped-call]

    def series(self, scenario: str, method: str, name: str, phase: str = LOAD) -> Series:
        """The series of these labels, to be looked up once and kept.

        Beyond `labels.MAX_SERIES` series, a new name counts as ``other`` of its scenario and method. Labels are made
        readable: see `labels.readable`.
        """
        return self.by_labels[(scenario, method, name) if phase == LOAD else (scenario, method, name, phase)]

    def _series_of(self, scenario: str, method: str, name: str, phase: str = LOAD) -> Series:
        phase = phase if phase in PHASES else LOAD  # a scenario's attribute may have the same name as ours
        bounded = self._labels.bounded(SeriesKey(readable(scenario), readable(method), readable(name), phase))
        if bounded not in self._by_key:
            row = self._labels.row(bounded)
            scenario_row = self._labels.scenario_row(bounded.scenario)
            series = self._kind(bounded, row, scenario_row, self._counts, self._connections)
            self._series.append(series)
            self._buffers += (series.times, series.late)
            self._by_key[bounded] = series
        return self._by_key[bounded]

    def _connections(self, scenario: str, host: str, phase: str) -> Series:
        """The series of a phase of the connections to a host."""
        if host not in self._hosts and len(self._hosts) >= MAX_HOSTS:
            host = OTHER
        self._hosts.add(host)
        return self.by_labels[scenario, "", host, phase]

    def drop_iterations(self, scenario: str, count: int = 1) -> None:
        """Count iterations that the load profile scheduled but that never began."""
        self._counts.add_dropped(self._labels.scenario_row(scenario), count)

    def begun(self, scenario: str) -> dict[Any, int]:
        """How often each task of a scenario began since the last take. Add 1 to a task's entry when it begins."""
        return self._begun.setdefault(scenario, defaultdict(int))

    def idle(self, scenario: str) -> dict[Any, int]:
        """The number of iterations of each task, since the last take, that ended without a request."""
        return self._idle.setdefault(scenario, defaultdict(int))

    def on_user_error(
        self, user_instance: Any, exception: BaseException, tb: TracebackType | None = None, **_: Any
    ) -> None:
        """Count an exception in a scenario's code, with the arguments of Locust's ``events.user_error``.

        An exception that reports a failed request which is already counted, as ``raise_for_status()`` does, is left
        out. An exception of a request that is not counted as failed, such as one whose body was cut short after the
        headers, or of a client that reports nothing, is counted here.
        """
        if is_counted(exception) or is_counted(getattr(exception, "response", None)):
            return
        user = getattr(user_instance, "user", user_instance)  # for a TaskSet
        if self._environment is not None and user.environment is not self._environment:
            return  # Environments may share their events
        self.add_exception(scenario_of(user), exception, Place.of(tb), ends_user=user_instance is user)

    def add_exception(
        self, scenario: str, exception: BaseException, place: Place | None = None, *, ends_user: bool = False
    ) -> None:
        """Count an exception raised by code that is not this product's.

        Args:
            scenario: the scenario whose code it is.
            exception: the exception.
            place: where it was raised; by default taken from its traceback.
            ends_user: whether it ended a user.
        """
        self.count_exception(exception_count(scenario, exception, place, ends_user=ends_user))

    def count_exception(self, count: ExceptionCount) -> None:
        """Count an exception that was described earlier."""
        self._counts.add_exception(*count)

    def on_end(self, user: Any, ending: BaseException, began_s: float, *, is_started: bool) -> None:
        """Count a user that ended itself because its scenario's code raised, for example StopUser; or one that was
        stopped before it generated any load, or while its own code had kept it from doing so.

        Args:
            user: the user.
            ending: the exception that ended it.
            began_s: when its on_start began, in seconds of ``time.perf_counter``.
            is_started: whether its on_start was completed.
        """
        places, now_s = Place.all_of(ending.__traceback__), time.perf_counter()
        # The intended start of an iteration is set until its first request.
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
            place = readable(str(Place.of(ending.__traceback__)))
            self._counts.add_exception(readable(scenario_of(user)), type(ending).__name__, message, place, True)

    def on_started(self, user: Any, began_s: float) -> None:
        """Count that a user's on_start is over, if it took so long that the user was no load meanwhile.

        Args:
            user: the user.
            began_s: when its on_start began, in seconds of ``time.perf_counter``.
        """
        now_s = time.perf_counter()
        if now_s - began_s >= LATE_START_S:
            self.series(scenario_of(user), "", "", STARTING).success(began_s, began_s, now_s, 0)

    def on_own_stop(self, user: Any) -> None:
        """Count a user that ended itself by calling its ``stop()``."""
        place = Place.of_caller()
        if place is not None:
            self._add_own_end(user, "stop()", place)

    def on_unstopped(self, user: Any) -> None:
        """Count a user that continues although it was stopped, and where."""
        frame = user.greenlet.gr_frame
        places = [Place.at(*call) for call in traceback.walk_stack(frame)] if frame is not None else []
        place = next((place for place in places if place.is_of_scenario), Place("?", 0, "?"))
        self._counts.add_exception(readable(scenario_of(user)), "GreenletExit", UNSTOPPED, readable(str(place)), True)

    def _add_own_end(self, user: Any, how: str, place: Place) -> None:
        self._counts.add_exception(readable(scenario_of(user)), readable(how), OWN_END, readable(str(place)), True)

    def on_event(self, **request: Any) -> None:
        """Count a request reported by ``events.request``; one that cannot be counted is noted in the record."""
        try:
            self.on_request(**request)
        except Exception as error:
            _log.exception("a request could not be recorded: %s", request)
            text = f"{request.get('request_type')} {request.get('name')} is in no figure: {error!r}"
            place = readable(str(Place.of_caller() or Place.of(error.__traceback__)))
            self._counts.add_exception(LISTENERS, UNRECORDED, short_message(text), place, False)

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
        """Count a request of a stock Locust user, with the arguments of ``events.request``.

        Locust gives the duration in milliseconds; the end is the current time. Without a duration (Locust allows None)
        the request counts, and its duration counts as refused.

        Raises:
            TypeError, ValueError, OverflowError: when an argument does not match Locust's documentation. Nothing is
                counted then.
        """
        response_bytes = size_of(response_length)
        end_s = time.perf_counter()
        if user is not None and not isinstance(user, type):
            setattr(user, ANSWERED, end_s)
        sent_s = end_s - float(response_time) / 1e3 if response_time is not None else math.nan
        intended_s = sent_s
        if user is not None and getattr(user, "intended_start_s", None) is not None:
            intended_s, user.intended_start_s = user.intended_start_s, None
        series = self.series(scenario_of(user), str(request_type), str(name), phase_of(user))
        if exception:
            mark_counted(exception, response)
            if user is not None:
                note_failure(user)
            counted = (intended_s, sent_s, end_s, response_bytes, class_of(exception), text_of(exception))
            is_of_http = all(hasattr(response, part) for part in ("request", "status_code", "headers"))
            series.failure(*counted, partial(of_response, response) if is_of_http else None)
        else:
            series.success(intended_s, sent_s, end_s, response_bytes)
        if self.sampler.ratio:
            headers = getattr(getattr(response, "request", None), "headers", None)
            error_class = class_of(exception) if exception else ""
            self.note_trace(series, headers, intended_s, sent_s, end_s, error_class)
        add_pending_tallies(series, response, None if exception or request_type == "HEAD" else response_bytes)

    def note_trace(  # noqa: PLR0917 - a sample has that many parts
        self,
        series: Series,
        headers: Mapping[str, Any] | None,
        intended_s: float,
        sent_s: float,
        end_s: float,
        error_class: str = "",
    ) -> None:
        """Record the trace of a counted request if its headers are part of a sampled trace, and export its span.

        Args:
            series: the series that counts the request.
            headers: the request's headers.
            intended_s: as for ``series.success``.
            sent_s: as for ``series.success``.
            end_s: as for ``series.success``.
            error_class: empty for a success.
        """
        trace_id, span_id = ids_of(headers)
        if trace_id:
            series.trace(trace_id, intended_s, sent_s, end_s, error_class)
            self.sampler.export(series.key, trace_id, span_id, sent_s, end_s, error_class)

    def waiting(self) -> int:
        """The number of values in the buffers."""
        return sum(map(len, self._buffers))

    def fold_slice(self) -> bool:
        """Fold at most `FOLD_SLICE` samples of `SERIES_SLICE` series; returns True if there may be more."""
        ahead = self._series[self._folded : self._folded + SERIES_SLICE]
        samples = accumulate([len(series.times) + len(series.late) // 2 for series in ahead])
        fitting = ahead[: bisect_right(list(samples), FOLD_SLICE)]
        if fitting:
            self._fold_on_time([(series.row, series.times) for series in fitting])
            self._fold_late([(series.row, series.scenario_row, series.late) for series in fitting])
            self._folded += len(fitting)
        elif ahead:  # the first series alone has more
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
        """Fold and empty these buffers of service times, given by row."""
        filled = [part for part in parts if part[-1]]
        if filled:
            rows, buffers = zip(*filled, strict=True)
            lengths, values = _emptied(buffers)
            self._counts.add_on_time(np.array(rows), lengths, values)

    def _fold_late(self, parts: list[tuple[int, int, list[float]]]) -> None:
        """Fold and empty these buffers of lags and service times, given by row and the scenario's row."""
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
        """Fold the buffers, letting other greenlets run between slices.

        It returns even if users keep recording: it folds what was there when it was called, and a little more.
        """
        self._folded = 0
        # Two consecutive slices exceed one full slice, because a series that no longer fits goes into the next.
        slices = 2 * self.waiting() // FOLD_SLICE + len(self._series) // SERIES_SLICE
        turns = Turns()
        while self.fold_slice() and slices:
            slices -= 1
            turns.end()

    def fold_early(self) -> None:
        """Fold if there are enough samples to make it worthwhile, which spreads the work over the second."""
        if self.waiting() >= max(FOLD_LEAST, FOLD_PAYS * len(self._series)):
            self.fold()

    def forget_evidence(self) -> None:
        """Begin a run, in which the first failures of each kind get evidence again."""
        self._counts.forget_evidence()

    def keep_evidence(self, kept: bool) -> None:
        """Turn the evidence of failures on or off."""
        self._counts.keeps_evidence = kept

    def has_counts(self) -> bool:
        """Whether anything was folded since the last take."""
        return bool(self._counts)

    def fold_all(self) -> None:
        """Fold the buffers without letting other greenlets run."""
        self._folded = 0
        more = self.waiting() > 0  # otherwise skip the look at each series
        while more:
            more = self.fold_slice()

    def take(self) -> Measurements:
        """Fold the rest, then remove and return everything counted since the last call."""
        self.fold_all()
        self._counts.add_outcomes(
            [series.take_failures() for series in self._series],
            [series.take_bytes() for series in self._series],
            [series.take_sent() for series in self._series],
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
    """Remove and return the first ``most`` values of a buffer."""
    beginning = buffer[:most]
    del buffer[:most]
    return beginning


def _emptied(buffers: Sequence[list[float]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Empty these buffers, and return their lengths and all their values."""
    lengths = np.array([len(buffer) for buffer in buffers])
    numbers: list[float] = []
    for buffer in buffers:
        numbers += buffer
        buffer.clear()
    # struct makes an array of floats several times faster than numpy does.
    return lengths, np.frombuffer(struct.pack(f"{len(numbers)}d", *numbers), np.float64)
