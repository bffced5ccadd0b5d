"""Write grafana/dashboards/*.json from this description: `make dashboards`.

Rules that hold for every panel, checked by tests/contracts/test_dashboards.py: core panels only, a unit, a
description, rates over `$__rate_interval` and taken before they are summed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

FOLDER = Path(__file__).parent / "dashboards"
DATASOURCE = c.DataSourceRef(type_val="prometheus", uid="prometheus")
COLUMNS = 24
STAT_HEIGHT = 4
PANEL_HEIGHT = 8

CHOSEN = 'scenario=~"$scenario", name=~"$name"'
SCENARIO = 'scenario=~"$scenario"'
WINDOW = "[$__rate_interval]"


def query(expr: str, legend: str = "", *, instant: bool = False) -> prometheus.Dataquery:
    """Return a Prometheus query; an instant one answers with the last value only."""
    built = prometheus.Dataquery().datasource(DATASOURCE).expr(expr).legend_format(legend)
    return built.instant() if instant else built.range()


def quantile(q: float, histogram: str, labels: str = CHOSEN, by: str = "") -> str:
    """Return the expression of a quantile over all series chosen, or by some labels."""
    return (
        f"histogram_quantile({q}, sum by ({by + ', ' if by else ''}le) (rate({histogram}_bucket{{{labels}}}{WINDOW})))"
    )


def figure(title: str, description: str, unit: str, *queries: prometheus.Dataquery, span: int = 3) -> stat.Panel:
    """Return a panel of one present figure, or two."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .height(STAT_HEIGHT)
        .span(span)
        .color_mode(c.BigValueColorMode.VALUE)
        .graph_mode(c.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(limits(None))
    )
    return with_queries(panel, queries)


def curves(
    title: str,
    description: str,
    unit: str,
    *queries: prometheus.Dataquery,
    span: int = 8,
    stacked: bool = False,
    logarithmic: bool = False,
) -> timeseries.Panel:
    """Return a panel of curves over time, from 0 on or on a logarithmic scale."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .height(PANEL_HEIGHT)
        .span(span)
        .line_width(1)
        .fill_opacity(25 if stacked else 5)
        .show_points(c.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(c.LegendDisplayMode.LIST)
            .placement(c.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING))
    )
    if logarithmic:
        panel.scale_distribution(common.ScaleDistributionConfig().type(c.ScaleDistribution.LOG).log(10))
    else:
        panel.min(0)
    if stacked:
        panel.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL).group("A"))
    return with_queries(panel, queries)


def with_limits(panel: timeseries.Panel, metrics: str, legend: str, letter: str) -> timeseries.Panel:
    """Add the thresholds on some metrics as dashed red lines; the letter is the query's, the next one free.

    A threshold on one name is drawn where that name is chosen, one on everything always.
    """
    selector = f'metric=~"{metrics}", scenario=~"$scenario|", name=~"$name|"'
    asked = query(f"loadtest_threshold_limit{{{selector}}}", legend).ref_id(letter)
    looks = {
        "custom.lineStyle": {"fill": "dash", "dash": [8, 8]},
        "custom.fillOpacity": 0,
        "color": {"mode": "fixed", "fixedColor": "red"},
    }
    properties = [d.DynamicConfigValue(id_val=name, value=value) for name, value in looks.items()]
    return panel.with_target(asked).override_by_query(letter, properties)


def with_queries(panel: Any, queries: tuple[prometheus.Dataquery, ...]) -> Any:
    """Add queries with the reference letters A, B, C …"""
    for letter, built in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(built.ref_id(letter))
    return panel


def limits(red: float | None, *, below: bool = False) -> dashboard.ThresholdsConfig:
    """Return green up to a limit and red from it on (or the other way round); without a limit, always green."""
    low, high = ("red", "green") if below else ("green", "red")
    steps = [d.Threshold(value=None, color=low if red is not None else "green")]
    if red is not None:
        steps.append(d.Threshold(value=red, color=high))
    return dashboard.ThresholdsConfig().mode(d.ThresholdsMode.ABSOLUTE).steps(steps)


def variable(name: str, label: str, labels_of: str) -> dashboard.QueryVariable:
    """Return a choice of one, several or all values of a label."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": f"label_values({labels_of})", "refId": name})
        .refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(d.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(d.VariableOption(selected=True, text="All", value="$__all"))
    )


