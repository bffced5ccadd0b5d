"""Code of the scenario's that raises where no user does: listeners of Locust's events, and greenlets of its own.

A listener that raises did not do what it was written for: prepare the users' data, check each response. Locust logs it
and goes on. Here it is kept as well, until a worker's next delta, or the master's verdict, takes it.

One that calls ``sys.exit(0)`` would end the master as if the run had passed, before it is judged or in spite of that.
So that is an error like any other, except of a listener before the first run. Another exit code is the process's. A
greenlet that calls it, which gevent takes as the end of the process, ends itself, as a thread does.
"""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust import events, log
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser

from loadtest.measuring.measurements import LISTENERS
from loadtest.measuring.recorder import exception_count

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from locust.event import EventHook

    from loadtest.measuring.measurements import ExceptionCount

_STEERING: Final = (StopUser, StopTest, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet)
_MOST: Final = 1_000
_raised: list[ExceptionCount] = []


def fire(_original: Callable[..., None]) -> Callable[..., None]:
    """Call every listener, log what it raises, and keep it."""

    def fire(self: EventHook, *, reverse: bool = False, **arguments: Any) -> None:
        for listener in self._handlers[::-1] if reverse else self._handlers.copy():
            try:
                listener(**arguments)
            except _STEERING:
                raise
            except (Exception, SystemExit) as error:
                if isinstance(error, SystemExit) and (error.code or self is events.init):
                    raise
                logging.error("Uncaught exception in event handler: \n%s", traceback.format_exc())  # as Locust says it
                _keep(error)

    return fire


def watch_greenlets() -> None:
    """Have a greenlet of this process end only itself by ``sys.exit(0)``, which is kept like what a listener raises.

    Locust ends by it, too, where it handles SIGTERM: in no ``Greenlet`` as far as gevent's handling of errors can see.
    """
    hub: Any = gevent.get_hub()
    if "handle_error" in vars(hub):  # for another Environment already
        return
    handle = hub.handle_error

    def handle_error(context: Any, kind: type[BaseException], error: BaseException, trace: TracebackType) -> None:
        if not isinstance(context, gevent.Greenlet) or not isinstance(error, SystemExit) or error.code:
            handle(context, kind, error, trace)
            return
        logging.error("A greenlet called sys.exit(0): \n%s", "".join(traceback.format_exception(error)))
        _keep(error)

    hub.handle_error = handle_error


def _keep(error: BaseException) -> None:
    log.unhandled_greenlet_exception = True
    if len(_raised) < _MOST:
        _raised.append(exception_count(LISTENERS, error))


def take_raised() -> list[ExceptionCount]:
    """Return what listeners of this process raised since the last time, at most a thousand."""
    taken = _raised.copy()
    _raised.clear()
    return taken
