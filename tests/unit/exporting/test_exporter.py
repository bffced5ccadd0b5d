"""The exporter as a server: up to date, guarded, blocking nothing, and waiting for the last scrape."""

import contextlib
import gzip
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing

import gevent
import pytest
from locust.env import Environment
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from loadtest.exceptions import StackError
from loadtest.exporting import exporter, exposition
from loadtest.exporting.exposition import Exposition
from loadtest.exporting.metrics import METRICS
from loadtest.exporting.series import BOUNDS_S
from loadtest.measuring.recorder import Recorder
from tests.event_loop import looks_at_sockets
from tests.unit.exporting.samples import count, flush, record, samples_of, total

SCRAPER = {"X-Prometheus-Scrape-Timeout-Seconds": "2"}


def _get(port: int, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, str, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


@pytest.fixture
def port(environment: Environment) -> Iterator[int]:
    """The port of a running exporter."""
    running = exporter.start(environment, "127.0.0.1", 0)
    yield running.port
    running.stop()


def test_it_serves_metrics_and_health(environment: Environment, port: int) -> None:
    """/metrics has the text format, /healthz says ok; other paths and methods get a proper error."""
    count(environment, "read", [0.01])
    status, kind, body = _get(port, "/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert total(samples_of(body.decode()), "loadtest_requests_total") == 1
    assert _get(port, "/healthz")[::2] == (200, b"ok\n")
    assert _get(port, "/healthz", "HEAD")[::2] == (200, b"")
    assert _get(port, "/other")[0] == 404
    assert _get(port, "/metrics", "POST")[0] == 405


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip", "gzip"), ("deflate, gzip;q=0.5", "gzip"), ("identity", None), ("gzip;q=0, identity", None)],
)
def test_a_scraper_that_takes_gzip_gets_it(
    environment: Environment, port: int, accepted: str, encoding: str | None
) -> None:
    """Compression saves most of the bytes, and the content is the same."""
    count(environment, "/a", [0.001 * number for number in range(1, 40)])
    plain = _get(port, "/metrics")[2]
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept-Encoding": accepted})
    with urllib.request.urlopen(request, timeout=30) as answer:
        body, found = answer.read(), answer.headers["Content-Encoding"]
    assert found == encoding
    if encoding:
        assert len(body) < len(plain) / 4
        body = gzip.decompress(body)
    name = "loadtest_response_time_seconds_bucket"
    assert {key: one for key, one in samples_of(body.decode()).items() if key[0] == name} == {
        key: one for key, one in samples_of(plain.decode()).items() if key[0] == name
    }


def test_every_scrape_is_fresh(environment: Environment, port: int) -> None:
    """A scrape includes everything counted since the one before."""
    seen = []
    for _ in range(3):
        count(environment, "read", [0.01] * 10)
        seen.append(total(samples_of(_get(port, "/metrics")[2].decode()), "loadtest_requests_total"))
    assert seen == [10, 20, 30]


def test_a_trace_is_an_exemplar_of_its_bucket(environment: Environment, port: int) -> None:
    """It is exported if the scraper accepts OpenMetrics and a trace exists; every other line is unchanged."""
    takes = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
    count(environment, "a", [0.5])
    assert _get(port, "/metrics", headers=takes)[1].startswith("text/plain")
    series = Recorder.of(environment).series("mine", "GET", "a")
    for number, (time_s, error_class) in enumerate([(0.25, ""), (0.125, ""), (100.0, "reset")], 1):
        series.trace(f"{number}" * 32, 0.0, 0.0, time_s, error_class)
    count(environment, "a", [0.25, 0.125, 100.0])
    _, kind, body = _get(port, "/metrics", headers=takes)
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = {family.name: family for family in openmetrics_families(body.decode())}
    found = {
        (sample.labels["le"], sample.exemplar.labels["trace_id"], sample.exemplar.value)
        for sample in families["loadtest_response_time_seconds"].samples
        if sample.exemplar
    }
    bucket = str(next(bound for bound in BOUNDS_S if bound >= 0.25))
    assert found == {(bucket, "1" * 32, 0.25), ("+Inf", "3" * 32, 100.0)}
    assert {family for family in families if families[family].type == "counter"} >= {"loadtest_requests"}
    plain = _get(port, "/metrics")[2].decode()
    assert samples_of(plain).keys() == samples_of(re.sub(r" # \{trace.*", "", body.decode())).keys()


def test_a_port_in_use_is_explained(environment: Environment) -> None:
    """The error has the address, the reason and the setting."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(StackError, match=rf"127\.0\.0\.1:{number} .*in use.*LOADTEST_EXPORTER_PORT"):
            exporter.start(environment, "127.0.0.1", number)


def test_stopping_closes_the_port(environment: Environment) -> None:
    """After stop() the port is closed."""
    running = exporter.start(environment, "127.0.0.1", 0)
    running.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port), timeout=5)


def test_slow_readers_hold_nothing_up(environment: Environment, port: int) -> None:
    """Clients that send half a request, or never read the response, do not delay another scrape."""
    for number in range(100):
        record(environment, f"name {number}", [0.01])
    flush(environment)
    slow = []
    for index in range(exporter.MAX_CLIENTS - 2):
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + (b"\r\n" if index % 2 else b""))
        slow.append(client)
    gevent.sleep(0.1)
    began_s = time.perf_counter()
    assert _get(port, "/metrics")[0] == 200
    assert time.perf_counter() - began_s < 5
    for client in slow:
        client.close()


def test_slow_clients_are_let_go(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not finish its request is disconnected after the time limit, without an error."""
    monkeypatch.setattr(exporter, "CLIENT_TIMEOUT_S", 0.2)
    running = exporter.start(environment, "127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as client:
        client.sendall(b"GET /metrics HT")
        assert client.recv(1) == b""
    running.stop()


def test_a_client_that_sends_a_byte_now_and_then_is_let_go(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit applies to the whole request, not to each read; then there is room for others."""
    monkeypatch.setattr(exporter, "REQUEST_TIMEOUT_S", 0.5)
    running = exporter.start(environment, "127.0.0.1", 0)
    slow = [socket.create_connection(("127.0.0.1", running.port), timeout=10) for _ in range(exporter.MAX_CLIENTS)]
    until_s = time.monotonic() + 1.5
    while time.monotonic() < until_s:
        for client in slow:
            with contextlib.suppress(OSError):
                client.sendall(b"G")
        gevent.sleep(0.1)
    assert _get(running.port, "/healthz")[0] == 200
    for client in slow:
        client.close()
    running.stop()


def test_a_connection_that_is_in_use_all_the_time_ends_too(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last response says so, even if there is room for others."""
    monkeypatch.setattr(exporter, "CONNECTION_S", 0.5)
    running = exporter.start(environment, "127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as busy:
        reading = gevent.spawn(busy.makefile("rb").read)
        while not reading.dead:
            with contextlib.suppress(OSError):
                busy.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            gevent.sleep(0.1)
        answers = reading.get()
    assert (answers.count(b"200 OK") > 1, answers.count(b"Connection: close\r\n")) == (True, 1)
    running.stop()


@pytest.mark.parametrize(
    "request_text",
    [b"", b"GET /metrics HTTP/1.1\r\nX", b"GET /metrics HTTP/1.1\r\n\r\n"],
    ids=["none", "half", "whole"],
)
def test_clients_that_come_again_and_again_leave_room_for_others(port: int, request_text: bytes) -> None:
    """Twice as many clients as connections reconnect as soon as they are disconnected."""

    def hold() -> None:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(request_text)
                while client.recv(65536) or not request_text:
                    gevent.sleep(0.05)

    holders = [gevent.spawn(hold) for _ in range(2 * exporter.MAX_CLIENTS)]
    gevent.sleep(0.5)
    for path in ("/healthz", "/metrics", "/healthz"):
        began_s = time.monotonic()
        assert _get(port, path)[0] == 200
        assert time.monotonic() - began_s < exporter.CLIENT_TIMEOUT_S / 2
    gevent.killall(holders)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(("127.0.0.1:9646", 200), ("[::1]:9646", 200), ("localhost", 200), ("locust_master:9646", 200), ("", 200)),
        *(("evil.example", 421), ("127.0.0.1.evil.example:9646", 421), ("metrics.example:9646", 200)),
    ],
)
def test_a_foreign_name_is_no_way_in(environment: Environment, host: str, status: int) -> None:
    """A page of another site cannot read the metrics under its own name."""
    running = exporter.start(environment, "127.0.0.1", 0, names="metrics.example")
    request = urllib.request.Request(f"http://127.0.0.1:{running.port}/metrics", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == status
    except urllib.error.HTTPError as error:
        with error:
            assert error.code == status
    running.stop()


def test_a_large_scrape_shares_the_event_loop(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrived data is read in between: `bench.exporter` measures the longest delay."""
    monkeypatch.setattr(exposition, "SLICE_S", 0.0)
    exposed = Exposition(environment)
    for number in range(50):
        record(environment, f"name {number}", [0.01])
    flush(environment)
    with looks_at_sockets() as looks:
        gevent.spawn(exposed.text).get()
    assert len(looks) > 50 + len(METRICS)


def test_final_values_are_served_twice_before_the_end(environment: Environment) -> None:
    """A master that is scraped stays for two more scrapes; one that is not scraped ends immediately."""
    running = exporter.start(environment, "127.0.0.1", 0)
    _get(running.port, "/metrics")  # not a scrape
    began_s = time.perf_counter()
    environment.events.quitting.fire(environment=environment, reverse=True)
    assert time.perf_counter() - began_s < exporter.LINGER_S / 5
    _get(running.port, "/metrics", headers=SCRAPER)
    count(environment, "read", [0.01] * 7)
    ending = gevent.spawn(environment.events.quitting.fire, environment=environment, reverse=True)
    seen = []
    for _ in range(2):
        gevent.sleep(0.2)
        assert not ending.dead
        body = _get(running.port, "/metrics", headers=SCRAPER)[2].decode()
        seen.append(total(samples_of(body), "loadtest_requests_total"))
    ending.join(timeout=5)
    assert ending.successful()
    assert seen == [7, 7]
    running.stop()


def test_a_slow_scraper_gets_the_final_values_whole(environment: Environment) -> None:
    """A final scrape counts once its response has been read, not when it is requested: the master waits until then."""
    for number in range(100):
        record(environment, f"name {number}", [0.01])
    flush(environment)
    running = exporter.start(environment, "127.0.0.1", 0)
    running._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # as with a slow network
    _get(running.port, "/metrics", headers=SCRAPER)
    ending = gevent.spawn(running.linger)
    gevent.sleep(0)
    _get(running.port, "/metrics", headers=SCRAPER)
    request = f"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{next(iter(SCRAPER))}: 2\r\n\r\n"
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", running.port))
        slow.sendall(request.encode())
        gevent.sleep(0.3)
        assert not ending.dead
        while slow.recv(1 << 16):
            pass
    ending.join(timeout=1)
    assert ending.successful()
    running.stop()


def test_the_wait_for_final_scrapes_is_bounded(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another scrape, the master ends after the time limit."""
    monkeypatch.setattr(exporter, "LINGER_S", 0.3)
    running = exporter.start(environment, "127.0.0.1", 0)
    _get(running.port, "/metrics", headers=SCRAPER)
    began_s = time.perf_counter()
    running.linger()
    assert 0.3 <= time.perf_counter() - began_s < 2
    running.stop()


def test_a_scraper_that_left_long_ago_is_not_waited_for(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a recent scrape the master ends immediately."""
    monkeypatch.setattr(exporter, "_RECENT_SCRAPE_S", 0.1)
    running = exporter.start(environment, "127.0.0.1", 0)
    _get(running.port, "/metrics", headers=SCRAPER)
    gevent.sleep(0.2)
    began_s = time.perf_counter()
    running.linger()
    assert time.perf_counter() - began_s < exporter.LINGER_S / 5
    running.stop()
