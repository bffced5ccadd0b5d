"""The swarm as one process sees it: its services, and the order in which a run calls them.

Locust's composition root calls `start` once its runner exists (``events.init``)::

    swarm = start(environment, feeding.service, pacing.service)

**A run begins** with Locust's ``test_start``. On the master, the run's controller prepares it, then the services begin,
then the controller is told. The run's options travel to the workers with every spawn message, so each worker begins the
same run before its first user starts.

**A run ends** with ``test_stopping``: the services start nothing new. Measuring is drained last, when the users have
stopped. On the master, this is when all workers are asked to stop their users and to send their last deltas, so that
the record is complete and closed before anything reads it. A worker that ends by itself (SIGTERM, for example when it
is scaled away) tells the master, which assigns it no more users. The worker starts no more users, stops those that run,
and waits until the master has everything that they measured.
"""

from __future__ import annotations

import contextlib
import logging
from argparse import Namespace
from typing import TYPE_CHECKING, Any, Protocol

from gevent.event import Event
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerRunner

from loadtest.measuring.recorder import Recorder
from loadtest.profiles.load import release
from loadtest.profiles.think_time import WaitTimes
from loadtest.session import Session
from loadtest.swarm import interrupt, listeners, log_lines, preparation, rebalancing
from loadtest.swarm.delta_sender import DeltaSender
from loadtest.swarm.gate import MasterGate, WorkerGate
from loadtest.swarm.hooks import Hooks
from loadtest.swarm.loops import listen
from loadtest.swarm.messages import NO_RUN, RunOptions
from loadtest.swarm.presence import MASTER, WorkerPresence
from loadtest.swarm.record_keeper import DRAIN_S, LocalRecordKeeper, MasterRecordKeeper, RecordKeeper

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

    from loadtest.profiles.think_time import ThinkTime
    from loadtest.swarm.messages import Kind, Payload
    from loadtest.swarm.service import Service

logger = logging.getLogger(__name__)


class RunController(Protocol):
    """Decides on the master what a run is, and what follows from it."""

    def prepare(self) -> None:
        """Prepare the run, before the services begin. Raise StopTest to cancel it."""

    def begin(self) -> None:
        """Continue: the services have begun."""

    def stopping(self) -> None:
        """Record what ends the run, while its record is open."""

    def end(self) -> None:
        """Report the run: its record is closed."""


class Swarm:
    """This process's part of the swarm. Use `start` and `Swarm.of`.

    Attributes:
        environment: Locust's Environment.
        services: this process's side of each service, in the order in which they begin.
        limit_users: called instead of starting users while a service starts them itself; None otherwise.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.services: list[Service] = []
        self.limit_users: Callable[[dict[str, int]], None] | None = None
        self._wait_times = WaitTimes()
        listeners.watch_greenlets(environment)

    @classmethod
    def of(cls, environment: Environment) -> Swarm:
        """Return the swarm that this Environment's process is part of.

        Raises:
            RuntimeError: when it was not started.
        """
        swarm = Session.of(environment).find(Swarm)
        if swarm is None:
            raise RuntimeError(
                "the swarm was not started: call swarm.session.start(environment) from the init event on"
            )
        return swarm

    @property
    def options(self) -> RunOptions:
        """The options of the current run."""
        return RunOptions.of(vars(self.environment.parsed_options or Namespace())) or RunOptions()

    def _take_options(self) -> None:
        """Apply the options of the current run to this process's users."""
        self._wait_times.replace(self.environment.user_classes, self.options.think_time_s)
        recorder, options = Recorder.of(self.environment), self.options
        recorder.keep_evidence(options.keeps_evidence)
        recorder.sampler.begin(options.trace_ratio)

    def on(self, kind: Kind[Payload], handle: Callable[[str, Payload], None], *, concurrent: bool = False) -> None:
        """See `loadtest.swarm.service.Link`."""

    def send(self, kind: Kind[Payload], payload: Payload, peer: str | None = None) -> None:
        """See `loadtest.swarm.service.Link`."""

    def peers(self) -> list[str]:
        """See `loadtest.swarm.service.Link`."""
        return []

    def is_connected(self, peer: str) -> bool:
        """See `loadtest.swarm.service.Link`."""
        return peer in self.peers()


