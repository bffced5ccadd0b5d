"""Pacing as a swarm service: the master's ArrivalCoordinator assigns arrivals, the workers' ArrivalWorkers start them.

Locust's own users and states work as usual. The master starts `max_users` users; Locust's dispatcher splits them over
the workers, where they become the limits of a UserPool that creates users on demand. So Locust's count of running users
is the pool's current size, and changing the number of users in the web UI changes the maximum.

The loss of a worker whose connection closes is noticed within milliseconds, and its arrivals go to the others at once.
A worker that hangs without closing is given up when Locust gives it up, after three to four seconds; until then its
share is late, and it starts it late if it comes back.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Final

import gevent

from loadtest.exceptions import UsageError
from loadtest.pacing.arrivals import Arrivals
from loadtest.pacing.assignment import LEAD_S, ArrivalAllocator, Assignment, Schedule
from loadtest.pacing.master_clock import MasterClock, clock_identity
from loadtest.pacing.pacer import Pacer
from loadtest.profiles.curve import LoadCurve, Stage
from loadtest.session import Session
from loadtest.swarm.messages import (
    ASSIGNMENT,
    DONE,
    JOIN,
    LEAVING,
    READY,
    TIME,
    TIME_REQUEST,
    AssignmentMessage,
    ClockAnswer,
)
from loadtest.swarm.session import ControllingSwarm, MasterSwarm, WorkerSwarm
from loadtest.users.pool import UserPool, check_user_class

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

    from loadtest.profiles.profile import LoadProfile
    from loadtest.swarm.service import Link, Service
    from loadtest.swarm.session import Swarm

logger = logging.getLogger(__name__)

FIRST_LEAD_S: Final = 0.5
"""The time from the first assignment to the first arrival; every worker must know its share by then."""
PREPARE_S: Final = 30.0
"""How long a worker waits for the on_start of its first users before it reports that it is ready."""
ASSEMBLY_S: Final = PREPARE_S + 5.0
"""How long a run waits for workers that are connected but not ready."""
DRAIN_S: Final = 30.0
"""How long iterations may continue after the last arrival."""
_CLOCK_EVERY_S: Final = 10.0
_WATCH_EVERY_S: Final = 0.5
_POLL_S: Final = 0.02


def service(swarm: Swarm) -> Service | None:
    """Return this process's side of pacing; None in a process that runs alone, which cannot start arrivals."""
    if isinstance(swarm, WorkerSwarm):
        worker = ArrivalWorker(swarm)
        Session.of(swarm.environment).put(ArrivalWorker, worker)
        return worker
    if isinstance(swarm, MasterSwarm):
        coordinator = ArrivalCoordinator(swarm)
        Session.of(swarm.environment).put(ArrivalCoordinator, coordinator)
        return coordinator
    return None


def prepare(environment: Environment, profile: LoadProfile, on_end: Callable[[], None]) -> ArrivalCoordinator:
    """Let the next run start arrivals; call it on the master, before the run begins.

    Args:
        environment: that of the master.
        profile: one of the open model. Locust must be started with its ``max_users``.
        on_end: called when every arrival has been started and every iteration has ended, or `DRAIN_S` after the
            last arrival.

    Raises:
        UsageError: this is not a master, or a User class cannot be started arrival by arrival.
    """
    coordinator = Session.of(environment).find(ArrivalCoordinator)
    if coordinator is None:
        raise UsageError(
            f"profile {profile.name} is of the open model, whose arrivals a master assigns to its workers; this "
            "process is not a master. Allowed: a master with workers. Next: start with `loadtest run`, or with "
            "--master and --worker."
        )
    for user_class in environment.user_classes:
        check_user_class(user_class)
    coordinator.prepare(
        Arrivals(profile.curve, profile.arrivals, profile.seed, profile.starts), profile.pre_allocated_users, on_end
    )
    swarm = ControllingSwarm.of(environment)
    swarm.is_open, swarm.prepared_ratio = True, profile.pre_allocated_users / profile.max_users
    return coordinator


