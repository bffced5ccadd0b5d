"""Feed: declares in a User class where its test data comes from.

class Buyer(HttpUser):
    feeder = Feed("user_ids.json")

    @task
    def buy(self):
        user_id = self.feeder.next()
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self, overload

import gevent

from loadtest.exceptions import UsageError
from loadtest.feeding import policies, sources
from loadtest.feeding.allocator import BatchAllocator
from loadtest.feeding.feeder import Feeder
from loadtest.feeding.policies import Order
from loadtest.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from locust import User
    from locust.env import Environment

    from loadtest.feeding.allocator import BatchRequest
    from loadtest.feeding.feeder import Waits
    from loadtest.feeding.sources import Source

logger = logging.getLogger(__name__)


class Feed:
    """A User class's test data; accessed through a user, it is the process's `Feeder`.

    Several User classes share the items when they share the Feed.

    Args:
        source: a file or URL (see `loadtest.feeding.sources`), the items themselves, or a function that returns them;
            read on the master, when a run begins. LOADTEST_FEED overrides it.
        policy: one of `loadtest.feeding.policies.ALLOWED`; LOADTEST_FEED_POLICY overrides it.
        ids_only: whether the item of a record is only its id, whatever other columns it has.

    Raises:
        UsageError: for an unknown policy.
    """

    def __init__(self, source: Source, policy: str = "round_robin", *, ids_only: bool = False) -> None:
        policies.check(policy)
        self.ids_only = ids_only
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
        feeder = Feeders.of(user.environment).find(self)
        attribute = self.name.rpartition(".")[2]
        if getattr(owner, attribute, None) is self:
            user.__dict__[attribute] = feeder  # takes precedence from now on
        return feeder


def feeds_of(user_classes: Iterable[type[User]]) -> list[Feed]:
    """Return the feeds of User classes, each once, in order."""
    found = [
        value
        for user_class in user_classes
        for owner in reversed(user_class.__mro__)
        for value in vars(owner).values()
        if isinstance(value, Feed)
    ]
    return list(dict.fromkeys(found))


def check(feeds: Sequence[Feed], source: str | None) -> None:
    """Check the feeds of the settings and the User classes.

    Raises:
        UsageError: a source matches no feed or several, or a policy is unknown.
    """
    if source is not None and len(feeds) != 1:
        names = ", ".join(feed.name for feed in feeds) or "none"
        raise UsageError(
            f"FEED is set, but the scenario's feeds are: {names}. Allowed: FEED for a scenario with one feed. Next: "
            "leave FEED out, or choose another scenario."
        )
    for feed in feeds:
        policies.check(feed.policy)


class Feeders:
    """The feeders of a process, by feed.

    Args:
        find: returns the feeder of a feed.
    """

    def __init__(self, find: Callable[[Feed], Feeder]) -> None:
        self.find = find

    @classmethod
    def of(cls, environment: Environment) -> Feeders:
        """Return the feeders of an Environment; outside of a swarm, they read their sources at the first call."""
        return Session.of(environment).find_or_make(cls, lambda: cls(LocalFeeding(environment.user_classes).feeder))


class LocalFeeding:
    """Both sides of feeding, in a process that runs alone.

    Args:
        user_classes: the classes whose feeds it serves.
    """

    def __init__(self, user_classes: Sequence[type[User]]) -> None:
        self._user_classes = user_classes
        self._feeders: dict[str, Feeder] = {}
        self._allocators: dict[str, BatchAllocator] = {}
        self._source: str | None = None
        self._policy: str | None = None
        self._on_used_up: Callable[[str], None] = logger.warning

    def prepare(self, source: str | None, policy: str | None, on_used_up: Callable[[str], None]) -> list[str]:
        """See `loadtest.feeding.service.FeedCoordinator.prepare`."""
        feeds = feeds_of(self._user_classes)
        check(feeds, source)
        self._source, self._policy, self._on_used_up = source, policy, on_used_up
        self._feeders.clear()
        self._allocators.clear()
        return [self._read(feed) for feed in feeds]

    def begin(self) -> None:
        """Do nothing: the feeders have been open since `prepare`."""

    def joined(self, peer: str) -> None:
        """Do nothing: there are no other processes."""

    def lost(self, peer: str) -> None:
        """Do nothing: there are no other processes."""

    def drain(self) -> None:
        """Stop the users that wait for items."""
        for feeder in self._feeders.values():
            feeder.close()

    def feeder(self, feed: Feed) -> Feeder:
        """Return the feeder of a feed; without a prepared run, its source is read at the first call."""
        if feed.name not in self._feeders:
            self._read(feed)
        return self._feeders[feed.name]

    def account(self) -> list[str]:
        """See `loadtest.feeding.service.FeedCoordinator.account`."""
        return [account_of(name, one, [self._feeders[name].waits]) for name, one in self._allocators.items()]

    def _read(self, feed: Feed) -> str:
        data = sources.read(self._source or feed.source, ids_only=feed.ids_only)
        policy = self._policy or feed.policy
        allocator = self._allocators[feed.name] = BatchAllocator(Order(data.items, policy))

        def send(request: BatchRequest, now_s: float) -> None:
            batch = allocator.allocate("alone", request, now_s)
            if not request.leaving:
                feeder.receive(batch, now_s)
            if allocator.is_used_up and not request.leaving:
                gevent.spawn(self._on_used_up, used_up(feed.name, allocator))

        feeder = self._feeders[feed.name] = Feeder(send)
        feeder.open()
        return f"{feed.name}: {data.sentence}, {policy}"


def account_of(name: str, allocator: BatchAllocator, waits: list[Waits]) -> str:
    """Return a sentence about the items that users got from a feed, and how long they waited."""
    count, longest_s = sum(wait.count for wait in waits), max((wait.longest_s for wait in waits), default=0.0)
    waited = f"users waited {count:,} times, at most {longest_s * 1e3:.1f} ms" if count else "no user waited"
    doubt = f", {allocator.in_doubt:,} in doubt after a worker's death" if allocator.in_doubt else ""
    return f"{name}: {allocator.used:,} items used{doubt}; {waited}"


def used_up(name: str, allocator: BatchAllocator) -> str:
    """Return a sentence about why there are no more items."""
    doubt = f", and {allocator.in_doubt:,} in doubt after a worker's death" if allocator.in_doubt else ""
    return f"every item of {name} was used: {allocator.used:,}{doubt}"
