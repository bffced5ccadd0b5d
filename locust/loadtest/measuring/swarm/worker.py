"""A worker's side: samples become numbered deltas, which go to the master until it has them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust import runners
from locust.runners import STATE_RUNNING, STATE_SPAWNING

from loadtest.measuring.delivery import BATCH, RESEND_AFTER_S, Acknowledgement, Outbox, Reporter
from loadtest.measuring.swarm.messages import (
    ACKNOWLEDGEMENT,
    DRAIN,
    DRAIN_S,
    FOLD_EVERY_S,
    NO_RUN,
    REPORT,
    RUN_OPTION,
    Report,
)
from loadtest.measuring.swarm.view import Swarm, listen

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.runners import WorkerRunner

_log = logging.getLogger(__name__)

RESEND_LAST_AFTER_S: Final = 0.5
HEARTBEAT_EVERY: Final = 2
"""Seconds from one heartbeat to the next, and to its answer, which `patches.worker_link` waits for."""


class WorkerSwarm(Swarm):
    """A worker: its samples go to the master."""

    def __init__(self, environment: Environment, runner: WorkerRunner) -> None:
        """Made by `of` only."""
        super().__init__(environment)
        self._runner = runner
        self._outbox = Outbox()
        self._reporter = Reporter(self.recorder, self._outbox, self._own_users, self._probe.take)
        self._drop_locusts_statistics()
        self._start_users_in_runs_only()
        runner.register_message(ACKNOWLEDGEMENT, self._on_acknowledgement)
        runner.register_message(DRAIN, self._on_drain, concurrent=True)
        events = environment.events
        listen(events.test_start, self._on_test_start)
        listen(events.test_stop, self._on_test_stop)
        listen(events.quitting, self._on_quitting)
        if runner.worker_state in (STATE_SPAWNING, STATE_RUNNING):
            # The master sent the first spawn while Locust was still being set up.
            self._on_test_start()
        self._spawn(self._report_loop)

    def _start_users_in_runs_only(self) -> None:
        """Leave out what Locust's master still says of users after it began to drain their run."""
        runner = self._runner
        handle = runner.handle_message

        def handle_message(message: Any) -> None:
            if message.type == "spawn" and (message.data.get("parsed_options") or {}).get(RUN_OPTION) == NO_RUN:
                _log.info("no users are started any more: their run is at its end")
                return
            handle(message)

        runner.handle_message = handle_message  # type: ignore[assignment,method-assign]

    def _run(self) -> str:
        return str(getattr(self.environment.parsed_options, RUN_OPTION, ""))

    def _on_test_start(self, **_: Any) -> None:
        self._send(self._reporter.begin(self._run(), time.perf_counter()))
        self._probe.restart()  # reading the spawn message takes Locust long

    def _on_test_stop(self, **_: Any) -> None:
        self._send(self._reporter.finish(time.perf_counter()))

    def _report_loop(self) -> None:
        for second in self._turns():
            if second is not None:
                self._send(self._reporter.cut(time.perf_counter()), self._heartbeat(second), self._users_report(second))
            now_s = time.perf_counter()
            self._send(self._outbox.due(now_s, RESEND_LAST_AFTER_S if self._reporter.finished else RESEND_AFTER_S))

    def _heartbeat(self, second: int) -> dict[str, Any] | None:
        """Locust's heartbeat, which the master answers."""
        if second % HEARTBEAT_EVERY:
            return None
        runner = self._runner
        return {
            "state": runner.worker_state,
            "current_cpu_usage": runner.current_cpu_usage,
            "current_memory_usage": runner.current_memory_usage,
        }

    def _users_report(self, second: int) -> dict[str, Any] | None:
        """What Locust and listeners of its ``report_to_master`` tell the master, as often as Locust does."""
        if second % round(runners.WORKER_REPORT_INTERVAL):
            return None
        report: dict[str, Any] = {}
        self.environment.events.report_to_master.fire(  # type: ignore[no-untyped-call]
            client_id=self._runner.client_id, data=report
        )
        return report

    def _send(
        self, deltas: list[bytes], heartbeat: dict[str, Any] | None = None, users: dict[str, Any] | None = None
    ) -> None:
        batches = [deltas[first : first + BATCH] for first in range(0, len(deltas), BATCH)]
        if not batches and (heartbeat or users):
            batches = [[]]
        for batch in batches:
            report = Report(time.perf_counter(), batch, heartbeat, users)
            heartbeat = users = None
            try:
                self._runner.send_message(REPORT, tuple(report))  # type: ignore[arg-type]
            except Exception as error:  # whatever Locust's link raises, the outbox keeps the deltas
                _log.warning("%d deltas could not be sent and will be sent again: %s", len(deltas), error)

    def _on_acknowledgement(self, msg: Any, **_: Any) -> None:
        runner = self._runner
        runner.last_heartbeat_timestamp = time.time()
        self.environment.events.heartbeat_received.fire(  # type: ignore[no-untyped-call]
            client_id=runner.client_id, timestamp=runner.last_heartbeat_timestamp
        )
        if msg.data is not None:
            run, upto, beyond, refused = msg.data
            self._outbox.acknowledge(Acknowledgement(run, upto, tuple(beyond), refused))

    def _on_drain(self, msg: Any, **_: Any) -> None:
        """Stop the users and send the last delta of the run that the master wants to close."""
        if self._reporter.run != msg.data:
            self._send(self._reporter.begin(msg.data, time.perf_counter()))
        self._runner.stop()
        self._send(self._reporter.answer(time.perf_counter()))

    def _on_quitting(self, **_: Any) -> None:
        if not self._reporter.finished:
            self._runner.stop()
        self._send(self._reporter.finish(time.perf_counter()))
        # After a "quit" of the master nobody receives acknowledgements any more; the drain came before it.
        until_s = time.perf_counter() + DRAIN_S
        while len(self._runner.greenlet) and len(self._outbox) and time.perf_counter() < until_s:
            gevent.sleep(FOLD_EVERY_S / 4)
        self._end()
