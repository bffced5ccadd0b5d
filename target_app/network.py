"""Network metrics of the target's container or machine: bytes through its interfaces, and connections to the target.

The worker that serves a scrape reads them. They cover all workers, so nothing is added up. Values that the system does
not provide are omitted.

Tested in tests/target_app/test_metrics.py.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import psutil
from flask import request
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_CONNECTIONS = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_LOOPBACK = "lo"


class Network(Collector):
    """Collects both during a scrape, whose port is the target's."""

    def describe(self) -> list[Metric]:
        """Describe nothing, so that registration does not read the metrics."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the available metrics."""
        sums = _bytes()
        if sums:
            transferred = CounterMetricFamily(
                "target_app_network_bytes",
                "Bytes through the network interfaces of the target's container or machine, without the loopback.",
                labels=("direction",),
            )
            for direction, count in zip(("received", "sent"), sums, strict=True):
                transferred.add_metric((direction,), count)
            yield transferred
        port = request.environ.get("SERVER_PORT", "")
        if port.isdecimal() and any(file.exists() for file in _CONNECTIONS):
            yield GaugeMetricFamily(
                "target_app_connections_open",
                "Open TCP connections to the target, including that of the scrape.",
                value=_open_to(int(port)),
            )


def _bytes() -> tuple[int, int] | None:
    counters = psutil.net_io_counters(pernic=True, nowrap=False)
    interfaces = [counted for name, counted in counters.items() if name != _LOOPBACK]
    return (sum(one.bytes_recv for one in interfaces), sum(one.bytes_sent for one in interfaces)) if counters else None


def _open_to(port: int) -> int:
    """Return how many connections to a port of this machine are established (state 01: include/net/tcp_states.h)."""
    established = re.compile(rb":%04X [0-9A-F]+:[0-9A-F]{4} 01 " % port)
    return sum(len(established.findall(file.read_bytes())) for file in _CONNECTIONS if file.exists())
