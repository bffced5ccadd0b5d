"""The frame of the panels: variables, links between dashboards, annotations on the time axis, rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as d

from boards.queries import BEFORE, DATASOURCE, RUN, RUNS, kept, latest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TITLES = {
    "home": "Home",
    "load_run": "Load run",
    "compare": "Compare",
    "history": "History",
    "generator": "Generator",
    "target": "Target",
    "redis": "Redis",
}
"""The dashboards by uid, in the order of the links."""

SINCE = "now-5m"
"""The beginning of the time range: a run of two minutes fills much of it, and a longer one scrolls through it."""
QUANTILES = ("0.5", "0.9", "0.95", "0.99", "0.999")
QUANTILE = "0.95"
"""The default selection."""
REFRESH = ["2s", "5s", "10s", "30s", "1m", "5m"]


def board(
    uid: str, description: str, rows: Mapping[str, Sequence[Any]], *, chosen: Sequence[str], since: str = SINCE
) -> dashboard.Dashboard:
    """Return a dashboard.

    Args:
        uid: one of `TITLES`.
        description: one sentence for the list of dashboards.
        rows: panels by the title of their row; an empty title makes no row.
        chosen: the variables that its panels use. The others exist too, hidden, so that links keep them.
        since: the beginning of the time range; links to dashboards with another beginning do not keep the range.
    """
    made = (
        dashboard.Dashboard(TITLES[uid])
        .uid(uid)
        .description(description)
        .tags(["loadtest"])
        .readonly()
        .time(since, "now")
        .refresh("5s")
        .timepicker(dashboard.TimePicker().refresh_intervals(REFRESH))
        .timezone("browser")
        .tooltip(d.DashboardCursorSync.CROSSHAIR)
        .variables(
            [
                *(_variable(name, hidden=name not in chosen) for name in _VARIABLES),
                _quantile("quantile" in chosen),
                _run_before(hidden="before" not in chosen),
                _shift(),
            ]
        )
        .annotations(_marks())
        .links([_link(other, keep_time=since == SINCE) for other in TITLES if other != uid])
    )
    number = 0
    for title, panels in rows.items():
        if title:
            made.with_row(dashboard.Row(title).id(number := number + 1))
        for panel in panels:
            made.with_panel(panel.id(number := number + 1))
    return made


_VARIABLES = {
    "run": ("Run", 'loadtest_run_info{run_id!=""}, run_id', d.VariableSort.ALPHABETICAL_DESC),
    "scenario": ("Scenario", "loadtest_requests_total, scenario", d.VariableSort.ALPHABETICAL_ASC),
    "name": ("Name", 'loadtest_requests_total{scenario=~"$scenario"}, name', d.VariableSort.ALPHABETICAL_ASC),
}


def _variable(name: str, *, hidden: bool) -> dashboard.QueryVariable:
    """Return a variable with one, several or all values of a label."""
    label, labels_of, order = _VARIABLES[name]
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": f"label_values({labels_of})", "refId": name})
        .refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(order)
        .hide(d.VariableHide.HIDE_VARIABLE if hidden else d.VariableHide.DONT_HIDE)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(d.VariableOption(selected=True, text="All", value="$__all"))
    )


def _quantile(shown: bool) -> dashboard.CustomVariable:
    """Return the variable for the quantile in curves and tables by name."""
    return (
        dashboard.CustomVariable("quantile")
        .label("Quantile")
        .values(", ".join(QUANTILES))
        .current(d.VariableOption(selected=True, text=QUANTILE, value=QUANTILE))
        .hide(d.VariableHide.DONT_HIDE if shown else d.VariableHide.HIDE_VARIABLE)
    )


_START = "loadtest_run_start_time_seconds"
_KEPT = "[30d]"
"""Prometheus' retention: the previous run may be long before the time range."""


