"""What the master tells Prometheus: a RunRecord's numbers in the text exposition format 0.0.4.

Counters and histograms come from the swarm's totals, which live as long as the process, so no counter ever goes down
between two runs. What a scenario declares is there at 0 before load begins: of a counter that appears with a value
Prometheus never sees the rise to it.

A scrape shares the event loop with the merging of measurements. So the text of a series is a template filled with its
numbers, made anew only when it counted something, and after `SLICE_S` of work other greenlets get their turn. The
numbers of one series are always of one moment; those of different series may be some milliseconds apart.

There are at most `MAX_SERIES` time series, whatever names arrive: a name that finds no room counts under `other`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.runners import (
    STATE_CLEANUP,
    STATE_INIT,
    STATE_MISSING,
    STATE_RUNNING,
    STATE_SPAWNING,
    STATE_STOPPED,
    STATE_STOPPING,
)

from loadtest import scenarios
from loadtest.exporting import compatibility, course
from loadtest.exporting.metrics import (
    ARRIVAL_RATE_TARGET,
    COMPLETENESS,
    DROPPED,
    LINK_REFUSED,
    RUN_END,
    RUN_INFO,
    RUN_STAGE,
    RUN_STAGE_START,
    RUN_START,
    RUN_STATE,
    RUN_VERDICT,
    SCHEDULE_LAG,
    SERIES_LABELS,
    THRESHOLD_LIMIT,
    USERS,
    USERS_TARGET,
    WORKER_CPU,
    WORKER_LAG,
    WORKER_LOST_TIME,
    WORKER_USERS,
    WORKERS,
    WORKERS_EXPECTED,
    WORKERS_LOST,
)
from loadtest.exporting.series import (
    HISTOGRAM_LINES,
    OF_SERIES,
    HistogramText,
    Room,
    SeriesText,
    Sum,
    head,
    sample,
    samples,
)
from loadtest.judging import thresholds
from loadtest.judging.outcome import Outcome
from loadtest.measuring import swarm
from loadtest.measuring.collector import GONE, MISSING
from loadtest.measuring.histogram import Histogram
from loadtest.measuring.labels import OTHER
from loadtest.measuring.measurements import SeriesKey
from loadtest.measuring.recorder import ERROR_CLASSES, scenario_of
from loadtest.pacing import open_model
from loadtest.swarm import refusals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from locust.env import Environment

    from loadtest.exporting.metrics import Metric
    from loadtest.measuring.record import RunRecord

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MAX_SERIES: Final = 10_000
"""Time series of one exposition."""
MAX_RULES: Final = 50
"""Thresholds whose limits are shown, the first of a run."""
MAX_WORKERS: Final = 200
"""Workers that get figures of their own, those with the lowest numbers."""
MAX_SCENARIOS: Final = 10
"""Scenarios that get metrics of their own; those that come later count as `other`."""
MAX_OTHERS: Final = 5
"""Combinations of scenario and method that get an `other` of their own."""
SLICE_S: Final = 0.001
"""Work between two turns of the event loop."""
_WITH_USERS: Final = (STATE_SPAWNING, STATE_RUNNING)
RUN_STATES: Final = (STATE_INIT, STATE_SPAWNING, STATE_RUNNING, STATE_CLEANUP, STATE_STOPPING, STATE_STOPPED)
WORKER_STATES: Final = (*RUN_STATES, STATE_MISSING)

_PER_SCENARIO: Final = 4 + HISTOGRAM_LINES
_SINGLE: Final = 40
"""Room for what there is once: states, verdicts, the run's times."""
_OTHER_KEY: Final = SeriesKey(OTHER, OTHER, OTHER)