class ControllingSwarm(Swarm):
    """The swarm of a master, or of a process that runs alone: it keeps the record, and a controller runs its tests.

    Attributes:
        make_run: returns the controller of the next run; None without one.
        think_time: the shortest and the longest think time of the next run, in seconds; None keeps each scenario's own.
        is_open: whether the next run starts arrivals instead of users.
        failure: the error raised when the current or last run was stopped; None without one.
        prepared_ratio: the share of the users for arrivals, 0 to 1, that is created before the first arrival.
        keeps_evidence: whether the first failed requests of the next run are kept.
        trace_ratio: the share of the next run's requests that are traced, 0 to 1.
    """

    def __init__(self, environment: Environment, record_keeper: RecordKeeper) -> None:
        super().__init__(environment)
        self.make_run: Callable[[], RunController] | None = None
        self._run: RunController | None = None
        self.think_time: ThinkTime | None = None
        self.is_open = False
        self.failure: Exception | None = None
        self.prepared_ratio = 0.0
        self.keeps_evidence = True
        self.trace_ratio = 0.0
        self.record_keeper = record_keeper
        session = Session.of(environment)
        session.put(RecordKeeper, record_keeper)
        session.put(ControllingSwarm, self)
        preparation.fire_strictly(environment, self._on_test_start, self._clean_up)
        listen(environment.events.test_stop, self._on_test_stop)
        listen(environment.events.quitting, self._on_quitting)

    @classmethod
    def of(cls, environment: Environment) -> ControllingSwarm:
        """Return the swarm of this Environment's process.

        Raises:
            RuntimeError: on a worker, or before the swarm was started.
        """
        swarm = Session.of(environment).find(ControllingSwarm)
        if swarm is None:
            raise RuntimeError("only a master, or a process that runs alone, controls runs, once the swarm was started")
        return swarm

    def _on_test_start(self, **_: Any) -> None:
        self._run, self.failure = None, None
        run = self.make_run() if self.make_run is not None else None
        if run is not None:
            run.prepare()
            self._run = run
        for service in (*self.services, self.record_keeper):
            service.begin()
        self._announce()
        if run is not None:
            run.begin()

    def _clean_up(self) -> None:
        """Undo the beginning of a run that is then refused."""
        if (hooks := Session.of(self.environment).find(Hooks)) is not None:
            with contextlib.suppress(Exception, SystemExit):  # the first error is the one that is reported
                hooks.tear_down()
        self._run = None
        for service in reversed(self.services):
            service.drain()
        self.record_keeper.finish()
        self.is_open = False
        RunOptions(NO_RUN).announce(self.environment)

    def _announce(self) -> None:
        record, wait = self.record_keeper.record, self.think_time
        think_time_s = (wait.min_s, wait.max_s) if wait else None
        if self.environment.parsed_options is None:
            self.environment.parsed_options = Namespace()
        run_id = record.run_id if record else NO_RUN
        kept = (self.keeps_evidence, self.trace_ratio)
        RunOptions(run_id, self.is_open, think_time_s, self.prepared_ratio, *kept).announce(self.environment)

    def _note_stopping(self) -> None:
        if self._run is not None:
            self._run.stopping()

    def _on_test_stop(self, **_: Any) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.end()
        release(self.environment)

    def _on_quitting(self, **_: Any) -> None:
        self.record_keeper.finish()
        self._on_test_stop()  # Locust may quit while it waits for the workers of a test that it stops
        self.record_keeper.close()
        Recorder.of(self.environment).sampler.close()


class MasterSwarm(ControllingSwarm):
    """The master's part of the swarm."""

    def __init__(self, environment: Environment, runner: MasterRunner) -> None:
        if environment.parsed_options is None:  # for example when Locust is used as a library
            parser = get_empty_argument_parser()
            setup_parser_arguments(parser)  # type: ignore[no-untyped-call]
            environment.parsed_options = parser.parse(args=[])
        self._gate = MasterGate.of(runner)
        self.presence = WorkerPresence(runner, lambda: [*self.services, self.record_keeper])
        super().__init__(environment, MasterRecordKeeper(environment, runner, self.presence))
        self._draining: Event | None = None
        listen(environment.events.test_stopping, self._on_test_stopping)
        rebalancing.keep(runner)
        self.presence.begin()

    def on(self, kind: Kind[Payload], handle: Callable[[str, Payload], None], *, concurrent: bool = False) -> None:
        """See `loadtest.swarm.service.Link`."""
        self._gate.on(kind, handle, concurrent=concurrent)

    def send(self, kind: Kind[Payload], payload: Payload, peer: str | None = None) -> None:
        """See `loadtest.swarm.service.Link`."""
        for worker in [peer] if peer is not None else self.peers():
            self._gate.send(kind, payload, worker)

    def peers(self) -> list[str]:
        """See `loadtest.swarm.service.Link`."""
        return self.presence.peers()

    def is_connected(self, peer: str) -> bool:
        """See `loadtest.swarm.service.Link`."""
        return self.presence.is_connected(peer)

    def _on_test_start(self, **more: Any) -> None:
        self._draining = None
        super()._on_test_start(**more)

    def _on_test_stopping(self, **_: Any) -> None:
        """Drain the services. A second call (SIGTERM while a run stops) waits for the first."""
        if self._draining is not None:
            self._draining.wait(self.environment.stop_timeout + DRAIN_S)
            return
        self._draining = Event()
        try:
            self._note_stopping()
            self.is_open = False
            RunOptions(NO_RUN).announce(self.environment)  # Locust continues a ramp-up after a stop
            for service in (*reversed(self.services), self.record_keeper):
                service.drain()
        except Exception as error:
            self.failure = error
            raise
        finally:
            self._draining.set()