def intended_rate_per_s(environment: Environment) -> float:
    """Return the current intended arrival rate per second of an open-model run; 0 without one."""
    coordinator = Session.of(environment).find(ArrivalCoordinator)
    return coordinator.rate_per_s if coordinator is not None else 0.0


def number_of(environment: Environment, intended_s: float) -> int:
    """Return which of a profile's single arrivals a user of this worker begins with, from 0.

    Args:
        environment: the worker's.
        intended_s: the user's `intended_start_s`.

    Raises:
        RuntimeError: no run of such a profile is in progress.
    """
    worker = Session.of(environment).find(ArrivalWorker)
    if worker is None:
        raise RuntimeError("this process starts no arrivals")
    return worker.number_of(intended_s)


class ArrivalCoordinator:
    """The master's side: assigns the arrivals of a run to the workers."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._allocator: ArrivalAllocator | None = None
        self._arrivals: Arrivals | None = None
        self._pre_allocated_users = 0
        self._on_end: Callable[[], None] = _nothing
        self._ready: list[str] = []
        self._done: dict[str, int] = {}
        self._keeper: gevent.Greenlet[..., None] | None = None
        link.on(TIME_REQUEST, self._send_time)
        link.on(READY, lambda worker, _payload: self._on_ready(worker))
        link.on(LEAVING, self._on_leaving)
        link.on(DONE, self._on_done)

    def prepare(self, arrivals: Arrivals, pre_allocated_users: int, on_end: Callable[[], None]) -> None:
        """Let the next run start these arrivals."""
        self.drain()
        self._arrivals, self._pre_allocated_users, self._on_end = arrivals, pre_allocated_users, on_end

    def begin(self) -> None:
        """If a run was prepared, begin as soon as the workers are ready."""
        self._ready, self._done, self._allocator = [], {}, None
        if self._arrivals is not None:
            self._keeper = gevent.spawn(self._keep)

    def joined(self, peer: str) -> None:
        """Ask a worker that had been given up to take part again; a new one reports that it is ready by itself."""
        if self._arrivals is not None and peer not in self._ready:
            self._link.send(JOIN, None, peer)

    def lost(self, peer: str) -> None:
        """Assign again without a worker.

        The arrivals of a worker whose connection closed go to the others at once. A hanging worker keeps its arrivals:
        it may come back, and starts them then.
        """
        if self._allocator is not None and peer in self._ready:
            self._lose(peer, None if self._link.is_connected(peer) else time.perf_counter())

    def drain(self) -> None:
        """Stop assigning. The workers are stopped by Locust's own messages."""
        self._arrivals = self._allocator = None
        if self._keeper is not None and self._keeper is not gevent.getcurrent():
            self._keeper.kill(block=False)
        self._keeper = None

    @property
    def schedule(self) -> Schedule | None:
        """The current schedule, on this process's `time.perf_counter`; None before the first assignment and after a
        run."""
        return self._allocator.schedule if self._allocator else None

    @property
    def rate_per_s(self) -> float:
        """The current intended arrival rate per second."""
        schedule = self.schedule
        return schedule.arrivals.curve.level_at(time.perf_counter() - schedule.origin_s) if schedule else 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether every arrival of the current assignment has been started and every iteration has ended."""
        return self._allocator is not None and self._all_done()

    def change_rate(self, rate_per_s: float, duration_s: float) -> float:
        """Switch to a constant rate, 0 or more, with the running users; return the instant at which it takes effect."""
        if self._allocator is None or self._arrivals is None:
            raise RuntimeError("no open-model run is under way")
        now_s = time.perf_counter()
        from_s = now_s + LEAD_S
        curve = LoadCurve.of([Stage(LEAD_S + duration_s, rate_per_s, "step")])  # from now on, or none were intended now
        self._arrivals = Arrivals(curve, self._arrivals.spacing, self._arrivals.seed + self._allocator.number)
        self._allocator.schedule = Schedule(self._arrivals, now_s)
        self._assign(from_s)
        return from_s

    def _keep(self) -> None:
        """Wait for the workers, and end the run."""
        self._assemble()
        while (schedule := self.schedule) is not None:
            now_s = time.perf_counter()
            if now_s > schedule.end_s and (self._all_done() or now_s > schedule.end_s + DRAIN_S):
                on_end, self._on_end = self._on_end, _nothing
                on_end()
                return
            ending = now_s > schedule.end_s - _WATCH_EVERY_S
            gevent.sleep(_POLL_S if ending else _WATCH_EVERY_S)

    def _assemble(self) -> None:
        """Wait for the connected workers to become ready, and assign to those that are."""
        deadline_s = time.perf_counter() + ASSEMBLY_S
        while not self._ready or set(self._link.peers()) - set(self._ready):
            if time.perf_counter() > deadline_s:
                if self._ready:
                    break
                logger.warning("no worker is ready to start arrivals yet; still waiting")
                deadline_s += ASSEMBLY_S
            gevent.sleep(_POLL_S)
        if self._arrivals is None:
            return
        from_s = time.perf_counter() + FIRST_LEAD_S
        self._allocator = ArrivalAllocator(Schedule(self._arrivals, from_s))
        self._assign(from_s)

    def _assign(self, from_s: float, ended_s: dict[str, float] | None = None) -> None:
        if self._allocator is None:
            return
        self._done.clear()
        users = -(-self._pre_allocated_users // max(1, len(self._ready)))
        for worker, assignment in self._allocator.assign(self._ready, from_s, ended_s).items():
            self._link.send(ASSIGNMENT, AssignmentMessage(users, assignment.to_wire()), worker)
        logger.info("assignment %d: arrivals for %d workers", self._allocator.number, len(self._ready))

    def _lose(self, worker: str, ended_s: float | None) -> None:
        self._ready = [other for other in self._ready if other != worker]
        logger.warning("worker %s is gone; %d left for the arrivals", worker, len(self._ready))
        self._assign(time.perf_counter() + LEAD_S, None if ended_s is None else {worker: ended_s})

    def _all_done(self) -> bool:
        number = self._allocator.number if self._allocator else 0
        return all(self._done.get(worker) == number for worker in self._ready)

    def _send_time(self, worker: str, sent_s: float) -> None:
        self._link.send(TIME, ClockAnswer(sent_s, time.perf_counter(), clock_identity()), worker)

    def _on_ready(self, worker: str) -> None:
        if self._arrivals is None or worker in self._ready:
            return
        self._ready.append(worker)
        if self._allocator is not None:
            self._assign(time.perf_counter() + LEAD_S)

    def _on_leaving(self, worker: str, ended_s: float) -> None:
        if self._allocator is not None and worker in self._ready:
            self._lose(worker, ended_s)

    def _on_done(self, worker: str, number: int) -> None:
        self._done[worker] = number


def _nothing() -> None:
    """Do nothing at the end."""


class ArrivalWorker:
    """A worker's side: starts its share of the arrivals."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self._clock = MasterClock()
        self._pool: UserPool | None = None
        self._pacer: Pacer | None = None
        self._keeper: gevent.Greenlet[..., None] | None = None
        self._number = 0
        self._schedule: Schedule | None = None
        swarm.on(JOIN, lambda _master, _payload: self._join())
        swarm.on(TIME, self._on_time)
        swarm.on(ASSIGNMENT, self._on_assignment)

    def begin(self) -> None:
        """In an open-model run, use the numbers of users that Locust gives this worker as limits, and spawn none
        yet."""
        self._swarm.limit_users = self._limit_users if self._swarm.options.is_open else None

    def joined(self, peer: str) -> None:
        """Do nothing: a master that reconnects sends another spawn message."""

    def lost(self, peer: str) -> None:
        """Do nothing: this stops with the users."""

    def drain(self) -> None:
        """Stop starting iterations; tell the master since when, in case it does not know."""
        if self._pool is None or self._pacer is None:
            return
        if self._keeper is not None:
            self._keeper.kill(block=False)
            self._keeper = None
        ended_s = time.perf_counter() + self._clock.offset_s
        self._pool.drop(self._pacer.stop())
        self._pool.close()
        self._pacer.close()
        self._pool = self._pacer = None
        self._number = 0
        self._swarm.send(LEAVING, ended_s)

    def number_of(self, intended_s: float) -> int:
        """See the function of this name."""
        if self._schedule is None or not self._schedule.arrivals.starts:
            raise RuntimeError("no run of single arrivals is under way")
        return self._schedule.arrivals.number_at(intended_s + self._clock.offset_s - self._schedule.origin_s)

    def _limit_users(self, limits: dict[str, int]) -> None:
        if self._pool is None:
            self._pool = _pool_of(self._swarm.environment)
            self._pacer = Pacer(self._pool.start, lambda: self._clock.offset_s)
        self._pool.set_limits(limits)
        if self._keeper is None:
            self._keeper = gevent.spawn(self._keep)

    def _join(self) -> None:
        """Report ready again after the master had given this worker up."""
        if self._pool is not None:
            if self._keeper is not None:
                self._keeper.kill(block=False)
            self._keeper = gevent.spawn(self._keep)

    def _keep(self) -> None:
        """Synchronise with the master's clock, report ready, keep synchronising, and report the end."""
        while not self._clock.is_known:
            self._ask_time()
            gevent.sleep(_POLL_S)
        self._prepare_pool()
        self._swarm.send(READY, None)
        reported = 0
        asked_s = time.perf_counter()
        while self._pacer is not None and self._pool is not None:
            if reported != self._number and self._pacer.is_idle and self._pool.is_quiet:
                reported = self._number
                self._swarm.send(DONE, reported)
            if time.perf_counter() - asked_s > _CLOCK_EVERY_S:
                asked_s = time.perf_counter()
                self._ask_time()
            gevent.sleep(_POLL_S)

    def _prepare_pool(self) -> None:
        """Create the initial users, so that their on_start ends before the first arrival."""
        pool = self._pool
        if pool is None:
            return
        pool.grow_to(math.ceil(pool.limit * self._swarm.options.prepared_ratio))
        deadline_s = time.perf_counter() + PREPARE_S
        while not pool.is_prepared:
            if time.perf_counter() > deadline_s:
                logger.warning("the users' on_start takes longer than %.0f s: arrivals begin without them", PREPARE_S)
                return
            gevent.sleep(_POLL_S)

    def _ask_time(self) -> None:
        self._swarm.send(TIME_REQUEST, time.perf_counter())

    def _on_time(self, _master: str, answer: ClockAnswer) -> None:
        self._clock.learn(answer.sent_s, answer.master_s, time.perf_counter(), answer.identity)

    def _on_assignment(self, _master: str, message: AssignmentMessage) -> None:
        if self._pacer is None or self._pool is None:
            return
        assignment = Assignment.from_wire(message.assignment)
        late_s = time.perf_counter() + self._clock.offset_s - assignment.from_s
        if late_s > 0:
            logger.warning(
                "an assignment came %.3f s after its instant: arrivals of that time may have been started twice", late_s
            )
        self._number = assignment.number
        if assignment.own is not None:
            self._schedule = assignment.own.schedule
        self._pool.grow_to(message.users)
        self._pacer.take(assignment)


def _pool_of(environment: Environment) -> UserPool:
    runner = environment.runner
    if runner is None:
        raise RuntimeError("a worker without a runner was told to start users")
    return UserPool(runner)
