"""Generator: whether the load generator kept up, so that its measurements can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boards.frame import board
from boards.panels import BAD, colored, curves, figure, limits, with_line
from boards.queries import SCENARIO, curve, now, of_run, quantile, rate

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard, prometheus, stat

CONNECTED = 'sum(loadtest_workers{state!="missing"})'
MISSING = 'sum(loadtest_workers{state="missing"})'
LAG = "loadtest_schedule_lag_seconds"
SCRAPE = 'job="locust_master"'


def completeness(span: int = 3) -> stat.Panel:
    """The share of the measurements that was received; Load run shows it too."""
    return figure(
        "Completeness",
        "Share of the workers' measurements that the record holds. Below 100 % the figures are incomplete.",
        "percentunit",
        now(of_run("loadtest_run_completeness_ratio"), "complete"),
        span=span,
    ).thresholds(limits(1, below=True))


def by_worker(metric: str) -> prometheus.Dataquery:
    """Return the curves of a gauge, one for each worker."""
    return curve(of_run(f"max by (worker) ({metric})"), "worker {{worker}}")


def trust_row() -> list[Any]:
    """Whether the other dashboards can be relied on."""
    return [
        figure(
            "Alerts about trust",
            "Alerts about the generator that fire now: lost or saturated workers, late requests, missing "
            "measurements. While there is one, the latencies may be the generator's own.",
            "none",
            now('count(ALERTS{alertstate="firing", severity="trust"}) or vector(0)', "firing"),
        ).thresholds(limits(1)),
        figure(
            "Workers",
            "Workers that the master expects, those that are connected, and those that stopped answering.",
            "none",
            now("loadtest_workers_expected", "expected"),
            now(CONNECTED, "connected"),
            now(MISSING, "missing"),
            span=6,
        ),
        figure(
            "Workers lost",
            "Workers that stopped answering within the time range.",
            "none",
            now("round(sum(increase(loadtest_workers_lost_total[$__range])))", "lost"),
        ).thresholds(limits(1)),
        figure(
            "Busiest worker",
            "CPU of the busiest worker; 100 % is one core. From 90 % on its latencies include its own queue.",
            "percentunit",
            now(of_run("max(loadtest_worker_cpu_ratio)"), "cpu"),
        )
        .thresholds(limits(0.9))
        .no_value("none"),
        figure(
            "Schedule lag",
            "How long after their intended start requests were sent, p99. Only an open profile has intended starts.",
            "s",
            now(of_run(quantile(0.99, LAG, SCENARIO)), "p99"),
        )
        .thresholds(limits(0.1))
        .no_value("none"),
        completeness(),
        figure(
            "Scrape",
            "Duration of Prometheus' last scrape of the master.",
            "s",
            now(f"scrape_duration_seconds{{{SCRAPE}}}", "scrape"),
        ).thresholds(limits(0.5)),
    ]


def workers_row() -> list[Any]:
    """The workers, one by one."""
    return [
        colored(
            curves(
                "Workers",
                "Workers by state. A missing one stopped answering the master.",
                "short",
                curve(of_run("sum by (state) (loadtest_workers) > 0"), "{{state}}"),
                curve(of_run("loadtest_workers_expected"), "expected"),
                span=12,
            ),
            {"missing": BAD},
        ),
        curves(
            "Users by worker",
            "Users that each worker runs.",
            "short",
            by_worker("loadtest_worker_users"),
            span=12,
            stacked=True,
        ),
        with_line(
            curves(
                "Worker CPU",
                "CPU of each worker's process; 100 % is one core. Above 90 %, the dashed line, its latencies include "
                "its own queue.",
                "percentunit",
                by_worker("loadtest_worker_cpu_ratio"),
                span=12,
            ),
            0.9,
        ),
        with_line(
            curves(
                "Event-loop lag",
                "How late each worker's event loop woke up, p99 of the last second. Above 100 ms, the dashed line, its "
                "latencies include that lag.",
                "s",
                by_worker("loadtest_worker_event_loop_lag_seconds"),
                span=12,
            ),
            0.1,
        ),
    ]


def schedule_row() -> list[Any]:
    """Whether the load followed the profile, and whether all of it was counted."""
    return [
        with_line(
            curves(
                "Schedule lag",
                "How long after their intended start requests were sent. An open profile only.",
                "s",
                *(curve(of_run(quantile(q, LAG, SCENARIO)), f"p{int(q * 100)}") for q in (0.5, 0.99)),
                span=6,
            ),
            0.1,
        ),
        curves(
            "Dropped iterations",
            "Iterations per second that the load profile asked for and that could not start.",
            "ops",
            curve(of_run(rate("loadtest_iterations_dropped_total", SCENARIO, "scenario")), "{{scenario}}"),
            span=6,
        ),
        curves(
            "Completeness",
            "Share of the workers' measurements that the record holds.",
            "percentunit",
            curve(of_run("loadtest_run_completeness_ratio"), "complete"),
            span=6,
        ).max(1),
        curves(
            "Scrape duration",
            "Duration of Prometheus' scrapes of the master. The master continues to merge measurements meanwhile.",
            "s",
            curve(of_run(f"scrape_duration_seconds{{{SCRAPE}}}"), "scrape"),
            span=6,
        ),
    ]


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    return board(
        "generator",
        "Whether the load generator kept up; if not, do not trust the latencies.",
        {"Trust": trust_row(), "Workers": workers_row(), "Schedule and record": schedule_row()},
        chosen=("run", "scenario"),
    )
