"""Requests of other clients, as reported by Locust's ``events.request``.

The recorder replaces Locust's own statistics among the event's listeners.

Tested by tests/unit/measuring/test_recorder.py and tests/native/test_locustfiles.py.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.event import EventHook

from loadtest.measuring.error_classes import NO_ANSWER, UNFINISHED
from loadtest.measuring.tallies import NOWHERE, UNKNOWN, leads_nowhere
from loadtest.measuring.users import current_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

    from loadtest.measuring.series import Series

PENDING_TALLIES: Final = "loadtest_pending_tallies"
"""The attribute of a greenlet or a response that holds what happened alongside a request of Locust's own clients."""
MAX_RESPONSE_BYTES: Final = 1 << 50
"""A limit below which sums, of 63 bits, do not overflow."""
_COUNTED: Final = "loadtest_counted"  # set on an exception or response whose request was counted as failed
BODILESS: Final = (204, 304)
"""The status codes of responses without a body."""
_CLASSES_BY_NAME: Final = {"CatchResponseError": "assertion", "GreenletExit": UNFINISHED, "RedirectError": "redirect"}


def mark_counted(*failures: Any) -> None:
    """Mark the exceptions and responses of a request that was counted as failed, so that it is not counted again."""
    for failure in failures:
        with contextlib.suppress(AttributeError, TypeError):
            setattr(failure, _COUNTED, True)


def is_counted(failure: Any) -> bool:
    """Whether an exception or response belongs to a request that was counted as failed."""
    return getattr(failure, _COUNTED, False) is True


def class_of(exception: BaseException | str) -> str:
    """The error class of an error that a stock Locust user reports."""
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


def text_of(exception: BaseException | str) -> str:
    """The error message of an error that a stock Locust user reports."""
    if isinstance(exception, gevent.GreenletExit):
        return NO_ANSWER
    return exception if isinstance(exception, str) else repr(exception)


def size_of(response_length: float | str | None) -> int:
    """The size of a response in bytes, from Locust's event, checked because one wrong number would spoil the sum.

    Raises:
        TypeError, ValueError, OverflowError: when it is not a number of bytes from 0 to `MAX_RESPONSE_BYTES`.
    """
    size = int(response_length or 0)
    if not 0 <= size <= MAX_RESPONSE_BYTES:
        raise ValueError(f"response_length={size} is not a number of bytes from 0 to {MAX_RESPONSE_BYTES}")
    return size


def add_pending_tallies(series: Series, response: Any, body_bytes: int | None) -> None:
    """Count what happened alongside a request of Locust's own clients: see `loadtest.swarm.replacements.clients`.

    Args:
        series: the series of the request.
        response: the response, if there is one.
        body_bytes: the size of a successful response's body; None for a response without a body, or a failure.
    """
    of_caught = getattr(response, PENDING_TALLIES, None)
    pending = getattr(gevent.getcurrent(), PENDING_TALLIES, None) if of_caught is None else of_caught
    if pending is None:
        series.tally(UNKNOWN)
        return
    for counted in pending:
        series.tally(*counted)
    if response is None:
        return
    for hop in getattr(response, "history", ()):
        series.note_redirect(str(hop.headers.get("location", "")))
    sent = getattr(getattr(response, "request", None), "headers", None) or ()
    asked, place = str(getattr(response, "url", "") or ""), (response.headers or {}).get("location") or ""
    place = str(place)  # a list if there are several
    if of_caught is not None:  # the scenario examined the response
        return
    status = response.status_code or 0
    if leads_nowhere(status, sent, asked, place):
        series.tally(NOWHERE, str(status))
    elif body_bytes is not None and status not in BODILESS:
        series.note_size(body_bytes)


def is_locusts_own(listener: Callable[..., None]) -> bool:
    """Whether a listener is Locust's own statistics, which would count everything a second time."""
    return getattr(listener, "__qualname__", "") == "Runner.__init__.<locals>.on_request"


class Listener:
    """The recorder as a listener of Locust's ``events.request``, in place of Locust's own statistics.

    Under plain Locust, whose statistics stay in place, it has no recorder to notify.
    """

    def __init__(self, on_event: Callable[..., None] | None, environment: Environment) -> None:
        self._on_event = on_event
        only = environment.user_classes
        self._only_user = only[0] if len(only) == 1 else None

    def __call__(self, **request: Any) -> None:
        """Count the request."""
        if self._on_event is None:
            return
        user = current_user()
        self._on_event(**{**request, "user": user if user is not None else self._only_user})


class RequestHook(EventHook):
    """Locust's ``events.request``, which no longer accepts Locust's own statistics as a listener.

    The existing hook is changed in place, and its list of listeners stays the same object: code that bound the hook or
    its ``fire`` earlier, at import for example, still feeds the record.
    """

    @classmethod
    def of(cls, environment: Environment) -> EventHook:
        """Convert the Environment's hook, and return it."""
        hook = environment.events.request
        hook.__class__ = cls
        return hook

    def add_listener(self, handler: Callable[..., None]) -> Callable[..., None]:
        """Add a listener, unless it is Locust's own statistics."""
        if not is_locusts_own(handler):
            super().add_listener(handler)  # type: ignore[no-untyped-call]
        return handler
