"""Feeder: hands a feed's items to the users of its process.

`next` takes an item that the worker already holds. It neither sends nor waits unless the master's batch is late; such
waits are counted and shown at the end of the run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gevent.event import Event
from locust.exception import StopUser

from loadtest.feeding.held_batches import HeldBatches

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.feeding.allocator import Batch, BatchRequest

KEEP_ALIVE_S: Final = 0.5
"""The longest time between two requests, which renew the lease and make up for lost messages."""


@dataclass
class Waits:
    """How often users had to wait for an item, and how long."""

    count: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0

    def add(self, waited_s: float) -> None:
        """Count a wait."""
        self.count += 1
        self.total_s += waited_s
        self.longest_s = max(self.longest_s, waited_s)


class Feeder:
    """The items of one feed in this process.

    Args:
        send: sends a request made at an instant of the clock.
        request_soon: schedules a call of `request` from another greenlet; by default it is called at once.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        send: Callable[[BatchRequest, float], None],
        request_soon: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._send = send
        self._request_soon = request_soon or self.request
        self._clock = clock
        self._held = HeldBatches()
        self._items = self._held.items
        self._changed = Event()
        self._closed = True
        self.waits = Waits()

    def next(self) -> Any:
        """Return the next item of the swarm's order; no other user gets it in this round.

        Raises:
            StopUser: the test ended while the user was waiting for an item.
        """
        if len(self._items) <= self._held.alert or self._clock() > self._held.leased_until_s:
            self._replenish()
        return self._items.popleft()

    def open(self) -> None:
        """Begin a run: drop all items, and request new ones."""
        self._held.drop()
        self._closed = False
        self.waits = Waits()
        self.request()

    def close(self) -> None:
        """End a run: return held items, and stop waiting users."""
        if not self._closed:
            self._closed = True
            self._send(self._held.leave(), self._clock())
            self._wake()

    def request(self) -> None:
        """Report used items, claim the next ones, and request more."""
        if not self._closed:
            now_s = self._clock()
            self._send(self._held.request(now_s), now_s)

    def receive(self, batch: Batch, requested_s: float) -> None:
        """Process a batch, the answer to the request of an instant."""
        if not self._closed:
            self._held.receive(batch, requested_s)
            self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, Event()
        changed.set()

    def _replenish(self) -> None:
        """Request more, and return when the next item may be used."""
        if not self._closed:
            self._request_soon()
        while not self._held.may_use(now_s := self._clock()):
            if self._held.has(now_s):
                self.request()  # the other greenlet has not run yet
            else:
                self._wait()

    def _wait(self) -> None:
        began_s, exhausted = self._clock(), self._held.exhausted
        while not self._held.has(self._clock()):
            if self._closed:
                raise StopUser
            exhausted = exhausted or self._held.exhausted
            self._changed.wait(KEEP_ALIVE_S)
        if not exhausted:
            self.waits.add(self._clock() - began_s)
