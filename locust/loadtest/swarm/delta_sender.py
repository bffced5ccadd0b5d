"""A worker's side of measuring: samples become numbered deltas, which are sent until the master has them.

Tested in tests/unit/swarm/test_session.py and tests/native/test_measuring_swarm.py.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust import runners

from loadtest.measuring.delivery import BATCH, RESEND_AFTER_S, Outbox
from loadtest.measuring.health import HealthProbe
from loadtest.measuring.recorder import Recorder
from loadtest.session import Session
from loadtest.swarm.loops import FOLD_EVERY_S, Loops, drop_locusts_statistics, reporter_of, seconds
from loadtest.swarm.messages import ACKNOWLEDGEMENT, DRAIN, REPORT, Heartbeat, Report, Users
from loadtest.swarm.record_keeper import DRAIN_S
from loadtest.swarm.software import Software

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment
    from locust.runners import WorkerRunner

    from loadtest.measuring.delivery import Acknowledgement
    from loadtest.swarm.gate import WorkerGate

_log = logging.getLogger(__name__)

RESEND_LAST_AFTER_S: Final = 0.5
HEARTBEAT_EVERY_S: Final = 2
"""Seconds between two heartbeats, and between their answers, which `loadtest.swarm.presence` waits for."""


class DeltaSender:
    """A worker's side of measuring.

    Args:
        environment: Locust's Environment.
        runner: the worker's runner.
        gate: sends to the master.
        run: returns the id of the run that this worker's users belong to.
    """

    def __init__(
        self, environment: Environment, runner: WorkerRunner, gate: WorkerGate, run: Callable[[], str]
    ) -> None:
        self._environment = environment
        self._runner = runner
        self._gate = gate
        self._run = run
        self._recorder = Recorder.of(environment)
        self._probe = HealthProbe()
        self._probe.start()
        self._outbox = Outbox()
        self._reporter = reporter_of(environment, self._outbox, self._probe)
        drop_locusts_statistics(environment)
        gate.on(ACKNOWLEDGEMENT, self._on_acknowledgement)
        gate.on(DRAIN, self._on_drain, concurrent=True)
        self._loops = Loops()
        self._software = Session.of(environment).find(Software)
        self._heartbeat_second = 0

    def start(self) -> None:
        """Start reporting."""
        self._loops.spawn(self._report_loop)

    def begin(self) -> None:
        """See `loadtest.swarm.service.Service`."""
        self._send(self._reporter.begin(self._run(), time.perf_counter()))
        self._probe.restart()  # Locust takes long to read the spawn message

    def joined(self, peer: str) -> None:
        """Do nothing: unacknowledged deltas are sent again anyway."""

    def lost(self, peer: str) -> None:
        """Do nothing: deltas are kept until they are acknowledged."""

    def drain(self) -> None:
        """Send the last delta: the users have stopped."""
        self._send(self._reporter.finish(time.perf_counter()))

    def announce_end(self) -> None:
        """Tell the master that this process has begun to end, so that it assigns no more users to it."""
        self._send([], self._sign_of_life())

    def close(self) -> None:
        """Stop the users, send the last delta, and wait until the master has it, for at most `DRAIN_S`."""
        if not self._reporter.finished:
            self._runner.stop()
        self._send(self._reporter.finish(time.perf_counter()))
        # After the master's "quit" no acknowledgement arrives any more; the drain came before it.
        until_s = time.perf_counter() + DRAIN_S
        while len(self._runner.greenlet) and len(self._outbox) and time.perf_counter() < until_s:
            gevent.sleep(FOLD_EVERY_S / 4)
        self._probe.stop()
        self._loops.end()

    def _report_loop(self) -> None:
        for second in seconds(self._recorder, self._reporter):
            if second is not None:
                self._send(self._reporter.cut(time.perf_counter()), self._heartbeat(second), self._users(second))
            now_s = time.perf_counter()
            self._send(self._outbox.due(now_s, RESEND_LAST_AFTER_S if self._reporter.finished else RESEND_AFTER_S))

    def _heartbeat(self, second: int) -> Heartbeat | None:
        """Return Locust's heartbeat if one is due. The master answers it.

        A process that was suspended sends one at once, because until the master hears from it, its users run elsewhere.
        """
        if second - self._heartbeat_second < HEARTBEAT_EVERY_S:
            return None
        self._heartbeat_second = second
        return self._sign_of_life()

    def _sign_of_life(self) -> Heartbeat:
        runner: Any = self._runner
        return Heartbeat(
            state=runners.STATE_STOPPING if self._gate.is_closing else runner.worker_state,
            current_cpu_usage=runner.current_cpu_usage,
            current_memory_usage=runner.current_memory_usage,
            software=self._software,
        )

    def _users(self, second: int) -> Users | None:
        """Return what Locust and listeners of ``report_to_master`` tell the master, as often as Locust does."""
        if second % round(runners.WORKER_REPORT_INTERVAL):
            return None
        report: dict[str, Any] = {}
        self._environment.events.report_to_master.fire(  # type: ignore[no-untyped-call]
            client_id=self._runner.client_id, data=report
        )
        return Users(**report)

    def _send(self, deltas: list[bytes], heartbeat: Heartbeat | None = None, users: Users | None = None) -> None:
        batches = [deltas[first : first + BATCH] for first in range(0, len(deltas), BATCH)]
        if not batches and (heartbeat or users):
            batches = [[]]
        for batch in batches:
            report = Report(time.perf_counter(), batch, heartbeat, users)
            heartbeat = users = None
            try:
                self._gate.send(REPORT, report)
            except Exception as error:  # whatever Locust's link raises, the outbox keeps the deltas
                _log.warning("%d deltas could not be sent and will be sent again: %s", len(deltas), error)

    def _on_acknowledgement(self, _master: str, acknowledgement: Acknowledgement | None) -> None:
        runner = self._runner
        runner.last_heartbeat_timestamp = time.time()
        self._environment.events.heartbeat_received.fire(  # type: ignore[no-untyped-call]
            client_id=runner.client_id, timestamp=runner.last_heartbeat_timestamp
        )
        if acknowledgement is not None:
            self._outbox.acknowledge(acknowledgement)

    def _on_drain(self, _master: str, run: str) -> None:
        """Stop the users and send the last delta of the run that the master wants to close."""
        if self._reporter.run != run:
            self._send(self._reporter.begin(run, time.perf_counter()))
        had_finished = self._reporter.finished
        self._runner.stop()  # this sends the last delta, unless the users had stopped before
        if had_finished or not self._reporter.finished:
            self._send(self._reporter.answer(time.perf_counter()))
