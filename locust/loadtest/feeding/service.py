"""Feeding as a swarm service: the master's FeedCoordinator allocates items, the workers' FeedWorkers hold them.

The coordinator opens a run before Locust tells the workers to start users, and gives them `OPENING_S` for their
requests, so that their items arrive before the first user starts. A worker that joins later sends its request when it
begins.

Tested in tests/native/test_feeding_swarm.py.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.event import Event

from loadtest.feeding import sources
from loadtest.feeding.allocator import Batch, BatchAllocator, BatchRequest
from loadtest.feeding.feed import Feeders, LocalFeeding, account_of, check, feeds_of, used_up
from loadtest.feeding.feeder import KEEP_ALIVE_S, Feeder, Waits
from loadtest.feeding.policies import Order
from loadtest.session import Session
from loadtest.swarm.messages import (
    BATCH_ALLOCATED,
    BATCH_REQUEST,
    OPEN,
    BatchMessage,
    BatchRequestMessage,
)
from loadtest.swarm.session import MasterSwarm, WorkerSwarm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from locust import User
    from locust.env import Environment

    from loadtest.feeding.feed import Feed
    from loadtest.swarm.service import Link, Service
    from loadtest.swarm.session import Swarm

logger = logging.getLogger(__name__)

OPENING_S: Final = 1.0
_WATCH_EVERY_S: Final = 0.25
_CATCH_UP_S: Final = 1.0
_POLL_S: Final = 0.005


def service(swarm: Swarm) -> Service:
    """Return this process's side of feeding."""
    session, user_classes = Session.of(swarm.environment), swarm.environment.user_classes
    if isinstance(swarm, WorkerSwarm):
        worker = FeedWorker(swarm, user_classes)
        session.put(Feeders, Feeders(worker.feeder))
        return worker
    if isinstance(swarm, MasterSwarm):
        coordinator = FeedCoordinator(swarm, user_classes)
        session.put(FeedCoordinator, coordinator)
        return coordinator
    local = LocalFeeding(user_classes)
    session.put(LocalFeeding, local)
    session.put(Feeders, Feeders(local.feeder))
    return local


def of(environment: Environment) -> FeedCoordinator | LocalFeeding:
    """Return the side that reads the sources: that of a master, or of a process that runs alone.

    Raises:
        RuntimeError: this is a worker, or the swarm has not been started.
    """
    session = Session.of(environment)
    found = session.find(FeedCoordinator) or session.find(LocalFeeding)
    if found is None:
        raise RuntimeError("only a master, or a process that runs alone, reads test data, once the swarm was started")
    return found


class FeedWorker:
    """A worker's side: its feeders send requests to the master.

    Args:
        link: the connection to the master.
        user_classes: the classes whose feeds it serves.
    """

    def __init__(self, link: Link, user_classes: Sequence[type[User]]) -> None:
        self._link = link
        self._bell = Event()
        self._feeders = {feed.name: self._made(feed.name) for feed in feeds_of(user_classes)}
        self._keeper: gevent.Greenlet[..., None] | None = None
        link.on(OPEN, lambda _master, _payload: self._open())
        link.on(BATCH_ALLOCATED, self._on_batch)

    def feeder(self, feed: Feed) -> Feeder:
        """Return the feeder of a feed that one of the User classes declares."""
        return self._feeders[feed.name]

    def begin(self) -> None:
        """Request items, unless the master has already opened the run."""
        if self._keeper is None:
            self._open()

    def joined(self, peer: str) -> None:
        """Do nothing: another run begins with another spawn message."""

    def lost(self, peer: str) -> None:
        """Do nothing: held items expire with their lease."""

    def drain(self) -> None:
        """Return held items, and stop waiting users."""
        if self._keeper is not None:
            self._keeper.kill(block=False)
            self._keeper = None
            for feeder in self._feeders.values():
                feeder.close()

    def _made(self, name: str) -> Feeder:
        def send(request: BatchRequest, now_s: float) -> None:
            waits = feeder.waits
            waited = (waits.count, waits.total_s, waits.longest_s)
            message = BatchRequestMessage(name, tuple(request), now_s, waited)  # type: ignore[arg-type]  # these fields
            try:
                self._link.send(BATCH_REQUEST, message)
            except Exception as error:  # whatever Locust's link raises, the keeper retries
                logger.warning("items of %s could not be requested from the master; trying again: %s", name, error)

        feeder = Feeder(send, self._bell.set)
        return feeder

    def _open(self) -> None:
        self.drain()
        if self._feeders:
            for feeder in self._feeders.values():
                feeder.open()
            self._keeper = gevent.spawn(self._keep)

    def _keep(self) -> None:
        while True:
            self._bell.wait(KEEP_ALIVE_S)
            self._bell.clear()
            for feeder in self._feeders.values():
                feeder.request()

    def _on_batch(self, _master: str, message: BatchMessage) -> None:
        if message.feed in self._feeders:
            self._feeders[message.feed].receive(Batch(*message.batch), message.now_s)


