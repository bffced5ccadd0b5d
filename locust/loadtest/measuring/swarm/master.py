"""The master's side: it takes in what the workers send, and drains them before the record closes."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments
from locust.rpc import Message
from locust.runners import HEARTBEAT_LIVENESS, STATE_INIT

from loadtest.measuring.swarm.collecting import CollectingSwarm
from loadtest.measuring.swarm.messages import ACKNOWLEDGEMENT, DRAIN, DRAIN_S, FOLD_EVERY_S, REPORT, RUN_OPTION, Report
from loadtest.measuring.swarm.view import listen

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.runners import MasterRunner

_log = logging.getLogger(__name__)


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
        runner.register_message(REPORT, self._on_report)
        events = environment.events
        listen(events.test_stopping, self._on_test_stopping)
        listen(events.worker_connect, self._on_worker_connect)
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
            setattr(self.environment.parsed_options, RUN_OPTION, self.record.run_id)

    def _on_report(self, msg: Any, **_: Any) -> None:
        self._listener = gevent.getcurrent()
        worker, report = msg.node_id, Report(*msg.data)
        if worker in self._runner.clients:
            self._runner.clients[worker].heartbeat = HEARTBEAT_LIVENESS  # any report is a sign of life
        if report.heartbeat is not None:  # Locust's own handler knows what follows from it, and answers
            heartbeat = Message("heartbeat", report.heartbeat, worker)  # type: ignore[no-untyped-call]
            self._runner.handle_message(worker, heartbeat)
        if report.users is not None:
            worker_report = self.environment.events.worker_report
            worker_report.fire(client_id=worker, data=report.users)  # type: ignore[no-untyped-call]
        if report.deltas:
            self._take(worker, report)

    def _take(self, worker: str, report: Report) -> None:
        # The smallest difference seen comes nearest to that of the clocks: it holds the shortest way of a message.
        offset_s = min(time.perf_counter() - report.now_s, self._offsets_s.get(worker, math.inf))
        self._offsets_s[worker] = offset_s
        acknowledgement = None
        for data in report.deltas:
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
        ledger, asked = self._collector.ledger, dict[str, int]()
        until_s = time.perf_counter() + self.environment.stop_timeout + DRAIN_S
        while True:
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
