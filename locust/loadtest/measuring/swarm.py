"""Wires the measuring core into Locust: recorder and outbox on workers, collector and record on the master.

Call `of` once Locust has made its runner, which is what the ``init`` event is for::

    @events.init.add_listener
    def on_init(environment, **_):
        swarm.of(environment).stream_to(Path("runs/1/record.bin"))

**The way of a delta.** A worker folds its samples in small slices and cuts a delta at each whole second of the wall
clock. The master merges it, acknowledges it, and once a second brings everything that came into the record, the totals,
Locust's own statistics and the file on disk.

**The end of a run.** Locust's master fires ``test_stopping``, then ends the workers in its own way; headless it only
waits half a second. So the listener for ``test_stopping`` drains first: it asks every living worker to stop its users
and to send its last delta, and waits until all are here, at most the stop timeout plus `DRAIN_S`. Then it closes the
record, before any listener of ``test_stop`` or ``quitting`` reads it. A worker that is ended by itself (SIGTERM, as
when it is scaled away) stops its users, sends its last delta and waits for the acknowledgement, at most `DRAIN_S`.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.event import Event
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments
from locust.runners import STATE_INIT, STATE_RUNNING, STATE_SPAWNING, STATE_STOPPED, MasterRunner, WorkerRunner

from loadtest.exceptions import RecordError
from loadtest.judging import trust
from loadtest.judging.verdict import Verdict
from loadtest.measuring import locust_statistics
from loadtest.measuring.collector import Collector
from loadtest.measuring.delivery import BATCH, RESEND_AFTER_S, Acknowledgement, Outbox
from loadtest.measuring.health import HealthProbe
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_file import RecordFile
from loadtest.measuring.recorder import Recorder, scenario_of
from loadtest.measuring.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from locust.env import Environment
    from locust.event import EventHook

    from loadtest.judging.judge import Result
    from loadtest.measuring.collector import Second, Worker

_log = logging.getLogger(__name__)

FOLD_EVERY_S: Final = 0.1
DRAIN_S: Final = 10.0
"""How long the end of a run waits for last deltas and acknowledgements, beyond Locust's stop timeout."""
RESEND_LAST_AFTER_S: Final = 0.5
SNAPSHOT_S: Final = 10
"""The seconds that a snapshot's rate and percentile look back."""
LOCAL: Final = "local"
"""The one worker of a run that is not distributed."""

DELTAS: Final = "loadtest_deltas"
ACKNOWLEDGEMENT: Final = "loadtest_acknowledgement"
DRAIN: Final = "loadtest_drain"
_RUN_OPTION: Final = "loadtest_run"  # rides to the workers among the parsed options of each spawn message
_ATTRIBUTE: Final = "loadtest_swarm"  # where an Environment keeps its swarm


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at this moment, for a progress line."""

    elapsed_s: float
    users: int
    requests_per_s: float
    """Over the last 10 s."""
    errors: int
    """Since the run began (or was reset)."""
    p95_s: float
    """The response time's 95th percentile over the last 10 s; NaN without requests."""


