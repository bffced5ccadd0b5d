"""The table of metrics: one row per metric, with its value. docs/reference/metrics.md lists the same rows.

Tested in tests/unit/exporting/test_series.py and tests/contracts/test_dashboards.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadtest.exporting.scrape import QUANTILES
from loadtest.measuring.labels import CHECK, TRANSACTION
from loadtest.measuring.recent import RECENT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from loadtest.exporting.scrape import Scrape
    from loadtest.measuring.histogram import Histogram


class Metric(NamedTuple):
    """One metric.

    Attributes:
        kind: counter, gauge or histogram.
        labels: the names of its labels.
        meaning: its description, in one sentence.
        values: returns its values; None if `loadtest.exporting.series` renders it, per request name.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    values: Callable[[Scrape], Mapping[tuple[str, ...], float | Histogram]] | None = None


def _one(value: float) -> dict[tuple[str, ...], float]:
    """Return the value of a metric without labels."""
    return {(): value}


def _by(values: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    """Return the values of a metric with one label."""
    return {(label,): value for label, value in values.items()}


def _of_streams(now: Scrape, figure: str) -> dict[tuple[str, ...], float | Histogram]:
    """Return a figure of the streamed responses, by request name."""
    return {labels: getattr(view, figure) for labels, view in now.streams.items()}


def _of_run(now: Scrape, values: Mapping[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """Return the values of a metric about a run, with the run's id as the first label."""
    return {(now.run_names[0], *labels): value for labels, value in values.items()}


_RUN: Final = ("run_id",)
_SERIES: Final = ("scenario", "method", "name")
_STEP: Final = ("scenario", "name")
_STEP_RESULT: Final = (*_STEP, "result")
REQUESTS = Metric(
    "loadtest_requests_total", "counter", (*_SERIES, "result"), "Finished requests, by result: success or failure."
)
RESPONSE_TIME = Metric(
    "loadtest_response_time_seconds",
    "histogram",
    _SERIES,
    "Time from the intended start of a request to its end: what a user would have waited.",
)
SERVICE_TIME = Metric(
    "loadtest_service_time_seconds",
    "histogram",
    _SERIES,
    "Time from the sending of a request to its end: what the service took.",
)
RESPONSE_BYTES = Metric("loadtest_response_bytes_total", "counter", _SERIES, "Bytes of response bodies.")
REQUEST_BYTES = Metric(
    "loadtest_request_bytes_total", "counter", _SERIES, "Bytes of requests as the built-in clients sent them."
)
_SETUP = Metric(
    "loadtest_setup_requests_total",
    "counter",
    ("scenario", "result"),
    "Finished requests of on_start and on_stop, which are in no other metric, by result: success or failure.",
    lambda now: now.setup_requests(),
)
ERRORS = Metric("loadtest_errors_total", "counter", (*_SERIES, "class"), "Failed requests, by error class.")

STREAMS: Final = (
    Metric(
        "loadtest_streams_total",
        "counter",
        (*_SERIES, "ended_by"),
        "Streamed responses, by what ended them: server, user, timeout or error.",
        lambda now: {(*labels, who): n for labels, view in now.streams.items() for who, n in view.ended_by.items()},
    ),
    Metric(
        "loadtest_stream_events_total",
        "counter",
        _SERIES,
        "Events of streamed responses, counted as they come.",
        lambda now: _of_streams(now, "events"),
    ),
    Metric(
        "loadtest_stream_bytes_total",
        "counter",
        _SERIES,
        "Bytes of streamed responses, counted as they come.",
        lambda now: _of_streams(now, "response_bytes"),
    ),
    Metric(
        "loadtest_stream_first_byte_seconds",
        "histogram",
        _SERIES,
        "Time from the intended start of a request to the head of its streamed response.",
        lambda now: _of_streams(now, "first_byte"),
    ),
    Metric(
        "loadtest_stream_first_event_seconds",
        "histogram",
        _SERIES,
        "Time from the intended start of a request to the first event of its streamed response.",
        lambda now: _of_streams(now, "first_event"),
    ),
    Metric(
        "loadtest_stream_event_gap_seconds",
        "histogram",
        _SERIES,
        "Time from an event of a streamed response to the next one.",
        lambda now: _of_streams(now, "event_gap"),
    ),
)
_MEASURED: Final = (
    REQUESTS,
    RESPONSE_TIME,
    SERVICE_TIME,
    RESPONSE_BYTES,
    REQUEST_BYTES,
    ERRORS,
    *STREAMS,
    _SETUP,
    Metric(
        "loadtest_transactions_total",
        "counter",
        _STEP_RESULT,
        "Finished transactions, by result: success or failure.",
        lambda now: now.step_counts(TRANSACTION),
    ),
    Metric(
        "loadtest_transaction_time_seconds",
        "histogram",
        _STEP,
        "Time from the intended start of a transaction to its end.",
        lambda now: now.transaction_times(),
    ),
    Metric(
        "loadtest_checks_total",
        "counter",
        _STEP_RESULT,
        "Checks, by result: success or failure.",
        lambda now: now.step_counts(CHECK),
    ),
    Metric(
        "loadtest_connection_phase_seconds",
        "histogram",
        ("phase",),
        "Time of dns, connect and tls of new connections, and of waiting and receiving of responses in parts.",
        lambda now: {(phase,): times for phase, times in now.connection_times().items()},
    ),
    Metric(
        "loadtest_requests_in_flight",
        "gauge",
        (),
        "Requests that wait for an answer.",
        lambda now: _one(now.keeper.in_flight.requests),
    ),
    Metric(
        "loadtest_request_oldest_age_seconds",
        "gauge",
        (),
        "Age of the oldest request that waits for an answer, up to a second too low; 0 without one.",
        lambda now: _one(now.keeper.in_flight.oldest_s),
    ),
    Metric(
        "loadtest_connections_open",
        "gauge",
        (),
        "Connections of the built-in clients that are open.",
        lambda now: _one(now.keeper.in_flight.connections),
    ),
    Metric(
        "loadtest_users",
        "gauge",
        ("scenario",),
        "Running users.",
        lambda now: _by(now.by_scenario(now.keeper.users)),
    ),
    Metric(
        "loadtest_users_target",
        "gauge",
        ("scenario",),
        "Users that a closed-model profile currently requests; 0 in the open model.",
        lambda now: _by(now.by_scenario(now.shares(now.target_users))),
    ),
    Metric(
        "loadtest_arrival_rate_target_per_second",
        "gauge",
        ("scenario",),
        "Iterations per second that an open-model profile currently requests; 0 in the closed model.",
        lambda now: _by(now.by_scenario(now.shares(now.target_rate_per_s))),
    ),
    Metric(
        "loadtest_iterations_dropped_total",
        "counter",
        ("scenario",),
        "Iterations that the profile scheduled but that could not start.",
        lambda now: _by(now.by_scenario(now.keeper.totals.dropped)),
    ),
    Metric(
        "loadtest_iteration_time_seconds",
        "histogram",
        ("scenario",),
        "Time from the intended start of an iteration to the end of its task.",
        lambda now: {(scenario,): times for scenario, times in now.iteration_times().items()},
    ),
    Metric(
        "loadtest_schedule_lag_seconds",
        "histogram",
        ("scenario",),
        "Time from the intended start of a request to its sending, where there is an intended start: the generator's "
        "part of the response time.",
        lambda now: {(scenario,): lag for scenario, lag in now.schedule_lags().items()},
    ),
    Metric(
        "loadtest_workers",
        "gauge",
        ("state",),
        "Workers known to the master, by state.",
        lambda now: _by(now.worker_states()),
    ),
    Metric(
        "loadtest_workers_expected",
        "gauge",
        (),
        "Workers that the master is configured to expect; 1 by default.",
        lambda now: _one(now.expected_workers),
    ),
    Metric(
        "loadtest_workers_lost_total",
        "counter",
        (),
        "Workers that stopped responding without signing off.",
        lambda now: _one(now.keeper.lost_workers.workers),
    ),
    Metric(
        "loadtest_worker_lost_time_seconds",
        "gauge",
        (),
        "Unix time at which the master last noticed a lost worker; 0 before the first.",
        lambda now: _one(now.keeper.lost_workers.noticed_at),
    ),
    Metric(
        "loadtest_link_refused_total",
        "counter",
        ("reason",),
        "Handshakes and messages that the workers' link refused: without the key, with a forged sender, malformed.",
        lambda now: _by(now.refusals),
    ),
    Metric(
        "loadtest_worker_cpu_ratio",
        "gauge",
        ("worker",),
        "CPU usage of a worker's process; 1 is one core. Workers are numbered.",
        lambda now: _by({index: worker.cpu_ratio for index, worker in now.reporting.items()}),
    ),
    Metric(
        "loadtest_worker_event_loop_lag_seconds",
        "gauge",
        ("worker",),
        "Delay with which a worker's event loop wakes up, p99.",
        lambda now: _by({index: worker.loop_lag_s for index, worker in now.reporting.items()}),
    ),
    Metric(
        "loadtest_worker_memory_ratio",
        "gauge",
        ("worker",),
        "Memory in use, as a share of the limit of a worker's cgroup or machine.",
        lambda now: _by({index: worker.memory_ratio for index, worker in now.reporting.items()}),
    ),
    Metric(
        "loadtest_process_memory_bytes",
        "gauge",
        ("process",),
        "Resident memory of a process of the generator: the master, and each worker by its number.",
        lambda now: _by(now.memory_bytes()),
    ),
    Metric(
        "loadtest_network_bytes_per_second",
        "gauge",
        ("direction",),
        "Bytes received and sent per second through all network interfaces except loopback, of the worker's machine or "
        "container that has the most traffic.",
        lambda now: _by(now.network_bytes_per_s()),
    ),
    Metric(
        "loadtest_worker_users",
        "gauge",
        ("worker",),
        "Users running on a worker.",
        lambda now: _by({index: worker.users for index, worker in now.reporting.items()}),
    ),
    Metric(
        "loadtest_run_state",
        "gauge",
        ("state",),
        "1 for the state of the master, 0 for the other states.",
        lambda now: _by(now.run_states()),
    ),
    Metric(
        "loadtest_run_info",
        "gauge",
        ("run_id", "scenario", "profile"),
        "Always 1; the labels name the current or most recent run and are empty before the first.",
        lambda now: {now.run_names: 1},
    ),
    Metric(
        "loadtest_run_start_time_seconds",
        "gauge",
        _RUN,
        "Unix time at which the current or most recent run began; 0 before the first.",
        lambda now: _of_run(now, _one(now.keeper.record.started_at if now.keeper.record else 0)),
    ),
    Metric(
        "loadtest_run_end_time_seconds",
        "gauge",
        _RUN,
        "Unix time at which the most recent run ended; 0 before the first end and during a run.",
        lambda now: _of_run(now, _one(now.keeper.ended_at)),
    ),
    Metric(
        "loadtest_run_stage",
        "gauge",
        (),
        "Number of the profile's current stage, from 1; 0 without a profile and between runs.",
        lambda now: _one(now.stage[0]),
    ),
    Metric(
        "loadtest_run_stage_start_time_seconds",
        "gauge",
        (),
        "Unix time at which the current stage began; 0 without one.",
        lambda now: _one(now.stage[1]),
    ),
    Metric(
        "loadtest_run_verdict",
        "gauge",
        (*_RUN, "verdict"),
        "1 for the verdict of the most recent run, or for the one that the current run would get if it ended now.",
        lambda now: _of_run(now, _by(now.outcomes())),
    ),
    Metric(
        "loadtest_run_completeness_ratio",
        "gauge",
        _RUN,
        "Share of the workers' measurements that the run's record holds; 1 before the first run.",
        lambda now: _of_run(now, _one(now.keeper.completeness)),
    ),
    Metric(
        "loadtest_run_requests",
        "gauge",
        (*_RUN, "result"),
        "Requests of the current or most recent run, by result: success or failure.",
        lambda now: _of_run(now, _by(now.run_requests())),
    ),
    Metric(
        "loadtest_run_response_time_seconds",
        "gauge",
        (*_RUN, "quantile"),
        "Quantile of the response times of the current or latest run, as in its record.",
        lambda now: _of_run(now, _by(now.run_quantiles())),
    ),
    Metric(
        "loadtest_run_response_time_min_seconds",
        "gauge",
        (*_RUN, *_SERIES),
        "Lowest response time of each name in the current or most recent run.",
        lambda now: _of_run(now, now.names.lowest_s()),
    ),
    Metric(
        "loadtest_run_response_time_max_seconds",
        "gauge",
        (*_RUN, *_SERIES),
        "Highest response time of each name in the current or most recent run.",
        lambda now: _of_run(now, now.names.highest_s()),
    ),
    Metric(
        "loadtest_run_failures",
        "gauge",
        (*_RUN, *_SERIES, "class", "status"),
        "Failed requests of the current or most recent run by error class and HTTP status, which is empty where no "
        "response came.",
        lambda now: _of_run(now, now.names.failures()),
    ),
    Metric(
        "loadtest_run_load_seconds",
        "gauge",
        _RUN,
        "How long the load of the current or most recent run has lasted.",
        lambda now: _of_run(now, _one(now.load_s)),
    ),
    Metric(
        "loadtest_run_users_peak",
        "gauge",
        _RUN,
        "Peak number of users that ran at the same time in the current or most recent run.",
        lambda now: _of_run(now, _one(now.peak_users)),
    ),
    Metric(
        "loadtest_run_change_time_seconds",
        "gauge",
        (*_RUN, *_SERIES, "metric", "finding"),
        "Unix time at which the first run after a change of a figure began, as the history of the most recent run "
        "shows when it has ended; finding is worse or better.",
        lambda now: _of_run(now, now.changes()),
    ),
    Metric(
        "loadtest_threshold_limit",
        "gauge",
        ("rule", "metric", "aggregate", *_SERIES),
        "Limit of a threshold of the current or most recent run: in seconds, as a ratio, or per second.",
        lambda now: now.threshold_limits(_SERIES),
    ),
)


def _recent(metric: Metric) -> Metric:
    """Return the gauge for the quantiles of a histogram over the last seconds, as accurate as the record's."""
    made = Metric(
        f"{metric.name.removesuffix('_seconds')}_recent_seconds",
        "gauge",
        (*metric.labels, "quantile"),
        f"Quantile of `{metric.name}` in the last {RECENT_S} s of the current run.",
    )
    values = metric.values
    return made if values is None else made._replace(values=lambda now: _quantiles(values(now.recent)))


def _quantiles(times: Mapping[tuple[str, ...], Any]) -> dict[tuple[str, ...], float]:
    """Return the quantiles of non-empty histograms."""
    return {
        (*labels, str(q)): value
        for labels, histogram in times.items()
        if histogram.count
        for q, value in zip(QUANTILES, histogram.quantiles(QUANTILES), strict=True)
    }


RECENT: Final = {metric: _recent(metric) for metric in _MEASURED if metric.kind == "histogram"}
"""The gauge of recent quantiles, by histogram."""
METRICS: Final = (*_MEASURED, *RECENT.values())