def _run_before(*, hidden: bool) -> dashboard.QueryVariable:
    """Return the variable for a run before the latest selected one, of the same scenario; by default the last one."""
    began = f'max by (run_id) (last_over_time({_START}{{run_id!=""}}{_KEPT}))'
    known = f'max by (run_id, scenario) (last_over_time(loadtest_run_info{{run_id!=""}}{_KEPT}))'
    present = latest(kept("loadtest_run_info", by="run_id, scenario"))
    same = f"{known} and on (scenario) ({present})"
    return _asked(
        "before",
        f"({began} < scalar(max({kept(_START)}))) and on (run_id) ({same})",
        'run_id="([^"]+)"',
        hidden=hidden,
    ).label("Before")


def _shift() -> dashboard.QueryVariable:
    """Return the seconds from the start of the previous run to that of the latest selected run."""
    began = f"max(last_over_time({_START}{{{BEFORE}}}{_KEPT}))"
    return _asked("shift", f"round(max({kept(_START)}) - {began}) or vector(0)", r"} (-?\d+) ", hidden=True)


def _asked(name: str, expr: str, regex: str, *, hidden: bool) -> dashboard.QueryVariable:
    """Return a variable with the matches of a regular expression in a query's results; the latest run comes first."""
    return (
        dashboard.QueryVariable(name)
        .datasource(DATASOURCE)
        .query({"query": f"query_result({expr})", "refId": name})
        .regex(f"/{regex}/")
        .refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(d.VariableSort.ALPHABETICAL_DESC)
        .hide(d.VariableHide.HIDE_VARIABLE if hidden else d.VariableHide.DONT_HIDE)
    )


def _link(uid: str, *, keep_time: bool) -> dashboard.DashboardLink:
    """Return a link to another dashboard, which opens with the same variables."""
    return (
        dashboard.DashboardLink(TITLES[uid])
        .type(d.DashboardLinkType.LINK)
        .url(f"/d/{uid}")
        .icon("dashboard")
        .keep_time(keep_time)
        .include_vars(True)
    )


def _marks() -> list[dashboard.AnnotationQuery]:
    """Mark the start and the end of each run, each later stage, each lost worker, and the changes between runs.

    The value of each query is the time of the mark, so that its position does not depend on the query's step.
    """
    info = f"max by (run_id, scenario, profile) (loadtest_run_info{{{RUNS}}})"
    changed = "scenario, method, name, metric, finding"
    stage = 'count_values("stage", max(loadtest_run_stage > 1))'
    times = {
        "start": f"max by (run_id) (loadtest_run_start_time_seconds{{{RUNS}}}) * 1000",
        "end": f"max by (run_id) (loadtest_run_end_time_seconds{{{RUNS}}} > 0) * 1000",
        "stage": "max(loadtest_run_stage_start_time_seconds > 0) * 1000",
        "lost": "max(loadtest_worker_lost_time_seconds > 0) * 1000",
        "change": f"max by ({changed}) (loadtest_run_change_time_seconds{{{RUNS}}}) * 1000",
    }
    return [
        _mark(
            "Run starts",
            "blue",
            f"{info} * on (run_id) group_left () ({times['start']})",
            "Run {{run_id}} starts",
            "scenario {{scenario}}, profile {{profile}}",
        ),
        _mark("Run ends", "purple", f"{info} * on (run_id) group_left () ({times['end']})", "Run {{run_id}} ends", ""),
        _mark(
            "Stages",
            "yellow",
            f"{stage} * on () group_left () ({times['stage']}) and on () {RUN}",
            "Stage {{stage}}",
            "of the load profile",
        ),
        _mark(
            "Workers lost",
            "red",
            f"{times['lost']} and on () {RUN}",
            "Worker lost",
            "It stopped answering the master; the report names what is missing.",
        ),
        _mark(
            "Changes",
            "orange",
            times["change"],
            "{{method}} {{name}}: {{metric}} {{finding}}",
            "from this run of {{scenario}} on; its report, and loadtest history --changes, say by how much",
        ),
    ]


def _mark(name: str, color: str, expr: str, title: str, text: str) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .hide(False)
        .icon_color(color)
        .expr(expr)
        .step("2s")
        .title_format(title)
        .text_format(text)
        .use_value_for_time(True)
    )