class Swarm:
    """What this process knows of the swarm. On a worker only `recorder` is of use."""

    def __init__(self, environment: Environment) -> None:
        """Made by `of` only."""
        self.environment = environment
        self.recorder = Recorder.of(environment)
        self._probe = HealthProbe()
        self._probe.start()

    @property
    def record(self) -> RunRecord | None:
        """The current run's record, or the last one's; None before the first run and on a worker."""
        return None

    @property
    def totals(self) -> RunRecord:
        """Everything since the process began, never reset; without a time line."""
        return RunRecord()

    @property
    def workers(self) -> Mapping[int, Worker]:
        """The workers by index: state, CPU, event-loop lag, users."""
        return {}

    @property
    def users(self) -> Mapping[str, int]:
        """The running users by scenario, as of the last second."""
        return {}

    @property
    def running(self) -> bool:
        """Whether a run is open."""
        return False

    @property
    def completeness(self) -> float:
        """The current or last run's completeness, 0 to 1; 1 before the first."""
        return self.record.completeness if self.record is not None else 1.0

    def finish(self) -> RunRecord | None:
        """End the run, if one is open, and return its complete record.

        Call it when the process is about to end, before reading the record: a listener of ``quitting`` that was added
        after this product's runs before it.
        """
        return self.record

    def stream_to(self, path: Path, run_id: str = "", configuration: Mapping[str, Any] | None = None) -> None:
        """On the master: write the next runs' records to this file while they run; elsewhere nothing happens.

        Args:
            path: the file; a second run in the same process writes beside it, with ``-2`` before the suffix, and so on.
            run_id: the next run's name; one is made from the time when it is empty.
            configuration: what the runs are asked to do; kept in the record, anything that JSON can hold.
        """

    def snapshot(self) -> Snapshot:
        """The run at this moment."""
        record = self.record
        if record is None:
            return Snapshot(0.0, 0, 0.0, 0, math.nan)
        window = record.window(SNAPSHOT_S)
        elapsed_s = time.time() - record.started_at if self.running else float(record.duration_s)
        users = sum(self.users.values())
        return Snapshot(elapsed_s, users, window.requests_per_s, record.failures, window.response_time.quantile(0.95))

    def findings(self) -> list[trust.Finding]:
        """The broken rules of the current or last run."""
        return []

    def verdict(self, results: Sequence[Result] = ()) -> Verdict:
        """The verdict on the current or last run, with the results of its thresholds."""
        return Verdict.of(self.record or RunRecord(), self.findings(), results)

    def _spawn(self, loop: Callable[[], None]) -> None:
        """Run a loop that goes on after an error: what one second could not do must not cost the rest of the run."""

        def keep_going() -> None:
            while True:
                try:
                    loop()
                except Exception:
                    _log.exception("measuring failed for a second, and goes on")
                    gevent.sleep(1.0)

        gevent.spawn(keep_going)

    def _drop_locusts_statistics(self) -> None:
        events = self.environment.events
        for event in (events.report_to_master, events.worker_report):
            for listener in list(event._handlers):
                if locust_statistics.is_locusts_own(listener):
                    event.remove_listener(listener)  # type: ignore[no-untyped-call]

    def _own_users(self) -> dict[str, int]:
        """The users that run in this process, by scenario."""
        runner = self.environment.runner
        if runner is None:
            return {}
        if len(runner.user_classes) == 1:  # Locust counts classes by walking over all users
            return {scenario_of(runner.user_classes[0]): len(runner.user_greenlets)}
        users: dict[str, int] = {}
        for name, count in runner.user_classes_count.items():
            scenario = scenario_of(runner.user_classes_by_name[name])
            users[scenario] = users.get(scenario, 0) + count
        return users


class WorkerSwarm(Swarm):
    """A worker: its samples go to the master."""

    def __init__(self, environment: Environment, runner: WorkerRunner) -> None:
        """Made by `of` only."""
        super().__init__(environment)
        self._runner = runner
        self._outbox = Outbox()
        self._reporter = Reporter(self.recorder, self._outbox, self._own_users, self._probe.take)
        self._drop_locusts_statistics()
        runner.register_message(ACKNOWLEDGEMENT, self._on_acknowledgement)
        runner.register_message(DRAIN, self._on_drain, concurrent=True)
        events = environment.events
        _listen(events.test_start, self._on_test_start)
        _listen(events.test_stop, self._on_test_stop)
        _listen(events.quitting, self._on_quitting)
        if runner.worker_state in (STATE_SPAWNING, STATE_RUNNING):
            # The master sent the first spawn while Locust was still being set up.
            self._on_test_start()
        self._spawn(self._report_loop)

    def _run(self) -> str:
        return str(getattr(self.environment.parsed_options, _RUN_OPTION, ""))

    def _on_test_start(self, **_: Any) -> None:
        self._send(self._reporter.begin(self._run(), time.perf_counter()))
        self._probe.restart()  # reading the spawn message takes Locust long

    def _on_test_stop(self, **_: Any) -> None:
        self._send(self._reporter.finish(time.perf_counter()))

    def _report_loop(self) -> None:
        second = math.floor(time.time())
        while True:
            gevent.sleep(FOLD_EVERY_S - time.time() % FOLD_EVERY_S)
            self.recorder.fold_early()
            if math.floor(time.time()) != second:
                second = math.floor(time.time())
                self.recorder.fold()
                self._send(self._reporter.cut(time.perf_counter()))
            now_s = time.perf_counter()
            self._send(self._outbox.due(now_s, RESEND_LAST_AFTER_S if self._reporter.finished else RESEND_AFTER_S))

    def _send(self, deltas: list[bytes]) -> None:
        for first in range(0, len(deltas), BATCH):
            message = {"now": time.perf_counter(), "deltas": deltas[first : first + BATCH]}
            try:
                self._runner.send_message(DELTAS, message)
            except Exception as error:  # whatever Locust's link raises, the outbox keeps the deltas
                _log.warning("%d deltas could not be sent and will be sent again: %s", len(deltas), error)

    def _on_acknowledgement(self, msg: Any, **_: Any) -> None:
        run, upto, beyond, refused = msg.data
        self._outbox.acknowledge(Acknowledgement(run, upto, tuple(beyond), refused))

    def _on_drain(self, msg: Any, **_: Any) -> None:
        """Stop the users and send the last delta of the run that the master wants to close."""
        if self._reporter.run != msg.data:
            self._send(self._reporter.begin(msg.data, time.perf_counter()))
        self._runner.stop()
        self._send(self._reporter.finish(time.perf_counter()))

    def _on_quitting(self, **_: Any) -> None:
        if not self._reporter.finished:
            self._runner.stop()
        self._send(self._reporter.finish(time.perf_counter()))
        # After a "quit" of the master nobody receives acknowledgements any more; the drain came before it.
        until_s = time.perf_counter() + DRAIN_S
        while len(self._runner.greenlet) and len(self._outbox) and time.perf_counter() < until_s:
            gevent.sleep(FOLD_EVERY_S / 4)
        self._probe.stop()