def run_row() -> list[Any]:
    """Where the run stands now."""
    error_ratio = (
        f'sum(rate(loadtest_requests_total{{{CHOSEN}, result="failure"}}{WINDOW}))'
        f" / sum(rate(loadtest_requests_total{{{CHOSEN}}}{WINDOW}))"
    )
    return [
        figure(
            "Run state",
            "What the master is doing: ready, spawning, running, cleanup, stopping or stopped.",
            "none",
            query("loadtest_run_state == 1", "{{state}}", instant=True),
        ).text_mode(c.BigValueTextMode.NAME),
        figure(
            "Users",
            "Users that run now, beside the number that the load profile wants.",
            "none",
            query(f"sum(loadtest_users{{{SCENARIO}}})", "real", instant=True),
            query(f"sum(loadtest_users_target{{{SCENARIO}}})", "wanted", instant=True),
            span=4,
        ),
        figure(
            "Workers",
            "Workers that are connected to the master.",
            "none",
            query('sum(loadtest_workers{state!="missing"})', "connected", instant=True),
        ).thresholds(limits(1, below=True)),
        figure(
            "Requests",
            "Requests finished per second, failed ones included.",
            "reqps",
            query(f"sum(rate(loadtest_requests_total{{{CHOSEN}}}{WINDOW}))", "requests", instant=True),
        ),
        figure(
            "Error ratio",
            "Share of the requests that failed. Red from 1 %.",
            "percentunit",
            query(error_ratio, "failed", instant=True),
        ).thresholds(limits(0.01)),
        figure(
            "Response time",
            "95 % of the requests were answered within this time, counted from their intended start.",
            "s",
            query(quantile(0.95, "loadtest_response_time_seconds"), "p95", instant=True),
        ),
        figure(
            "Completeness",
            "Share of the workers' measurements that the record holds. Below 100 % the figures are only a part.",
            "percentunit",
            query("loadtest_run_completeness_ratio", "complete", instant=True),
            span=2,
        ).thresholds(limits(1, below=True)),
        figure(
            "Running since",
            "When the present run started, or the last one.",
            "dateTimeFromNow",
            query("max(loadtest_run_start_time_seconds > 0) * 1000", "start", instant=True),
        ).no_value("no run yet"),
    ]


def load_row() -> list[Any]:
    """How much load there is, and what comes back."""
    return [
        curves(
            "Users",
            "Users that run, beside the number that the load profile wants; arrivals per second of an open profile.",
            "short",
            query(f"sum(loadtest_users{{{SCENARIO}}})", "real"),
            query(f"sum(loadtest_users_target{{{SCENARIO}}})", "wanted"),
            query(f"sum(loadtest_arrival_rate_target_per_second{{{SCENARIO}}})", "arrivals/s wanted"),
        ),
        curves(
            "Requests by name",
            "Requests finished per second by name, failed ones included.",
            "reqps",
            query(f"sum by (method, name) (rate(loadtest_requests_total{{{CHOSEN}}}{WINDOW}))", "{{method}} {{name}}"),
            stacked=True,
        ),
        curves(
            "Requests by result",
            "Requests finished per second, succeeded and failed.",
            "reqps",
            query(f"sum by (result) (rate(loadtest_requests_total{{{CHOSEN}}}{WINDOW}))", "{{result}}"),
            stacked=True,
        ),
        with_limits(
            curves(
                "Error ratio",
                "Share of the requests that failed. Dashed: the run's thresholds on it.",
                "percentunit",
                query(
                    f'sum(rate(loadtest_requests_total{{{CHOSEN}, result="failure"}}{WINDOW}))'
                    f" / sum(rate(loadtest_requests_total{{{CHOSEN}}}{WINDOW}))",
                    "failed",
                ),
            ),
            "error_ratio",
            "limit {{name}}",
            "B",
        ),
        curves(
            "Errors by class",
            "Failed requests per second by what went wrong.",
            "reqps",
            query(f"sum by (class) (rate(loadtest_errors_total{{{CHOSEN}}}{WINDOW}))", "{{class}}"),
            stacked=True,
        ),
        curves(
            "Received",
            "Bytes of response bodies per second.",
            "Bps",
            query(f"sum(rate(loadtest_response_bytes_total{{{CHOSEN}}}{WINDOW}))", "bodies"),
        ),
    ]


