"""Pacing: the open model over a swarm. The master's ArrivalCoordinator assigns arrivals, ArrivalWorkers start them.

Between them go Locust's custom messages:

    pacing_open      master → worker   say ready again (you were given up, and live)
    pacing_clock     worker → master → worker   what time is it? (see loadtest.pacing.master_clock)
    pacing_ready     worker → master   clock and pool are ready: deal me in
    pacing_deal      master → worker   see loadtest.pacing.assignment
    pacing_leaving   worker → master   this worker ends, and started nothing after the stated instant
    pacing_done      worker → master   everything of a deal was started and has ended
    pacing_probe     master → worker   nothing; see loadtest.pacing.disconnections

Locust's own users and states go on as ever. The master starts `max_users` users; Locust's dispatcher splits them over
the workers; there they are the limits of a UserPool, which makes users as arrivals need them. So Locust's count of
running users is the pool's present size, and changing the number of users in the web UI changes the maximum.

A worker whose connection closes is noticed within milliseconds; what it would have started goes to the others at
once. One that hangs without closing is given up when Locust does, after three to four seconds; until then its share is
late, and it starts it late if it comes back.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.runners import STATE_MISSING, STATE_RUNNING, MasterRunner, WorkerRunner

from loadtest.exceptions import UsageError
from loadtest.pacing.arrivals import Arrivals
from loadtest.pacing.assignment import LEAD_S, ArrivalAllocator, Assignment, Schedule
from loadtest.pacing.master_clock import MasterClock, clock_identity
from loadtest.pacing.pacer import Pacer
from loadtest.profiles.curve import LoadCurve, Stage
from loadtest.swarm.disconnections import PROBE, Disconnections
from loadtest.users.pool import UserPool, check_user_class

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

    from loadtest.profiles.profile import LoadProfile

logger = logging.getLogger(__name__)

FIRST_LEAD_S: Final = 0.5
"""From the first deal to the first arrival: the time to make the users that are wanted from the start."""
ASSEMBLY_S: Final = 5.0
"""How long a run waits for workers that are connected but not ready."""
DRAIN_S: Final = 30.0
"""How long iterations may run on after the last arrival."""
_CLOCK_EVERY_S: Final = 10.0
_WATCH_EVERY_S: Final = 0.5
_POLL_S: Final = 0.02
_OPTION: Final = "loadtest_open_model"  # among the options of a run
_ATTRIBUTE: Final = "loadtest_pacing"  # where an Environment keeps its ArrivalCoordinator or ArrivalWorker


def wire(environment: Environment) -> None:
    """Make this process ready for open-model runs; call it once, when Locust's runner exists (``events.init``)."""
    if getattr(environment, _ATTRIBUTE, None) is not None:
        return
    if isinstance(environment.runner, MasterRunner):
        setattr(environment, _ATTRIBUTE, ArrivalCoordinator(environment.runner))
    elif isinstance(environment.runner, WorkerRunner):
        setattr(environment, _ATTRIBUTE, ArrivalWorker(environment.runner))


def conduct(environment: Environment, profile: LoadProfile, on_end: Callable[[], None]) -> ArrivalCoordinator:
    """Begin an open-model run on the master; call it in ``test_start``, before Locust spawns the users.

    Args:
        environment: a master's, with Locust's parsed options.
        profile: of the open model. Locust must be started with its ``max_users``.
        on_end: called when every arrival has been started and every iteration has ended, or `DRAIN_S` after the
            last arrival.

    Raises:
        UsageError: when this is no master, or a User class cannot be started arrival by arrival.
    """
    conductor = getattr(environment, _ATTRIBUTE, None)
    if not isinstance(conductor, ArrivalCoordinator):
        raise UsageError(
            f"profile {profile.name} is of the open model, whose arrivals a master deals to its workers; this process "
            "is no master. Allowed: a master with workers. Next: start with `loadtest run`, or with --master and "
            "--worker."
        )
    for user_class in environment.user_classes:
        check_user_class(user_class)
    conductor.begin(Arrivals(profile.curve, profile.arrivals, profile.seed), profile.pre_allocated_users, on_end)
    return conductor


