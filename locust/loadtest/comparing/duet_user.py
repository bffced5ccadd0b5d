"""DuetUser: runs each iteration of a scenario twice at the same time, once on each of two versions of a service.

Each side has its own user, with its own connections, cookies and position in its tasks. Both start at the same intended
time, in random order, and draw the same random numbers, so that they choose the same tasks and send the same data. This
holds for numbers from the module `random` that are drawn in the task's own greenlet.

Tested in tests/native/test_duet.py.
"""

from __future__ import annotations

import copy
import inspect
import math
import random
from collections import defaultdict, deque
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from gevent.queue import Queue
from locust import TaskSet, task
from locust.exception import StopUser

from loadtest import scenarios
from loadtest.comparing import duet
from loadtest.comparing.core_waits import CoreWaits
from loadtest.comparing.duet import SIDES
from loadtest.comparing.greenlet_random import GreenletRandom
from loadtest.estimating import looks
from loadtest.feeding.feed import Feed
from loadtest.measuring.labels import PAIRS
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.users import SIDE
from loadtest.scenarios import Scenario
from loadtest.session import Session
from loadtest.users.base import LoadUser
from loadtest.users.pool import iterate
from loadtest.users.task_walker import TaskWalker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from locust import User
    from locust.env import Environment

Requests = list[tuple[str, str, float | None]]
"""Method, name, and the service time in milliseconds: NaN if unknown, None for a failed request."""
_CONTEXT: Final = "duet"


class PairCounter:
    """Counts the pairs of a process in its record, by the outcomes of their two requests.

    Args:
        environment: the worker's Environment.
    """

    def __init__(self, environment: Environment) -> None:
        self._recorder = Recorder.alongside_locust(environment)
        environment.events.request.add_listener(self._on_request)  # type: ignore[no-untyped-call]

    @staticmethod
    def _on_request(
        request_type: str, name: str, response_time: float | None, exception: object, context: Any, **_: Any
    ) -> None:
        requests = context.get(_CONTEXT) if isinstance(context, dict) else None
        if requests is not None:
            succeeded_ms = math.nan if response_time is None else float(response_time)
            requests.append((request_type, name, None if exception else succeeded_ms))

    def count(self, scenario: str, base: Requests, new: Requests) -> None:
        """Count an iteration's requests: the first ones of a name on both sides are a pair, then the second, and so on.

        The time of a pair is the ratio of its two times: see `loadtest.measuring.labels.PAIR`.
        """
        times: dict[tuple[str, str], tuple[list[float | None], list[float | None]]] = defaultdict(lambda: ([], []))
        for side, requests in enumerate((base, new)):
            for method, name, time_ms in requests:
                times[method, name][side].append(time_ms)
            requests.clear()
        for key, (of_base, of_new) in times.items():
            for old, later in zip(of_base, of_new, strict=False):
                self._add(scenario, key, _KINDS[old is not None, later is not None], _ratio(old, later))
            for _ in range(abs(len(of_base) - len(of_new))):
                self._add(scenario, key, "alone", math.nan)

    def _add(self, scenario: str, key: tuple[str, str], outcome: str, ratio: float) -> None:
        series = self._recorder.series(scenario, *key, PAIRS[outcome])
        series.success(_BEGUN_S, _BEGUN_S, ratio, 0)


_BEGUN_S: Final = 0.0
_KINDS: Final = {
    (True, True): "both_succeeded",
    (False, True): "base_failed",
    (True, False): "new_failed",
    (False, False): "both_failed",
}


def _ratio(base_ms: float | None, new_ms: float | None) -> float:
    """Return the ratio of two times; NaN, which a histogram counts separately, if one is missing."""
    return new_ms / base_ms if base_ms and new_ms else math.nan


class SharedFeed:
    """Gives each item of a feed to both sides of a user.

    Args:
        feeder: the process's feeder, or any object with its `next`.
    """

    def __init__(self, feeder: Any) -> None:
        self._feeder = feeder
        self._dealt: tuple[deque[Any], deque[Any]] = (deque(), deque())
        self._turn = BoundedSemaphore()

    def next(self, side: int) -> Any:
        """Return the next item of a side.

        Raises:
            StopUser: when the test ends while the user waits for an item.
        """
        with self._turn:  # the other side may wait for the same item
            if not self._dealt[side]:
                item = self._feeder.next()
                for dealt in self._dealt:
                    dealt.append(copy.deepcopy(item))
            return self._dealt[side].popleft()


