"""Counts the requests of one user, and notifies Locust's listeners.

Tested in tests/unit/clients/http/test_reporter.py and test_scenario_api.py.
"""

import time
from collections.abc import Mapping
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from loadtest.clients.http.errors import InvalidRequestError, error_class_of, interruption
from loadtest.clients.http.response import Response, new_response
from loadtest.measuring.evidence import Evidence, of_exchange
from loadtest.measuring.labels import LOAD
from loadtest.measuring.stock_requests import mark_counted
from loadtest.measuring.users import note_failure, phase_of, scenario_of

if TYPE_CHECKING:
    from loadtest.clients.http.request import Request
    from loadtest.clients.http.routes import HttpRoute
    from loadtest.measuring.series import Series
    from loadtest.users.base import LoadUser

Context = Mapping[str, Any] | None


class RequestReporter:
    """Counts the requests of one user.

    Args:
        user: The user who sends them.
    """

    __slots__ = ("_is_tracing", "_listeners", "_user")

    def __init__(self, user: "LoadUser") -> None:
        """Find the recorder."""
        self._user = user
        self._listeners = user.recorder.listeners
        self._is_tracing = user.recorder.sampler.ratio > 0

    def report(self, route: "HttpRoute", response: Response, context: Context = None) -> None:
        """Count a request and notify Locust's listeners, if there are any."""
        error = response.error
        times = (response.intended_s, response.sent_s, response.end_s)
        if error is None:
            route.success(*times, response.wire_bytes)
        else:
            note_failure(self._user)
            kind = (error_class_of(error), str(error))
            route.series.failure(*times, response.wire_bytes, *kind, partial(self._evidence, response))
            mark_counted(error)
        if self._is_tracing:
            self._trace(route.series, response, times, error)
        if len(self._listeners) > 1:
            self.notify_of(route, response, context)

    def report_interruption(  # noqa: PLR0917 -- called in two places
        self,
        route: "HttpRoute",
        request: "HttpRoute | Request",
        context: Context,
        intended_s: float,
        sent_s: float,
        cause: BaseException,
    ) -> None:
        """Count a request that was ended before its response by something other than its connection."""
        response = new_response(Response, None, None, 0, request, intended_s, sent_s, perf_counter())
        response.error = interruption(cause)
        self.report(route, response, context)

    def report_invalid(self, method: str, label: str, error: InvalidRequestError) -> None:
        """Count a call that could not be built."""
        now_s = perf_counter()
        note_failure(self._user)
        self._series(method, label).failure(now_s, now_s, now_s, 0, error.error_class, str(error))
        mark_counted(error)
        if len(self._listeners) > 1:
            self._user.recorder.notify(
                request_type=method,
                name=label,
                response_time=0.0,
                response_length=0,
                response=None,
                context=self._user.context(),
                exception=error,
                start_time=time.time(),
                url=label,
            )

    def report_changed(self, event: dict[str, Any]) -> None:
        """Count a request with the changes that a scenario made in ``response.request_meta``."""
        response: Response = event["response"]
        series = self._series(str(event["request_type"]), str(event["name"]))
        end_s = response.sent_s + event["response_time"] / 1000
        counted = (response.intended_s, response.sent_s, end_s, event["response_length"])
        error = event["exception"]
        if error is None:
            series.success(*counted)
        else:
            note_failure(self._user)
            series.failure(*counted, error_class_of(error), str(error), partial(self._evidence, response))
            mark_counted(error)
        if self._is_tracing:
            self._trace(series, response, counted[:3], error)
        if len(self._listeners) > 1:
            self._user.recorder.notify(**event)

    def notify_of(self, route: "HttpRoute", response: Response, context: Context = None) -> None:
        """Notify Locust's listeners of a request that is counted."""
        self._user.recorder.notify(**self.event_of(route, response, context))

    def event_of(self, route: "HttpRoute", response: Response, context: Context) -> dict[str, Any]:
        """The arguments with which Locust's listeners are notified of a request."""
        return {
            "request_type": route.method,
            "name": route.name,
            "response_time": (response.end_s - response.sent_s) * 1000,
            "response_length": response.wire_bytes,
            "response": response,
            "context": {**self._user.context(), **(context or {})},
            "exception": response.error,
            "start_time": time.time() - (perf_counter() - response.sent_s),
            "url": route.url.text,
        }

    def part(  # noqa: PLR0917 -- a part has that many figures
        self, method: str, name: str, phase: str, begun_s: float, end_s: float, received_bytes: int
    ) -> None:
        """Count a part of a streamed response; in the set-up only the request counts.

        Args:
            method: The request's.
            name: Under which it is recorded.
            phase: One of `labels.STREAM_PHASES`.
            begun_s: When the part began, in seconds of ``time.perf_counter``: the intended start, or the event before.
            end_s: When it ended.
            received_bytes: How much came in it.
        """
        if phase_of(self._user) == LOAD:
            series = self._user.recorder.series(scenario_of(self._user), method, name, phase)
            series.success(begun_s, begun_s, end_s, received_bytes)

    def _trace(
        self, series: "Series", response: Response, times: tuple[float, float, float], error: Exception | None
    ) -> None:
        error_class = "" if error is None else error_class_of(error)
        self._user.recorder.note_trace(series, response.request.headers, *times, error_class)

    def _evidence(self, response: Response) -> Evidence:
        """What was sent, and what has come back so far."""
        status = (response.status_code, response.reason) if response.status_code else None
        cookies = getattr(getattr(self._user, "client", None), "cookie_values", ())
        return of_exchange(response.request, status, response.headers, response.received, cookies)

    def _series(self, method: str, name: str) -> "Series":
        """Where requests without a route are recorded."""
        return self._user.recorder.series(scenario_of(self._user), method, name, phase_of(self._user))
