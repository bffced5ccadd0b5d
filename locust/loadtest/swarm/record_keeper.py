"""The master's side of measuring: once a second, new measurements enter the record and everything derived from it.

A worker folds its samples in small slices and cuts a delta at each whole second of the wall clock (`delta_sender`). The
master merges and acknowledges deltas (`reports`). Once a second it adds everything that arrived to the record, the
totals, Locust's own statistics and the file on disk. The drain at the end of a run waits for every worker's last delta,
for at most the stop timeout plus `DRAIN_S`, and then closes the record.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.runners import STATE_INIT, STATE_STOPPED

from loadtest.exceptions import RecordError
from loadtest.measuring import locust_statistics, steady_clock
from loadtest.measuring.collector import Collector, Lost
from loadtest.measuring.delivery import Outbox
from loadtest.measuring.health import HealthProbe
from loadtest.measuring.labels import LOAD
from loadtest.measuring.record import SOFTWARE, RunRecord
from loadtest.measuring.record_file import RecordFile
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.snapshot import Snapshot
from loadtest.measuring.turn import end_turn
from loadtest.profiles.shape import ProfileShape
from loadtest.run_folder import new_run_id
from loadtest.session import Session
from loadtest.swarm import listeners
from loadtest.swarm.gate import MasterGate
from loadtest.swarm.loops import FOLD_EVERY_S, Loops, drop_locusts_statistics, listen, reporter_of, seconds
from loadtest.swarm.messages import DRAIN
from loadtest.swarm.reports import TAKE_EVERY_S, Reports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from locust.env import Environment
    from locust.runners import MasterRunner

    from loadtest.measuring.collector import Second, Worker
    from loadtest.measuring.health import Health, Watch
    from loadtest.measuring.in_flight import InFlight
    from loadtest.measuring.machine import Peers
    from loadtest.swarm.presence import WorkerPresence

_log = logging.getLogger(__name__)

DRAIN_S: Final = 10.0
"""Seconds beyond Locust's stop timeout that the end of a run waits for last deltas and acknowledgements."""
LOCAL: Final = "local"
"""The name of the only worker of a process that runs alone."""


