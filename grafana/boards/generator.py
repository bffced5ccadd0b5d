"""Generator: whether the load generator kept up, so that its measurements can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boards.frame import board
from boards.panels import BAD, alerts, colored, curves, figure, limits, with_line
from boards.queries import (
    OPEN,
    RANGE,
    SCENARIO,
    curve,
    highest,
    kept,
    latest,
    now,
    of_run,
    quantile,
    rate,
    recent,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard, prometheus, stat

CONNECTED = 'sum(loadtest_workers{state!="missing"})'
MISSING = 'sum(loadtest_workers{state="missing"})'
AWAITED = f"clamp_min(max(loadtest_workers_expected) - {CONNECTED}, 0)"
LAG = "loadtest_schedule_lag_seconds"
SCRAPE = 'job="locust_master"'


def completeness() -> stat.Panel:
    """The share of the measurements that was received; Load run shows it too."""
    return figure(
        "Completeness",
        "Share of the workers' measurements that the record holds. Below 100 % the figures are incomplete.",
        "percentunit",
        now(latest(kept("loadtest_run_completeness_ratio")), "complete"),
    ).thresholds(limits(1, below=True))


def by_worker(metric: str) -> prometheus.Dataquery:
    """Return the curves of a gauge, one per worker."""
    return curve(of_run(f"max by (worker) ({metric})"), "worker {{worker}}")


def trust_row() -> list[Any]:
    """Whether the other dashboards are reliable."""
    return [
        alerts(
            "Alerts about the generator that fire now: lost or saturated workers, late requests, missing "
            "measurements. While there is one, the latencies may be the generator's own.",
            'severity="trust"',
            span=8,
        ),
        figure(
            "Workers",
            "Workers that are connected, those that stopped answering, and those that the master still waits for.",
            "none",
            now(CONNECTED, "connected"),
            now(MISSING, "missing"),
            now(AWAITED, "awaited"),
            span=8,
        ),
        figure(
            "Workers lost",
            "Workers that stopped answering within the time range.",
            "none",
            now("round(sum(increase(loadtest_workers_lost_total[$__range])))", "lost"),
        ).thresholds(limits(1)),
        completeness(),
        figure(
            "Busiest worker",
            "Highest CPU of a worker in the time range; 100 % is one core. From 90 % on its latencies include its own "
            "queue.",
            "percentunit",
            now(highest("max(loadtest_worker_cpu_ratio)"), "cpu"),
            span=8,
        ).thresholds(limits(0.9)),
        figure(
            "Schedule lag",
            "How long after their intended start requests were sent, p99 in the time range. Only an open profile has "
            "intended starts.",
            "s",
            now(f"{quantile(0.99, LAG, SCENARIO, window=RANGE)} and on () max_over_time(({OPEN})[$__range:2s])", "p99"),
            span=8,
        ).thresholds(limits(0.1)),
        figure(
            "Scrape",
            "Duration of Prometheus' last scrape of the master.",
            "s",
            now(f"scrape_duration_seconds{{{SCRAPE}}}", "scrape"),
            span=8,
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
                curve(of_run(AWAITED), "awaited"),
            ),
            {"missing": BAD},
        ),
        curves(
            "Users by worker",
            "Users that each worker runs.",
            "short",
            by_worker("loadtest_worker_users"),
            stacked=True,
        ),
        curves(
            "Memory by process",
            "Resident memory of the master and of each worker; Load run, Machines, shows it by a worker's limit.",
            "bytes",
            curve(of_run("max by (process) (loadtest_process_memory_bytes)"), "{{process}}"),
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
    """Whether the load followed the profile and was counted completely."""
    return [
        with_line(
            curves(
                "Schedule lag",
                "How long after their intended start requests were sent. An open profile only.",
                "s",
                *(
                    curve(of_run(f"{recent(q, LAG, SCENARIO)} and on () ({OPEN})"), f"p{int(q * 100)}")
                    for q in (0.5, 0.99)
                ),
                span=6,
            ).no_value("A closed profile has no intended starts"),
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
            curve(of_run("max(loadtest_run_completeness_ratio)"), "complete"),
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
