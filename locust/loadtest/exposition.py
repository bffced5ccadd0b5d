"""What the master tells Prometheus: a RunRecord's numbers in the text exposition format 0.0.4.

Counters and histograms come from the swarm's totals, which live as long as the process, so no counter ever goes down
between two runs. What a scenario declares is there at 0 before load begins: of a counter that appears with a value
Prometheus never sees the rise to it.

A scrape shares the event loop with the merging of measurements. So the text of a series is a template filled with its
numbers, made anew only when it counted something, and after `SLICE_S` of work other greenlets get their turn. The
numbers of one series are always of one moment; those of different series may be some milliseconds apart.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import gevent
import numpy as np
from locust.runners import (
    STATE_CLEANUP,
    STATE_INIT,
    STATE_MISSING,
    STATE_RUNNING,
    STATE_SPAWNING,
    STATE_STOPPED,
    STATE_STOPPING,
)
from prometheus_client.utils import floatToGoString

from loadtest import scenarios
from loadtest.judging import thresholds
from loadtest.measuring import swarm
from loadtest.measuring.collector import GONE
from loadtest.measuring.histogram import EDGES_NS, Histogram, snapped_bounds_s
from loadtest.measuring.labels import OTHER
from loadtest.measuring.measurements import SeriesKey
from loadtest.measuring.recorder import ERROR_CLASSES, scenario_of
from loadtest.pacing import open_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from locust.env import Environment

    from loadtest.measuring.record import RunRecord, SeriesView

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS_S: Final = snapped_bounds_s()
"""Upper bounds of the buckets in seconds: 36 from 100 µs to 60 s, on edges of the record's bins: counts are exact."""
MAX_SERIES: Final = 400
"""Series (scenario, method, name) that get metrics of their own; those that come later count in name `other`."""
MAX_RULES: Final = 50
"""Thresholds whose limits are shown, the first of a run."""
SLICE_S: Final = 0.001
"""Work between two turns of the event loop."""
_WITH_USERS: Final = (STATE_SPAWNING, STATE_RUNNING)
RUN_STATES: Final = (STATE_INIT, STATE_SPAWNING, STATE_RUNNING, STATE_CLEANUP, STATE_STOPPING, STATE_STOPPED)
WORKER_STATES: Final = (*RUN_STATES, STATE_MISSING)


class Metric(NamedTuple):
    """One family of samples."""

    name: str
    kind: str
    """counter, gauge or histogram."""
    labels: tuple[str, ...]
    meaning: str


