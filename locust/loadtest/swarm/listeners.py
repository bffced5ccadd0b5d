"""Errors in a scenario's code outside its users: in listeners of Locust's events, and in greenlets of its own.

A listener that raises did not finish its work, such as preparing the users' data or checking each response. Locust logs
the error and goes on. Here it is also kept, until a worker's next delta or the master's verdict takes it.

A listener that calls ``sys.exit(0)`` would end the master as if the run had passed, before or despite its verdict. So
this counts as an error like any other, except in a listener before the first run. Any other exit code becomes that of
the process. A greenlet that calls ``sys.exit(0)`` ends only itself, as a thread does; with gevent alone it would end
the process.

A greenlet or thread that raises did not finish its work either, and nobody notices: it sends requests in parallel with
a task, reads a user's events, or watches the service and ends the run. An error in a greenlet that a user spawned
counts as one of its scenario, as if a task had raised it; any other counts like that of a listener. Errors at the end
of a run do not count: code that waits for events finds its connection closed then.
"""

from __future__ import annotations

import logging
import threading
import traceback
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust import events, log
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from locust.runners import STATE_CLEANUP, STATE_STOPPED, STATE_STOPPING
from locust.user.task import LOCUST_STATE_STOPPING

from loadtest.measuring.measurements import LISTENERS
from loadtest.measuring.places import Place
from loadtest.measuring.recorder import Recorder, exception_count
from loadtest.measuring.stock_requests import is_counted
from loadtest.measuring.users import scenario_of, user_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from locust.env import Environment
    from locust.event import EventHook

    from loadtest.measuring.measurements import ExceptionCount

_STEERING: Final = (StopUser, StopTest, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet)
_MAX_RAISED: Final = 1_000
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


def watch_greenlets(environment: Environment) -> None:
    """Count errors in the scenario's own greenlets and threads in this process, and make ``sys.exit(0)`` in a greenlet
    end only that greenlet. It is kept like an error in a listener.

    Locust exits this way too when it handles SIGTERM, but not in what gevent's error handling sees as a ``Greenlet``.
    """
    hub: Any = gevent.get_hub()
    if "handle_error" in vars(hub):  # already installed for another Environment
        return
    handle, tell = hub.handle_error, threading.excepthook

    def handle_error(context: Any, kind: type[BaseException], error: BaseException, trace: TracebackType) -> None:
        if isinstance(context, gevent.Greenlet):
            if isinstance(error, SystemExit) and not error.code:
                logging.error("A greenlet called sys.exit(0): \n%s", "".join(traceback.format_exception(error)))
                _keep(error)
                return
            if isinstance(error, Exception):
                _count(environment, context, error)
        handle(context, kind, error, trace)

    def excepthook(found: threading.ExceptHookArgs) -> None:
        if isinstance(found.exc_value, Exception):
            _count(environment, None, found.exc_value)
        tell(found)

    hub.handle_error, threading.excepthook = handle_error, excepthook


def _count(environment: Environment, greenlet: Any, error: Exception) -> None:
    """Count an error that ended one of the scenario's own greenlets or threads during a run.

    An error about a failed request that is already counted is left out. So is one that ends a user's own greenlet,
    which is counted elsewhere.
    """
    user = user_of(greenlet)
    runner = environment.runner if user is None else user.environment.runner
    is_over = runner is not None and runner.state in {STATE_CLEANUP, STATE_STOPPING, STATE_STOPPED}
    if is_over or (user is not None and (user.greenlet is greenlet or user._state == LOCUST_STATE_STOPPING)):
        return
    places = Place.all_of(error.__traceback__)
    if not any(place.is_of_scenario for place in places) and not (places and places[0].is_request):
        return  # in code of Locust or of a library
    if is_counted(error) or is_counted(getattr(error, "response", None)):
        return
    if user is None:
        _keep(error)
    else:
        Recorder.of(user.environment).add_exception(scenario_of(user), error)


def _keep(error: BaseException) -> None:
    log.unhandled_greenlet_exception = True
    if len(_raised) < _MAX_RAISED:
        _raised.append(exception_count(LISTENERS, error))


def take_raised() -> list[ExceptionCount]:
    """Return what listeners in this process raised since the last call, at most a thousand errors."""
    taken = _raised.copy()
    _raised.clear()
    return taken