class _Side:
    """One side of a user, which runs iterations on command.

    Args:
        user: a user of the scenario's own class.
        feeds: functions that return its next item, by the feed's attribute.
        seed: of the random numbers of its on_start.
    """

    def __init__(self, user: Any, feeds: dict[str, Callable[[], Any]], seed: int) -> None:
        self.requests: Requests = []
        user.context = lambda: {_CONTEXT: self.requests}
        vars(user).update({name: SimpleNamespace(next=following) for name, following in feeds.items()})
        self._orders: Queue[tuple[float | None, int]] = Queue()
        self._is_done = Event()
        self._walker = TaskWalker(user, lambda kind: kind.run is not TaskSet.run)
        self._greenlet = gevent.spawn(self._live, seed)
        self._greenlet.rawlink(lambda _: self._is_done.set())

    def order(self, intended_s: float | None, seed: int) -> None:
        """Order one iteration."""
        self._is_done.clear()
        self._orders.put((intended_s, seed))

    def wait(self) -> None:
        """Wait until its on_start, or the ordered iteration, has completed, or the side has ended."""
        self._is_done.wait()

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, as when its scenario raised StopUser."""
        return bool(self._greenlet.dead)

    def end(self) -> None:
        """End the side, which runs its on_stop."""
        self._greenlet.kill()
        close = getattr(self._walker.user, "close", None)
        if close is not None:
            close()

    def _live(self, seed: int) -> None:
        GreenletRandom.seed_own(seed)
        self._walker.live(self._serve)

    def _serve(self, walker: TaskWalker) -> None:
        while True:
            self._is_done.set()
            intended_s, seed = self._orders.get()
            GreenletRandom.seed_own(seed)
            walker.user.intended_start_s = intended_s
            iterate(walker)
            walker.user.intended_start_s = None


class DuetUser(LoadUser):
    """A user of both versions.

    Attributes:
        sides: the scenario's own User class, once for each version.
    """

    abstract = True
    sides: tuple[type[User], type[User]]

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._counter = Session.of(environment).find_or_make(PairCounter, lambda: PairCounter(environment))
        self._chance = random.SystemRandom()
        self._sides: list[_Side] = []

    def on_start(self) -> None:
        """Start both sides."""
        dealers = {name: SharedFeed(getattr(self, name)) for name in _feeds_of(type(self))}
        seed = self._chance.getrandbits(64)
        for number, kind in enumerate(self.sides):
            GreenletRandom.seed_own(seed)  # for its __init__
            feeds: dict[str, Callable[[], Any]] = {
                name: partial(dealer.next, number) for name, dealer in dealers.items()
            }
            self._sides.append(_Side(kind(self.environment), feeds, seed))
        for side in self._sides:
            side.wait()
            side.requests.clear()  # those of its on_start
        self._end_with_sides()

    @task
    def pair(self) -> None:
        """Run one iteration on both sides."""
        intended_s, self.intended_start_s = self.intended_start_s, None
        seed = self._chance.getrandbits(64)
        first, second = self._chance.sample(self._sides, 2)
        for side in (first, second):
            side.order(intended_s, seed)
        for side in (second, first):  # always the base first would delay the other side's response by one more switch
            side.wait()
        base, new = self._sides
        self._counter.count(self.scenario, base.requests, new.requests)
        self._end_with_sides()

    def _end_with_sides(self) -> None:
        """End this user when a side of it has ended, now that the other one has got its responses.

        Raises:
            StopUser: a side has ended.
        """
        if any(side.has_ended for side in self._sides):
            raise StopUser

    def on_stop(self) -> None:
        """End both sides."""
        for side in self._sides:
            side.end()


def scenario_of(
    name: str,
    of: str,
    hosts: tuple[str, str],
    redis_urls: tuple[str, str] | None = None,
    until_decided: tuple[float, float] | None = None,
) -> Scenario:
    """Return the scenario of a duet.

    Args:
        name: its name.
        of: the scenario that both sides follow.
        hosts: the base URLs of the two versions.
        redis_urls: the Redis URLs of the two versions, for users and data that need one.
        until_decided: see `loadtest.comparing.duet.write`.
    """
    GreenletRandom.install()
    inner = scenarios.load(of)
    attributes = [
        {
            SIDE: side,
            "host": host,
            "times_arrivals": True,
            **({"redis_url": redis_urls[number]} if redis_urls else {}),
        }
        for number, (side, host) in enumerate(zip(SIDES, hosts, strict=True))
    ]
    kinds = tuple(_duet_class(kind, name, attributes) for kind in inner.user_classes)
    made = Scenario(name, kinds, is_locustfile=True)
    if until_decided is not None:
        margin, longest_s = until_decided
        look = partial(duet.look, margin, looks.share(longest_s), CoreWaits.of(hosts))
        made = replace(made, looks_s=looks.within(longest_s), look=look)
    if redis_urls is None:
        return made
    load_data = None if inner.load_data is None else partial(_load_both, inner.load_data, redis_urls)
    remove_data = None if inner.remove_data is None else partial(_remove_both, inner.remove_data, redis_urls)
    return replace(made, load_data=load_data, remove_data=remove_data)


def _load_both(
    load: Callable[[str, Callable[[int, int], None]], object],
    redis_urls: tuple[str, str],
    _: str,
    progress: Callable[[int, int], None],
) -> list[str]:
    """Load the data of both sides, and return the sentences about it, each once."""
    found = [load(url, progress) for url in redis_urls]
    return list(dict.fromkeys(note for notes in found if isinstance(notes, list) for note in notes))


def _remove_both(remove: Callable[[str, str], int], redis_urls: tuple[str, str], _: str, run_id: str) -> int:
    return sum(remove(url, run_id) for url in redis_urls)


def _feeds_of(kind: type) -> dict[str, Feed]:
    """Return the feeds of a User class by attribute."""
    found = {name: inspect.getattr_static(kind, name) for name in dir(kind)}
    return {name: value for name, value in found.items() if isinstance(value, Feed)}


def _duet_class(kind: type[User], name: str, attributes: Sequence[dict[str, Any]]) -> type[User]:
    sides = tuple(type(f"{kind.__name__}_{one[SIDE]}", (kind,), dict(one)) for one in attributes)
    own = {"abstract": False, "scenario": name, "sides": sides, "weight": kind.weight, **_feeds_of(kind)}
    if kind.fixed_count:
        own["fixed_count"] = kind.fixed_count
    if kind.wait_time is not None:
        own["wait_time"] = kind.wait_time
    return type(f"{kind.__name__}Duet", (DuetUser,), own)
