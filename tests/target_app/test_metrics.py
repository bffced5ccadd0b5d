"""The target's metrics under Gunicorn, over several workers, even when workers are replaced."""

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.target_app.gunicorn_server import Server, until

DOCUMENT = "/api/v1/documents/document:type-small"
ROUTE = {"route": "/api/v1/documents/<document>", "method": "GET", "status": "2xx"}


def test_metrics_add_up_over_all_workers(start: Callable[..., Server]) -> None:
    """Every request is counted once, whichever worker served it and whichever is scraped."""
    server = start(2)
    assert until(lambda: len(server.workers()) == 2)
    for _ in range(60):
        server.get(DOCUMENT)
    server.get("/api/v1/documents/nothing-here")
    server.get("/no/such/route")
    counted = [
        {
            "read": server.metric("target_app_requests_total", ROUTE),
            "timed": server.metric("target_app_request_duration_seconds_count", ROUTE),
            "within": server.metric("target_app_request_duration_seconds_bucket", ROUTE | {"le": "+Inf"}),
            "unknown": server.metric("target_app_requests_total", ROUTE | {"status": "4xx"}),
            "unmatched": server.metric(
                "target_app_requests_total", {"route": "unmatched", "method": "GET", "status": "4xx"}
            ),
            "exceptions": server.metric(
                "target_app_exceptions_total", {"route": ROUTE["route"], "kind": "unknown-key"}
            ),
            "in flight": server.in_flight(),
        }
        for _ in range(4)
    ]
    expected = {
        "read": 60, "timed": 60, "within": 60, "unknown": 1, "unmatched": 1, "exceptions": 1
    }  # fmt: skip
    in_flight = [one.pop("in flight") for one in counted]
    assert counted == [expected] * 4
    # The scrape itself, on one of the two workers, is the only request in flight.
    assert all(set(one) == {"0", "1"} and sorted(one.values()) == [0, 1] for one in in_flight)


def test_metrics_include_memory_and_cpu_of_the_workers(start: Callable[..., Server]) -> None:
    """Resident memory is the sum over all workers; CPU time grows."""
    server = start(2)

    def agree() -> bool:
        resident_bytes = sum(worker.memory_info().rss for worker in server.workers())
        return server.metric("target_app_resident_memory_bytes") == pytest.approx(resident_bytes, rel=0.1)

    # both workers have loaded the application
    assert until(lambda: len(server.metric_files("gauge_livesum")) == 2), server.metric_files()
    assert until(agree)
    before_s = server.metric("target_app_cpu_seconds_total")
    for _ in range(100):
        server.get(DOCUMENT)
    assert server.metric("target_app_cpu_seconds_total") > before_s > 0


def test_metrics_include_the_network_of_the_machine_once(start: Callable[..., Server]) -> None:
    """Bytes are the sum over all interfaces except loopback, not per worker; connections are the open ones."""
    server = start(2)
    assert until(lambda: len(server.workers()) == 2)
    port = int(server.url.rpartition(":")[2])

    def transferred() -> list[int]:
        counters = psutil.net_io_counters(pernic=True)
        others = [one for name, one in counters.items() if name != "lo"]
        return [sum(one.bytes_recv for one in others), sum(one.bytes_sent for one in others)]

    before = transferred()
    seen = [server.metric("target_app_network_bytes_total", {"direction": one}) for one in ("received", "sent")]
    assert all(low <= is_now <= high for low, is_now, high in zip(before, seen, transferred(), strict=True))
    alone = server.metric("target_app_connections_open")
    with contextlib.ExitStack() as opened:
        for _ in range(3):
            opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert until(lambda: server.metric("target_app_connections_open") == 4)
    assert alone == 1  # the scrape's
    assert until(lambda: server.metric("target_app_connections_open") == 1)


def test_endpoints_without_requests_have_counters_at_zero(start: Callable[..., Server]) -> None:
    """Every endpoint's counter exists before its first request, so that its first increase is seen."""
    body = start(1).get("/metrics")[1]
    assert 'target_app_requests_total{method="GET",route="/api/v1/hashes/<hash_key>",status="2xx"} 0.0' in body
    assert 'target_app_exceptions_total{kind="unhandled",route="/api/v1/hashes/<hash_key>"} 0.0' in body


def test_counters_survive_the_death_and_the_restart_of_workers(start: Callable[..., Server]) -> None:
    """A killed worker's requests stay counted, its gauges disappear, and the folder does not grow."""
    server = start(2)
    assert until(lambda: len(server.workers()) == 2)
    for _ in range(20):
        server.get(DOCUMENT)
    for round_number in range(1, 4):
        dead = {worker.pid for worker in server.workers()}
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
        assert until(
            lambda dead=dead: len(server.workers()) == 2 and not dead & {worker.pid for worker in server.workers()}
        )
        server.wait()
        assert server.metric("target_app_requests_total", ROUTE) == 20 * round_number
        for _ in range(20):
            server.get(DOCUMENT)
        assert server.metric("target_app_requests_total", ROUTE) == 20 * (round_number + 1)
        assert sorted(server.in_flight().values()) == [0, 1]
    assert {name.rpartition("_")[2] for name in server.metric_files()} == {"0.db", "1.db"}


def test_counters_never_go_down_while_workers_retire(start: Callable[..., Server], redis_url: str) -> None:
    """Workers that retire after some requests (`--max-requests`) pass on their slot: no count falls, no file stays."""
    server = start(2, redis_url, "--max-requests", "12", "--max-requests-jitter", "4")
    assert until(lambda: len(server.workers()) == 2)
    pids, seen = set(), []
    for number in range(80):
        assert server.get(DOCUMENT)[0] == 200
        if number % 5 == 4:
            pids |= {worker.pid for worker in server.workers()}
            seen.append(server.metric("target_app_requests_total", ROUTE))
    assert len(pids) > 4
    assert seen == [5.0 * (index + 1) for index in range(16)]
    assert {"0.db", "1.db", "2.db"} >= {name.rpartition("_")[2] for name in server.metric_files()}


def test_a_graceful_reload_keeps_counting(start: Callable[..., Server]) -> None:
    """SIGHUP replaces every worker; while old and new ones overlap, nothing is lost or counted twice."""
    server = start(1)
    server.get(DOCUMENT)
    old = server.workers()[0].pid
    os.kill(server.process.pid, signal.SIGHUP)
    assert until(lambda: [old] != [worker.pid for worker in server.workers()] and len(server.workers()) == 1)
    server.wait()
    server.get(DOCUMENT)
    assert server.metric("target_app_requests_total", ROUTE) == 2


def test_the_metrics_folder_goes_with_the_server(start: Callable[..., Server], tmp_path: Path) -> None:
    """A server removes its folder when it ends; that of a killed server is removed by the next one."""
    killed = start(1)
    assert killed.metric_files()
    killed.process.kill()
    left = list(tmp_path.glob("target_app-metrics-*"))
    assert len(left) == 1
    server = start(1)
    assert left[0] not in list(tmp_path.glob("target_app-metrics-*"))
    server.process.stop()
    assert list(tmp_path.glob("target_app-metrics-*")) == []