class FeedCoordinator:
    """The master's side: it reads the sources and allocates.

    Args:
        link: the connection to the workers.
        user_classes: the classes whose feeds it serves.
    """

    def __init__(self, link: Link, user_classes: Sequence[type[User]]) -> None:
        self._link = link
        self._user_classes = user_classes
        self._allocators: dict[str, BatchAllocator] = {}
        self._waits: dict[tuple[str, str], Waits] = {}
        self._asked: set[str] = set()
        self._lost: set[str] = set()
        self._on_used_up: Callable[[str], None] = logger.warning
        self._last_lease = time.time_ns() // 1_000_000  # also above those of an earlier master
        self._watcher: gevent.Greenlet[..., None] | None = None
        link.on(BATCH_REQUEST, self._on_request)

    def prepare(self, source: str | None, policy: str | None, on_used_up: Callable[[str], None]) -> list[str]:
        """Read the sources for the next run.

        Args:
            source: replaces the source of the only feed.
            policy: replaces the policies of the feeds.
            on_used_up: called once, with the reason, when users have got every item that there will ever be.

        Returns:
            A sentence for each feed.

        Raises:
            UsageError: a source cannot be used, or is set for a scenario without a feed or with several.
            StackError: a store does not answer.
        """
        self.drain()
        self._last_lease = max((self._last_lease, *(one.last_lease for one in self._allocators.values())))
        self._allocators.clear()
        self._waits.clear()
        self._asked.clear()
        self._on_used_up = on_used_up
        feeds = feeds_of(self._user_classes)
        check(feeds, source)
        sentences = []
        for feed in feeds:
            data = sources.read(source or feed.source, ids_only=feed.ids_only)
            order = Order(data.items, policy or feed.policy)
            self._allocators[feed.name] = BatchAllocator(order, self._last_lease)
            sentences.append(f"{feed.name}: {data.sentence}, {policy or feed.policy}")
        return sentences

    def begin(self) -> None:
        """Give each worker its first items."""
        if self._allocators:
            self._open()
            self._watcher = gevent.spawn(self._watch)

    def joined(self, peer: str) -> None:
        """See `loadtest.swarm.service.Service`."""
        self._lost.discard(peer)

    def lost(self, peer: str) -> None:
        """Give its items to the others once its lease has ended; until then it may still use them."""
        self._lost.add(peer)

    def drain(self) -> None:
        """Stop watching the leases; the counts stay until the next run is prepared."""
        if self._watcher is not None and self._watcher is not gevent.getcurrent():
            self._watcher.kill(block=False)
        self._watcher = None

    def account(self) -> list[str]:
        """Return a sentence for each feed: the used items, and how long users waited."""
        return [
            account_of(name, one, [waits for (feed, _), waits in self._waits.items() if feed == name])
            for name, one in self._allocators.items()
        ]

    def _open(self) -> None:
        workers = self._link.peers()
        self._lost.clear()
        for allocator in self._allocators.values():
            allocator.workers = max(1, len(workers))
        self._link.send(OPEN, None)
        until_s = time.perf_counter() + OPENING_S
        while not self._asked.issuperset(workers) and time.perf_counter() < until_s:
            gevent.sleep(_POLL_S)

    def _on_request(self, worker: str, message: BatchRequestMessage) -> None:
        allocator = self._allocators.get(message.feed)
        if allocator is None:
            return
        request = BatchRequest(*message.request)
        self._asked.add(worker)
        self._waits[message.feed, worker] = Waits(*message.waits)
        batch = allocator.allocate(worker, request, time.perf_counter())
        if not request.leaving:
            self._link.send(BATCH_ALLOCATED, BatchMessage(message.feed, _as_message(batch), message.now_s), worker)

    def _watch(self) -> None:
        looked_s = prompt_since_s = time.perf_counter()
        while True:
            gevent.sleep(_WATCH_EVERY_S)
            looked_s, before_s = time.perf_counter(), looked_s
            if looked_s - before_s > 2 * _WATCH_EVERY_S:
                prompt_since_s = looked_s  # this process was blocked, and has messages to read
            receives_all = looked_s - prompt_since_s > _CATCH_UP_S
            for name, allocator in self._allocators.items():
                for worker in allocator.expire_leases(looked_s, self._is_there) if receives_all else ():
                    logger.warning(
                        "worker %s is lost: its items of %s go to the others, except %d that may have been used",
                        worker,
                        name,
                        allocator.in_doubt,
                    )
                if allocator.is_used_up:
                    self._on_used_up(used_up(name, allocator))
                    return

    def _is_there(self, worker: str) -> bool:
        return worker not in self._lost


def _as_message(batch: Batch) -> tuple[int, int, list[Any], bool]:
    return batch.lease, batch.offset, batch.items, batch.exhausted
