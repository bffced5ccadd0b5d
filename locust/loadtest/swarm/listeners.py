"""Errors in a scenario's code outside its users: in listeners of Locust's events, and in greenlets of its own.

A listener that raises did not finish its work, such as preparing the users' data or checking each response. Locust logs
the error and goes on. Here it is also kept, until a worker's next delta or the master's verdict takes it.

A listener that calls ``sys.exit(0)`` would end the master as if the run had passed, before or despite its verdict. So
this counts as an error like any other, except in a listener before the first run. Any other exit code becomes that of
the process. A greenlet that calls ``sys.exit`` ends only itself, as a thread does; with gevent alone it would end the
process.
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
    """Call every listener, and log and keep what each one raises."""

    def fire(self: EventHook, *, reverse: bool = False, **arguments: Any) -> None:
        for listener in self._handlers[::-1] if reverse else self._handlers.copy():
            try:
                listener(**arguments)
            except _STEERING:
                raise
            except (Exception, SystemExit) as error:
                if isinstance(error, SystemExit) and (error.code or self is events.init):
                    raise
                logging.error("Uncaught exception in event handler: \n%s", traceback.format_exc())  # as Locust words it
                _keep(error)

    return fire


def watch_greenlets() -> None:
    """Make ``sys.exit(0)`` in a greenlet end only that greenlet. It is kept like an error in a listener.

    Locust exits this way too when it handles SIGTERM, but not in what gevent's error handling sees as a ``Greenlet``.
    """
    hub: Any = gevent.get_hub()
    if "handle_error" in vars(hub):  # already installed for another Environment
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
    """Return what listeners in this process raised since the last call, at most a thousand errors."""
    taken = _raised.copy()
    _raised.clear()
    return taken
