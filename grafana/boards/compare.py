"""Compare: the latest selected run drawn over an earlier one of the same scenario, both from a common zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boards.frame import board
from boards.load_run import BY_NAME, EXACT, INTERPOLATED, OF_SEVERAL, RESPONSE_TIME, VERDICTS
from boards.panels import PANEL_HEIGHT, Column, curves, rows, thin, word
from boards.queries import (
    CHOSEN,
    CHOSEN_QUANTILE,
    FAILED,
    RANGE,
    SCENARIO,
    SHIFT,
    WINDOW,
    column,
    curve,
    kept,
    kept_before,
    latest,
    now,
    of_run,
    of_run_before,
    or_word,
    quantile,
    rate,
    recent,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard, timeseries

SHIFTED = f"{WINDOW}{SHIFT}"
BY_VERDICT = "run_id, verdict"


def figures_row() -> list[Any]:
    """Both runs in figures, equal to those in their records."""
    requests = f"sum by (run_id) ({_of_both('loadtest_run_requests', by='run_id, result')})"
    failed = _of_both("loadtest_run_requests", 'result="failure"')
    return [
        word(
            "This run",
            "The verdict of the latest of the chosen runs, or the one that it would get if it ended now.",
            now(
                or_word(latest(f"{kept('loadtest_run_verdict', by=BY_VERDICT)} == 1"), "verdict", "none yet"),
                "{{verdict}}",
            ),
            VERDICTS,
        ).height(PANEL_HEIGHT),
        word(
            "Before",
            "The verdict of the earlier run selected above; by default the previous run of the same scenario.",
            now(
                or_word(f"{kept_before('loadtest_run_verdict', by=BY_VERDICT)} == 1", "verdict", "no such run"),
                "{{verdict}}",
            ),
            VERDICTS,
        ).height(PANEL_HEIGHT),
        rows(
            "Figures",
            "Both runs as their records have them, the latest first.",
            {"run_id": ("run", 230)},
            Column("started", "dateTimeAsIso", column(f"({_of_both('loadtest_run_start_time_seconds')}) * 1000"), 150),
            Column("requests", "locale", column(requests)),
            Column("rate", "reqps", column(f"{requests} / (({_of_both('loadtest_run_load_seconds')}) > 0)")),
            Column("failed", "percentunit", column(f"({failed}) / ({requests} > 0)"), 60),
            *(
                Column(
                    f"p{share}",
                    "s",
                    column(_of_both("loadtest_run_response_time_seconds", f'quantile="{share / 100:g}"')),
                    65,
                )
                for share in (50, 95, 99)
            ),
            span=16,
        ),
    ]


def _of_both(metric: str, labels: str = "", by: str = "run_id") -> str:
    """Return a gauge of the latest selected run, and of the previous run."""
    return f"({latest(kept(metric, labels, by))}) or ({kept_before(metric, labels, by)})"


def curves_row() -> list[Any]:
    """Both runs over time."""
    return [
        _both(
            "Users",
            "Running users.",
            "short",
            f"sum(loadtest_users{{{SCENARIO}}})",
            f"sum(loadtest_users{{{SCENARIO}}}{SHIFT})",
        ),
        _both(
            "Requests",
            "Requests finished per second.",
            "reqps",
            rate("loadtest_requests_total", CHOSEN),
            rate("loadtest_requests_total", CHOSEN, window=SHIFTED),
        ),
        _both(
            "Response time",
            f"The quantile selected above, from the intended start of each request. {EXACT} {OF_SEVERAL}",
            "s",
            recent(CHOSEN_QUANTILE, RESPONSE_TIME),
            recent(CHOSEN_QUANTILE, RESPONSE_TIME, offset=SHIFT),
        ),
        _both(
            "Failed",
            "Failed requests per second.",
            "reqps",
            rate("loadtest_requests_total", FAILED),
            rate("loadtest_requests_total", FAILED, window=SHIFTED),
        ),
    ]


def _both(title: str, description: str, unit: str, this: str, before: str) -> timeseries.Panel:
    """Return a panel with a curve of each run; the previous run is thin, and begins where this one does."""
    both = curve(of_run(this), "this run"), curve(of_run_before(before), "before")
    return thin(curves(title, description, unit, *both, span=12), "before")


def names_row() -> list[Any]:
    """The requests that changed."""
    this, before = (
        quantile(CHOSEN_QUANTILE, RESPONSE_TIME, by=BY_NAME, window=window) for window in (RANGE, f"{RANGE}{SHIFT}")
    )
    return [
        rows(
            "Names",
            "Each name in the time range, and as long ago in the run before, at the chosen quantile; the one that grew "
            f"most first. `loadtest compare` says which changes are more than noise. {INTERPOLATED}",
            {"method": ("method", 90), "name": ("name", 360)},
            Column("change", "percentunit", column(f"({this}) / ({before}) - 1"), 100),
            Column("this run", "s", column(this), 100),
            Column("before", "s", column(before), 100),
        )
    ]


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    return board(
        "compare",
        "A run over the one before of the same scenario, both from a common zero.",
        {"Both runs": figures_row(), "Over time": curves_row(), "Names": names_row()},
        chosen=("run", "scenario", "name", "quantile", "before"),
    )
