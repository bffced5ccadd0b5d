"""UserPool: the users of an open-model worker, which idle until an arrival takes them.

A pool has a limit for each User class, the number that Locust's dispatcher gives this worker. It begins with few users
and grows: an arrival that finds no idle user waits for one, and a new user is created if none becomes idle within
`GROW_AFTER_S`. At the limit an arrival is dropped at once and counted. The most recently idle user is taken first, so
that a pool uses no more users and connections than the load needs.

Creating a user and its connection costs several times as much as an iteration. Without that short wait, a hiccup of
some milliseconds would cause a storm of new users and connections, and that a longer hiccup. For the same reason users
are created only when the event loop is otherwise idle: more users do not help a saturated process.

A user has Locust's life cycle: ``on_start`` when it is created, one task per arrival, ``on_stop`` when Locust stops it.
It stays in a nested TaskSet across arrivals until that interrupts. Wait times are ignored. A TaskSet that overrides
``run`` is a single iteration. An idle user is in Locust's state "waiting": a stop ends it at once; a stop during an
iteration respects ``stop_timeout``.
"""

from __future__ import annotations

import logging
import random
import time
import traceback
from bisect import bisect_right
from collections import deque
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.event import Event
from locust import TaskSet, User
from locust.exception import RescheduleTask, RescheduleTaskImmediately, StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from loadtest.exceptions import UsageError
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.users import scenario_of
from loadtest.users.base import LoadUser
from loadtest.users.task_walker import TaskWalker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from locust.runners import Runner

logger = logging.getLogger(__name__)

GROW_AFTER_S: Final = 0.002
"""How long an arrival waits for a user to become idle before a new one is created for it."""

_IDLE_INTERRUPTIONS: Final = 10
"""How often an arrival may leave a TaskSet without a request before it counts as executed."""
_NO_ARRIVAL: Final = 0.0


class _ClassPool:
    """The users of one User class."""

    def __init__(self, user_class: type[User]) -> None:
        self.user_class = user_class
        self.scenario = scenario_of(user_class)
        self.limit = 0
        self.alive = 0
        """Users that exist or are being created."""
        self.idle: list[Callable[[float | None], Any]] = []
        """Each resumes an idle user with an intended start; the most recently idle is last."""
        self.waiting: deque[tuple[float, float]] = deque()
        """Intended starts of arrivals that wait for a user, each with the time when its wait began."""
        self.failure_logged = False


