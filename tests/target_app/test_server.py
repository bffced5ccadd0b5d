"""The target under Gunicorn: metrics of several workers, restarts, and a Redis that goes away."""

import json
import os
import secrets
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from loadtest.local import redis_server
from loadtest.local.process import ManagedProcess, free_port
from target_app import seed
from tests.servers import answers

DOCUMENT = "/api/v1/documents/document:type-small"
ROUTE = {"route": "/api/v1/documents/<document>", "method": "GET", "status": "2xx"}


class Server:
    """The target under Gunicorn, with its own port and folder."""

    def __init__(self, folder: Path, redis_url: str, workers: int, *options: str) -> None:
        """Start it; `wait` for it to be ready."""
        self.folder = folder
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            "REDIS_URL": redis_url,
            "TARGET_APP_BIND": f"127.0.0.1:{port}",
            "TARGET_APP_WORKERS": str(workers),
            "TARGET_APP_REDIS_TIMEOUT_S": "0.5",
            "TARGET_APP_TMP_DIR": str(folder),
        }
        command = [sys.executable, "-m", "gunicorn", "-c", "python:target_app.gunicorn_conf", *options]
        command.append("target_app:create_app()")
        self.process = ManagedProcess("target", command, folder / "target.log", environment)

    def wait(self, path: str = "/healthz/live") -> None:
        """Wait until a GET of the path gives 200."""
        self.process.wait_until(lambda: answers(self.url + path), 20)

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a GET on a connection of its own."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str, labels: dict[str, str] | None = None) -> float:
        """Scrape, and return a sample's value; 0 when there is none."""
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                if sample.name == name and sample.labels == (labels or {}):
                    return sample.value
        return 0.0

    def in_flight(self) -> dict[str, float]:
        """Scrape, and return the requests in flight by the slot of the worker that serves them."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        samples = [sample for family in families for sample in family.samples]
        return {s.labels["pid"]: s.value for s in samples if s.name == "target_app_requests_in_flight"}

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes."""
        return psutil.Process(self.process.pid).children()

    def metric_files(self, kind: str = "") -> list[str]:
        """Return the files, of one kind or all, of all metrics folders in this server's folder."""
        return sorted(file.name for file in self.folder.glob(f"target_app-metrics-*/{kind}*"))


@pytest.fixture
def start(tmp_path: Path, redis_url: str) -> Iterator[Callable[..., Server]]:
    """Starts servers, and ends them after the test."""
    servers: list[Server] = []

    def started(workers: int, url: str = redis_url, *options: str) -> Server:
        servers.append(Server(tmp_path, url, workers, *options))
        servers[-1].wait()
        return servers[-1]

    yield started
    for server in servers:
        server.process.stop()


def until(happened: Callable[[], bool], timeout_s: float = 60) -> bool:
    """Wait for something to happen; return whether it did."""
    end_s = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.05)
    return True


def test_all_workers_know_a_token(start: Callable[..., Server]) -> None:
    """Without a key in the settings one is made at the start, and what one worker signs the others accept."""
    server = start(2)
    assert until(lambda: len(server.workers()) == 2)
    who = {"email": f"{secrets.token_hex(8)}@example.com", "password": secrets.token_urlsafe()}

    def post(path: str, body: dict[str, str]) -> dict[str, str]:
        data, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(server.url + path, data, kind), timeout=10) as answer:
            return json.load(answer)

    post("/api/accounts/sign-up/", who | {"name": "Ada"})
    token = post("/api/accounts/sign-in/", who)["access"]
    request = urllib.request.Request(f"{server.url}/api/dashboard/", headers={"Authorization": f"Bearer {token}"})
    for _ in range(30):
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
    assert "TARGET_APP_SECRET_KEY" not in (server.folder / "target.log").read_text(encoding="utf-8")


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
    # The scrape itself is the only request that is served, by one worker of the two.
    assert all(set(one) == {"0", "1"} and sorted(one.values()) == [0, 1] for one in in_flight)


def test_metrics_tell_memory_and_cpu_of_the_workers(start: Callable[..., Server]) -> None:
    """Resident memory is that of all workers together; CPU time grows."""
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