class RecordKeeper:
    """The record of a swarm's runs. Use `RecordKeeper.of`."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._recorder = Recorder.of(environment)
        self._probe = HealthProbe()
        self._probe.start()
        self._loops = Loops()
        self._collector = Collector()
        self._path: Path | None = None
        self._run_id = ""
        self._configuration: dict[str, Any] = {}
        self._context: dict[str, Any] = {}
        self._runs = 0
        self._file: RecordFile | None = None
        self._observed_s = time.perf_counter()
        self._find_peers: Callable[[], Peers] | None = None
        self._peers_known = False
        self._resets_each_run = self._is_reset_due = False
        listen(environment.events.reset_stats, self._on_reset)
        listen(environment.events.spawning_complete, self._on_spawning_complete)

    @classmethod
    def of(cls, environment: Environment) -> RecordKeeper:
        """Return the record keeper of this Environment.

        Raises:
            RuntimeError: on a worker, or before the swarm was started.
        """
        found = Session.of(environment).find(RecordKeeper)
        if found is None:
            raise RuntimeError("only a master, or a process that runs alone, has a record, once the swarm was started")
        return found

    @property
    def record(self) -> RunRecord | None:
        """The current run's record, or the last one's; None before the first run."""
        return self._collector.record

    @property
    def totals(self) -> RunRecord:
        """Everything since the process started, never reset, and without a time line."""
        return self._collector.totals

    def recent(self) -> RunRecord:
        """Return the measurements of the last seconds of the open run. Yields to other greenlets."""
        return self._collector.recent.record(self._collector.labels)

    @property
    def workers(self) -> Mapping[int, Worker]:
        """The workers by index, with state, CPU usage, event-loop lag and users."""
        return {worker.index: worker for worker in self._collector.workers.values()}

    @property
    def users(self) -> Mapping[str, int]:
        """The number of running users by scenario, updated once a second."""
        return self._collector.users()

    @property
    def in_flight(self) -> InFlight:
        """The requests that wait for a response, updated once a second."""
        return self._collector.in_flight()

    @property
    def running(self) -> bool:
        """Whether a run is open."""
        return self._collector.running

    @property
    def ended_at(self) -> float:
        """When the last run ended, in seconds since the epoch; 0 before the first run and while one is open."""
        return self._collector.ended_at

    @property
    def master(self) -> Health:
        """The master's latest health observation, over one second; empty in a process that runs alone."""
        return self._collector.master

    @property
    def lost_workers(self) -> Lost:
        """The workers that stopped answering since the process started."""
        return self._collector.lost

    @property
    def completeness(self) -> float:
        """The completeness of the current or last run, 0 to 1; 1 before the first run."""
        return self.record.completeness if self.record is not None else 1.0

    def snapshot(self) -> Snapshot:
        """The state of the run at this moment."""
        return Snapshot.of(self.record, sum(self.users.values()), running=self.running, in_flight=self.in_flight)

    @property
    def watch(self) -> Watch:
        """The health observations of all processes in the current or last run."""
        return self._collector.watch

    def stream_to(
        self,
        path: Path,
        run_id: str = "",
        configuration: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the records of the next runs to a file while they run.

        Args:
            path: the file. A second run in the same process writes a file next to it, with ``-2`` before the suffix,
                and so on.
            run_id: the id of the next run; if empty, one is made from the time.
            configuration: what the runs are asked to do; kept in the record. Anything that JSON can hold.
            context: what the runs are made with; kept in the record likewise.
        """
        self._path, self._run_id, self._runs = path, run_id, 0
        self._configuration, self._context = dict(configuration or {}), dict(context or {})

    def separate_usage(self, find_peers: Callable[[], Peers]) -> None:
        """Measure the CPU usage of the processes that take part in the runs separately from everything else.

        Args:
            find_peers: finds the processes that take part. It is called when a run begins or a worker joins.
        """
        self._find_peers = find_peers

    def begin(self) -> None:
        """Open a record."""
        self._close()
        self._look_for_peers()
        self._take_over_reset()
        self._runs += 1
        started_at = steady_clock.now()
        run_id, self._run_id = self._run_id or new_run_id(secrets.token_hex(2)), ""
        record = RunRecord(run_id, started_at, dict(self._configuration), dict(self._context))
        self._update_workers()
        self._collector.begin(record, time.perf_counter())
        if self._path is not None:
            suffix = f"-{self._runs}" if self._runs > 1 else ""
            path = self._path.with_name(f"{self._path.stem}{suffix}{self._path.suffix}")
            try:
                self._file = RecordFile(path, record)
            except RecordError as error:
                _log.error("%s; the run continues without a record on disk", error)
                record.stream_error = str(error)

    def joined(self, peer: str) -> None:
        """See `loadtest.swarm.service.Service`. A process that runs alone has no workers that join."""

    def lost(self, peer: str) -> None:
        """See `loadtest.swarm.service.Service`."""

    def drain(self) -> None:
        """Fold the last samples and close the record."""
        self._close()

    def finish(self) -> RunRecord | None:
        """End the run, if one is open, and return its complete record; None if there was no run.

        Call this when the process is about to end, before reading the record.
        """
        if self.running:
            self._stop_users()
            self._close()
        return self.record

    def close(self) -> None:
        """Stop measuring: Locust is quitting."""
        self._probe.stop()
        self._loops.end()

    def _update_workers(self) -> None:
        """Update the collector's list of workers."""

    def _gather(self) -> None:
        """Fetch the latest samples, where that is possible without waiting."""

    def _stop_users(self) -> None:
        """Stop the users, which brings their last samples into the record."""

    def _flush(self, *, feed: bool = True, complete_s: float | None = None) -> None:
        """Add everything that arrived since the last call to the record and what is derived from it."""
        self._publish(self._collector.flush(complete_s), feed=feed)

    def _publish(self, seconds: Sequence[Second], *, feed: bool = True) -> None:
        record, runner = self.record, self._environment.runner
        if record is None or runner is None:
            return
        for one in seconds:
            if feed:
                load = one.measurements.by_phase()[LOAD]
                locust_statistics.feed(runner.stats, load, math.floor(record.started_at) + one.second)
            if self._file is not None:
                self._file.add(one.second, one.measurements, one.users)

    def _tick(self) -> None:
        """The work of each second."""
        now_s = time.perf_counter()
        self._update_workers()
        self._observe(now_s)
        self._flush(complete_s=now_s - 1.0)
        if self._file is not None:
            self._file.flush(self._collector.second_of(now_s))

    def _look_for_peers(self) -> None:
        if self._find_peers is not None:
            self._probe.separate_usage(self._find_peers())
        self._peers_known = True

    def _observe(self, now_s: float) -> None:
        if not self._peers_known:
            self._look_for_peers()
        self._collector.observe_master(self._probe.take(), now_s - self._observed_s)
        self._observed_s = now_s

    def _close(self) -> None:
        """Close the record of the run, if one is open."""
        if self._collector.running:
            self._publish(self._collector.end())
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
        """Reset the record at the same point at which Locust resets its statistics."""
        self._gather()
        self._flush()
        self._reset()

    def _take_over_reset(self) -> None:
        """Take over ``--reset-stats``: Locust resets whenever users are distributed, as when a worker joins."""
        self._resets_each_run |= self._environment.reset_stats
        self._environment.reset_stats = False
        self._is_reset_due = self._resets_each_run

    def _on_spawning_complete(self, **_: Any) -> None:
        """With ``--reset-stats``, reset record and Locust's statistics once per run: when its first ramp-up ends."""
        shape, runner = self._environment.shape_class, self._environment.runner
        ramping_up = isinstance(shape, ProfileShape) and shape.is_ramping_up
        if self._is_reset_due and not ramping_up and runner is not None:
            self._is_reset_due = False
            _log.info("the ramp-up is over: counting begins again")
            self._on_reset()
            runner.stats.reset_all()

    def _reset(self) -> None:
        now_s = time.perf_counter()
        self._collector.reset(now_s)
        if self._file is not None:
            self._file.reset(self._collector.second_of(now_s))


class MasterRecordKeeper(RecordKeeper):
    """The master's record keeper, which merges the workers' deltas."""

    def __init__(self, environment: Environment, runner: MasterRunner, presence: WorkerPresence) -> None:
        super().__init__(environment)
        self._runner = runner
        self._presence = presence
        self._gate = MasterGate.of(runner)
        self._reports = Reports(runner, self._collector)
        drop_locusts_statistics(environment)
        self._loops.spawn(self._take_loop)
        self._loops.spawn(self._tick_loop)

    def _take_loop(self) -> None:
        while True:
            gevent.sleep(TAKE_EVERY_S)
            self._gather()

    def _tick_loop(self) -> None:
        while True:
            # Shortly after the workers' whole second, so that most deltas of a second arrive in one tick.
            gevent.sleep(1.0 - (time.time() - 0.25) % 1.0)
            self._gather()
            self._presence.look()
            self._tick()

    def joined(self, peer: str) -> None:
        """Expect deltas from this worker from now on. Locust may not list it yet."""
        self._peers_known = False
        self._collector.join(peer, self._presence.states().get(peer, STATE_INIT), time.perf_counter())

    def lost(self, peer: str) -> None:  # noqa: ARG002 - Locust's list has the state of each worker
        """Update the workers from Locust's list."""
        self._update_workers()

    def _update_workers(self) -> None:
        now_s = time.perf_counter()
        present = self._presence.states()
        for name, state in present.items():
            self._collector.join(name, state, now_s)
        self._collector.leave(present, now_s)
        self._reports.forget(set(self._collector.workers))

    def _gather(self) -> None:
        self._reports.take()

    def _flush(self, *, feed: bool = True, complete_s: float | None = None) -> None:
        super()._flush(feed=feed, complete_s=complete_s)
        self._note_listeners()
        self._note_other_software()

    def _close(self) -> None:
        super()._close()
        self._note_listeners()

    def _note_listeners(self) -> None:
        """Add exceptions raised by listeners in the master's own process. Those of workers arrive with their deltas."""
        if self.record is not None:
            self.record.add_exceptions(listeners.take_raised(), self._collector.second_of(time.perf_counter()))

    def _note_other_software(self) -> None:
        """Record, once per run, each worker whose code differs from the master's."""
        record, accounts = self.record, self._collector.ledger.accounts
        if record is None or not self.running:
            return
        for worker, differs_by in self._reports.other_software.items():
            if worker not in accounts or not accounts[worker].highest:
                continue
            text = f"worker {accounts[worker].index} ran {differs_by} than the master"
            if text not in {event.text for event in record.events}:
                _log.warning("%s", text)
                record.note(self._collector.second_of(time.perf_counter()), SOFTWARE, text)

    def _stop_users(self) -> None:
        # This drains, like any stop. Locust's own messages to the workers follow when it quits.
        self._runner.stop(send_stop_to_client=False)

    def drain(self) -> None:
        """Tell the workers to stop their users and send their last deltas; close the record when all have arrived."""
        if self._collector.running:
            self._await_last_deltas()
            self._gather()
        self._close()

    def _await_last_deltas(self) -> None:
        ledger, asked = self._collector.ledger, dict[str, int]()
        until_s = time.perf_counter() + self._environment.stop_timeout + DRAIN_S
        while True:
            self._gather()
            workers = self._presence.with_users()
            for worker in workers:
                if worker not in asked:  # includes workers that join now
                    asked[worker] = ledger.highest(worker)
                    self._gate.send(DRAIN, ledger.run, worker)
            if self._gate.is_receiving:
                return  # Locust stopped the run within the receiving greenlet, because the last worker left
            if ledger.all_final(workers, asked):
                return
            if time.perf_counter() > until_s:
                _log.error("the workers' last deltas did not all arrive; the record says which are missing")
                return
            gevent.sleep(FOLD_EVERY_S / 4)


class LocalRecordKeeper(RecordKeeper):
    """The record keeper of a process that runs alone: the same code from recorder to record, without a link."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._outbox = Outbox()
        self._reporter = reporter_of(environment, self._outbox, self._probe)
        self._loops.spawn(self._report_loop)

    def begin(self) -> None:
        """See `RecordKeeper.begin`."""
        super().begin()
        if self.record is not None:
            self._deliver(self._reporter.begin(self.record.run_id, time.perf_counter()))

    def drain(self) -> None:
        """See `RecordKeeper.drain`."""
        self._deliver(self._reporter.finish(time.perf_counter()))
        self._close()

    def _update_workers(self) -> None:
        runner = self._environment.runner
        self._collector.join(LOCAL, runner.state if runner is not None else STATE_STOPPED, time.perf_counter())

    def _observe(self, now_s: float) -> None:
        """Do nothing: the only process observes itself as worker 0."""

    def _stop_users(self) -> None:
        if self._environment.runner is not None:
            self._environment.runner.stop()

    def _report_loop(self) -> None:
        for second in seconds(self._recorder, self._reporter):
            if second is not None:
                self._deliver(self._reporter.cut(time.perf_counter()))
                end_turn()
                self._tick()

    def _deliver(self, deltas: list[bytes]) -> None:
        for delta in deltas:
            acknowledgement = self._collector.take(LOCAL, delta, 0.0) or self._collector.acknowledgement(LOCAL)
            if acknowledgement is not None:
                self._outbox.acknowledge(acknowledgement)

    def _gather(self) -> None:
        self._deliver(self._reporter.cut(time.perf_counter()))
