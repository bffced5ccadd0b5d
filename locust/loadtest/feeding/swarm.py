"""Feeding wired into Locust: dealers on the master, feeders on the workers, both in a process that runs alone.

Between them go custom messages over Locust's worker link:

    feeding_open   master → worker   a run begins: ask
    feeding_ask    worker → master   a BatchRequest for each feed every `KEEP_ALIVE_S`, and how long users waited
    feeding_deal   master → worker   the Batch that answers it

The master opens a run before Locust tells the workers to start users, and gives them `OPENING_S` to ask: what they are
dealt then arrives before the first user is started. A worker that joins later asks when it is told to start users.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.event import Event
from locust.runners import STATE_MISSING, STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerRunner

from loadtest.exceptions import UsageError
from loadtest.feeding import policies, sources
from loadtest.feeding.allocator import Batch, BatchAllocator, BatchRequest
from loadtest.feeding.feeder import KEEP_ALIVE_S, Feed, Feeder, Waits, feeds_of
from loadtest.feeding.policies import Order
from loadtest.swarm.disconnections import PROBE, is_connected

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

logger = logging.getLogger(__name__)

OPENING_S: Final = 1.0
_WATCH_EVERY_S: Final = 0.25
_CATCH_UP_S: Final = 1.0
_POLL_S: Final = 0.005
_ATTRIBUTE: Final = "loadtest_feeding"  # where an Environment keeps its side


class LocalFeeding:
    """A process that runs alone: it deals to itself."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._feeders: dict[str, Feeder] = {}
        self._allocators: dict[str, BatchAllocator] = {}
        self._source: str | None = None
        self._policy: str | None = None
        self._on_used_up: Callable[[str], None] = logger.warning
        events: Any = environment.events
        events.test_stopping.add_listener(lambda **_: self._close())

    def begin(self, source: str | None, policy: str | None, on_used_up: Callable[[str], None]) -> list[str]:
        """See `MasterFeeding.begin`."""
        feeds = feeds_of(self._environment.user_classes)
        _check(feeds, source)
        self._source, self._policy, self._on_used_up = source, policy, on_used_up
        self._feeders.clear()
        self._allocators.clear()
        return [self._made(feed) for feed in feeds]

    def feeder(self, feed: Feed) -> Feeder:
        """Return the feeder of a feed; without a run that has begun, its source is read at the first call."""
        if feed.name not in self._feeders:
            self._made(feed)
        return self._feeders[feed.name]

    def account(self) -> list[str]:
        """See `MasterFeeding.account`."""
        return [_account(name, allocator, [self._feeders[name].waits]) for name, allocator in self._allocators.items()]

    def _close(self) -> None:
        for feeder in self._feeders.values():
            feeder.close()

    def _made(self, feed: Feed) -> str:
        data = sources.read(self._source or feed.source)
        policy = self._policy or feed.policy
        allocator = self._allocators[feed.name] = BatchAllocator(Order(data.items, policy))

        def send(ask: BatchRequest, now_s: float) -> None:
            deal = allocator.allocate("alone", ask, now_s)
            if not ask.leaving:
                feeder.receive(deal, now_s)
            if allocator.is_used_up and not ask.leaving:
                gevent.spawn(self._on_used_up, _used_up(feed.name, allocator))

        feeder = self._feeders[feed.name] = Feeder(send)
        feeder.open()
        return f"{feed.name}: {data.sentence}, {policy}"