def intended_rate_per_s(environment: Environment) -> float:
    """Return the arrivals per second that an open-model run intends now; 0 on a worker and without such a run."""
    conductor = getattr(environment, _ATTRIBUTE, None)
    return conductor.rate_per_s if isinstance(conductor, ArrivalCoordinator) else 0.0


class ArrivalCoordinator:
    """Deals the arrivals of a run to the workers."""

    def __init__(self, runner: MasterRunner) -> None:
        self._runner = runner
        self._allocator: ArrivalAllocator | None = None
        self._arrivals: Arrivals | None = None
        self._pre_allocated_users = 0
        self._on_end: Callable[[], None] = _nothing
        self._ready: list[str] = []
        self._done: dict[str, int] = {}
        self._disconnections: Disconnections | None = None
        self._keeper: gevent.Greenlet[..., None] | None = None
        runner.register_message("pacing_clock", self._tell_time)
        runner.register_message("pacing_ready", self._on_ready)
        runner.register_message("pacing_leaving", self._on_leaving)
        runner.register_message("pacing_done", self._on_done)
        events: Any = runner.environment.events
        events.heartbeat_sent.add_listener(self._on_heartbeat)
        events.test_stopping.add_listener(lambda **_: self.stop())

    def begin(self, arrivals: Arrivals, pre_allocated_users: int, on_end: Callable[[], None]) -> None:
        """Begin a run as soon as the workers are ready."""
        self.stop()
        self._arrivals, self._pre_allocated_users, self._on_end = arrivals, pre_allocated_users, on_end
        self._ready, self._done, self._allocator = [], {}, None
        self._disconnections = Disconnections(self._runner, self._drop_gone)
        self._set_model(is_open=True)
        self._keeper = gevent.spawn(self._keep)

    def stop(self) -> None:
        """Assign no more. The workers stop by Locust's own messages."""
        self._arrivals = self._allocator = None
        self._set_model(is_open=False)
        if self._disconnections is not None:
            self._disconnections.close()
            self._disconnections = None
        if self._keeper is not None and self._keeper is not gevent.getcurrent():
            self._keeper.kill(block=False)
        self._keeper = None

    def _set_model(self, *, is_open: bool) -> None:
        """Put the model into the options that Locust sends along with every spawn message."""
        vars(self._runner.environment.parsed_options)[_OPTION] = is_open

    @property
    def schedule(self) -> Schedule | None:
        """The present schedule, on this process's `time.perf_counter`; None before the first deal and after a run."""
        return self._allocator.schedule if self._allocator else None

    @property
    def rate_per_s(self) -> float:
        """The arrivals per second that are intended now."""
        schedule = self.schedule
        return schedule.arrivals.curve.level_at(time.perf_counter() - schedule.origin_s) if schedule else 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether every arrival of the present deal was started and every iteration has ended."""
        return self._allocator is not None and self._all_done()

    def change_rate(self, rate_per_s: float, duration_s: float) -> float:
        """Go over to a constant rate, 0 or more, on the running users; return the instant from which on it holds."""
        if self._allocator is None or self._arrivals is None:
            raise RuntimeError("no open-model run is under way")
        from_s = time.perf_counter() + LEAD_S
        curve = LoadCurve.of([Stage(duration_s, rate_per_s, "step")])
        self._arrivals = Arrivals(curve, self._arrivals.spacing, self._arrivals.seed + self._allocator.number)
        self._allocator.schedule = Schedule(self._arrivals, from_s)
        self._assign(from_s)
        return from_s

    def _keep(self) -> None:
        """Assemble the workers, watch over them, and end the run."""
        self._assemble()
        while (schedule := self.schedule) is not None:
            now_s = time.perf_counter()
            if now_s > schedule.end_s and (self._all_done() or now_s > schedule.end_s + DRAIN_S):
                on_end, self._on_end = self._on_end, _nothing
                on_end()
                return
            self._drop_missing()
            ending = now_s > schedule.end_s - _WATCH_EVERY_S
            gevent.sleep(_POLL_S if ending else _WATCH_EVERY_S)

    def _assemble(self) -> None:
        """Wait for the workers that are connected; deal to those that are ready."""
        deadline_s = time.perf_counter() + ASSEMBLY_S
        while not self._ready or set(self._living()) - set(self._ready):
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

    def _living(self) -> list[str]:
        return [worker for worker, node in self._runner.clients.items() if node.state != STATE_MISSING]

    def _assign(self, from_s: float, ended_s: dict[str, float] | None = None) -> None:
        if self._allocator is None:
            return
        self._done.clear()
        users = -(-self._pre_allocated_users // max(1, len(self._ready)))
        for worker, assignment in self._allocator.assign(self._ready, from_s, ended_s).items():
            self._send("pacing_deal", {"users": users, **assignment.to_wire()}, worker)
        logger.info("deal %d: arrivals for %d workers", self._allocator.number, len(self._ready))

    def _lose(self, ended_s: dict[str, float]) -> None:
        """Assign again without these workers; what they leave from then on goes to the others."""
        self._ready = [worker for worker in self._ready if worker not in ended_s]
        logger.warning("%d worker(s) gone; %d left for the arrivals", len(ended_s), len(self._ready))
        self._assign(time.perf_counter() + LEAD_S, ended_s)

    def _drop_gone(self) -> None:
        """A connection closed: whose?"""
        if self._disconnections is not None and (gone := self._disconnections.gone(self._ready)):
            self._lose(dict.fromkeys(gone, time.perf_counter()))

    def _drop_missing(self) -> None:
        """Assign nothing more to workers that Locust has given up; what they were dealt already stays theirs."""
        living = self._living()
        if missing := [worker for worker in self._ready if worker not in living]:
            self._ready = [worker for worker in self._ready if worker in living]
            logger.warning("%d worker(s) missing; %d left for the arrivals", len(missing), len(self._ready))
            self._assign(time.perf_counter() + LEAD_S)

    def _all_done(self) -> bool:
        number = self._allocator.number if self._allocator else 0
        return all(self._done.get(worker) == number for worker in self._ready)

    def _on_heartbeat(self, client_id: str, **_: Any) -> None:
        """A worker that was given up and lives is asked to join again."""
        node = self._runner.clients.get(client_id)
        if self._allocator is not None and node and node.state == STATE_RUNNING and client_id not in self._ready:
            self._send("pacing_open", worker=client_id)

    def _tell_time(self, msg: Any, **_: Any) -> None:
        answer = {"sent_s": msg.data["sent_s"], "master_s": time.perf_counter(), "identity": clock_identity()}
        self._send("pacing_clock", answer, msg.node_id)

    def _on_ready(self, msg: Any, **_: Any) -> None:
        if self._arrivals is None or msg.node_id in self._ready:
            return
        self._ready.append(msg.node_id)
        if self._allocator is not None:
            self._assign(time.perf_counter() + LEAD_S)

    def _on_leaving(self, msg: Any, **_: Any) -> None:
        if self._allocator is not None and msg.node_id in self._ready:
            self._lose({msg.node_id: msg.data["ended_s"]})

    def _on_done(self, msg: Any, **_: Any) -> None:
        self._done[msg.node_id] = msg.data["number"]

    def _send(self, kind: str, data: dict[str, Any] | None = None, worker: str | None = None) -> None:
        self._runner.send_message(kind, data, worker)


def _nothing() -> None:
    """Do nothing at the end."""


class ArrivalWorker:
    """Starts a worker's share of the arrivals."""

    def __init__(self, runner: WorkerRunner) -> None:
        self._runner = runner
        self._clock = MasterClock()
        self._pool: UserPool | None = None
        self._pacer: Pacer | None = None
        self._keeper: gevent.Greenlet[..., None] | None = None
        self._assignment_number = 0
        self._start_closed = runner.start_worker
        runner.start_worker = self._start_worker  # type: ignore[method-assign]
        runner.register_message("pacing_open", self._on_open)
        runner.register_message("pacing_clock", self._on_clock)
        runner.register_message("pacing_deal", self._on_assignment)
        runner.register_message(PROBE, lambda **_: None)
        events: Any = runner.environment.events
        events.test_stopping.add_listener(lambda **_: self._stop())
        events.quitting.add_listener(lambda **_: self._stop())  # comes first when the process ends by itself

    def _on_open(self, **_: Any) -> None:
        if self._pool is not None:
            self._keep_anew()

    def _start_worker(self, user_classes_count: dict[str, int], **more: Any) -> None:
        """Take the place of Locust's start_worker: the numbers are the pool's limits, and nobody is spawned yet."""
        runner = self._runner
        if not vars(runner.environment.parsed_options).get(_OPTION):
            self._start_closed(user_classes_count, **more)
            return
        if self._pool is None:
            self._pool = UserPool(runner)
            self._pacer = Pacer(self._pool.start, lambda: self._clock.offset_s)
        runner.target_user_classes_count = user_classes_count
        runner.target_user_count = sum(user_classes_count.values())
        for user_class in runner.user_classes:
            if runner.environment.host:
                user_class.host = runner.environment.host
        self._pool.set_limits(user_classes_count)
        runner.spawning_complete(
            sum(  # type: ignore[no-untyped-call]
                runner.user_classes_count.values()
            )
        )
        runner.update_state(STATE_RUNNING)
        if self._keeper is None:
            self._keep_anew()

    def _keep_anew(self) -> None:
        if self._keeper is not None:
            self._keeper.kill(block=False)
        self._keeper = gevent.spawn(self._keep)

    def _keep(self) -> None:
        """Learn the master's time, say ready, keep learning it, and say when all is done."""
        while not self._clock.is_known:
            self._ask_time()
            gevent.sleep(_POLL_S)
        self._runner.send_message("pacing_ready")
        said = 0
        asked_s = time.perf_counter()
        while self._pacer is not None and self._pool is not None:
            if said != self._assignment_number and self._pacer.is_idle and self._pool.is_quiet:
                said = self._assignment_number
                self._runner.send_message("pacing_done", {"number": said})
            if time.perf_counter() - asked_s > _CLOCK_EVERY_S:
                asked_s = time.perf_counter()
                self._ask_time()
            gevent.sleep(_POLL_S)

    def _ask_time(self) -> None:
        self._runner.send_message("pacing_clock", {"sent_s": time.perf_counter()})

    def _on_clock(self, msg: Any, **_: Any) -> None:
        received_s = time.perf_counter()
        self._clock.learn(msg.data["sent_s"], msg.data["master_s"], received_s, msg.data["identity"])

    def _on_assignment(self, msg: Any, **_: Any) -> None:
        if self._pacer is None or self._pool is None:
            return
        assignment = Assignment.from_wire(msg.data)
        late_s = time.perf_counter() + self._clock.offset_s - assignment.from_s
        if late_s > 0:
            logger.warning(
                "a deal came %.3f s after its instant: arrivals of that time may have been started twice", late_s
            )
        self._assignment_number = assignment.number
        self._pool.grow_to(msg.data["users"])
        self._pacer.take(assignment)

    def _stop(self) -> None:
        """Start nothing more; tell the master from when on, in case it does not know."""
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
        self._runner.send_message("pacing_leaving", {"ended_s": ended_s})
