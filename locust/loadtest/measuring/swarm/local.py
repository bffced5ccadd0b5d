"""A run in one process: both sides, without a wire between them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from locust.runners import STATE_STOPPED

from loadtest.measuring.delivery import Outbox, Reporter
from loadtest.measuring.swarm.collecting import CollectingSwarm

if TYPE_CHECKING:
    from locust.env import Environment

LOCAL: Final = "local"
"""The one worker of a run that is not distributed."""


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
        for second in self._turns():
            if second is not None:
                self._deliver(self._reporter.cut(time.perf_counter()))
                self._tick()

    def _deliver(self, deltas: list[bytes]) -> None:
        for delta in deltas:
            acknowledgement = self._collector.take(LOCAL, delta, 0.0) or self._collector.acknowledgement(LOCAL)
            if acknowledgement is not None:
                self._outbox.acknowledge(acknowledgement)

    def _gather(self) -> None:
        self._deliver(self._reporter.cut(time.perf_counter()))
