"""Home: links to the running test and to earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boards.frame import board
from boards.load_run import overview
from boards.panels import Column, alerts, curves, figure, limits, linked, rows, words
from boards.queries import REQUESTS_PER_S, column, curve, kept, now, of_run, rate

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard, prometheus, table

WELCOME = """
**1** Start a test in [Locust's web UI](http://127.0.0.1:8089), or with `LOADTEST_AUTOSTART=1 docker compose up`.

**2** Watch it here: [Load run](/d/load_run) for load, results and latency, [Generator](/d/generator) for whether to
trust them, [Target](/d/target) and [Redis](/d/redis) for what the service does meanwhile.

**3** Choose a run above a dashboard, or a time range, to see an earlier one. Its report is in its folder in `runs/`.
"""
INFO = kept("loadtest_run_info", by="run_id, scenario, profile")
RUN = (
    f"max by (run_id, verdict) ({kept('loadtest_run_verdict', by='run_id, verdict')} == 1)"
    f" * on (run_id) group_left (scenario, profile) {INFO}"
)
"""1 for each run, with the labels that are the first columns of its row."""
STARTED, ENDED = kept("loadtest_run_start_time_seconds"), kept("loadtest_run_end_time_seconds")
SETTLED_S = 15
"""Time after a run's end until Prometheus has all of its samples; the time range of a link to a run ends then."""


def welcome_row() -> list[Any]:
    """First steps, and whether all components are up."""
    return [
        words("Start here", "Three steps to a running test.", WELCOME.strip(), span=11, height=6),
        figure(
            "Parts of the stack",
            "1 for each part that answers Prometheus, 0 for one that does not.",
            "none",
            now('min by (job) (up{job!="redis_keys"})', "{{job}}"),
            span=8,
        )
        .thresholds(limits(1, below=True))
        .height(6),
        alerts("The alerts that fire now; Prometheus describes them on http://127.0.0.1:9090/alerts.", span=5).height(
            6
        ),
    ]


def runs() -> table.Panel:
    """The runs of the time range; History shows them too."""
    requests = kept("loadtest_run_requests", by="run_id, result")
    failed = kept("loadtest_run_requests", 'result="failure"')
    p95 = kept("loadtest_run_response_time_seconds", 'quantile="0.95"')
    panel = rows(
        "Runs",
        "The runs of the time range, the latest first. Click the name of one to open it.",
        {
            "run_id": ("run", 270),
            "scenario": ("scenario", 115),
            "profile": ("profile", 140),
            "verdict": ("verdict", 110),
        },
        Column("started", "dateTimeAsIso", _of_row(f"{STARTED} * 1000"), 150),
        Column("ended", "dateTimeAsIso", _of_row(f"({ENDED} > 0) * 1000"), 150),
        Column("until", "none", _of_row(f"({ENDED} + {SETTLED_S} > {SETTLED_S} or {STARTED} * 0 + time()) * 1000"), 0),
        Column("duration", "s", _of_row(kept("loadtest_run_load_seconds")), 70),
        Column("requests", "locale", _of_row(f"sum by (run_id) ({requests})"), 80),
        Column("failed", "percentunit", _of_row(f"{failed} / (sum by (run_id) ({requests}) > 0)"), 65),
        Column("p95", "s", _of_row(p95), 70),
    )
    return linked(
        panel,
        "run",
        "Open this run",
        "/d/load_run?var-run=${__value.text}&from=${__data.fields.started.numeric}&to=${__data.fields.until.numeric}",
    )


def history_row() -> list[Any]:
    """The runs of the time range, and recent activity."""
    return [
        runs(),
        curves(
            "Requests",
            "Requests per second: of the load, and as the sample target counts them.",
            "reqps",
            curve(of_run(REQUESTS_PER_S), "load"),
            curve(rate("target_app_requests_total"), "target"),
            span=24,
        ).time_from("15m"),
    ]


def _of_row(expr: str) -> prometheus.Dataquery:
    """Return the query of a column that has a value for each run."""
    return column(f"{RUN} * on (run_id) group_left () ({expr})")


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    return board(
        "home",
        "Where to start: the running test, earlier runs, and links to the other dashboards.",
        {"": welcome_row(), "The test that runs, or the last one": overview(), "Runs": history_row()},
        chosen=(),
        since="now-24h",
    )