class CollectingSwarm(Swarm):
    """What master and local runner share: they hold the record."""

    def __init__(self, environment: Environment) -> None:
        """Made by `of` only."""
        super().__init__(environment)
        self._collector = Collector()
        self._path: Path | None = None
        self._run_id = ""
        self._configuration: dict[str, Any] = {}
        self._runs = 0
        self._file: RecordFile | None = None
        self._observed_s = time.perf_counter()
        events = environment.events
        _listen(events.test_start, self._on_test_start)
        _listen(events.reset_stats, self._on_reset)
        _listen(events.spawning_complete, self._on_spawning_complete)
        _listen(events.quitting, self._on_quitting)

    @property
    def record(self) -> RunRecord | None:
        """See `Swarm.record`."""
        return self._collector.record

    @property
    def totals(self) -> RunRecord:
        """See `Swarm.totals`."""
        return self._collector.totals

    @property
    def workers(self) -> Mapping[int, Worker]:
        """See `Swarm.workers`."""
        return {worker.index: worker for worker in self._collector.workers.values()}

    @property
    def users(self) -> Mapping[str, int]:
        """See `Swarm.users`."""
        return self._collector.users()

    @property
    def running(self) -> bool:
        """See `Swarm.running`."""
        return self._collector.running

    def findings(self) -> list[trust.Finding]:
        """See `Swarm.findings`."""
        return trust.findings(self.record, self._collector.watch) if self.record is not None else []

    def stream_to(self, path: Path, run_id: str = "", configuration: Mapping[str, Any] | None = None) -> None:
        """See `Swarm.stream_to`."""
        self._path, self._run_id, self._configuration, self._runs = path, run_id, dict(configuration or {}), 0

    def _on_test_start(self, **_: Any) -> None:
        self._close()
        self._runs += 1
        started_at = time.time()
        run_id, self._run_id = self._run_id or _run_id(started_at), ""
        record = RunRecord(run_id, started_at, dict(self._configuration))
        self._look_around()
        self._collector.begin(record, time.perf_counter())
        if self._path is not None:
            suffix = f"-{self._runs}" if self._runs > 1 else ""
            path = self._path.with_name(f"{self._path.stem}{suffix}{self._path.suffix}")
            try:
                self._file = RecordFile(path, record)
            except RecordError as error:
                _log.error("%s; the run goes on without a record on disk", error)
                record.stream_error = str(error)

    def _look_around(self) -> None:
        """Bring the collector's list of workers up to date."""

    def _gather(self) -> None:
        """Get the latest samples, where that can be done at once."""

    def _flush(self, *, feed: bool = True, complete_s: float | None = None) -> None:
        """Bring what came since the last time everywhere."""
        self._bring_everywhere(self._collector.flush(complete_s), feed=feed)

    def _bring_everywhere(self, seconds: Sequence[Second], *, feed: bool = True) -> None:
        record, runner = self.record, self.environment.runner
        if record is None or runner is None:
            return
        for one in seconds:
            if feed:
                locust_statistics.feed(runner.stats, one.measurements, math.floor(record.started_at) + one.second)
            if self._file is not None:
                self._file.add(one.second, one.measurements, one.users)

    def _tick(self) -> None:
        """Once a second."""
        now_s = time.perf_counter()
        self._look_around()
        self._observe(now_s)
        self._flush(complete_s=now_s - 1.0)
        if self._file is not None:
            self._file.flush(self._collector.second_of(now_s))

    def _observe(self, now_s: float) -> None:
        self._collector.observe_master(self._probe.take(), now_s - self._observed_s)
        self._observed_s = now_s

    def _close(self) -> None:
        """Close the run's record, when one is open."""
        if self._collector.running:
            self._bring_everywhere(self._collector.end())
            record = self.record
            if record is not None:
                _log.info(
                    "run %s: %d requests, %d failures, %.2f %% complete",
                    record.run_id,
                    record.requests,
                    record.failures,
                    100 * record.completeness,
                )
        if self._file is not None:
            self._file.close()
            self._file = None

    def _on_reset(self, **_: Any) -> None:
        """Locust is about to reset its statistics: the record is reset at the same point."""
        self._gather()
        self._flush()
        self._reset()

    def _on_spawning_complete(self, **_: Any) -> None:
        """With ``--reset-stats`` Locust has just reset its statistics, and what waits is not to be fed to them."""
        if self.environment.reset_stats:
            self._gather()
            self._flush(feed=False)
            self._reset()

    def _reset(self) -> None:
        now_s = time.perf_counter()
        self._collector.reset(now_s)
        if self._file is not None:
            self._file.reset(self._collector.second_of(now_s))

    def finish(self) -> RunRecord | None:
        """See `Swarm.finish`."""
        if self.running:
            self._stop()
            self._close()
        return self.record

    def _stop(self) -> None:
        """Stop the users, whose last samples come into the record by that."""

    def _on_quitting(self, **_: Any) -> None:
        self.finish()
        self._probe.stop()


