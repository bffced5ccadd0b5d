"""Load run: what was requested, what was answered, how long it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boards.frame import board
from boards.generator import completeness
from boards.panels import (
    BAD,
    DOUBTFUL,
    GOOD,
    QUIET,
    Column,
    colored,
    curves,
    distribution,
    figure,
    limits,
    rows,
    with_limits,
    word,
)
from boards.queries import (
    CHOSEN,
    ERROR_RATIO,
    FAILED,
    REQUESTS_PER_S,
    SCENARIO,
    WINDOW,
    cells,
    column,
    curve,
    mean,
    now,
    of_run,
    quantile,
    rate,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard, stat

VERDICTS = {"passed": GOOD, "failed": BAD, "not trustworthy": DOUBTFUL, "no data": QUIET, "interrupted": DOUBTFUL}
RESPONSE_TIME = "loadtest_response_time_seconds"
BY_NAME = "method, name"


def overview(span: int = 3) -> list[stat.Panel]:
    """The present state of the run; Home shows it too."""
    return [
        word(
            "Verdict",
            "Of the last run, or the one that the current run would get if it ended now: passed, failed (a threshold "
            "is broken), no data, not trustworthy (a trust check failed: see Generator), or interrupted (ended before "
            "its plan was done).",
            now(of_run("loadtest_run_verdict == 1"), "{{verdict}}"),
            VERDICTS,
            span=span + 1,
        ),
        word(
            "Run state",
            "What the master is doing: ready, spawning, running, cleanup, stopping or stopped.",
            now(of_run("loadtest_run_state == 1"), "{{state}}"),
            {"running": GOOD, "spawning": GOOD},
            span=span,
        ),
        figure(
            "Users",
            "Users that run now, and the target of a closed load profile.",
            "none",
            now(of_run(f"sum(loadtest_users{{{SCENARIO}}})"), "real"),
            now(of_run(f"sum(loadtest_users_target{{{SCENARIO}}})"), "wanted"),
            span=span + 1,
        ),
        figure(
            "Requests",
            "Requests finished per second, failed ones included.",
            "reqps",
            now(of_run(REQUESTS_PER_S), "requests"),
            span=span,
        ),
        figure(
            "Error ratio",
            "Share of the requests that failed. Red from 1 %.",
            "percentunit",
            now(of_run(ERROR_RATIO), "failed"),
            span=span,
        )
        .thresholds(limits(0.01))
        .no_value("none"),
        figure(
            "Response time",
            "95 % of the requests were answered within this time, counted from their intended start.",
            "s",
            now(of_run(quantile(0.95, RESPONSE_TIME)), "p95"),
            span=span,
        ).no_value("none"),
    ]


def run_row() -> list[Any]:
    """The present state of the run."""
    return [*overview(), completeness(span=4)]


def load_row() -> list[Any]:
    """How much load there is, and what is answered."""
    return [
        curves(
            "Users",
            "Users that run, and the target of a closed load profile. An open profile has arrivals instead.",
            "short",
            curve(of_run(f"sum(loadtest_users{{{SCENARIO}}})"), "real"),
            curve(of_run(f"sum(loadtest_users_target{{{SCENARIO}}})"), "wanted"),
            span=6,
        ),
        curves(
            "Arrivals",
            "Iterations per second of an open profile: planned, started, and dropped because all users were busy. "
            "A closed profile plans none.",
            "ops",
            curve(of_run(f"sum(loadtest_arrival_rate_target_per_second{{{SCENARIO}}})"), "wanted"),
            curve(of_run(rate("loadtest_schedule_lag_seconds_count", SCENARIO)), "started"),
            curve(of_run(rate("loadtest_iterations_dropped_total", SCENARIO)), "dropped"),
            span=6,
        ),
        colored(
            curves(
                "Requests by result",
                "Requests finished per second, succeeded and failed.",
                "reqps",
                curve(of_run(rate("loadtest_requests_total", CHOSEN, "result")), "{{result}}"),
                span=6,
                stacked=True,
            ),
            {"success": GOOD, "failure": BAD},
        ),
        curves(
            "Received",
            "Bytes of response bodies per second.",
            "Bps",
            curve(of_run(rate("loadtest_response_bytes_total", CHOSEN)), "bodies"),
            span=6,
        ),
        curves(
            "Requests by name",
            "Requests finished per second by name, failed ones included.",
            "reqps",
            curve(of_run(rate("loadtest_requests_total", CHOSEN, BY_NAME)), "{{method}} {{name}}"),
            span=12,
            stacked=True,
        ),
        with_limits(
            curves(
                "Error ratio",
                "Share of the requests that failed. Dashed: the run's thresholds on it.",
                "percentunit",
                curve(of_run(ERROR_RATIO), "failed"),
                span=6,
            ),
            "error_ratio",
            "limit {{name}}",
            "B",
        ),
        curves(
            "Errors by class",
            "Failed requests per second by error class.",
            "reqps",
            curve(of_run(rate("loadtest_errors_total", CHOSEN, "class")), "{{class}}"),
            span=6,
            stacked=True,
        ),
    ]


def latency_row() -> list[Any]:
    """How long it took."""
    both = [
        curve(of_run(quantile(q, f"loadtest_{kind}_time_seconds")), f"{kind} p{int(q * 100)}")
        for q in (0.5, 0.95, 0.99)
        for kind in ("response", "service")
    ]
    return [
        with_limits(
            curves(
                "Response time beside service time",
                "Response time counts from the intended start of a request: what a user would have waited. Service "
                "time counts from the send. When they differ, the generator or a queue in front of the service is the "
                "cause. Dashed: the run's thresholds on them. The scale is logarithmic.",
                "s",
                *both,
                span=12,
                logarithmic=True,
            ),
            "response_time|service_time",
            "limit of {{metric}} {{aggregate}} {{name}}",
            "G",
        ),
        distribution(
            "Response time, distribution",
            "Requests by response time: a column is a point in time, a cell's colour the number of requests in it.",
            cells(of_run(f"sum by (le) (increase({RESPONSE_TIME}_bucket{{{CHOSEN}}}{WINDOW}))")),
        ),
    ]


def names_row() -> list[Any]:
    """Which request stands out."""
    return [
        rows(
            "Top names",
            "Each name's recent response times, request rate and error ratio; the slowest first.",
            {"method": "method", "name": "name"},
            Column(
                "p95",
                "s",
                column(of_run(f"{quantile(0.95, RESPONSE_TIME, by=BY_NAME)} > 0")),
            ),
            Column("mean", "s", column(of_run(mean(RESPONSE_TIME, by=BY_NAME)))),
            Column("requests", "reqps", column(of_run(f"{rate('loadtest_requests_total', CHOSEN, BY_NAME)} > 0"))),
            Column(
                "failed",
                "percentunit",
                column(
                    of_run(
                        f"{rate('loadtest_requests_total', FAILED, BY_NAME)}"
                        f" / ({rate('loadtest_requests_total', CHOSEN, BY_NAME)} > 0)"
                    )
                ),
            ),
            span=12,
        ),
        curves(
            "p95 of response time by name",
            "The slowest names stand out here.",
            "s",
            curve(of_run(quantile(0.95, RESPONSE_TIME, by=BY_NAME)), "{{method}} {{name}}"),
            span=12,
        ),
    ]


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    return board(
        "load_run",
        "One load test: what was requested, what was answered, and how long it took.",
        {"Run": run_row(), "Load": load_row(), "Latency": latency_row(), "Names": names_row()},
        chosen=("run", "scenario", "name"),
    )