class WorkerFeeding:
    """A worker: its feeders ask the master."""

    def __init__(self, environment: Environment, runner: WorkerRunner) -> None:
        self._runner = runner
        self._bell = Event()
        self._feeders = {feed.name: self._made(feed.name) for feed in feeds_of(environment.user_classes)}
        self._keeper: gevent.Greenlet[..., None] | None = None
        runner.register_message("feeding_open", lambda **_: self._open())
        runner.register_message("feeding_deal", self._on_deal)
        if PROBE not in runner.custom_messages:
            runner.register_message(PROBE, lambda **_: None)
        if not self._feeders:
            return
        events: Any = environment.events
        events.test_start.add_listener(lambda **_: self._begin())
        events.test_stop.add_listener(lambda **_: self._close())
        events.test_stopping.add_listener(lambda **_: self._close())
        if runner.worker_state in (STATE_SPAWNING, STATE_RUNNING):
            self._begin()  # the master sent the first spawn while Locust was still being set up

    def feeder(self, feed: Feed) -> Feeder:
        """Return the feeder of a feed that one of the User classes declares."""
        return self._feeders[feed.name]

    def _made(self, name: str) -> Feeder:
        def send(ask: BatchRequest, now_s: float) -> None:
            waits = feeder.waits
            message = {"feed": name, "ask": tuple(ask), "now_s": now_s, "waits": list(vars(waits).values())}
            try:
                self._runner.send_message("feeding_ask", message)
            except Exception as error:  # whatever Locust's link raises, the keeper asks again
                logger.warning("the master could not be asked for items of %s, and is asked again: %s", name, error)

        feeder = Feeder(send, self._bell.set)
        return feeder

    def _begin(self) -> None:
        """Begin, unless the master has said so already."""
        if self._keeper is None:
            self._open()

    def _open(self) -> None:
        self._close()
        for feeder in self._feeders.values():
            feeder.open()
        self._keeper = gevent.spawn(self._keep)

    def _close(self) -> None:
        if self._keeper is not None:
            self._keeper.kill(block=False)
            self._keeper = None
            for feeder in self._feeders.values():
                feeder.close()

    def _keep(self) -> None:
        while True:
            self._bell.wait(KEEP_ALIVE_S)
            self._bell.clear()
            for feeder in self._feeders.values():
                feeder.request()

    def _on_deal(self, msg: Any, **_: Any) -> None:
        self._feeders[msg.data["feed"]].receive(Batch(*msg.data["deal"]), msg.data["now_s"])


class MasterFeeding:
    """The master: it reads the sources and deals."""

    def __init__(self, environment: Environment, runner: MasterRunner) -> None:
        self._environment = environment
        self._runner = runner
        self._allocators: dict[str, BatchAllocator] = {}
        self._waits: dict[tuple[str, str], Waits] = {}
        self._asked: set[str] = set()
        self._last_lease = time.time_ns() // 1_000_000  # also above those of a master that ran before
        self._watcher: gevent.Greenlet[..., None] | None = None
        runner.register_message("feeding_ask", self._on_ask)
        events: Any = environment.events
        events.test_stop.add_listener(lambda **_: self.stop())

    def begin(self, source: str | None, policy: str | None, on_used_up: Callable[[str], None]) -> list[str]:
        """Begin a run: read the sources and deal each worker its first items.

        Args:
            source: in place of what the one feed declares.
            policy: in place of what the feeds declare.
            on_used_up: called once, with the reason, when a user has got every item there will ever be.

        Returns:
            A sentence for each feed.

        Raises:
            UsageError: for a source that cannot be used, or one for a scenario that has no feed or several.
            StackError: for a store that does not serve.
        """
        self.stop()
        self._last_lease = max((self._last_lease, *(allocator.last_lease for allocator in self._allocators.values())))
        self._allocators.clear()
        self._waits.clear()
        self._asked.clear()
        feeds = feeds_of(self._environment.user_classes)
        _check(feeds, source)
        said = []
        for feed in feeds:
            data = sources.read(source or feed.source)
            order = Order(data.items, policy or feed.policy)
            self._allocators[feed.name] = BatchAllocator(order, self._last_lease)
            said.append(f"{feed.name}: {data.sentence}, {policy or feed.policy}")
        if feeds:
            self._assemble()
            self._watcher = gevent.spawn(self._watch, on_used_up)
        return said

    def stop(self) -> None:
        """Allocate no more; what was counted stays until the next run."""
        if self._watcher is not None and self._watcher is not gevent.getcurrent():
            self._watcher.kill(block=False)
        self._watcher = None

    def account(self) -> list[str]:
        """Return a sentence for each feed: what was dealt, and how long users waited."""
        return [
            _account(name, allocator, [waits for (feed, _), waits in self._waits.items() if feed == name])
            for name, allocator in self._allocators.items()
        ]

    def _is_connected(self, worker: str) -> bool:
        return is_connected(self._runner, worker)

    def _assemble(self) -> None:
        living = [worker for worker, node in self._runner.clients.items() if node.state != STATE_MISSING]
        for allocator in self._allocators.values():
            allocator.workers = max(1, len(living))
        for worker in living:
            self._runner.send_message("feeding_open", None, worker)
        until_s = time.perf_counter() + OPENING_S
        while not self._asked.issuperset(living) and time.perf_counter() < until_s:
            gevent.sleep(_POLL_S)

    def _on_ask(self, msg: Any, **_: Any) -> None:
        name, ask = msg.data["feed"], BatchRequest(*msg.data["ask"])
        allocator = self._allocators.get(name)
        if allocator is None:
            return
        self._asked.add(msg.node_id)
        self._waits[name, msg.node_id] = Waits(*msg.data["waits"])
        deal = allocator.allocate(msg.node_id, ask, time.perf_counter())
        if not ask.leaving:
            answer = {"feed": name, "deal": tuple(deal), "now_s": msg.data["now_s"]}
            self._runner.send_message("feeding_deal", answer, msg.node_id)

    def _watch(self, on_used_up: Callable[[str], None]) -> None:
        looked_s = prompt_since_s = time.perf_counter()
        while True:
            gevent.sleep(_WATCH_EVERY_S)
            looked_s, before_s = time.perf_counter(), looked_s
            if looked_s - before_s > 2 * _WATCH_EVERY_S:
                prompt_since_s = looked_s  # this process was held up, and has yet to hear what came meanwhile
            hears_all = looked_s - prompt_since_s > _CATCH_UP_S
            for name, allocator in self._allocators.items():
                for worker in allocator.expire_leases(looked_s, self._is_connected) if hears_all else ():
                    logger.warning(
                        "worker %s is lost: its items of %s go to the others; %d may have been used, and do not",
                        worker,
                        name,
                        allocator.in_doubt,
                    )
                if allocator.is_used_up:
                    on_used_up(_used_up(name, allocator))
                    return