def latency_row() -> list[Any]:
    """How long it took."""
    both = [
        query(quantile(q, f"loadtest_{kind}_time_seconds"), f"{kind} p{int(q * 100)}")
        for q in (0.5, 0.95, 0.99)
        for kind in ("response", "service")
    ]
    return [
        with_limits(
            curves(
                "Response time beside service time",
                "Response time counts from the intended start of a request: what a user would have waited. Service "
                "time counts from the send. When they part, the generator or a queue before the service is in the "
                "way. Dashed: the run's thresholds on them. The scale is logarithmic.",
                "s",
                *both,
                span=12,
                logarithmic=True,
            ),
            "response_time|service_time",
            "limit of {{metric}} {{aggregate}} {{name}}",
            "G",
        ),
        with_queries(
            heatmap.Panel()
            .title("Response time, distribution")
            .description(
                "Requests by response time: a column is a moment, a cell's colour the number of requests in it."
            )
            .unit("short")
            .datasource(DATASOURCE)
            .height(PANEL_HEIGHT)
            .span(12)
            .calculate(False)
            .color(
                heatmap.HeatmapColorOptions()
                .mode(HeatmapColorMode.SCHEME)
                .scheme("Turbo")
                .exponent(0.5)
                .steps(64)
                .fill("dark-blue")
                .reverse(False)
            )
            .y_axis(heatmap.YAxisConfig().unit("s").axis_placement(c.AxisPlacement.LEFT)),
            (
                query(
                    f"sum by (le) (increase(loadtest_response_time_seconds_bucket{{{CHOSEN}}}{WINDOW}))", "{{le}}"
                ).format(PromQueryFormat.HEATMAP),
            ),
        ),
        curves(
            "p95 of response time by name",
            "The slowest names stand out here.",
            "s",
            query(quantile(0.95, "loadtest_response_time_seconds", by="method, name"), "{{method}} {{name}}"),
            span=12,
        ),
        curves(
            "Mean response time by name",
            "Sum of the response times over their number: exact, unlike a quantile, and blind to the tail.",
            "s",
            query(
                f"sum by (method, name) (rate(loadtest_response_time_seconds_sum{{{CHOSEN}}}{WINDOW}))"
                f" / sum by (method, name) (rate(loadtest_response_time_seconds_count{{{CHOSEN}}}{WINDOW}))",
                "{{method}} {{name}}",
            ),
            span=12,
        ),
    ]


def generator_row() -> list[Any]:
    """Whether the generator was fit to measure."""
    return [
        curves(
            "Workers",
            "Workers by state. A missing one stopped answering the master.",
            "short",
            query("sum by (state) (loadtest_workers)", "{{state}}"),
            span=6,
        ),
        curves(
            "Worker CPU",
            "CPU of each worker's process; 100 % is one core. Above 90 % its latencies include its own queue.",
            "percentunit",
            query("max by (worker) (loadtest_worker_cpu_ratio)", "worker {{worker}}"),
            span=6,
        ),
        curves(
            "Event-loop lag",
            "How late each worker's event loop woke up, p99 of the last second.",
            "s",
            query("max by (worker) (loadtest_worker_event_loop_lag_seconds)", "worker {{worker}}"),
            span=6,
        ),
        curves(
            "Users by worker",
            "Users that each worker runs.",
            "short",
            query("max by (worker) (loadtest_worker_users)", "worker {{worker}}"),
            span=6,
            stacked=True,
        ),
        curves(
            "Schedule lag",
            "How long after their intended start requests were sent, p99.",
            "s",
            query(quantile(0.99, "loadtest_schedule_lag_seconds", SCENARIO), "p99"),
        ),
        curves(
            "Dropped iterations",
            "Iterations per second that the load profile wanted and that could not start.",
            "ops",
            query(f"sum by (scenario) (rate(loadtest_iterations_dropped_total{{{SCENARIO}}}{WINDOW}))", "{{scenario}}"),
        ),
        curves(
            "Completeness",
            "Share of the workers' measurements that the record holds.",
            "percentunit",
            query("loadtest_run_completeness_ratio", "complete"),
        ).max(1),
    ]


def target_row() -> list[Any]:
    """The sample target, as it sees itself."""
    return [
        curves(
            "Target: requests by status",
            "Requests that the sample target answered per second, by class of status.",
            "reqps",
            query(f"sum by (status) (rate(target_app_requests_total{WINDOW}))", "{{status}}"),
            stacked=True,
        ),
        curves(
            "Target: p95 by route",
            "95 % of the requests of a route were answered within this time, without the server's queue.",
            "s",
            query(
                "histogram_quantile(0.95, sum by (route, le) "
                f"(rate(target_app_request_duration_seconds_bucket{WINDOW})))",
                "{{route}}",
            ),
        ),
        curves(
            "Target: in flight",
            "Requests that the workers of the target serve at once.",
            "short",
            query("sum(target_app_requests_in_flight)", "in flight"),
        ),
        curves(
            "Target: CPU",
            "CPU of all workers of the target; 100 % is one core.",
            "percentunit",
            query(f"sum(rate(target_app_cpu_seconds_total{WINDOW}))", "all workers"),
            span=12,
        ),
        curves(
            "Target: memory",
            "Resident memory of all workers of the target.",
            "bytes",
            query("sum(target_app_resident_memory_bytes)", "all workers"),
            span=12,
        ),
    ]


