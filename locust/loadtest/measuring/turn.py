"""The turn of a greenlet: long work is cut into turns, so that users and what has arrived for them do not wait for it.

Tested in tests/unit/measuring/test_turn.py.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, Final

import gevent
from greenlet import getcurrent, greenlet

REST: Final = 2
"""How many times as long as a turn of `Turns` all else has after it: the work takes a third of the time at most."""
LONGEST_REST_S: Final = 0.01
"""A turn that took longer was held up by other programs, and what waits for its end should not wait for more."""
_AT_ONCE_S: Final = 1e-9
_switch: Final = greenlet.switch  # without gevent's look for a hook that nothing here has


def end_turn() -> None:
    """Let all else run that is due, also what waits for a socket.

    ``gevent.sleep(0)`` does not: gevent runs up to 50 such turns, of whatever length, before it looks at sockets and
    timers again (``_run_callbacks`` of gevent's loop). A timer that is due at once comes after that look.
    """
    sleep(_AT_ONCE_S)


def sleep(seconds: float) -> None:
    """Let others run for as long, as ``gevent.sleep`` does: a user that waits keeps a kilobyte less of its stack."""
    hub = gevent.get_hub()
    hub.loop.update_now()  # a timer counts from the loop's last look at the clock
    timer = hub.loop.timer(seconds)
    try:
        timer.start(getcurrent().switch)
        _switch(hub)
    finally:
        timer.stop()
        timer.close()


def wait_for_any(*watchers: Any) -> None:
    """Let others run until one of these watchers of gevent's loop is called; all of them are used up.

    Raises:
        BaseException: what is thrown into the greenlet meanwhile.
    """
    hub, wake = gevent.get_hub(), getcurrent().switch
    try:
        for watcher in watchers:
            watcher.start(wake)
        _switch(hub)
    finally:
        for watcher in watchers:
            watcher.stop()
            watcher.close()


class Turns:
    """The turns of long work that can wait: after each, all else has `REST` times as long as the turn took.

    A single look at what is due is too little for a worker's arrivals. Those that came due during the turn are started
    a few at a time, with a look at the network after each few; with a further turn of the work between them, each turn
    would add to how late they start.
    """

    def __init__(self) -> None:
        """Begin the first turn."""
        self._began_s = perf_counter()

    def end(self) -> None:
        """End this turn, and begin the next one when all else has had its time: at most `LONGEST_REST_S`."""
        sleep(min(LONGEST_REST_S, REST * (perf_counter() - self._began_s)))
        self._began_s = perf_counter()
