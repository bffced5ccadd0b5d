"""The master's side: it takes in what the workers send, and drains them before the record closes."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.event import Event
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments
from locust.rpc import Message
from locust.runners import HEARTBEAT_LIVENESS, STATE_INIT, STATE_MISSING

from loadtest.measuring.collector import Arrival
from loadtest.measuring.swarm.collecting import CollectingSwarm
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
from loadtest.measuring.swarm.view import listen
from loadtest.swarm import burst

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.runners import MasterRunner

    from loadtest.measuring.delivery import Acknowledgement

_log = logging.getLogger(__name__)

TAKE_EVERY_S: Final = 0.1
"""Every so often the reports that came are taken in together and answered."""
_CPU_WARNING: Final = 90  # per cent; above, Locust warns


class MasterSwarm(CollectingSwarm):
    """The master: it merges what the workers send."""

    def __init__(self, environment: Environment, runner: MasterRunner) -> None:
        """Made by `of` only."""
        super().__init__(environment)
        self._runner = runner
        self._listener: Any = None  # the greenlet that receives messages
        self._offsets_s: dict[str, float] = {}
        self._arrived: list[tuple[str, Report, float]] = []  # from whom, what and when
        self._drained: Event | None = None
        if environment.parsed_options is None:  # as when Locust is used as a library
            parser = get_empty_argument_parser()
            setup_parser_arguments(parser)  # type: ignore[no-untyped-call]
            environment.parsed_options = parser.parse(args=[])
        self._drop_locusts_statistics()
        runner.register_message(REPORT, self._on_report)
        events = environment.events
        listen(events.test_stopping, self._on_test_stopping)
        listen(events.worker_connect, self._on_worker_connect)
        self._spawn(self._take_loop)
        self._spawn(self._tick_loop)

    def _tick_loop(self) -> None:
        while True:
            # A little after the workers' whole second, so that a second's deltas mostly arrive in one tick.
            gevent.sleep(1.0 - (time.time() - 0.25) % 1.0)
            self._gather()
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
            self._name_run(self.record.run_id)

    def _name_run(self, run: str) -> None:
        setattr(self.environment.parsed_options, RUN_OPTION, run)

    def _on_report(self, msg: Any, **_: Any) -> None:
        """Keep a report until all that came with it is taken in together, which costs less."""
        self._listener = gevent.getcurrent()
        worker, report = msg.node_id, Report(*msg.data)
        if worker in self._runner.clients:
            self._runner.clients[worker].heartbeat = HEARTBEAT_LIVENESS  # any report is a sign of life
            if report.heartbeat is not None:
                self._hear(worker, report.heartbeat)
        self._arrived.append((worker, report, time.perf_counter()))

    def _take_loop(self) -> None:
        while True:
            gevent.sleep(TAKE_EVERY_S)
            self._gather()

    def _gather(self) -> None:
        """Take in what came."""
        if not self._arrived:
            return
        arrived, self._arrived = self._arrived, []
        deltas = [
            Arrival(worker, data, self._offset_s(worker, arrived_s - report.now_s))
            for worker, report, arrived_s in arrived
            for data in report.deltas
        ]
        answers: dict[tuple[str, str], Acknowledgement | None] = {
            (worker, acknowledgement.run): acknowledgement
            for worker, acknowledgement in self._collector.take_all(deltas)
        }
        answered = {worker for worker, _ in answers}
        for worker, report, _ in arrived:
            if report.heartbeat is not None and worker not in answered:
                answers[worker, ""] = self._collector.acknowledgement(worker)
            if report.users is not None:
                worker_report = self.environment.events.worker_report
                worker_report.fire(client_id=worker, data=report.users)  # type: ignore[no-untyped-call]
        self._answer([(worker, answer) for (worker, _), answer in answers.items()])

    def _offset_s(self, worker: str, seen_s: float) -> float:
        # The smallest difference seen comes nearest to that of the clocks: it holds the shortest way of a message.
        offset_s = self._offsets_s[worker] = min(seen_s, self._offsets_s.get(worker, math.inf))
        return offset_s

    def _hear(self, worker: str, heartbeat: dict[str, Any]) -> None:
        """Do what Locust does with a heartbeat, except that the answer is left to `_answer`."""
        client = self._runner.clients[worker]
        cpu_usage = heartbeat["current_cpu_usage"]
        too_busy = cpu_usage > _CPU_WARNING and not client.cpu_warning_emitted
        if client.state == STATE_MISSING or too_busy:  # Locust knows what follows from that
            self._runner.handle_message(worker, Message("heartbeat", heartbeat, worker))  # type: ignore[no-untyped-call]
            return
        changed = client.state != heartbeat["state"]
        client.state, client.cpu_usage = heartbeat["state"], cpu_usage
        client.memory_usage = heartbeat["current_memory_usage"]
        self.environment.events.heartbeat_sent.fire(client_id=worker, timestamp=time.time())  # type: ignore[no-untyped-call]
        if changed:
            self._runner.check_stopped()

    def _answer(self, answers: list[tuple[str, Acknowledgement | None]]) -> None:
        """Tell the workers that they are heard, and what of theirs is held."""
        burst.send(
            self._runner.server.socket,
            [
                (worker.encode(), Message(ACKNOWLEDGEMENT, answer, worker).serialize())  # type: ignore[no-untyped-call]
                for worker, answer in answers
                if worker in self._runner.clients
            ],
        )

    def _on_test_stopping(self, **_: Any) -> None:
        """Drain: see the module's text. A second call (SIGTERM while a run stops) waits for the first."""
        if self._drained is not None:
            self._drained.wait(self.environment.stop_timeout + DRAIN_S)
            return
        self._drained = Event()
        self._name_run(NO_RUN)  # Locust goes on dealing users, when it is asked to end while it starts them
        try:
            if self._collector.running:
                self._drain()
                self._gather()
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
        ledger, asked = self._collector.ledger, dict[str, int]()
        until_s = time.perf_counter() + self.environment.stop_timeout + DRAIN_S
        while True:
            self._gather()
            living = self._living()
            for worker in living:
                if worker not in asked:  # also one that joins now
                    asked[worker] = ledger.highest(worker)
                    self._runner.send_message(DRAIN, ledger.run, worker)  # type: ignore[arg-type]
            if gevent.getcurrent() is self._listener:
                return  # Locust stops the run from within the greenlet that receives: the last worker left
            if ledger.all_final(living, asked):
                return
            if time.perf_counter() > until_s:
                _log.error("the workers' last deltas did not all arrive; the record says which are missing")
                return
            gevent.sleep(FOLD_EVERY_S / 4)