class MasterSwarm(CollectingSwarm):
    """The master: it merges what the workers send."""

    def __init__(self, environment: Environment, runner: MasterRunner) -> None:
        """Made by `of` only."""
        super().__init__(environment)
        self._runner = runner
        self._listener: Any = None  # the greenlet that receives messages
        self._offsets_s: dict[str, float] = {}
        self._drained: Event | None = None
        if environment.parsed_options is None:  # as when Locust is used as a library
            parser = get_empty_argument_parser()
            setup_parser_arguments(parser)  # type: ignore[no-untyped-call]
            environment.parsed_options = parser.parse(args=[])
        self._drop_locusts_statistics()
        runner.register_message(DELTAS, self._on_deltas)
        events = environment.events
        _listen(events.test_stopping, self._on_test_stopping)
        _listen(events.worker_connect, self._on_worker_connect)
        self._spawn(self._tick_loop)

    def _tick_loop(self) -> None:
        while True:
            # A little after the workers' whole second, so that a second's deltas mostly arrive in one tick.
            gevent.sleep(1.0 - (time.time() - 0.25) % 1.0)
            self._tick()

    def _look_around(self) -> None:
        now_s = time.perf_counter()
        present = {client.id: client.state for client in self._runner.clients.all}
        for name, state in present.items():
            self._collector.join(name, state, now_s)
        self._collector.leave(present, now_s)
        for name in set(self._offsets_s).difference(self._collector.workers):
            del self._offsets_s[name]

    def _on_worker_connect(self, client_id: str, **_: Any) -> None:
        self._collector.join(client_id, STATE_INIT, time.perf_counter())

    def _on_test_start(self, **_: Any) -> None:
        super()._on_test_start()
        self._drained = None
        if self.record is not None:
            setattr(self.environment.parsed_options, _RUN_OPTION, self.record.run_id)

    def _on_deltas(self, msg: Any, **_: Any) -> None:
        self._listener = gevent.getcurrent()
        worker = msg.node_id
        # The smallest difference seen comes nearest to that of the clocks: it holds the shortest way of a message.
        offset_s = min(time.perf_counter() - msg.data["now"], self._offsets_s.get(worker, math.inf))
        self._offsets_s[worker] = offset_s
        acknowledgement = None
        for data in msg.data["deltas"]:
            acknowledgement = self._collector.take(worker, data, offset_s) or acknowledgement
        if acknowledgement is not None and worker in self._runner.clients:
            self._runner.send_message(ACKNOWLEDGEMENT, tuple(acknowledgement), worker)  # type: ignore[arg-type]

    def _on_test_stopping(self, **_: Any) -> None:
        """Drain: see the module's text. A second call (SIGTERM while a run stops) waits for the first."""
        if self._drained is not None:
            self._drained.wait(self.environment.stop_timeout + DRAIN_S)
            return
        self._drained = Event()
        try:
            if self._collector.running:
                self._drain()
            self._close()
        finally:
            self._drained.set()

    def _stop(self) -> None:
        # Drains, like any stop. Locust's own messages to the workers follow when it quits.
        self._runner.stop(send_stop_to_client=False)

    def _living(self) -> list[str]:
        clients = self._runner.clients
        return [client.id for client in clients.ready + clients.spawning + clients.running]

    def _drain(self) -> None:
        run = self._collector.ledger.run
        for worker in self._living():
            self._runner.send_message(DRAIN, run, worker)  # type: ignore[arg-type]
        if gevent.getcurrent() is self._listener:
            return  # Locust stops the run from within the greenlet that receives: the last worker left
        until_s = time.perf_counter() + self.environment.stop_timeout + DRAIN_S
        while not self._collector.ledger.all_final(self._living()):
            if time.perf_counter() > until_s:
                _log.error("the workers' last deltas did not all arrive; the record says which are missing")
                return
            gevent.sleep(FOLD_EVERY_S / 4)


