"""The target under Gunicorn: keys shared by all workers, and a Redis that goes away."""

import contextlib
import http.client
import json
import os
import secrets
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from loadtest.local import redis_server, redisjson_module
from loadtest.local.process import ManagedProcess, free_port
from target_app import seed
from tests.target_app.gunicorn_server import Server, until

DOCUMENT = "/api/v1/documents/document:type-small"


def test_all_workers_accept_a_token_of_any_of_them(start: Callable[..., Server]) -> None:
    """Without a key in the settings, the server makes one at start-up, and all workers use it."""
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


def test_redis_away_is_503_and_comes_back(start: Callable[..., Server], tmp_path: Path) -> None:
    """While Redis is away, the target is alive but not ready; once Redis is back, it serves immediately."""
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
    """A connection that Redis closed while it was idle makes no request fail."""
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
    module = redisjson_module.FILE
    if module.exists():
        command += ["--loadmodule", str(module.resolve())]
    process = ManagedProcess("redis", command, folder / "redis.log")
    process.wait_until(lambda: redis_server.answers_json(f"redis://127.0.0.1:{port}/0"), 15)
    return process


def test_a_redis_that_hangs_is_503_in_time(start: Callable[..., Server], tmp_path: Path) -> None:
    """When Redis accepts connections but never responds, a request takes the timeout, and the worker keeps serving."""
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
    """A body without a declared length is bounded too; the response may come before the whole body was sent."""
    connection = http.client.HTTPConnection(start(1).url.removeprefix("http://"), timeout=10)
    with contextlib.closing(connection):
        with contextlib.suppress(ConnectionError):
            connection.request(
                "PUT",
                "/api/v1/documents/test:chunked",
                body=iter([b"x" * 100_000] * 20),
                headers={"Content-Type": "application/json"},
            )
        assert connection.getresponse().status == 413
