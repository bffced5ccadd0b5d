"""Target: the sample target, from its own metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boards.frame import board
from boards.panels import colored, curves, distribution, figure, limits
from boards.queries import WINDOW, cells, curve, mean, now, or_word, quantile, rate

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard

DURATION = "target_app_request_duration_seconds"
IN_FLIGHT = "target_app_requests_in_flight"
BUSY = f"sum({IN_FLIGHT} > bool 0)"
TOTAL = f"count({IN_FLIGHT})"


def now_row() -> list[Any]:
    """The current state of the target."""
    return [
        figure(
            "Answers Prometheus",
            "1 if the target answered Prometheus' last scrape, 0 if not.",
            "none",
            now('max(up{job="target_app"})', "up"),
        ).thresholds(limits(1, below=True)),
        figure(
            "Gunicorn workers",
            "Worker processes that serve a request now, including the scrape, and all of them.",
            "none",
            now(BUSY, "busy"),
            now(TOTAL, "total"),
        ),
        figure("In flight", "Requests in progress.", "none", now(f"sum({IN_FLIGHT})", "requests")),
        figure(
            "Requests", "Requests answered per second.", "reqps", now(rate("target_app_requests_total"), "requests")
        ),
        figure(
            "p95", "95 % of the requests were answered within this time.", "s", now(quantile(0.95, DURATION, ""), "p95")
        ),
        figure(
            "Exceptions",
            "Requests per second that ended in an exception, such as an unknown key.",
            "reqps",
            now(rate("target_app_exceptions_total"), "exceptions"),
        ).thresholds(limits(0.01)),
    ]


def requests_row() -> list[Any]:
    """The target's responses and their durations."""
    return [
        colored(
            curves(
                "Requests by status",
                "Requests answered per second, by class of status.",
                "reqps",
                curve(rate("target_app_requests_total", by="status"), "{{status}}"),
                stacked=True,
            ),
            {"2xx": "green", "4xx": "orange", "5xx": "red"},
        ),
        curves(
            "Requests by route",
            "Requests answered per second, by route.",
            "reqps",
            curve(f"{rate('target_app_requests_total', by='method, route')} > 0", "{{method}} {{route}}"),
            span=16,
            stacked=True,
            many=True,
        ),
        curves(
            "p95 by route",
            "95 % of the requests of a route were answered within this time, without the server's queue.",
            "s",
            curve(
                quantile(0.95, DURATION, "", "method, route"),
                "{{method}} {{route}}",
            ),
        ),
        curves(
            "Mean by route",
            "Mean time from dispatch to response: exact, but it does not show the tail.",
            "s",
            curve(mean(DURATION, "", "method, route"), "{{method}} {{route}}"),
        ),
        distribution(
            "Request duration, distribution",
            "Requests by duration: a column is a point in time, a cell's colour the number of requests in it.",
            cells(f"sum by (le) (increase({DURATION}_bucket{WINDOW}))"),
            span=8,
        ),
    ]


def resources_row() -> list[Any]:
    """The resources that the target uses."""
    return [
        curves(
            "Gunicorn workers",
            "Worker processes that serve a request at each scrape, which is itself one, and all of them.",
            "short",
            curve(BUSY, "busy"),
            curve(TOTAL, "total"),
        ),
        curves(
            "In flight",
            "Concurrent requests: at each scrape, and on average (by Little's law, the rate of their durations).",
            "short",
            curve(f"sum({IN_FLIGHT})", "at the look"),
            curve(rate(f"{DURATION}_sum"), "on average"),
        ),
        curves(
            "Exceptions",
            "Requests per second that ended in an exception, by kind.",
            "reqps",
            curve(or_word(f"{rate('target_app_exceptions_total', by='kind')} > 0", "kind", "none", 0), "{{kind}}"),
            stacked=True,
        ),
        curves(
            "CPU",
            "CPU of all workers; 100 % is one core.",
            "percentunit",
            curve(rate("target_app_cpu_seconds_total"), "all workers"),
            span=6,
        ),
        curves(
            "Memory",
            "Resident memory of all workers.",
            "bytes",
            curve("sum(target_app_resident_memory_bytes)", "rss"),
            span=6,
        ),
        curves(
            "Network",
            "Bytes per second through the network interfaces of the target's container or machine, without the "
            "loopback.",
            "Bps",
            curve(rate("target_app_network_bytes_total", by="direction"), "{{direction}}"),
            span=6,
        ),
        curves(
            "Connections",
            "Open TCP connections to the target, including that of the scrape.",
            "short",
            curve("max(target_app_connections_open)", "open"),
            span=6,
        ),
    ]


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    return board(
        "target",
        "The sample target: its workers, requests by route, exceptions, memory.",
        {"Now": now_row(), "Requests": requests_row(), "Workers and resources": resources_row()},
        chosen=(),
    )
