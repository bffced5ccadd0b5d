"""Scrape: the state of the master from which the metrics of one scrape are read.

Tested in tests/unit/exporting/test_scrape.py and tests/contracts/test_metrics.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from locust.runners import (
    STATE_CLEANUP,
    STATE_INIT,
    STATE_MISSING,
    STATE_RUNNING,
    STATE_SPAWNING,
    STATE_STOPPED,
    STATE_STOPPING,
)

from loadtest.exporting.run_names import RunNames
from loadtest.exporting.run_progress import RunProgress
from loadtest.judging.outcome import Outcome
from loadtest.measuring.collector import GONE, MISSING
from loadtest.measuring.health import MASTER
from loadtest.measuring.histogram import Histogram
from loadtest.measuring.labels import CONNECTION_PHASES, ITERATION, OTHER, SETUP, TRANSACTION
from loadtest.measuring.record import RunRecord
from loadtest.pacing import service as pacing
from loadtest.profiles.load import Load
from loadtest.session import Session
from loadtest.swarm import refusals
from loadtest.swarm.record_keeper import RecordKeeper
from loadtest.swarm.session import ControllingSwarm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from locust.env import Environment

    from loadtest.measuring.collector import Worker
    from loadtest.measuring.labels import SeriesKey
    from loadtest.measuring.record_rows import SeriesView
    from loadtest.measuring.streams import StreamView

MAX_SCENARIOS: Final = 10
"""The maximum number of scenarios with metrics of their own; later ones count as `other`."""
MAX_WORKERS: Final = 200
"""The maximum number of workers with metrics of their own: those with the lowest numbers."""
MAX_RULES: Final = 50
"""The maximum number of thresholds whose limits are exported: the first of a run."""
MAX_CHANGES: Final = 50
"""The maximum number of changes in a run's history that are exported: the latest figures that changed."""
MAX_STEPS: Final = 20
"""The maximum number of transactions, and checks, with metrics of their own, in order of first occurrence."""
RUN_STATES: Final = (STATE_INIT, STATE_SPAWNING, STATE_RUNNING, STATE_CLEANUP, STATE_STOPPING, STATE_STOPPED)
WORKER_STATES: Final = (*RUN_STATES, STATE_MISSING)
QUANTILES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)
"""The quantiles of a run's response times, and of every histogram's last seconds."""
_WITH_USERS: Final = (STATE_SPAWNING, STATE_RUNNING)


