"""What takes the place of methods of Locust's users and their clients: see `loadtest.swarm.replacements`."""

from __future__ import annotations

import functools
import itertools
from time import perf_counter, time
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.user.task import LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from loadtest.measuring.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust import User


_request_ids: Final = itertools.count()


def stop(original: Callable[..., bool]) -> Callable[..., bool]:
    """End the wait of a user at once.

    Locust has it killed in the event loop's next turn. A user whose wait is over until then wakes, and the kill breaks
    off a request that it sends: of its task, or of its on_stop.
    """

    def stop(self: User, force: bool = False) -> bool:
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
