"""Feeder: gives its process's users their items. Feed: declares in a User class where the items come from.

    class Buyer(HttpUser):
        feeder = Feed("user_ids.json")

        @task
        def buy(self):
            user_id = self.feeder.next()

`next` takes an item that the worker already holds; it sends nothing and waits for nobody, unless the master could not
deal in time. Such a wait is counted and shown at the run's end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, overload

from gevent.event import Event
from locust.exception import StopUser

from loadtest.feeding import policies
from loadtest.feeding.held_batches import HeldBatches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from locust import User

    from loadtest.feeding.allocator import Batch, BatchRequest

    Source = str | Sequence[Any] | Callable[[], Sequence[Any]]

KEEP_ALIVE_S: Final = 0.5
"""A worker asks at least so often, for the sake of its lease and of lost messages."""


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
        send: sends an ask that was made at an instant of the clock.
        request_soon: has `request` called soon, by somebody else.
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
            StopUser: the test ends while the user waits for an item.
        """
        if len(self._items) <= self._held.alert or self._clock() > self._held.leased_until_s:
            self._attend()
        return self._items.popleft()

    def open(self) -> None:
        """Begin a run: hold nothing, and ask."""
        self._held.drop()
        self._closed = False
        self.waits = Waits()
        self.request()

    def close(self) -> None:
        """End a run: give back what is held; users who wait are stopped."""
        if not self._closed:
            self._closed = True
            self._send(self._held.leave(), self._clock())
            self._wake()

    def request(self) -> None:
        """Say what was used, claim, and ask for more."""
        if not self._closed:
            now_s = self._clock()
            self._send(self._held.request(now_s), now_s)

    def receive(self, batch: Batch, requested_s: float) -> None:
        """Take what the master dealt."""
        if not self._closed:
            self._held.receive(batch, requested_s)
            self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, Event()
        changed.set()

    def _attend(self) -> None:
        """Have the master told, and return when the next item may be used."""
        if not self._closed:
            self._request_soon()
        while not self._held.may_use(now_s := self._clock()):
            if self._held.has(now_s):
                self.request()  # whoever is rung has not come to it yet
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


class Feed:
    """A User class's test data; read through a user it is that process's `Feeder`.

    Several User classes share the items when they share the Feed.

    Args:
        source: a file or URL (see `loadtest.feeding.sources`), the items themselves, or what returns them; read on the
            master, when a run begins. LOADTEST_FEED takes its place.
        policy: one of `loadtest.feeding.policies.ALLOWED`; LOADTEST_FEED_POLICY takes its place.

    Raises:
        UsageError: for an unknown policy.
    """

    def __init__(self, source: Source, policy: str = "round_robin") -> None:
        policies.check(policy)
        self.source = source
        self.policy = policy
        self.name = "feed"

    def __set_name__(self, owner: type[User], name: str) -> None:
        if self.name == "feed":
            self.name = f"{owner.__name__}.{name}"

    @overload
    def __get__(self, user: None, owner: type[User]) -> Self: ...
    @overload
    def __get__(self, user: User, owner: type[User]) -> Feeder: ...
    def __get__(self, user: User | None, owner: type[User]) -> Self | Feeder:
        if user is None:
            return self
        from loadtest.feeding import swarm  # noqa: PLC0415 - it knows this module

        feeder: Feeder = swarm.of(user.environment).feeder(self)
        user.__dict__[self.name.rpartition(".")[2]] = feeder  # found first from now on
        return feeder


def feeds_of(user_classes: Iterable[type[User]]) -> list[Feed]:
    """Return the feeds that User classes declare, each once, in their order."""
    found = [
        value
        for user_class in user_classes
        for owner in reversed(user_class.__mro__)
        for value in vars(owner).values()
        if isinstance(value, Feed)
    ]
    return list(dict.fromkeys(found))
