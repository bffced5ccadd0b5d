"""What every process of a run knows of the swarm, and what Locust's own statistics are replaced by."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import gevent

from loadtest.measuring import locust_statistics, steady_clock
from loadtest.measuring.collector import Lost
from loadtest.measuring.health import HealthProbe, Watch
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder, scenario_of
from loadtest.measuring.swarm.messages import FOLD_EVERY_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from locust.env import Environment
    from locust.event import EventHook

    from loadtest.measuring.collector import Worker

_log = logging.getLogger(__name__)

SNAPSHOT_S: Final = 10
"""The seconds that a snapshot's rate and percentile look back."""


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
        self._loops: list[gevent.Greenlet[..., None]] = []

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
    def ended_at(self) -> float:
        """When the last run ended, in seconds since the epoch; 0 before, and while one is open."""
        return 0.0

    @property
    def lost(self) -> Lost:
        """The workers that stopped answering, since the process began."""
        return Lost()

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

    def stream_to(
        self,
        path: Path,
        run_id: str = "",
        configuration: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        """On the master: write the next runs' records to this file while they run; elsewhere nothing happens.

        Args:
            path: the file; a second run in the same process writes beside it, with ``-2`` before the suffix, and so on.
            run_id: the next run's name; one is made from the time when it is empty.
            configuration: what the runs are asked to do; kept in the record, anything that JSON can hold.
            context: what they are made with, kept likewise.
        """

    def snapshot(self) -> Snapshot:
        """The run at this moment."""
        record = self.record
        if record is None:
            return Snapshot(0.0, 0, 0.0, 0, math.nan)
        window = record.window(SNAPSHOT_S)
        elapsed_s = steady_clock.now() - record.started_at if self.running else float(record.duration_s)
        users = sum(self.users.values())
        return Snapshot(elapsed_s, users, window.requests_per_s, record.failures, window.response_time.quantile(0.95))

    @property
    def watch(self) -> Watch:
        """What the processes of the current or last run observed about themselves."""
        return Watch()

    def _spawn(self, loop: Callable[[], None]) -> None:
        """Run a loop that goes on after an error: what one second could not do must not cost the rest of the run."""

        def keep_going() -> None:
            while True:
                try:
                    loop()
                except Exception:
                    _log.exception("measuring failed for a second, and goes on")
                    gevent.sleep(1.0)

        self._loops.append(gevent.spawn(keep_going))

    def _end(self) -> None:
        """Do nothing more: Locust quits."""
        self._probe.stop()
        gevent.killall(self._loops, block=False)

    def _turns(self) -> Iterator[int | None]:
        """Fold what was recorded a few times a second, at even times; the caller does the rest of each turn.

        Yields:
            The second that began, with all before it folded; None within a second.
        """
        second = math.floor(time.time())
        while True:
            gevent.sleep(FOLD_EVERY_S - time.time() % FOLD_EVERY_S)
            self.recorder.fold_early()
            begun, second = second, math.floor(time.time())
            if second == begun:
                yield None
            else:
                self.recorder.fold()
                yield second

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


def listen(event: EventHook, listener: Callable[..., None]) -> None:
    """Add a listener to one of Locust's events."""
    event.add_listener(listener)  # type: ignore[no-untyped-call]
