"""Reports: the one message that each worker sends each second, as the master takes it in.

Locust's worker sends a heartbeat a second and a report every three; a message costs the master more than what is in it.
So heartbeat, users and deltas ride in one. Reports are kept for `TAKE_EVERY_S` and taken in together: numpy costs by
the call, not by the number. One answer tells a worker that it was heard and what of its deltas the master holds.
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
"""How long a worker may take to stop, beyond the stop timeout, until it is told again."""
_CPU_WARNING: Final = 90  # per cent; above, Locust warns


class _Received(NamedTuple):
    worker: str
    report: Report
    at_s: float


class Reports:
    """Takes in what the workers report.

    Args:
        runner: the master's.
        collector: gets the deltas.
    """

    def __init__(self, runner: MasterRunner, collector: Collector) -> None:
        self._runner = runner
        self._collector = collector
        self._gate = MasterGate.of(runner)
        self._waiting: list[_Received] = []
        self._offsets_s: dict[str, float] = {}
        self._software = Session.of(runner.environment).find(Software)
        self.strangers: dict[str, str] = {}
        """What the workers run that is not what the master runs, by worker."""
        self._stops_s: dict[str, float] = {}
        """Until when each worker that was told again to stop may take to do so."""
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
        """Do what Locust does with a heartbeat, except that it is answered later, with the acknowledgement."""
        client = self._runner.clients[worker]
        if heartbeat.state == STATE_STOPPING:  # of its process; to Locust it runs, and counts, until it has ended
            rebalancing.let_go(self._runner, client)
            state = STATE_RUNNING if client.state == STATE_MISSING else client.state
            heartbeat = heartbeat.model_copy(update={"state": state})
        cpu_usage: float = heartbeat.current_cpu_usage
        too_busy = cpu_usage > _CPU_WARNING and not client.cpu_warning_emitted
        if client.state == STATE_MISSING or too_busy:  # Locust knows what follows from that
            self._runner.handle_message(worker, Message("heartbeat", heartbeat.model_dump(), worker))  # type: ignore[no-untyped-call]
            return
        changed = client.state != heartbeat.state
        client.state, client.cpu_usage = heartbeat.state, cpu_usage  # type: ignore[assignment]
        client.memory_usage = heartbeat.current_memory_usage  # type: ignore[assignment]
        self._runner.environment.events.heartbeat_sent.fire(client_id=worker, timestamp=time.time())  # type: ignore[no-untyped-call]
        if changed:
            self._runner.check_stopped()

    def _look_at(self, worker: str, software: Software | None) -> None:
        """Note whether a worker runs what the master runs."""
        if self._software is None:  # nobody said what that is, as where Locust is used as a library
            return
        if differs_by := self._software.differs_by(software):
            self.strangers[worker] = differs_by
        else:
            self.strangers.pop(worker, None)

    def _stop_again(self, worker: str, state: str) -> None:
        """Tell a worker to stop that goes on after the end: one that was cut off or held up then was told in vain."""
        is_over = self._runner.state in (STATE_INIT, STATE_STOPPED)
        if not is_over or state not in (STATE_SPAWNING, STATE_RUNNING):
            self._stops_s.pop(worker, None)
        elif time.perf_counter() > self._stops_s.get(worker, 0.0):
            self._stops_s[worker] = time.perf_counter() + self._runner.environment.stop_timeout + STOP_AGAIN_AFTER_S
            self._runner.server.send_to_client(Message("stop", None, worker))  # type: ignore[no-untyped-call]

    def take(self) -> None:
        """Take in what came since the last time, and answer it."""
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
        known = self._collector.workers  # also those that Locust does not count while they stop
        self._gate.send_each(
            ACKNOWLEDGEMENT, [(worker, answer) for (worker, _), answer in answers.items() if worker in known]
        )

    def forget(self, known: set[str]) -> None:
        """Forget workers that are not known any more."""
        for worker in set(self._offsets_s).difference(known):
            del self._offsets_s[worker]
            self.strangers.pop(worker, None)

    def _offset_s(self, worker: str, seen_s: float) -> float:
        # The smallest difference seen comes nearest to that of the clocks: it holds the shortest way of a message.
        offset_s = self._offsets_s[worker] = min(seen_s, self._offsets_s.get(worker, math.inf))
        return offset_s