def redis_row() -> list[Any]:
    """The target's Redis, by its own figures."""
    return [
        curves(
            "Redis: commands",
            "Commands per second, by command.",
            "ops",
            query(f"sum by (cmd) (rate(redis_commands_total{WINDOW})) > 0", "{{cmd}}"),
            stacked=True,
        ),
        curves(
            "Redis: mean time by command",
            "Time that Redis spent in a command, without the network and without waiting for its turn.",
            "s",
            query(
                f"sum by (cmd) (rate(redis_commands_duration_seconds_total{WINDOW}))"
                f" / (sum by (cmd) (rate(redis_commands_total{WINDOW})) > 0)",
                "{{cmd}}",
            ),
        ),
        curves(
            "Redis: memory",
            "Memory in use, and the limit above which writes are refused.",
            "bytes",
            query("max(redis_memory_used_bytes)", "used"),
            query("max(redis_memory_max_bytes)", "limit"),
        ),
        curves(
            "Redis: clients",
            "Connections, and those that wait in a blocking command.",
            "short",
            query("max(redis_connected_clients)", "connected"),
            query("max(redis_blocked_clients)", "blocked"),
            span=6,
        ),
        curves(
            "Redis: CPU",
            "CPU of the Redis process. Commands run on one core: at 100 % it is saturated.",
            "percentunit",
            query(
                f"sum(rate(redis_cpu_user_seconds_total{WINDOW})) + sum(rate(redis_cpu_sys_seconds_total{WINDOW}))",
                "cpu",
            ),
            span=6,
        ),
        curves(
            "Redis: keys",
            "Keys in all databases.",
            "short",
            query("sum(redis_db_keys)", "keys"),
            span=6,
        ),
        curves(
            "Redis: slow and evicted",
            "Entries of the slow log (commands above 10 ms), and keys evicted per second.",
            "short",
            query("max(redis_slowlog_length)", "slow log"),
            query(f"sum(rate(redis_evicted_keys_total{WINDOW}))", "evicted/s"),
            span=6,
        ),
    ]


def run_annotation() -> dashboard.AnnotationQuery:
    """Mark the start of each run on every panel."""
    return (
        dashboard.AnnotationQuery()
        .name("Runs")
        .datasource(DATASOURCE)
        .enable(True)
        .hide(False)
        .icon_color("blue")
        .expr(
            "max by (run_id, scenario, profile) (loadtest_run_info)"
            " * on () group_left () (max(loadtest_run_start_time_seconds) * 1000)"
        )
        .step("2s")
        .title_format("Run {{run_id}}")
        .text_format("scenario {{scenario}}, profile {{profile}}")
        .use_value_for_time(True)
    )


def load_run() -> dashboard.Dashboard:
    """Return the dashboard "Load run": load, latency, generator, target and Redis on one time axis."""
    board = (
        dashboard.Dashboard("Load run")
        .uid("load_run")
        .description("One load test: what was asked of the service, what came back, and whether to believe it.")
        .tags(["loadtest"])
        .readonly()
        .time("now-15m", "now")
        .refresh("5s")
        .timezone("browser")
        .tooltip(d.DashboardCursorSync.CROSSHAIR)
        .annotation(run_annotation())
        .with_variable(variable("scenario", "Scenario", "loadtest_requests_total, scenario"))
        .with_variable(variable("name", "Name", 'loadtest_requests_total{scenario=~"$scenario"}, name'))
    )
    rows = {
        "Run": run_row(),
        "Load": load_row(),
        "Latency": latency_row(),
        "Generator": generator_row(),
        "Target": target_row(),
        "Redis": redis_row(),
    }
    number = 0
    for title, panels in rows.items():
        board.with_row(dashboard.Row(title).id(number := number + 1))
        for panel in panels:
            board.with_panel(panel.id(number := number + 1))
    return board


DASHBOARDS = {"load_run.json": load_run}


def render(name: str) -> str:
    """Return the text of a dashboard's file."""
    return json.dumps(DASHBOARDS[name]().build(), cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    """Write every dashboard's file."""
    FOLDER.mkdir(exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / name).write_text(render(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