Feeding = LocalFeeding | WorkerFeeding | MasterFeeding


def wire(environment: Environment) -> None:
    """Make this process ready to feed; call it once, when Locust's runner exists (``events.init``)."""
    of(environment)


def of(environment: Environment) -> Any:
    """Return this process's side of the feeding, made at the first call."""
    side: Feeding | None = getattr(environment, _ATTRIBUTE, None)
    if side is None:
        runner = environment.runner
        if isinstance(runner, MasterRunner):
            side = MasterFeeding(environment, runner)
        elif isinstance(runner, WorkerRunner):
            side = WorkerFeeding(environment, runner)
        else:
            side = LocalFeeding(environment)
        setattr(environment, _ATTRIBUTE, side)
    return side


def _check(feeds: list[Feed], source: str | None) -> None:
    if source is not None and len(feeds) != 1:
        names = ", ".join(feed.name for feed in feeds) or "none"
        raise UsageError(
            f"FEED is set, but the scenario's feeds are: {names}. Allowed: FEED for a scenario with one feed. Next: "
            "leave FEED out, or choose another scenario."
        )
    for feed in feeds:
        policies.check(feed.policy)


def _account(name: str, allocator: BatchAllocator, waits: list[Waits]) -> str:
    count, longest_s = sum(wait.count for wait in waits), max((wait.longest_s for wait in waits), default=0.0)
    waited = f"users waited {count:,} times, at most {longest_s * 1e3:.1f} ms" if count else "no user waited"
    doubt = f", {allocator.in_doubt:,} in doubt after a worker's death" if allocator.in_doubt else ""
    return f"{name}: {allocator.used:,} items used{doubt}; {waited}"


def _used_up(name: str, allocator: BatchAllocator) -> str:
    doubt = f", and {allocator.in_doubt:,} in doubt after a worker's death" if allocator.in_doubt else ""
    return f"every item of {name} was used: {allocator.used:,}{doubt}"
