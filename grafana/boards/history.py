"""History: one run after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boards.frame import board
from boards.home import runs
from boards.load_run import VERDICTS
from boards.panels import BAD, colored, curves
from boards.queries import RUNS, WINDOW, curve

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard

HELD = "A line holds until the next run; where a point stands for several runs, it is the highest of them."


def last(metric: str, labels: str = "", by: str = "run_id") -> str:
    """Return the last values of a per-run gauge at each point in time, for each run."""
    selector = ", ".join(filter(None, (RUNS, labels)))
    return f"max by ({by}) (last_over_time({metric}{{{selector}}}{WINDOW}))"


def trend_row() -> list[Any]:
    """Trends of the runs' figures."""
    requests = f"sum by (run_id) ({last('loadtest_run_requests', by='run_id, result')})"
    failed = last("loadtest_run_requests", 'result="failure"')
    return [
        curves(
            "Response time",
            f"Percentiles of each run's response times, as its record has them. {HELD}",
            "s",
            curve(last("loadtest_run_response_time_seconds", by="quantile"), "quantile {{quantile}}"),
            span=12,
        ),
        curves(
            "Requests per second",
            f"Each run's requests by the seconds of its load. {HELD}",
            "reqps",
            curve(f"max({requests} / ({last('loadtest_run_load_seconds')} > 0))", "requests"),
            span=12,
        ),
        colored(
            curves(
                "Failed",
                f"Share of each run's requests that failed. {HELD}",
                "percentunit",
                curve(f"max({failed} / ({requests} > 0))", "failed"),
                span=12,
            ),
            {"failed": BAD},
        ),
        colored(
            curves(
                "Verdict",
                f"1 for the verdict of each run. {HELD}",
                "none",
                curve(f"{last('loadtest_run_verdict', by='verdict')} > 0", "{{verdict}}"),
                span=12,
                stacked=True,
            ),
            VERDICTS,
        ),
    ]


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    return board(
        "history",
        "One run after the other: response times, throughput, failures and verdicts.",
        {"Runs": [runs()], "Trend": trend_row()},
        chosen=("run",),
        since="now-7d",
    )
