"""Listeners of Locust's events that raise: what takes the place of ``EventHook.fire``.

A listener that raises did not do what it was written for: prepare the users' data, check each response. Locust logs it
and goes on. Here it is kept as well, until a worker's next delta, or the master's verdict, takes it.

One that calls ``sys.exit(0)`` would end the master as if the run had passed, before it is judged or in spite of that.
So that is an error like any other, except before the first run. Another exit code is the process's.
"""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any, Final

from locust import events, log
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser

from loadtest.measuring.measurements import LISTENERS
from loadtest.measuring.recorder import exception_count

if TYPE_CHECKING:
    from collections.abc import Callable

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
                log.unhandled_greenlet_exception = True
                if len(_raised) < _MOST:
                    _raised.append(exception_count(LISTENERS, error))

    return fire


def take_raised() -> list[ExceptionCount]:
    """Return what listeners of this process raised since the last time, at most a thousand."""
    taken = _raised.copy()
    _raised.clear()
    return taken
