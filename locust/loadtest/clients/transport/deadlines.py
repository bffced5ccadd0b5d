"""One timer that watches the deadlines of every connection, instead of one timer per request.

A waiting connection carries its deadline as a number; setting it costs one attribute. The sweeper checks all
connections at a fixed period and wakes those whose deadline has passed, so a timeout fires late by up to that period: a
twentieth of the shortest timeout in use, at least 5 ms and at most 1 s.
"""

from time import perf_counter
from typing import Any, Protocol

import gevent

FOREVER_S = float("inf")
_SHORTEST_PERIOD_S = 0.005
_LONGEST_PERIOD_S = 1.0
_PERIODS_PER_TIMEOUT = 20


class DeadlineExpired(Exception):  # noqa: N818 -- a signal inside the clients, which classify it
    """Thrown into a waiting greenlet when its deadline has passed."""


class Watched(Protocol):
    """A watched connection.

    Attributes:
        waiter: The greenlet that waits, or None.
        deadline_s: Until when, in seconds of ``time.perf_counter``.
    """

    waiter: Any
    deadline_s: float


class DeadlineSweeper:
    """Wakes waiting connections whose deadline has passed; one per event loop.

    Attributes:
        watched: The connections to check; they add and remove themselves.
        period_s: The time between two checks, in seconds.
    """

    def __init__(self, hub: Any) -> None:
        """Create the sweeper of one hub; its timer runs while there is something to watch."""
        self.watched: set[Watched] = set()
        self.period_s = _LONGEST_PERIOD_S
        self._hub = hub
        self._timer: Any = None

    @classmethod
    def current(cls) -> "DeadlineSweeper":
        """The sweeper of this thread's hub."""
        hub = gevent.get_hub()
        sweeper = vars(hub).get("_loadtest_sweeper")
        if sweeper is None:
            sweeper = vars(hub)["_loadtest_sweeper"] = cls(hub)
        return sweeper

    def add(self, connection: Watched) -> None:
        """Watch a connection."""
        self.watched.add(connection)
        if self._timer is None:
            self._start()

    def discard(self, connection: Watched) -> None:
        """Stop watching a connection."""
        self.watched.discard(connection)

    def allow_for(self, timeout_s: float) -> None:
        """Check often enough for timeouts of this length, in seconds."""
        period_s = max(timeout_s / _PERIODS_PER_TIMEOUT, _SHORTEST_PERIOD_S)
        if period_s < self.period_s:
            self.period_s = period_s
            if self._timer is not None:
                self._stop()
                self._start()

    def waiting(self) -> list[tuple[int, float]]:
        """A key for each wait in progress: the connection and its deadline, which every request resets."""
        return [(id(each), each.deadline_s) for each in self.watched if each.waiter is not None]

    def _start(self) -> None:
        # ref=False: a sweep alone must not keep the event loop alive.
        self._timer = self._hub.loop.timer(self.period_s, self.period_s, ref=False)
        self._timer.start(self._sweep)

    def _stop(self) -> None:
        self._timer.stop()
        self._timer.close()
        self._timer = None

    def _sweep(self) -> None:
        now_s = perf_counter()
        expired = [each for each in self.watched if each.deadline_s < now_s and each.waiter is not None]
        for connection in expired:
            waiter, connection.waiter = connection.waiter, None
            if waiter is not None:  # an earlier throw of this sweep may have ended this wait
                waiter.throw(DeadlineExpired())
        if not self.watched:
            self._stop()