_SERIES = ("scenario", "method", "name")
REQUESTS = Metric(
    "loadtest_requests_total", "counter", (*_SERIES, "result"), "Requests finished, by result success or failure."
)
RESPONSE_TIME = Metric(
    "loadtest_response_time_seconds",
    "histogram",
    _SERIES,
    "End minus intended start of a request: what a user would have waited.",
)
SERVICE_TIME = Metric(
    "loadtest_service_time_seconds", "histogram", _SERIES, "End minus send of a request: what the service took."
)
RESPONSE_BYTES = Metric("loadtest_response_bytes_total", "counter", _SERIES, "Bytes of response bodies.")
ERRORS = Metric("loadtest_errors_total", "counter", (*_SERIES, "class"), "Failed requests by class of error.")
USERS = Metric("loadtest_users", "gauge", ("scenario",), "Users that run.")
USERS_TARGET = Metric("loadtest_users_target", "gauge", ("scenario",), "Users that the load profile wants now.")
ARRIVAL_RATE_TARGET = Metric(
    "loadtest_arrival_rate_target_per_second",
    "gauge",
    ("scenario",),
    "Iterations per second that an open load profile wants now; 0 in a closed one.",
)
DROPPED = Metric(
    "loadtest_iterations_dropped_total",
    "counter",
    ("scenario",),
    "Iterations that the load profile wanted and that could not start.",
)
SCHEDULE_LAG = Metric(
    "loadtest_schedule_lag_seconds",
    "histogram",
    ("scenario",),
    "Send minus intended start of the requests that have an intended start: the generator's part.",
)
WORKERS = Metric("loadtest_workers", "gauge", ("state",), "Workers that the master knows, by state.")
WORKER_CPU = Metric(
    "loadtest_worker_cpu_ratio", "gauge", ("worker",), "CPU of a worker's process; 1 is one core. Workers are numbered."
)
WORKER_LAG = Metric(
    "loadtest_worker_event_loop_lag_seconds", "gauge", ("worker",), "How late a worker's event loop wakes up, p99."
)
WORKER_USERS = Metric("loadtest_worker_users", "gauge", ("worker",), "Users that a worker runs.")
RUN_STATE = Metric(
    "loadtest_run_state", "gauge", ("state",), "1 for the state that the master is in, 0 for the others."
)
RUN_INFO = Metric(
    "loadtest_run_info", "gauge", ("run_id", "scenario", "profile"), "1; its labels name the present run, or the last."
)
RUN_START = Metric(
    "loadtest_run_start_time_seconds", "gauge", (), "Unix time at which the present run, or the last, began; 0 before."
)
COMPLETENESS = Metric(
    "loadtest_run_completeness_ratio",
    "gauge",
    (),
    "Share of the workers' measurements that the record of the run holds; 1 before the first run.",
)
THRESHOLD_LIMIT = Metric(
    "loadtest_threshold_limit",
    "gauge",
    ("rule", "metric", "aggregate", *_SERIES),
    "Limit of a threshold of the present run, or the last, in seconds, as a share of 1 or per second.",
)
METRICS: Final = (
    REQUESTS,
    RESPONSE_TIME,
    SERVICE_TIME,
    RESPONSE_BYTES,
    ERRORS,
    USERS,
    USERS_TARGET,
    ARRIVAL_RATE_TARGET,
    DROPPED,
    SCHEDULE_LAG,
    WORKERS,
    WORKER_CPU,
    WORKER_LAG,
    WORKER_USERS,
    RUN_STATE,
    RUN_INFO,
    RUN_START,
    COMPLETENESS,
    THRESHOLD_LIMIT,
)

_LAST_BINS: Final = np.searchsorted(EDGES_NS, np.rint(np.multiply(BOUNDS_S, 1e9))) - 1
"""The last bin that lies below each bound: as `Histogram.counts_le`, at a fifth of its cost."""
_OF_SERIES: Final = (REQUESTS, RESPONSE_TIME, SERVICE_TIME, RESPONSE_BYTES, ERRORS)