class Scrape:
    """The current state of the master.

    Args:
        environment: the master's Environment.
        weights: the total weight of the User classes of each scenario.
        streams: the streamed responses by exported scenario, method and name; none by default.
        measured: the source of counters and histograms; by default everything since the process started.
        recent: the same state with the measurements of the last seconds; by default this one.
        shown: returns the labels under which a name is exported; by default its own.

    Attributes:
        keeper: the record keeper.
        names: the record's figures per name.
        reporting: the workers whose health is known, by number.
    """

    def __init__(
        self,
        environment: Environment,
        weights: Mapping[str, float],
        streams: Mapping[tuple[str, str, str], StreamView] | None = None,
        measured: RunRecord | None = None,
        *,
        recent: Scrape | None = None,
        shown: Callable[[SeriesKey], SeriesKey] = lambda key: key,
    ) -> None:
        self._environment = environment
        self.streams = streams or {}
        self.recent: Scrape = recent or self
        self._weights = weights
        self.keeper: RecordKeeper = RecordKeeper.of(environment)
        self.names = RunNames(self.keeper.record, shown)
        self._measured = measured or self.keeper.totals
        self._progress = RunProgress.of(environment)
        scenarios = dict.fromkeys((*weights, *self.keeper.users, *self.keeper.totals.schedule_lag))
        self._shown = {name: name if index < MAX_SCENARIOS else OTHER for index, name in enumerate(scenarios)}
        self._present = {index: worker for index, worker in self.keeper.workers.items() if worker.state != GONE}
        # Workers report only during a run, so their last report does not describe the present.
        numbers = sorted(index for index, worker in self._present.items() if worker.state != MISSING)
        self.reporting: dict[str, Worker] = {
            str(index): self._present[index] for index in numbers[:MAX_WORKERS] if self.keeper.running
        }

    def memory_bytes(self) -> dict[str, float]:
        """Return the resident memory in bytes of the master, and of each worker that has reported it, by number."""
        held = {f"worker {index}": worker.memory_bytes for index, worker in self.reporting.items()}
        return {name: size for name, size in {MASTER: self.keeper.master.memory_bytes, **held}.items() if size}

    def network_bytes_per_s(self) -> dict[str, float]:
        """Return what the busiest worker's machine receives and sends per second; zeros if no worker reports."""
        workers = self.reporting.values()
        return {
            "received": max((worker.received_bytes_per_s for worker in workers), default=0.0),
            "sent": max((worker.sent_bytes_per_s for worker in workers), default=0.0),
        }

    def by_scenario(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return a value for each exported scenario, and the sum of all others as `other`."""
        sums: dict[str, float] = dict.fromkeys(self._shown.values(), 0)
        for scenario, label in self._shown.items():
            sums[label] += values.get(scenario, 0)
        return sums

    def shares(self, total: float) -> dict[str, float]:
        """Divide a total among the scenarios in proportion to the weights of their User classes."""
        weight = sum(self._weights.values()) or 1
        return {scenario: total * own / weight for scenario, own in self._weights.items()}

    def shown_scenario(self, scenario: str) -> str:
        """Return the name under which a scenario is exported: its own, or `other`."""
        return self._shown.get(scenario, OTHER)

    def setup_requests(self) -> dict[tuple[str, ...], float]:
        """Return the number of requests in on_start and on_stop, by scenario and result."""
        succeeded, failed = dict.fromkeys(self._shown, 0), dict.fromkeys(self._shown, 0)
        for view in self._measured.setup.counts() if self._measured.setup else ():
            succeeded[view.scenario] = succeeded.get(view.scenario, 0) + view.requests - view.failures
            failed[view.scenario] = failed.get(view.scenario, 0) + view.failures
        results = {"success": self.by_scenario(succeeded), "failure": self.by_scenario(failed)}
        return {(scenario, result): count for result, counts in results.items() for scenario, count in counts.items()}

    def _steps(self, phase: str) -> Iterator[tuple[tuple[str, str], SeriesView]]:
        """Yield transactions or checks with scenario and name; those beyond `MAX_STEPS` count as `other`."""
        first = {key[:3] for key in self.keeper.totals.of_phase(phase).keys()[:MAX_STEPS]}
        for view in self._measured.of_phase(phase).series():
            is_shown = (view.scenario, view.method, view.name) in first
            yield (self._shown.get(view.scenario, OTHER), view.name) if is_shown else (OTHER, OTHER), view

    def step_counts(self, phase: str) -> dict[tuple[str, ...], float]:
        """Return the number of transactions or checks by scenario, name and result."""
        counts: dict[tuple[str, ...], float] = {}
        for labels, view in self._steps(phase):
            for result, count in (("success", view.requests - view.failures), ("failure", view.failures)):
                counts[*labels, result] = counts.get((*labels, result), 0) + count
        return counts

    def transaction_times(self) -> dict[tuple[str, ...], Histogram]:
        """Return the times of the transactions by scenario and name."""
        times: dict[tuple[str, ...], Histogram] = {}
        for labels, view in self._steps(TRANSACTION):
            times.setdefault(labels, Histogram()).merge(view.response_time)
        return times

    def connection_times(self) -> dict[str, Histogram]:
        """Return the durations of each phase of new connections."""
        return {phase: self._measured.of_phase(phase).total().response_time for phase in CONNECTION_PHASES}

    def schedule_lags(self) -> dict[str, Histogram]:
        """Return the schedule lag of each exported scenario."""
        return self._merged(self._measured.schedule_lag)

    def iteration_times(self) -> dict[str, Histogram]:
        """Return the durations of the iterations of each exported scenario."""
        iterations = self._measured.of_phase(ITERATION).series()
        return self._merged({view.scenario: view.response_time for view in iterations})

    def _merged(self, times: Mapping[str, Histogram]) -> dict[str, Histogram]:
        """Return the times of each exported scenario, with all others merged as `other`."""
        merged = {label: Histogram() for label in self._shown.values()}
        for scenario, label in self._shown.items():
            if scenario in times:
                merged[label].merge(times[scenario])
        return merged

    @property
    def target_rate_per_s(self) -> float:
        """The current arrival rate of an open-model profile; 0 in the closed model."""
        return pacing.intended_rate_per_s(self._environment)

    @property
    def target_users(self) -> int:
        """The current number of users of a closed-model profile.

        In the open model Locust's target is the maximum size of the pool, which is not a target of the profile, even
        before the first arrival and after the last.
        """
        runner, swarm = self._environment.runner, Session.of(self._environment).find(ControllingSwarm)
        is_closed = swarm is None or not swarm.is_open
        return runner.target_user_count if runner and self._state in _WITH_USERS and is_closed else 0

    @property
    def expected_workers(self) -> int:
        """The number of workers that the master expects."""
        options: Any = self._environment.parsed_options
        return getattr(options, "expect_workers", None) or 1

    @property
    def refusals(self) -> Mapping[str, int]:
        """The number of refusals on the workers' link, by reason."""
        return refusals.counts

    def worker_states(self) -> dict[str, int]:
        """Return the number of workers in each state."""
        counts = dict.fromkeys(WORKER_STATES, 0)
        for worker in self._present.values():
            counts[worker.state] = counts.get(worker.state, 0) + 1
        return counts

    @property
    def _state(self) -> str:
        return self._environment.runner.state if self._environment.runner else STATE_INIT

    def run_states(self) -> dict[str, int]:
        """Return 1 for the state of the master, 0 for the others."""
        return {state: int(state == self._state) for state in RUN_STATES}

    @property
    def run_names(self) -> tuple[str, ...]:
        """The id, scenario and profile of the current or most recent run."""
        if (record := self.keeper.record) is None:
            return "", "", ""
        return record.run_id, *(str(record.configuration.get(name, "")) for name in ("scenario", "profile"))

    def run_requests(self) -> dict[str, int]:
        """Return the number of requests of the current or most recent run, by result."""
        record = self.keeper.record or RunRecord()
        return {"success": record.requests - record.failures, "failure": record.failures}

    def run_quantiles(self) -> dict[str, float]:
        """Return quantiles of the response times of the current or most recent run; none without a request."""
        record = self.keeper.record
        if record is None or not record.requests:
            return {}
        found = record.total().response_time.quantiles(QUANTILES)
        return {str(q): value for q, value in zip(QUANTILES, found, strict=True)}

    @property
    def load_s(self) -> float:
        """The seconds of load that the counts of the current or most recent run cover."""
        record = self.keeper.record or RunRecord()
        return record.counted_s or record.load_s or record.duration_s

    @property
    def peak_users(self) -> int:
        """The highest number of simultaneous users in the current or most recent run."""
        record = self.keeper.record or RunRecord()
        return max((point.users for point in record.timeline), default=0)

    @property
    def stage(self) -> tuple[int, float]:
        """The number of the profile's current stage, and its start in seconds since the epoch; zeros without one."""
        return self._progress.stage() if self._progress and self.keeper.running else (0, 0.0)

    def outcomes(self) -> dict[str, int]:
        """Return 1 for the verdict's outcome, so far or final, and 0 for the others; all 0 before the first run."""
        outcome = self._progress.verdict().outcome if self._progress else None
        return {one.value: int(one is outcome) for one in Outcome}

    def changes(self) -> dict[tuple[str, ...], float]:
        """Return when each change in the history of the most recent run happened, in seconds since the epoch, by
        scenario, method, name, metric and finding; of changes with equal labels, the latest."""
        labels = ("scenario", "method", "name", "metric", "finding")
        found = {
            tuple(change[label] for label in labels): datetime.fromisoformat(one["first"]["started_at"]).timestamp()
            for one in (self._progress.changed if self._progress else ())
            for change in one["changes"]
        }
        return dict(sorted(found.items(), key=lambda item: item[1])[-MAX_CHANGES:])

    def threshold_limits(self, selectors: Sequence[str]) -> dict[tuple[str, ...], float]:
        """Return each limit by the number, metric, aggregate and selectors of its threshold."""
        load = Session.of(self._environment).find(Load)
        drawable = [rule for rule in load.rules if rule.kind != "count" and rule.phase != SETUP] if load else []
        limits = {}
        for number, rule in enumerate(drawable[:MAX_RULES], 1):
            selected = dict(rule.selector)
            names = (selected.get(label, "") for label in selectors)
            limits[str(number), rule.metric, rule.aggregate, *names] = rule.limit
        return limits