def test_unread_endpoints_are_counted_as_zero(start: Callable[..., Server]) -> None:
    """Every endpoint's counter is there before its first request, so that its first increase is seen."""
    body = start(1).get("/metrics")[1]
    assert 'target_app_requests_total{method="GET",route="/api/v1/hashes/<hash_key>",status="2xx"} 0.0' in body
    assert 'target_app_exceptions_total{kind="unhandled",route="/api/v1/hashes/<hash_key>"} 0.0' in body


def test_counters_survive_the_death_and_the_restart_of_workers(start: Callable[..., Server]) -> None:
    """A killed worker's requests stay counted, its gauges go, and the folder does not grow."""
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
    """Workers that retire after some requests (`--max-requests`) hand on their slot: no count falls, no file stays."""
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
    """SIGHUP replaces every worker; while old and new ones overlap nothing is lost or counted twice."""
    server = start(1)
    server.get(DOCUMENT)
    old = server.workers()[0].pid
    os.kill(server.process.pid, signal.SIGHUP)
    assert until(lambda: [old] != [worker.pid for worker in server.workers()] and len(server.workers()) == 1)
    server.wait()
    server.get(DOCUMENT)
    assert server.metric("target_app_requests_total", ROUTE) == 2


def test_the_metrics_folder_goes_with_the_server(start: Callable[..., Server], tmp_path: Path) -> None:
    """A server that ends removes its folder; one that is killed leaves it to the next."""
    killed = start(1)
    assert killed.metric_files()
    killed.process.kill()
    left = list(tmp_path.glob("target_app-metrics-*"))
    assert len(left) == 1
    server = start(1)
    assert left[0] not in list(tmp_path.glob("target_app-metrics-*"))
    server.process.stop()
    assert list(tmp_path.glob("target_app-metrics-*")) == []


def test_redis_away_is_503_and_comes_back(start: Callable[..., Server], tmp_path: Path) -> None:
    """While Redis is away the target lives, is not ready and says so; when it is back, it serves at once."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    server = start(1, url)
    assert [server.get(path)[0] for path in ("/healthz/live", "/healthz/ready", DOCUMENT)] == [200, 503, 503]
    for _ in range(2):
        redis = start_redis(port, tmp_path)
        try:
            seed.load(url, lambda _done, _total: None)
            assert [server.get(path)[0] for path in ("/healthz/ready", DOCUMENT) for _ in range(6)] == [200] * 12
        finally:
            redis.kill()
        assert [server.get(path)[0] for path in ("/healthz/live", "/healthz/ready", DOCUMENT)] == [200, 503, 503]


def test_a_redis_that_was_restarted_unnoticed_is_served_at_once(start: Callable[..., Server], tmp_path: Path) -> None:
    """A connection that Redis closed while it was idle costs nobody a failure."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    first = start_redis(port, tmp_path)
    server = start(1, url)
    assert server.get("/healthz/ready")[0] == 200
    first.kill()
    second = start_redis(port, tmp_path)
    try:
        assert server.get("/healthz/ready")[0] == 200
    finally:
        second.kill()


def start_redis(port: int, folder: Path) -> ManagedProcess:
    """Start a Redis with RedisJSON on that port."""
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    module = redis_server.MODULE_CACHE / "rejson.so"
    if module.exists():
        command += ["--loadmodule", str(module.resolve())]
    process = ManagedProcess("redis", command, folder / "redis.log")
    process.wait_until(lambda: redis_server.answers_json(f"redis://127.0.0.1:{port}/0"), 15)
    return process


def test_a_redis_that_hangs_is_503_in_time(start: Callable[..., Server], tmp_path: Path) -> None:
    """A Redis that accepts and never answers costs the timeout, not the worker."""
    port = free_port()
    redis = start_redis(port, tmp_path)
    server = start(1, f"redis://127.0.0.1:{port}/0")
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        began_s = time.monotonic()
        assert server.get("/healthz/ready")[0] == 503
        assert time.monotonic() - began_s < 3
        assert server.get("/healthz/live")[0] == 200
    finally:
        os.kill(redis.pid, signal.SIGCONT)
        redis.kill()


def test_a_chunked_body_beyond_the_limit_is_413(start: Callable[..., Server]) -> None:
    """A body without a stated length is bounded too."""
    request = urllib.request.Request(
        start(1).url + "/api/v1/documents/test:chunked",
        data=iter([b"x" * 100_000] * 20),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    try:
        urllib.request.urlopen(request, timeout=10).close()
        status = 0
    except urllib.error.HTTPError as error:
        with error:
            status = error.code
    assert status == 413