class Exposition:
    """The present text of an Environment's measurements, made anew each time it is asked for."""

    def __init__(self, environment: Environment, max_series: int = MAX_SERIES, *, compatible: bool = False) -> None:
        """Make the series that the scenarios of the environment's User classes declare.

        Args:
            environment: a master's.
            max_series: time series that there may be at most.
            compatible: add the names of `loadtest.exporting.compatibility`.
        """
        self._environment = environment
        self._swarm = swarm.of(environment)
        self._compatible = compatible
        self._weights = {
            scenario: sum(cls.weight for cls in environment.user_classes if scenario_of(cls) == scenario)
            for scenario in dict.fromkeys(map(scenario_of, environment.user_classes))
        }
        others = (MAX_OTHERS + 1) * self._lines(ERROR_CLASSES)
        fixed = (MAX_SCENARIOS + 1) * _PER_SCENARIO + 3 * MAX_WORKERS + MAX_RULES + _SINGLE + others
        self._room = Room(max_series - fixed - (compatibility.FIXED_LINES if compatible else 0))
        self._series: dict[SeriesKey, SeriesText] = {}
        for scenario in self._weights:
            for method, name in scenarios.requests_of(scenario):
                self._admit(SeriesKey(scenario, method, name), sorted(ERROR_CLASSES))

    def text(self) -> bytes:
        """Return the whole exposition; other greenlets run meanwhile, but call it from one at a time."""
        self._read(self._swarm.totals)
        gevent.sleep(0)
        series = list(self._series.values())
        parts: list[bytes] = []
        for metric in OF_SERIES:
            parts.append("".join((head(metric), *(text.texts[metric] for text in series))).encode())
            gevent.sleep(0)
        for families in (self._of_scenarios(), self._of_workers(), self._of_run()):
            parts.append("".join(head(metric) + "".join(lines) for metric, lines in families).encode())
            gevent.sleep(0)
        if self._compatible:
            parts.append("".join(compatibility.lines(self._environment, self._shown_name)).encode())
        return b"".join(parts)

    def _lines(self, error_classes: frozenset[str] | list[str]) -> int:
        return SeriesText.lines(error_classes) + (compatibility.LINES_PER_NAME if self._compatible else 0)

    def _admit(self, key: SeriesKey, error_classes: list[str]) -> bool:
        """Give a series metrics of its own, where there is room."""
        if key not in self._series:
            if not self._room.take(self._lines(error_classes)):
                return False
            self._series[key] = SeriesText(key, error_classes, self._room)
        return True

    def _shown_name(self, method: str, name: str) -> str:
        """The name that a request of Locust's statistics has here."""
        known = any((scenario, method, name) in self._series for scenario in self._weights)
        return name if known else OTHER

    def _read(self, totals: RunRecord) -> None:
        """Bring the texts of the series up to date, giving way to other greenlets."""
        folded: dict[SeriesKey, Sum] = {}
        turn_ends_s = time.perf_counter() + SLICE_S
        for view in totals.series():
            key = SeriesKey(view.scenario, view.method, view.name)
            if key.name != OTHER and self._admit(key, []):
                self._series[key].update(view)
            else:
                folded.setdefault(self._other(key), Sum()).add(view)
            if time.perf_counter() > turn_ends_s:
                gevent.sleep(0)
                turn_ends_s = time.perf_counter() + SLICE_S
        for key, total in folded.items():
            self._series[key].update(total)

    def _other(self, key: SeriesKey) -> SeriesKey:
        """The series that counts what has none of its own; its room was set aside."""
        other = key._replace(name=OTHER)
        if other not in self._series:
            if sum(known.name == OTHER for known in self._series) >= MAX_OTHERS:
                other = _OTHER_KEY
            if other not in self._series:
                self._series[other] = SeriesText(other, sorted(ERROR_CLASSES), self._room)
        return other

    def _of_scenarios(self) -> Iterator[tuple[Metric, list[str]]]:
        totals, users, runner = self._swarm.totals, self._swarm.users, self._environment.runner
        names = list(dict.fromkeys((*self._weights, *users, *totals.schedule_lag)))
        shown = {name: name if index < MAX_SCENARIOS else OTHER for index, name in enumerate(names)}
        rate_per_s = open_model.intended_rate_per_s(self._environment)
        # Locust's target in an open profile is the size that the pool may grow to, which nobody wants.
        wanted = runner.target_user_count if runner and runner.state in _WITH_USERS and not rate_per_s else 0
        weight = sum(self._weights.values()) or 1
        gauges: dict[Metric, dict[str, float]] = {
            metric: dict.fromkeys(shown.values(), 0) for metric in (USERS, USERS_TARGET, ARRIVAL_RATE_TARGET, DROPPED)
        }
        lags = {name: Histogram() for name in shown.values()}
        for name, label in shown.items():
            share = self._weights.get(name, 0) / weight
            gauges[USERS][label] += users.get(name, 0)
            gauges[USERS_TARGET][label] += wanted * share
            gauges[ARRIVAL_RATE_TARGET][label] += rate_per_s * share
            gauges[DROPPED][label] += totals.dropped.get(name, 0)
            if name in totals.schedule_lag:
                lags[label].merge(totals.schedule_lag[name])
        for metric, values in gauges.items():
            yield metric, samples(metric, values)
        yield SCHEDULE_LAG, [HistogramText(SCHEDULE_LAG, (name,)).filled(lag) for name, lag in lags.items()]

    def _of_workers(self) -> Iterator[tuple[Metric, list[str]]]:
        present = {index: worker for index, worker in self._swarm.workers.items() if worker.state != GONE}
        states = dict.fromkeys(WORKER_STATES, 0)
        for worker in present.values():
            states[worker.state] = states.get(worker.state, 0) + 1
        yield WORKERS, samples(WORKERS, states)
        options: Any = self._environment.parsed_options
        yield WORKERS_EXPECTED, [sample(WORKERS_EXPECTED, (), getattr(options, "expect_workers", None) or 1)]
        yield WORKERS_LOST, [sample(WORKERS_LOST, (), self._swarm.lost.workers)]
        yield WORKER_LOST_TIME, [sample(WORKER_LOST_TIME, (), self._swarm.lost.noticed_at)]
        yield LINK_REFUSED, [sample(LINK_REFUSED, (reason,), count) for reason, count in refusals.counts.items()]
        # Workers report while a run is open; what they said last is not how they are now.
        reporting = sorted(index for index, worker in present.items() if worker.state != MISSING)
        observed = {str(index): present[index] for index in reporting[:MAX_WORKERS] if self._swarm.running}
        yield WORKER_CPU, samples(WORKER_CPU, {index: worker.cpu_ratio for index, worker in observed.items()})
        yield WORKER_LAG, samples(WORKER_LAG, {index: worker.loop_lag_s for index, worker in observed.items()})
        yield WORKER_USERS, samples(WORKER_USERS, {index: worker.users for index, worker in observed.items()})

    def _of_run(self) -> Iterator[tuple[Metric, list[str]]]:
        record, runner = self._swarm.record, self._environment.runner
        now = runner.state if runner else STATE_INIT
        yield RUN_STATE, samples(RUN_STATE, {state: int(state == now) for state in RUN_STATES})
        asked = record.configuration if record is not None else {}
        values = (record.run_id if record else "", str(asked.get("scenario", "")), str(asked.get("profile", "")))
        yield RUN_INFO, [sample(RUN_INFO, values, 1)]
        yield RUN_START, [sample(RUN_START, (), record.started_at if record else 0)]
        yield RUN_END, [sample(RUN_END, (), self._swarm.ended_at)]
        taken = course.announced(self._environment)
        stage, began_at = taken.stage() if taken and self._swarm.running else (0, 0.0)
        yield RUN_STAGE, [sample(RUN_STAGE, (), stage)]
        yield RUN_STAGE_START, [sample(RUN_STAGE_START, (), began_at)]
        outcome = taken.verdict().outcome if taken else None
        yield RUN_VERDICT, samples(RUN_VERDICT, {one.value: int(one is outcome) for one in Outcome})
        yield COMPLETENESS, [sample(COMPLETENESS, (), self._swarm.completeness)]
        yield THRESHOLD_LIMIT, list(self._limits())

    def _limits(self) -> Iterator[str]:
        lines = thresholds.lines(thresholds.announced(self._environment))[:MAX_RULES]
        for number, line in enumerate(lines, 1):
            chosen = dict(line.labels)
            labels = (str(number), line.metric, line.aggregate, *(chosen.get(label, "") for label in SERIES_LABELS))
            yield sample(THRESHOLD_LIMIT, labels, line.limit)
