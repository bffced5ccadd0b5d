"""Reports: the master's handling of the one message that each worker sends each second.

Locust's worker sends a heartbeat every second and a report every three. For the master, a message costs more than its
content, so heartbeat, users and deltas share one. Reports are collected for `TAKE_EVERY_S` and processed together,
because numpy's cost is per call rather than per value. One answer acknowledges the heartbeat and the deltas that the
master holds.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from locust.rpc import Message
from locust.runners import (
    HEARTBEAT_LIVENESS,
    STATE_INIT,
    STATE_MISSING,
    STATE_RUNNING,
    STATE_SPAWNING,
    STATE_STOPPED,
    STATE_STOPPING,
)

from loadtest.measuring.collector import Arrival
from loadtest.session import Session
from loadtest.swarm import rebalancing
from loadtest.swarm.gate import MasterGate
from loadtest.swarm.messages import ACKNOWLEDGEMENT, REPORT
from loadtest.swarm.software import Software

if TYPE_CHECKING:
    from locust.runners import MasterRunner

    from loadtest.measuring.collector import Collector
    from loadtest.measuring.delivery import Acknowledgement
    from loadtest.swarm.messages import Heartbeat, Report

TAKE_EVERY_S: Final = 0.1
STOP_AGAIN_AFTER_S: Final = 10.0
"""Seconds beyond the stop timeout that a worker may take to stop before it is told again."""
_CPU_WARNING: Final = 90  # per cent; Locust warns above it


class _Received(NamedTuple):
    worker: str
    report: Report
    at_s: float


class Reports:
    """Processes the workers' reports.

    Args:
        runner: the master's runner.
        collector: receives the deltas.
    """

    def __init__(self, runner: MasterRunner, collector: Collector) -> None:
        self._runner = runner
        self._collector = collector
        self._gate = MasterGate.of(runner)
        self._waiting: list[_Received] = []
        self._offsets_s: dict[str, float] = {}
        self._software = Session.of(runner.environment).find(Software)
        self.other_software: dict[str, str] = {}
        """How each worker's software differs from the master's, by worker name."""
        self._stops_s: dict[str, float] = {}
        """The deadline of each worker that was told again to stop."""
        self._gate.on(REPORT, self._on_report)

    def _on_report(self, worker: str, report: Report) -> None:
        if worker in self._runner.clients:
            self._runner.clients[worker].heartbeat = HEARTBEAT_LIVENESS  # any report is a sign of life
            if report.heartbeat is not None:
                self._on_heartbeat(worker, report.heartbeat)
                self._stop_again(worker, report.heartbeat.state)
                self._look_at(worker, report.heartbeat.software)
        self._waiting.append(_Received(worker, report, time.perf_counter()))

    def _on_heartbeat(self, worker: str, heartbeat: Heartbeat) -> None:
        """Handle a heartbeat as Locust does, except that the acknowledgement answers it later."""
        client = self._runner.clients[worker]
        if heartbeat.state == STATE_STOPPING:  # its process ends; Locust counts it as running until it has
            rebalancing.stop_assigning(self._runner, client)
            state = STATE_RUNNING if client.state == STATE_MISSING else client.state
            heartbeat = heartbeat.model_copy(update={"state": state})
        cpu_usage: float = heartbeat.current_cpu_usage
        too_busy = cpu_usage > _CPU_WARNING and not client.cpu_warning_emitted
        if client.state == STATE_MISSING or too_busy:  # leave the consequences to Locust
            self._runner.handle_message(worker, Message("heartbeat", heartbeat.model_dump(), worker))  # type: ignore[no-untyped-call]
            return
        changed = client.state != heartbeat.state
        client.state, client.cpu_usage = heartbeat.state, cpu_usage  # type: ignore[assignment]
        client.memory_usage = heartbeat.current_memory_usage  # type: ignore[assignment]
        self._runner.environment.events.heartbeat_sent.fire(client_id=worker, timestamp=time.time())  # type: ignore[no-untyped-call]
        if changed:
            self._runner.check_stopped()

    def _look_at(self, worker: str, software: Software | None) -> None:
        """Record whether a worker runs the same software as the master."""
        if self._software is None:  # unknown, for example when Locust is used as a library
            return
        if differs_by := self._software.differs_by(software):
            self.other_software[worker] = differs_by
        else:
            self.other_software.pop(worker, None)

    def _stop_again(self, worker: str, state: str) -> None:
        """Stop a worker that still runs after the end: it was cut off or suspended and missed the message."""
        is_over = self._runner.state in (STATE_INIT, STATE_STOPPED)
        if not is_over or state not in (STATE_SPAWNING, STATE_RUNNING):
            self._stops_s.pop(worker, None)
        elif time.perf_counter() > self._stops_s.get(worker, 0.0):
            self._stops_s[worker] = time.perf_counter() + self._runner.environment.stop_timeout + STOP_AGAIN_AFTER_S
            self._runner.server.send_to_client(Message("stop", None, worker))  # type: ignore[no-untyped-call]

    def take(self) -> None:
        """Process the reports that arrived since the last call, and answer them."""
        if not self._waiting:
            return
        received, self._waiting = self._waiting, []
        deltas = [
            Arrival(worker, data, self._offset_s(worker, at_s - report.now_s), report.now_s)
            for worker, report, at_s in received
            for data in report.deltas
        ]
        answers: dict[tuple[str, str], Acknowledgement | None] = {
            (worker, acknowledgement.run): acknowledgement
            for worker, acknowledgement in self._collector.take_all(deltas)
        }
        answered = {worker for worker, _ in answers}
        for worker, report, _ in received:
            if report.heartbeat is not None and worker not in answered:
                answers[worker, ""] = self._collector.acknowledgement(worker)
            if report.users is not None and worker in self._runner.clients:
                worker_report = self._runner.environment.events.worker_report
                worker_report.fire(client_id=worker, data=report.users.model_dump())  # type: ignore[no-untyped-call]
        known = self._collector.workers  # includes those that Locust no longer counts because they are stopping
        self._gate.send_each(
            ACKNOWLEDGEMENT, [(worker, answer) for (worker, _), answer in answers.items() if worker in known]
        )

    def forget(self, known: set[str]) -> None:
        """Forget workers that are no longer known."""
        for worker in set(self._offsets_s).difference(known):
            del self._offsets_s[worker]
            self.other_software.pop(worker, None)

    def _offset_s(self, worker: str, seen_s: float) -> float:
        # The smallest difference seen is closest to that of the clocks, because it includes the shortest delay of a
        # message.
        offset_s = self._offsets_s[worker] = min(seen_s, self._offsets_s.get(worker, math.inf))
        return offset_s
