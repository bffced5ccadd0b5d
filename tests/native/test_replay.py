"""A replay end to end: every request of a log once, unchanged, at its time, to the given service."""

import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.endings import ended_well
from tests.redis_harness import PrivateRedis, private_redis

from .conftest import Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

NOON_S = 1769860800.0
EARLY_S = 0.1
"""How much earlier than in the log a request may come after the first one, which may have been late itself."""


class Service(ThreadingHTTPServer):
    """A service that keeps its requests and their times."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[float, str, str, bytes, str | None]] = []
        self.cookies: list[str | None] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    """Returns 404 below /gone, a redirect below /old, and 200 elsewhere."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Keep the request, and respond to it."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server: Any = self.server
        path = self.requestline.split()[1]  # as it was sent; self.path is normalised
        server.got.append((time.monotonic(), self.command, path, body, self.headers.get("Content-Type")))
        server.cookies.append(self.headers.get("Cookie"))
        status = next((code for begin, code in (("/gone", 404), ("/old", 302)) if self.path.startswith(begin)), 200)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.send_header("Set-Cookie", "session=another")
        self.end_headers()

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - as http.server calls them

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def entry(at_s: float, method: str, path: str, status: int = 200, body: str = "") -> dict[str, Any]:
    """Return an entry of a HAR file."""
    posted = {"postData": {"mimeType": "application/json", "text": body}} if body else {}
    started = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOON_S + at_s)) + f".{round(at_s % 1 * 1000):03d}Z"
    request = {"method": method, "url": f"https://shop.example.com{path}", **posted}
    return {"startedDateTime": started, "time": 5, "request": request, "response": {"status": status}}


ENTRIES = [
    *(entry(number / 40, "GET", f"/items/{number}?page=2") for number in range(200)),
    *(entry(3.0, "GET", "/gone/1", 404) for _ in range(3)),
    entry(1.25, "POST", "/cart", 200, '{"n": 1}'),
    entry(4.5, "DELETE", "//evil.example/cart", 200),
    entry(0.5, "GET", "/old/1", 302),
]


def test_a_log_is_replayed_at_its_times(stack: Stack, tmp_path: Path) -> None:
    """Twice as fast, by two workers: nothing is missing, added, earlier or sent elsewhere; the log's 404 is no failure.

    Its files are gone afterwards.
    """
    (tmp_path / "shop.har").write_text(json.dumps({"log": {"entries": ENTRIES}}))
    service = Service()
    host = f"http://127.0.0.1:{service.server_address[1]}"
    arguments = [str(tmp_path / "shop.har"), "--host", host, "--speed", "2", "--workers", "2"]
    code, output = stack.start(*arguments, command="replay").end()
    service.shutdown()
    service.server_close()
    assert ended_well(code, output), output
    assert "206 of 206 requests" in output
    sent = [
        (item["request"]["method"], item["request"]["url"].removeprefix("https://shop.example.com")) for item in ENTRIES
    ]
    assert sorted((method, path) for _, method, path, _, _ in service.got) == sorted(sent)
    assert [(body, kind) for _, _, _, body, kind in service.got if body] == [(b'{"n": 1}', "application/json")]
    assert set(service.cookies) == {None}
    first_s = min(at_s for at_s, *_ in service.got)
    early = [
        path
        for at_s, _, path, _, _ in service.got
        if path.startswith("/items/") and at_s - first_s < int(path[7:].partition("?")[0]) / 80 - EARLY_S
    ]
    assert early == []
    record = json.loads((stack.run_dir() / "record.json").read_text())
    (scenario,) = record["scenarios"]
    assert (scenario["dropped"], scenario["schedule_lag"]["count"]) == (0, len(ENTRIES))
    assert {(series["method"], series["name"]): series["requests"] for series in record["series"]} == {
        ("GET", "replay/items/:id"): 200,
        ("GET", "replay/gone/:id"): 3,
        ("GET", "replay/old/:id"): 1,
        ("POST", "replay/cart"): 1,
        ("DELETE", "replay//evil.example/cart"): 1,
    }
    assert sum(series["failures"] for series in record["series"]) == 0
    assert [path.name for path in stack.runs_dir.iterdir()] == [stack.run_dir().name]