class WorkerSwarm(Swarm):
    """A worker's part of the swarm."""

    def __init__(self, environment: Environment, runner: WorkerRunner) -> None:
        super().__init__(environment)
        self._runner = runner
        self._gate = WorkerGate.of(runner)
        Recorder.of(environment).sampler.open()
        self._sender = DeltaSender(environment, runner, self._gate, lambda: self.options.run)
        events = environment.events
        listen(events.test_start, self._on_test_start)
        listen(events.test_stopping, self._on_test_stopping)
        listen(events.test_stop, self._on_test_stop)
        listen(events.quitting, self._on_quitting)

    def begin(self) -> None:
        """Start reporting. The master may have sent the first spawn message while Locust was being set up."""
        if self._runner.worker_state in (STATE_SPAWNING, STATE_RUNNING):
            self._on_test_start()
        self._sender.start()

    def on(self, kind: Kind[Payload], handle: Callable[[str, Payload], None], *, concurrent: bool = False) -> None:
        """See `loadtest.swarm.service.Link`."""
        self._gate.on(kind, handle, concurrent=concurrent)

    def send(self, kind: Kind[Payload], payload: Payload, peer: str | None = None) -> None:  # noqa: ARG002 - one peer
        """See `loadtest.swarm.service.Link`."""
        self._gate.send(kind, payload)

    def peers(self) -> list[str]:
        """See `loadtest.swarm.service.Link`."""
        return [MASTER]

    def _on_test_start(self, **_: Any) -> None:
        self._take_options()
        for service in (*self.services, self._sender):
            service.begin()

    def _on_test_stopping(self, **_: Any) -> None:
        for service in reversed(self.services):
            service.drain()

    def _on_test_stop(self, **_: Any) -> None:
        self._sender.drain()

    def _on_quitting(self, **_: Any) -> None:
        self._gate.is_closing = True
        self._sender.announce_end()
        self._on_test_stopping()
        self._sender.close()
        Recorder.of(self.environment).sampler.close()


class LocalSwarm(ControllingSwarm):
    """The part of a process that runs alone: both sides, without a link between them."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, LocalRecordKeeper(environment))
        Recorder.of(environment).sampler.open()
        # First in the list (called last to first), so every other listener of the run's end finds the record complete.
        handlers = environment.events.test_stop._handlers
        handlers.insert(0, handlers.pop())
        listen(environment.events.test_stopping, self._on_test_stopping)

    def _on_test_start(self, **more: Any) -> None:
        super()._on_test_start(**more)
        self._take_options()

    def _on_test_stopping(self, **_: Any) -> None:
        self._note_stopping()
        for service in reversed(self.services):
            service.drain()

    def _on_test_stop(self, **more: Any) -> None:
        self.record_keeper.drain()
        super()._on_test_stop(**more)


def start(environment: Environment, *services: Callable[[Swarm], Service | None]) -> Swarm:
    """Make this process part of a swarm. Call it once, when Locust's runner exists (``events.init``).

    Args:
        environment: Locust's Environment.
        services: the services other than measuring: each function returns this process's side of one. They begin in
            this order, before measuring, and are drained in the reverse order, before measuring.

    Returns:
        The swarm, which `Swarm.of` returns from then on.

    Raises:
        RuntimeError: when Locust has not created its runner yet.
    """
    runner = environment.runner
    if runner is None:
        raise RuntimeError("Locust has no runner yet: start the swarm from the init event on")
    interrupt.await_turn()
    log_lines.clean(map(logging.getLogger, log_lines.OF_LOCUST))  # Locust has set them up by now
    if isinstance(runner, MasterRunner):
        swarm: Swarm = MasterSwarm(environment, runner)
    elif isinstance(runner, WorkerRunner):
        swarm = WorkerSwarm(environment, runner)
    else:
        swarm = LocalSwarm(environment)
    Session.of(environment).put(Swarm, swarm)
    swarm.services.extend(side for service in services if (side := service(swarm)) is not None)
    if isinstance(swarm, WorkerSwarm):
        swarm.begin()
    return swarm
