"""The side that holds the record: what came in goes everywhere once a second."""

from __future__ import annotations

import logging
import math
import secrets
import time
from typing import TYPE_CHECKING, Any

from loadtest.exceptions import RecordError
from loadtest.measuring import locust_statistics, steady_clock
from loadtest.measuring.collector import Collector
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_file import RecordFile
from loadtest.measuring.swarm.view import Swarm, listen
from loadtest.run_folder import new_run_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from locust.env import Environment

    from loadtest.measuring.collector import Lost, Second, Worker
    from loadtest.measuring.health import Watch

_log = logging.getLogger(__name__)


class CollectingSwarm(Swarm):
    """What master and local runner share: they hold the record."""

    def __init__(self, environment: Environment) -> None:
        """Made by `of` only."""
        super().__init__(environment)
        self._collector = Collector()
        self._path: Path | None = None
        self._run_id = ""
        self._configuration: dict[str, Any] = {}
        self._context: dict[str, Any] = {}
        self._runs = 0
        self._file: RecordFile | None = None
        self._observed_s = time.perf_counter()
        events = environment.events
        listen(events.test_start, self._on_test_start)
        listen(events.reset_stats, self._on_reset)
        listen(events.spawning_complete, self._on_spawning_complete)
        listen(events.quitting, self._on_quitting)

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

    @property
    def ended_at(self) -> float:
        """See `Swarm.ended_at`."""
        return self._collector.ended_at

    @property
    def lost(self) -> Lost:
        """See `Swarm.lost`."""
        return self._collector.lost

    @property
    def watch(self) -> Watch:
        """See `Swarm.watch`."""
        return self._collector.watch

    def stream_to(
        self,
        path: Path,
        run_id: str = "",
        configuration: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        """See `Swarm.stream_to`."""
        self._path, self._run_id, self._runs = path, run_id, 0
        self._configuration, self._context = dict(configuration or {}), dict(context or {})

    def _on_test_start(self, **_: Any) -> None:
        self._close()
        self._runs += 1
        started_at = steady_clock.now()
        run_id, self._run_id = self._run_id or new_run_id(secrets.token_hex(2)), ""
        record = RunRecord(run_id, started_at, dict(self._configuration), dict(self._context))
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
        self._end()
