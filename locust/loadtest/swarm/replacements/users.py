"""What takes the place of methods of Locust's users and their clients: see `loadtest.swarm.replacements`."""

from __future__ import annotations

import functools
import itertools
import sys
from time import perf_counter, time
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.user.task import LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from loadtest.measuring.labels import LOAD, SETUP
from loadtest.measuring.recorder import PHASE, Recorder
from loadtest.users.task_walker import report, stop_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust import User


_request_ids: Final = itertools.count()


def run(original: Callable[..., None]) -> Callable[..., None]:
    """Have what a user of Locust's own classes sends in on_start and on_stop count as set-up, and report what ends it.

    Locust reports an Exception of a task, and not what only a BaseException is, such as an expired gevent.Timeout.
    """

    @functools.wraps(original)
    def run(self: User) -> None:
        on_start, on_stop = self.on_start, self.on_stop

        began_s = perf_counter()

        def start_in_setup() -> None:
            nonlocal began_s
            setattr(self, PHASE, SETUP)
            on_start()
            setattr(self, PHASE, LOAD)
            began_s = 0.0

        def stop_in_setup() -> None:
            ending = sys.exc_info()[1]
            if ending is not None:
                Recorder.of(self.environment).on_end(self, ending, perf_counter() - began_s if began_s else 0.0)
            setattr(self, PHASE, SETUP)
            stop_user(self, on_stop)

        self.on_start, self.on_stop = start_in_setup, stop_in_setup  # type: ignore[method-assign]
        try:
            original(self)
        except BaseException as error:
            if not isinstance(error, (Exception, gevent.GreenletExit)):
                report(error, self)
            raise

    return run


def stop(original: Callable[..., bool]) -> Callable[..., bool]:
    """End the wait of a user at once, and note where a user ends itself.

    Locust has it killed in the event loop's next turn. A user whose wait is over until then wakes, and the kill breaks
    off a request that it sends: of its task, or of its on_stop.
    """

    def stop(self: User, force: bool = False) -> bool:
        if self.greenlet is gevent.getcurrent():
            Recorder.of(self.environment).on_own_stop(self)
        if self._state == LOCUST_STATE_WAITING:
            self._state = LOCUST_STATE_STOPPING
            gevent.get_hub().loop.run_callback(gevent.getcurrent().switch)  # back here when the user waits or has ended
            self.greenlet.throw(gevent.GreenletExit)
            self.greenlet.join()
            return True
        return original(self, force)

    return stop


def request(original: Callable[..., Any]) -> Callable[..., Any]:
    """Report a request whose user was stopped, or whose own time limit expired, before the answer came."""

    @functools.wraps(original)
    def request(self: Any, method: str, url: str, name: str | None = None, *args: Any, **more: Any) -> Any:
        began_s, start_time = perf_counter(), time()
        waiting = Recorder.of(self.user.environment).open_requests if self.user is not None else {}
        request_id = next(_request_ids)
        waiting[request_id] = began_s
        try:
            return original(self, method, url, name, *args, **more)
        except (gevent.GreenletExit, gevent.Timeout) as cause:
            self.request_event.fire(
                request_type=method,
                name=name or self.request_name or url,
                response_time=(perf_counter() - began_s) * 1000,
                response_length=0,
                response=None,
                context=more.get("context", {}),
                exception=cause,
                start_time=start_time,
                url=url,
            )
            raise
        finally:
            del waiting[request_id]

    return request