class Exposition:
    """The present text of an Environment's measurements, made anew each time it is asked for."""

    def __init__(self, environment: Environment) -> None:
        """Make the series that the scenarios of the environment's User classes declare."""
        self._environment = environment
        self._swarm = swarm.of(environment)
        self._scenario_of_class = {cls.__name__: scenario_of(cls) for cls in environment.user_classes}
        self._weights = {
            scenario: sum(cls.weight for cls in environment.user_classes if scenario_of(cls) == scenario)
            for scenario in dict.fromkeys(self._scenario_of_class.values())
        }
        self._series: dict[SeriesKey, _SeriesText] = {}
        for scenario in self._weights:
            for method, name in _declared(scenario):
                key = SeriesKey(scenario, method, name)
                self._series[key] = _SeriesText(key, sorted(ERROR_CLASSES))

    def text(self) -> bytes:
        """Return the whole exposition; other greenlets run meanwhile, but call it from one at a time."""
        self._read(self._swarm.totals)
        gevent.sleep(0)
        series = list(self._series.values())
        parts: list[str] = []
        for metric in _OF_SERIES:
            parts.append(_head(metric))
            parts.extend(text.texts[metric] for text in series)
        for metric, samples in (
            *self._of_scenarios(),
            *self._of_workers(),
            *self._of_run(),
        ):
            parts.append(_head(metric))
            parts.extend(samples)
        return "".join(parts).encode()

    def _read(self, totals: RunRecord) -> None:
        """Bring the texts of the series up to date, giving way to other greenlets."""
        folded: dict[SeriesKey, _Sum] = {}
        turn_ends_s = time.perf_counter() + SLICE_S
        for view in totals.series():
            key = SeriesKey(view.scenario, view.method, view.name)
            if key.name == OTHER or (key not in self._series and len(self._series) >= MAX_SERIES):
                folded.setdefault(key._replace(name=OTHER), _Sum()).add(view)
            else:
                self._text_of(key).update(view)
            if time.perf_counter() > turn_ends_s:
                gevent.sleep(0)
                turn_ends_s = time.perf_counter() + SLICE_S
        for key, total in folded.items():
            self._text_of(key).update(total)

    def _text_of(self, key: SeriesKey) -> _SeriesText:
        if key not in self._series:
            self._series[key] = _SeriesText(key, ())
        return self._series[key]

    def _of_scenarios(self) -> Iterator[tuple[Metric, list[str]]]:
        totals, users, runner = self._swarm.totals, self._swarm.users, self._environment.runner
        names = list(dict.fromkeys((*self._weights, *users, *totals.schedule_lag)))
        wanted = runner.target_user_count if runner and runner.state in _WITH_USERS else 0
        weight = sum(self._weights.values()) or 1
        yield USERS, _samples(USERS, {name: users.get(name, 0) for name in names})
        yield (
            USERS_TARGET,
            _samples(USERS_TARGET, {name: wanted * self._weights.get(name, 0) / weight for name in names}),
        )
        rate_per_s = open_model.intended_rate_per_s(self._environment)
        yield (
            ARRIVAL_RATE_TARGET,
            _samples(ARRIVAL_RATE_TARGET, {name: rate_per_s * self._weights.get(name, 0) / weight for name in names}),
        )
        yield DROPPED, _samples(DROPPED, {name: totals.dropped.get(name, 0) for name in names})
        empty = Histogram()
        lags = [(name, totals.schedule_lag.get(name, empty)) for name in names]
        yield SCHEDULE_LAG, [_HistogramText(SCHEDULE_LAG, (name,)).filled(lag) for name, lag in lags]

    def _of_workers(self) -> Iterator[tuple[Metric, list[str]]]:
        present = {str(index): worker for index, worker in self._swarm.workers.items() if worker.state != GONE}
        states = dict.fromkeys(WORKER_STATES, 0)
        for worker in present.values():
            states[worker.state] = states.get(worker.state, 0) + 1
        yield WORKERS, _samples(WORKERS, states)
        # Workers report while a run is open; what they said last is not how they are now.
        observed = present if self._swarm.running else {}
        yield WORKER_CPU, _samples(WORKER_CPU, {index: worker.cpu_ratio for index, worker in observed.items()})
        yield WORKER_LAG, _samples(WORKER_LAG, {index: worker.loop_lag_s for index, worker in observed.items()})
        yield WORKER_USERS, _samples(WORKER_USERS, {index: worker.users for index, worker in observed.items()})

    def _of_run(self) -> Iterator[tuple[Metric, list[str]]]:
        record, runner = self._swarm.record, self._environment.runner
        now = runner.state if runner else STATE_INIT
        yield RUN_STATE, _samples(RUN_STATE, {state: int(state == now) for state in RUN_STATES})
        info = []
        if record is not None:
            asked = record.configuration
            values = (record.run_id, str(asked.get("scenario", "")), str(asked.get("profile", "")))
            info = [_sample(RUN_INFO, values, 1)]
        yield RUN_INFO, info
        yield RUN_START, [f"{RUN_START.name} {floatToGoString(record.started_at if record else 0)}\n"]
        yield COMPLETENESS, [f"{COMPLETENESS.name} {floatToGoString(self._swarm.completeness)}\n"]
        yield THRESHOLD_LIMIT, list(self._limits())

    def _limits(self) -> Iterator[str]:
        lines = thresholds.lines(thresholds.announced(self._environment))[:MAX_RULES]
        for number, line in enumerate(lines, 1):
            chosen = dict(line.labels)
            labels = (str(number), line.metric, line.aggregate, *(chosen.get(label, "") for label in _SERIES))
            yield _sample(THRESHOLD_LIMIT, labels, line.limit)


