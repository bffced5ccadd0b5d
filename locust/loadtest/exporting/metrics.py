"""The table of what the master exports: names, types, labels, meanings; docs/reference/metrics.md shows the same."""

from __future__ import annotations

from typing import Final, NamedTuple


class Metric(NamedTuple):
    """One family of samples."""

    name: str
    kind: str
    """counter, gauge or histogram."""
    labels: tuple[str, ...]
    meaning: str


SERIES_LABELS: Final = ("scenario", "method", "name")
REQUESTS = Metric(
    "loadtest_requests_total", "counter", (*SERIES_LABELS, "result"), "Requests finished, by result success or failure."
)
RESPONSE_TIME = Metric(
    "loadtest_response_time_seconds",
    "histogram",
    SERIES_LABELS,
    "End minus intended start of a request: what a user would have waited.",
)
SERVICE_TIME = Metric(
    "loadtest_service_time_seconds", "histogram", SERIES_LABELS, "End minus send of a request: what the service took."
)
RESPONSE_BYTES = Metric("loadtest_response_bytes_total", "counter", SERIES_LABELS, "Bytes of response bodies.")
ERRORS = Metric("loadtest_errors_total", "counter", (*SERIES_LABELS, "class"), "Failed requests by class of error.")
USERS = Metric("loadtest_users", "gauge", ("scenario",), "Users that run.")
USERS_TARGET = Metric(
    "loadtest_users_target", "gauge", ("scenario",), "Users that a closed load profile wants now; 0 in an open one."
)
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
WORKERS_EXPECTED = Metric(
    "loadtest_workers_expected",
    "gauge",
    (),
    "Workers that the master was told to expect; 1 when not told.",
)
WORKERS_LOST = Metric(
    "loadtest_workers_lost_total", "counter", (), "Workers that stopped answering without having said goodbye."
)
WORKER_LOST_TIME = Metric(
    "loadtest_worker_lost_time_seconds",
    "gauge",
    (),
    "Unix time at which the master noticed the last of them; 0 while there was none.",
)
LINK_REFUSED = Metric(
    "loadtest_link_refused_total",
    "counter",
    ("reason",),
    "What the workers' link refused: a handshake without the key, a forged sender, a malformed message.",
)
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
    "loadtest_run_info",
    "gauge",
    ("run_id", "scenario", "profile"),
    "1; its labels name the present run, or the last; they are empty before.",
)
RUN_START = Metric(
    "loadtest_run_start_time_seconds", "gauge", (), "Unix time at which the present run, or the last, began; 0 before."
)
RUN_END = Metric(
    "loadtest_run_end_time_seconds", "gauge", (), "Unix time at which the last run ended; 0 before, and while one runs."
)
RUN_STAGE = Metric(
    "loadtest_run_stage",
    "gauge",
    (),
    "Number of the load profile's stage that runs, from 1; 0 without one and when no run is under way.",
)
RUN_STAGE_START = Metric(
    "loadtest_run_stage_start_time_seconds", "gauge", (), "Unix time at which that stage began; 0 without one."
)
RUN_VERDICT = Metric(
    "loadtest_run_verdict",
    "gauge",
    ("verdict",),
    "1 for the verdict of the last run, or for the one that the present run would get if it ended now.",
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
    ("rule", "metric", "aggregate", *SERIES_LABELS),
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
    WORKERS_EXPECTED,
    WORKERS_LOST,
    WORKER_LOST_TIME,
    LINK_REFUSED,
    WORKER_CPU,
    WORKER_LAG,
    WORKER_USERS,
    RUN_STATE,
    RUN_INFO,
    RUN_START,
    RUN_END,
    RUN_STAGE,
    RUN_STAGE_START,
    RUN_VERDICT,
    COMPLETENESS,
    THRESHOLD_LIMIT,
)