class Monitor:
    """The commands that a Redis executes, as redis-cli prints them."""

    def __init__(self, server: PrivateRedis) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self._socket.sendall(b"MONITOR\r\n")
        self._data = b""
        self._read_to(b"+OK\r\n")

    def _read_to(self, end: bytes) -> None:
        while not self._data.endswith(end):
            arrived = self._socket.recv(1 << 16)
            assert arrived, self._data[-200:]
            self._data += arrived

    def lines(self, server: PrivateRedis) -> list[str]:
        """Return the lines so far, and stop."""
        server.admin.echo("the end")
        self._read_to(b'"ECHO" "the end"\r\n')
        self._socket.close()
        lines = self._data.decode().replace("\r\n+", "\n").removeprefix("+").splitlines()[1:]
        return [line for line in lines if '"the end"' not in line]


def test_what_a_redis_executed_is_replayed_into_another(stack: Stack, redis_url: str, tmp_path: Path) -> None:
    """At four times the speed, by two workers: each command once, not earlier, with the same keys, values and sizes."""
    for name in ("source", "copy"):
        (tmp_path / name).mkdir()
    with private_redis(redis_url, tmp_path / "source") as source, private_redis(redis_url, tmp_path / "copy") as copy:
        monitor = Monitor(source)
        for number in range(150):
            document = json.dumps({"n": number, "text": "\u00fc\n\x00" * number})
            source.admin.execute_command("JSON.SET", f"cart:{number}", "$", document)
            source.admin.set(f"blob:{number}", bytes(range(256)) * (number // 10))
            source.admin.execute_command("JSON.GET", f"cart:{number}", "$.n")
            source.admin.eval("redis.call('SET', KEYS[1], 'by a script')", 1, f"scripted:{number}")
            time.sleep(0.02)
        source.admin.ping()
        lines = monitor.lines(source)
        (tmp_path / "monitor.log").write_text("\n".join(lines) + "\n")
        monitor = Monitor(copy)
        arguments = ["--from-monitor", str(tmp_path / "monitor.log"), "--redis-url", copy.url, "--speed", "4"]
        code, output = stack.start(*arguments, "--workers", "2", command="replay").end()
        assert ended_well(code, output), output
        assert "151 commands are left out: EVAL (150), PING (1)" in output
        replayed = _of_data(monitor.lines(copy))
        kept = [{key: one.admin.dump(key) for key in one.admin.scan_iter()} for one in (source, copy)]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 450
    due_s = {_command(line): (_at_s(line) - _at_s(_of_data(lines)[0])) / 4 for line in _of_data(lines)}
    assert sorted(map(_command, replayed)) == sorted(due_s)
    first_s = min(map(_at_s, replayed))
    assert [line for line in replayed if _at_s(line) - first_s < due_s[_command(line)] - EARLY_S] == []
    record = json.loads((stack.run_dir() / "record.json").read_text())
    assert {(series["method"], series["name"]): series["requests"] for series in record["series"]} == {
        ("JSON.SET", "replay/cart/:id"): 150, ("SET", "replay/blob/:id"): 150,
        ("JSON.GET", "replay/cart/:id"): 150, ("SET", "replay/scripted/:id"): 150,
    }  # fmt: skip
    assert sum(series["failures"] for series in record["series"]) == 0


def _of_data(lines: list[str]) -> list[str]:
    return [line for line in lines if '"EVAL"' not in line and re.search(r'"(cart|blob|scripted):', line)]


def _command(line: str) -> str:
    return line.partition("] ")[2].upper()


def _at_s(line: str) -> float:
    return float(line.partition(" ")[0])
