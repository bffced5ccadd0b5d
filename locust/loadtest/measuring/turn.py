"""Turns: long work is cut into turns, so that users and their pending events do not wait for all of it.

Tested in tests/unit/measuring/test_turn.py.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, Final

import gevent
from greenlet import getcurrent, greenlet

REST: Final = 2
"""The pause after a turn of `Turns`, as a multiple of the turn: the work takes at most a third of the time."""
LONGEST_REST_S: Final = 0.01
"""The longest pause in seconds. A turn that calls for a longer one was held up by other programs, which should not
delay the work's end further."""
_AT_ONCE_S: Final = 1e-9
_switch: Final = greenlet.switch  # without gevent's look-up of a trace hook, which is never set here


def end_turn() -> None:
    """Let everything else run that is due, including what waits for a socket.

    ``gevent.sleep(0)`` does not: gevent runs up to 50 such callbacks, of whatever length, before it polls sockets and
    timers again (``_run_callbacks`` of gevent's loop). A timer that is due immediately fires after that poll.
    """
    sleep(_AT_ONCE_S)


def sleep(seconds: float) -> None:
    """Yield for this many seconds, like ``gevent.sleep``, but with one kilobyte less of stack per waiting user."""
    hub = gevent.get_hub()
    hub.loop.update_now()  # a timer starts from the loop's cached time
    timer = hub.loop.timer(seconds)
    try:
        timer.start(getcurrent().switch)
        _switch(hub)
    finally:
        timer.stop()
        timer.close()


def wait_for_any(*watchers: Any) -> None:
    """Yield until one of these watchers of gevent's loop is called. Watchers cannot be reused.

    Raises:
        BaseException: whatever is thrown into the greenlet meanwhile.
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
    """The turns of long work that can wait: after each turn, the work pauses for `REST` times the turn's length.

    A single poll of what is due is not enough for a worker's arrivals. Those that came due during the turn are started
    a few at a time, with a poll of the network after each few. With a further turn of the work between them, each turn
    would add to how late they start.
    """

    def __init__(self) -> None:
        """Start the first turn."""
        self._began_s = perf_counter()

    def end(self) -> None:
        """End this turn, pause for at most `LONGEST_REST_S`, and start the next one."""
        sleep(min(LONGEST_REST_S, REST * (perf_counter() - self._began_s)))
        self._began_s = perf_counter()