class LocalSwarm(CollectingSwarm):
    """A run in one process: samples go from recorder to record without a wire, by the same code."""

    def __init__(self, environment: Environment) -> None:
        """Made by `of` only."""
        self._outbox = Outbox()
        super().__init__(environment)
        self._reporter = Reporter(self.recorder, self._outbox, self._own_users, self._probe.take)
        # First in the row: whoever else listens to the end of the run finds the record complete.
        environment.events.test_stop._handlers.insert(0, self._on_test_stop)
        self._spawn(self._report_loop)

    def _look_around(self) -> None:
        runner = self.environment.runner
        self._collector.join(LOCAL, runner.state if runner is not None else STATE_STOPPED, time.perf_counter())

    def _observe(self, now_s: float) -> None:
        """Nothing: the one process observes itself as worker 0."""

    def _on_test_start(self, **_: Any) -> None:
        super()._on_test_start()
        if self.record is not None:
            self._deliver(self._reporter.begin(self.record.run_id, time.perf_counter()))

    def _stop(self) -> None:
        runner = self.environment.runner
        if runner is not None:
            runner.stop()

    def _on_test_stop(self, **_: Any) -> None:
        self._deliver(self._reporter.finish(time.perf_counter()))
        self._close()

    def _report_loop(self) -> None:
        second = math.floor(time.time())
        while True:
            gevent.sleep(FOLD_EVERY_S - time.time() % FOLD_EVERY_S)
            self.recorder.fold_early()
            if math.floor(time.time()) != second:
                second = math.floor(time.time())
                self.recorder.fold()
                self._deliver(self._reporter.cut(time.perf_counter()))
                self._tick()

    def _deliver(self, deltas: list[bytes]) -> None:
        for delta in deltas:
            acknowledgement = self._collector.take(LOCAL, delta, 0.0)
            if acknowledgement is not None:
                self._outbox.acknowledge(acknowledgement)

    def _gather(self) -> None:
        self._deliver(self._reporter.cut(time.perf_counter()))


def of(environment: Environment) -> Swarm:
    """The swarm as this Locust Environment sees it, made and wired on first use.

    Raises:
        RuntimeError: when Locust has not made its runner yet; call this from the ``init`` event on.
    """
    swarm: Swarm | None = getattr(environment, _ATTRIBUTE, None)
    if swarm is None:
        runner = environment.runner
        if runner is None:
            raise RuntimeError("Locust has no runner yet: call swarm.of(environment) from the init event on")
        if isinstance(runner, WorkerRunner):
            swarm = WorkerSwarm(environment, runner)
        elif isinstance(runner, MasterRunner):
            swarm = MasterSwarm(environment, runner)
        else:
            swarm = LocalSwarm(environment)
        setattr(environment, _ATTRIBUTE, swarm)
    return swarm


def _listen(event: EventHook, listener: Callable[..., None]) -> None:
    event.add_listener(listener)  # type: ignore[no-untyped-call]


def _run_id(started_at: float) -> str:
    return f"{datetime.fromtimestamp(started_at, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