@dataclass(slots=True)
class _Sum:
    """Several series under one name."""

    requests: int = 0
    failures: int = 0
    response_bytes: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    response_time: Histogram = field(default_factory=Histogram)
    service_time: Histogram = field(default_factory=Histogram)

    def add(self, view: SeriesView) -> None:
        self.requests += view.requests
        self.failures += view.failures
        self.response_bytes += view.response_bytes
        self.errors.update(view.errors)
        self.response_time.merge(view.response_time)
        self.service_time.merge(view.service_time)


class _SeriesText:
    """The samples of one series, by metric."""

    def __init__(self, key: SeriesKey, error_classes: Iterable[str]) -> None:
        self._requests_template = "".join(
            f"{REQUESTS.name}{_template(_labels(REQUESTS, (*key, result)))} %d\n" for result in ("success", "failure")
        )
        self._bytes_template = f"{RESPONSE_BYTES.name}{_template(_labels(RESPONSE_BYTES, key))} %d\n"
        self._response = _HistogramText(RESPONSE_TIME, key)
        self._service = _HistogramText(SERVICE_TIME, key)
        self._key = key
        self._errors = dict.fromkeys(error_classes, 0)
        self._errors_text = self._all_errors()
        self._requests = -1
        self.texts: dict[Metric, str] = {}
        self.update(_Sum())

    def update(self, view: SeriesView | _Sum) -> None:
        """Take over the present numbers; nothing to do when no request was counted since the last time."""
        if view.requests == self._requests:
            return
        self._requests = view.requests
        if any(self._errors.get(name) != count for name, count in view.errors.items()):
            self._errors.update(view.errors)
            self._errors_text = self._all_errors()
        self.texts = {
            REQUESTS: self._requests_template % (view.requests - view.failures, view.failures),
            RESPONSE_TIME: self._response.filled(view.response_time),
            SERVICE_TIME: self._service.filled(view.service_time),
            RESPONSE_BYTES: self._bytes_template % view.response_bytes,
            ERRORS: self._errors_text,
        }

    def _all_errors(self) -> str:
        return "".join(_sample(ERRORS, (*self._key, name), count) for name, count in self._errors.items())


class _HistogramText:
    """The template of a histogram's samples."""

    def __init__(self, metric: Metric, values: Iterable[str]) -> None:
        labels = _template(_labels(metric, values)[1:-1])
        buckets = [f'{metric.name}_bucket{{{labels},le="{bound}"}} %d\n' for bound in (*BOUNDS_S, "+Inf")]
        self._text = f"{''.join(buckets)}{metric.name}_sum{{{labels}}} %r\n{metric.name}_count{{{labels}}} %d\n"

    def filled(self, histogram: Histogram) -> str:
        cumulated = np.cumsum(histogram.counts)
        count = int(cumulated[-1])
        return self._text % (*cumulated[_LAST_BINS].tolist(), count, histogram.sum_s, count)


def _declared(scenario: str) -> tuple[tuple[str, str], ...]:
    """The requests (method, name) that a scenario declares; none when the User classes are somebody's own."""
    return scenarios.load(scenario).requests if scenario in scenarios.names() else ()


def _head(metric: Metric) -> str:
    return f"# HELP {metric.name} {metric.meaning}\n# TYPE {metric.name} {metric.kind}\n"


def _samples(metric: Metric, values: Mapping[str, float]) -> list[str]:
    """One line for each value of the metric's only label."""
    return [_sample(metric, (label,), value) for label, value in values.items()]


def _sample(metric: Metric, labels: Iterable[str], value: float) -> str:
    return f"{metric.name}{_labels(metric, labels)} {floatToGoString(value)}\n"


def _labels(metric: Metric, values: Iterable[str]) -> str:
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(metric.labels, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _template(text: str) -> str:
    return text.replace("%", "%%")
