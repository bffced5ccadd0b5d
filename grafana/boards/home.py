"""Home: links to the running test and to earlier ones."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as d

from boards.frame import board
from boards.load_run import overview
from boards.panels import Column, curves, figure, limits, rows, words
from boards.queries import REQUESTS_PER_S, column, curve, now, of_run, rate

WELCOME = """
**1** Start a test in [Locust's web UI](http://127.0.0.1:8089), or with `LOADTEST_AUTOSTART=1 docker compose up`.

**2** Watch it here: [Load run](/d/load_run) for load, results and latency, [Generator](/d/generator) for whether to
trust them, [Target](/d/target) and [Redis](/d/redis) for what the service does meanwhile.

**3** Choose a run above a dashboard, or a time range, to see an earlier one. Its report is in its folder in `runs/`.
"""
STARTED = 'loadtest_run_info{run_id!=""} * on (instance) group_left () loadtest_run_start_time_seconds'


def welcome_row() -> list[Any]:
    """What to do first, and whether all parts are up."""
    return [
        words("Start here", "Three steps to a running test.", WELCOME.strip(), span=16, height=6),
        figure(
            "Parts of the stack",
            "1 for each part that answers Prometheus, 0 for one that does not.",
            "none",
            now('min by (job) (up{job!="redis_keys"})', "{{job}}"),
            span=8,
        )
        .thresholds(limits(1, below=True))
        .height(6),
    ]


def present_row() -> list[Any]:
    """The running test, or the last one; click it to open it."""
    panels = [panel.links([_to_load_run()]) for panel in overview(span=3)]
    alerts = figure(
        "Alerts",
        "Alerts that fire now; Prometheus lists them on http://127.0.0.1:9090/alerts.",
        "none",
        now('count(ALERTS{alertstate="firing"}) or vector(0)', "firing"),
        span=4,
    ).thresholds(limits(1))
    return [*panels, alerts]


def history_row() -> list[Any]:
    """The runs of the time range."""
    runs = rows(
        "Runs",
        "The runs of the time range, the latest first. Click one to open it.",
        {"run_id": "run", "scenario": "scenario", "profile": "profile"},
        Column(
            "started",
            "dateTimeAsIso",
            column(f"max by (run_id, scenario, profile) (max_over_time(({STARTED})[$__range:10s])) * 1000"),
        ),
        span=14,
    ).override_by_name(
        "run",
        [
            d.DynamicConfigValue(
                id_val="links",
                value=[
                    {
                        "title": "Open this run",
                        "url": "/d/load_run?var-run=${__value.text}&from=${__data.fields.started}&to=now",
                    }
                ],
            )
        ],
    )
    return [
        runs,
        curves(
            "Requests",
            "Requests per second of the time range: of the load, and as the sample target counts them.",
            "reqps",
            curve(of_run(REQUESTS_PER_S), "load"),
            curve(rate("target_app_requests_total"), "target"),
            span=10,
        ),
    ]


def _to_load_run() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Load run")
        .type(d.DashboardLinkType.LINK)
        .url("/d/load_run")
        .keep_time(False)
        .include_vars(True)
    )


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    return board(
        "home",
        "Where to start: the running test, earlier runs, and links to the other dashboards.",
        {"": welcome_row(), "The test that runs, or the last one": present_row(), "Runs": history_row()},
        chosen=(),
        since="now-24h",
    )