class UserPool:
    """Idle and busy users of every class."""

    def __init__(self, runner: Runner) -> None:
        """Make an empty pool.

        Raises:
            UsageError: when a User class has its own loop, which cannot be started arrival by arrival.
        """
        for user_class in runner.user_classes:
            check_user_class(user_class)
        self._runner = runner
        self._recorder = Recorder.of(runner.environment)
        self._pools = {user_class.__name__: _ClassPool(user_class) for user_class in runner.user_classes}
        self._choices: list[_ClassPool] = []
        self._cumulated: list[int] = []
        self._orders: deque[tuple[_ClassPool, float]] = deque()  # with the time when an arrival's wait began
        self._wanted = Event()
        self._maker = gevent.spawn(self._make_users)
        self._busy = 0  # users in an iteration

    def set_limits(self, limits: Mapping[str, int]) -> None:
        """Set the limit of each class. Surplus users end, busy ones after their iteration."""
        for name, pool in self._pools.items():
            pool.limit = limits.get(name, 0)
            for resume in pool.idle[: max(0, pool.alive - pool.limit)]:
                pool.idle.remove(resume)
                gevent.get_hub().loop.run_callback(resume, None)
        self._choices = [pool for pool in self._pools.values() if pool.limit]
        self._cumulated = list(accumulate(pool.limit for pool in self._choices))

    @property
    def limit(self) -> int:
        """The maximum number of users that there may be."""
        return self._cumulated[-1] if self._cumulated else 0

    @property
    def is_quiet(self) -> bool:
        """Whether no iteration is running or waiting for a user."""
        return not self._busy and not any(pool.waiting for pool in self._pools.values())

    @property
    def is_prepared(self) -> bool:
        """Whether every requested user has finished on_start and waits for an arrival, or has ended."""
        return not self._orders and all(len(pool.idle) >= pool.alive for pool in self._pools.values())

    def grow_to(self, users: int) -> None:
        """Create up to this many users in advance, each class in proportion to its limit."""
        for pool in self._choices:
            for _ in range(min(pool.limit, -(-users * pool.limit // self.limit)) - pool.alive):
                self._order(pool, _NO_ARRIVAL)

    def start(self, intended_s: float) -> None:
        """Begin an iteration with an idle user, or else with the next free one; at the limit it is dropped.

        Call it from the event loop's own greenlet only, since it switches to the user.
        """
        choices = self._choices
        if len(choices) == 1:
            pool = choices[0]
        elif choices:
            pool = choices[bisect_right(self._cumulated, int(random.random() * self._cumulated[-1]))]  # noqa: S311
        else:
            self.drop(1)
            return
        if pool.idle:
            pool.idle.pop()(intended_s)
        elif pool.alive < pool.limit:
            now_s = time.perf_counter()
            pool.waiting.append((intended_s, now_s))
            self._order(pool, now_s)
        else:
            self._recorder.drop_iterations(pool.scenario, 1)

    def drop(self, count: int) -> None:
        """Count arrivals that never began, for each class in proportion to its limit."""
        if not count:
            return
        pools = self._choices or list(self._pools.values())
        weights = [max(1, pool.limit) for pool in pools]
        ends = [count * part // sum(weights) for part in accumulate(weights)]
        for pool, begin, end in zip(pools, [0, *ends], ends, strict=False):
            if end > begin:
                self._recorder.drop_iterations(pool.scenario, end - begin)

    def close(self) -> None:
        """Begin no more iterations, and drop arrivals that wait for a user. Locust ends the users."""
        self._maker.kill(block=False)
        for pool in self._pools.values():
            pool.limit = 0
            pool.idle.clear()
            if pool.waiting:
                self._recorder.drop_iterations(pool.scenario, len(pool.waiting))
                pool.waiting.clear()
        self._choices, self._cumulated = [], []

    def _order(self, pool: _ClassPool, since_s: float) -> None:
        pool.alive += 1
        self._orders.append((pool, since_s))
        self._wanted.set()

    def _make_users(self) -> None:
        while True:
            self._wanted.wait()
            patience_s = self._orders[0][1] + GROW_AFTER_S - time.perf_counter()
            if patience_s > 0:
                gevent.sleep(patience_s)
            gevent.idle()
            pool, since_s = self._orders.popleft()
            if since_s == _NO_ARRIVAL or (pool.waiting and pool.waiting[0][1] <= since_s):
                self._make_user(pool)
            else:
                pool.alive -= 1
            if not self._orders:
                self._wanted.clear()

    def _make_user(self, pool: _ClassPool) -> None:
        try:
            user = pool.user_class(self._runner.environment)
        except Exception as error:
            self._recorder.add_exception(pool.scenario, error, ends_user=True)
            if not pool.failure_logged:
                pool.failure_logged = True
                logger.error("cannot make a %s: %s\n%s", pool.user_class.__name__, error, traceback.format_exc())
            self._lose(pool)
            return
        # Locust finds the users of a runner by the first argument of each greenlet in this group.
        user._group = self._runner.user_greenlets
        user._greenlet = self._runner.user_greenlets.spawn(self._live, user, pool)

    def _live(self, user: Any, pool: _ClassPool) -> None:
        """Run a user, in its own greenlet."""
        try:
            TaskWalker(user, lambda kind: kind.run is not TaskSet.run).live(partial(self._serve, pool))
        finally:
            if isinstance(user, LoadUser):
                user.close()
            self._lose(pool)

    def _serve(self, pool: _ClassPool, walker: TaskWalker) -> None:
        """Execute one task for each arrival until the user is stopped or surplus."""
        hub, user, idle, waiting = gevent.get_hub(), walker.user, pool.idle, pool.waiting
        resume = gevent.getcurrent().switch
        while pool.alive <= pool.limit:
            if waiting:
                intended_s, _ = waiting.popleft()
            else:
                user._state = LOCUST_STATE_WAITING
                idle.append(resume)
                try:
                    intended_s = hub.switch()
                except BaseException:
                    if resume in idle:
                        idle.remove(resume)
                    raise
                if intended_s is None:
                    raise StopUser
            user._state = LOCUST_STATE_RUNNING
            user.intended_start_s = intended_s
            self._busy += 1
            walker.begin()
            try:
                iterate(walker)
                walker.end()
                if user.intended_start_s is not None:
                    walker.note_idle()
            finally:
                self._busy -= 1
                user.intended_start_s = None
            if user._state is LOCUST_STATE_STOPPING:
                raise StopUser
        raise StopUser

    def _lose(self, pool: _ClassPool) -> None:
        """Handle the end of a user; an arrival for which no user is left is dropped."""
        pool.alive -= 1
        if len(pool.waiting) > pool.alive:
            pool.waiting.popleft()
            self._recorder.drop_iterations(pool.scenario, 1)


def iterate(walker: TaskWalker) -> None:
    """Execute an arrival's task.

    If a TaskSet was interrupted with an immediate reschedule, the next task follows at once, as in the closed model,
    unless this arrival has already sent a request.
    """
    for _ in range(_IDLE_INTERRUPTIONS):
        try:
            again = walker.step()
        except RescheduleTaskImmediately:
            again = True
        except RescheduleTask:
            again = False
        if not again or walker.user.intended_start_s is None:
            return


def check_user_class(user_class: type[User]) -> None:
    """Check that a User class can be started arrival by arrival.

    Raises:
        UsageError: when it overrides ``run``, the loop that the open model replaces.
    """
    if user_class.run not in (User.run, LoadUser.run):
        raise UsageError(
            f"the User class {user_class.__name__} overrides run(), so an arrival-rate profile cannot begin its "
            "iterations. Allowed: classes whose work is in tasks. Next: move the work into @task methods, "
            "or take a profile of the closed model."
        )
