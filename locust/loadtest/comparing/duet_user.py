"""DuetUser: does each iteration of a scenario twice at the same time, once on each of two versions of a service.

Each side has a user of its own, with connections, cookies and a place in its tasks. Both begin at the same intended
instant, in random order, and draw the same random numbers, so that they choose the same tasks and send the same data.
The numbers are the same as far as they come from the module `random` in the task's own greenlet.

Tested in tests/native/test_duet.py.
"""

from __future__ import annotations

import json
import os
import random
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.event import Event
from gevent.queue import Queue
from locust import TaskSet, task
from locust.exception import StopUser

from loadtest import atomic_file, scenarios
from loadtest.comparing.duet import SIDES
from loadtest.comparing.greenlet_random import GreenletRandom
from loadtest.scenarios import Scenario
from loadtest.session import Session
from loadtest.settings.config import Config
from loadtest.users.base import LoadUser
from loadtest.users.pool import iterate
from loadtest.users.task_walker import TaskWalker

if TYPE_CHECKING:
    from locust import User
    from locust.env import Environment

Requests = list[tuple[str, str, bool]]
"""Method, name, and whether it succeeded."""


class PairLog:
    """Counts the pairs of a worker by the outcomes of their two requests, for a file in the run's folder.

    Args:
        environment: the worker's.
    """

    def __init__(self, environment: Environment) -> None:
        self._counts: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        environment.events.request.add_listener(self._on_request)  # type: ignore[no-untyped-call]
        environment.events.test_stop.add_listener(self._write)  # type: ignore[no-untyped-call]

    @staticmethod
    def _on_request(request_type: str, name: str, exception: object, context: dict[str, Any], **_: Any) -> None:
        if (requests := context.get("duet")) is not None:
            requests.append((request_type, name, exception is None))

    def add(self, base: Requests, new: Requests) -> None:
        """Count an iteration's requests: the first of a name on both sides are a pair, the second, and so on."""
        outcomes: dict[tuple[str, str], tuple[list[bool], list[bool]]] = defaultdict(lambda: ([], []))
        for side, requests in enumerate((base, new)):
            for method, name, succeeded in requests:
                outcomes[method, name][side].append(succeeded)
            requests.clear()
        for key, (of_base, of_new) in outcomes.items():
            counts = self._counts[key]
            for pair in zip(of_base, of_new, strict=False):
                counts[_KINDS[pair]] += 1
            counts["alone"] += abs(len(of_base) - len(of_new))

    def _write(self, **_: Any) -> None:
        config = Config.load()
        if config.run_id is None or not self._counts:
            return
        rows = [{"method": method, "name": name, **counts} for (method, name), counts in self._counts.items()]
        folder = Path(config.runs_dir) / config.run_id
        atomic_file.replace(folder / f"pairs-{os.getpid()}.json", json.dumps(rows).encode())


_KINDS: Final = {
    (True, True): "both_succeeded",
    (False, True): "base_failed",
    (True, False): "new_failed",
    (False, False): "both_failed",
}


class _Side:
    """One side of a user, which iterates when it is told to.

    Args:
        user: of the scenario's own class.
    """

    def __init__(self, user: Any) -> None:
        self.requests: Requests = []
        user.context = lambda: {"duet": self.requests}
        self._orders: Queue[tuple[float | None, int]] = Queue()
        self._is_done = Event()
        self._walker = TaskWalker(user, lambda kind: kind.run is not TaskSet.run)
        self._greenlet = gevent.spawn(self._walker.live, self._serve)
        self._greenlet.rawlink(lambda _: self._is_done.set())

    def order(self, intended_s: float | None, seed: int) -> None:
        """Have it do an iteration."""
        self._is_done.clear()
        self._orders.put((intended_s, seed))

    def wait(self) -> None:
        """Wait until its on_start, or what was ordered, is done.

        Raises:
            StopUser: when it has ended.
        """
        self._is_done.wait()
        if self._greenlet.dead:
            raise StopUser

    def end(self) -> None:
        """End it; its on_stop is executed."""
        self._greenlet.kill()
        close = getattr(self._walker.user, "close", None)
        if close is not None:
            close()

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
        self._log = Session.of(environment).find_or_make(PairLog, lambda: PairLog(environment))
        self._chance = random.SystemRandom()
        self._sides: list[_Side] = []

    def on_start(self) -> None:
        """Begin both sides."""
        self._sides = [_Side(kind(self.environment)) for kind in self.sides]
        for side in self._sides:
            side.wait()

    @task
    def pair(self) -> None:
        """Do an iteration on both."""
        intended_s, self.intended_start_s = self.intended_start_s, None
        seed = self._chance.getrandbits(64)
        for side in self._chance.sample(self._sides, 2):
            side.order(intended_s, seed)
        for side in self._sides:
            side.wait()
        base, new = self._sides
        self._log.add(base.requests, new.requests)

    def on_stop(self) -> None:
        """End both sides."""
        for side in self._sides:
            side.end()


def scenario_of(name: str, of: str, hosts: tuple[str, str]) -> Scenario:
    """Return the scenario of a duet.

    Args:
        name: its name.
        of: the scenario that both sides follow.
        hosts: the base URLs of the two versions.
    """
    GreenletRandom.install()
    inner = scenarios.load(of)
    return Scenario(name, tuple(_duet_class(kind, name, hosts) for kind in inner.user_classes), is_locustfile=True)


def _duet_class(kind: type[User], name: str, hosts: tuple[str, str]) -> type[User]:
    sides = tuple(
        type(f"{kind.__name__}_{side}", (kind,), {"scenario": side, "host": host})
        for side, host in zip(SIDES, hosts, strict=True)
    )
    own = {"abstract": False, "scenario": name, "sides": sides, "weight": kind.weight, "fixed_count": kind.fixed_count}
    if kind.wait_time is not None:
        own["wait_time"] = kind.wait_time
    return type(f"{kind.__name__}Duet", (DuetUser,), own)
