"""Doctor: the results of its checks, and the next steps after failures."""

import http.server
import itertools
import os
import resource
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from loadtest.doctor import Check, check_users_fit, examine, usable_cores
from loadtest.exceptions import UsageError
from loadtest.local import redis_server
from loadtest.settings.config import Config

FREE = {"web_port": 0, "exporter_port": 0, "target_port": 0}


def checks(**options: object) -> dict[str, Check]:
    """Return the checks by name, for a Config of these options."""
    config = Config.load({**FREE, **options}, environ={}, file=Path("/nonexistent"))
    return {check.name: check for check in examine(config)}


def test_a_machine_that_runs_the_tests_is_healthy(redis_url: str, target_url: str) -> None:
    """With its servers running, every check is fine."""
    found = checks(redis_url=redis_url, host=target_url)
    assert [check for check in found.values() if not check.healthy] == []
    assert set(found) == {
        "host",
        "redis",
        "ports",
        "cores",
        "descriptors",
        "local ports",
        "memory",
        "clock",
        "credentials",
        "results",
    }
    assert "ReJSON" in found["redis"].sentence
    assert "in sync with the service" in found["clock"].sentence


def test_no_password_is_shown() -> None:
    """Findings are printed, and copied into questions to others."""
    environ = {"LOADTEST_HOST": "grpc://ann:hunter2@127.0.0.1:9?token=hunter2"}
    found = next(examine(Config.load(FREE, environ=environ, file=Path("/nonexistent"))))
    assert found.sentence.startswith("grpc://***@127.0.0.1:9?token=*** is not an HTTP base URL")


def test_a_port_in_use_is_found() -> None:
    """The port, its setting and the next step are named."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = checks(exporter_port=server.getsockname()[1])["ports"]
    assert not found.healthy
    assert "EXPORTER_PORT=" in found.sentence
    assert "Next: " in found.sentence


@pytest.mark.parametrize(
    ("options", "name", "words"),
    [
        ({"host": "http://127.0.0.1:1"}, "host", "does not accept connections"),
        ({"redis_url": "redis://127.0.0.1:1/0"}, "redis", "cannot be reached"),
        ({"workers": 512}, "cores", f"on {usable_cores():g} cores"),
        ({"token_file": "/nowhere"}, "credentials", "TOKEN_FILE=/nowhere cannot be read"),
        ({"runs_dir": "/proc/version/runs"}, "results", "RUNS_DIR=/proc/version/runs"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, object], name: str, words: str) -> None:
    """Each problem is found by its check, with a next step; the other checks continue."""
    found = checks(**options)
    assert not found[name].healthy
    assert words in found[name].sentence
    assert "Next: " in found[name].sentence
    assert found["clock"].healthy


def test_users_that_do_not_fit_are_found() -> None:
    """The requested number is used for files, ports and memory, even if the run is too short to reach it."""
    found = checks(users=1_000_000, spawn_rate=10, run_time="1m", workers=1)
    ports = found["local ports"]  # at most 65,535 on any machine
    assert not ports.healthy
    assert "1,000,000 users need a connection each" in ports.sentence
    assert "Allowed: up to " in ports.sentence
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert (hard == resource.RLIM_INFINITY or hard >= 1_000_200) == found["descriptors"].healthy
    assert "1,000,000 users" in found["memory"].sentence
    assert (psutil.virtual_memory().available > 31 * 2**30) or not found["memory"].healthy


def test_a_run_whose_users_do_not_fit_is_refused() -> None:
    """The error comes before there is any load; ten users always fit."""
    config = Config.load({**FREE, "users": 1_000_000}, environ={}, file=Path("/nonexistent"))
    with pytest.raises(UsageError) as caught:
        check_users_fit(config)
    assert "local ports" in str(caught.value)
    check_users_fit(Config.load({**FREE, "users": 10}, environ={}, file=Path("/nonexistent")))


@pytest.mark.parametrize(("resolution_s", "monotonic"), [(0.015, True), (1e-9, False)])
def test_a_clock_that_is_too_coarse_is_found(
    monkeypatch: pytest.MonkeyPatch, resolution_s: float, *, monotonic: bool
) -> None:
    """A clock with a coarse resolution, or one that may go back, is reported before it distorts histograms."""
    clock = SimpleNamespace(monotonic=monotonic, resolution=resolution_s)
    monkeypatch.setattr("loadtest.doctor.time.get_clock_info", lambda _name: clock)
    found = checks()["clock"]
    assert not found.healthy
    assert f"{resolution_s:g} s" in found.sentence


def test_a_containers_quota_counts(tmp_path: Path) -> None:
    """Half a core counts as half a core, however many the machine has; without a quota, all available cores count."""
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "none").write_text("max 100000\n")
    found = [usable_cores(tmp_path / name) for name in ("cpu.max", "none", "not there")]
    assert found == [0.5] + [float(len(os.sched_getaffinity(0)))] * 2


def test_a_service_with_another_time_of_day_is_found() -> None:
    """A difference of more than a few seconds is reported; a response with a missing or odd Date is not judged."""
    dates = ["Sat, 01 Jan 2000 00:00:00 GMT", "yesterday", f"Sat, 01 Jan 2000 00:00:00 +{'9' * 20}", None]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(404)
            if date := dates.pop(0):
                self.send_header("Date", date)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = [checks(host=f"http://127.0.0.1:{server.server_port}")["clock"] for _ in range(4)]
    server.shutdown()
    server.server_close()
    assert [check.healthy for check in found] == [False, True, True, True]
    assert "NTP" in found[0].sentence


def test_a_machine_without_redis_gets_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If only the imitation is left, the check is red and has the next step."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(redis_server, "can_install", lambda: False)
    found = checks()["redis"]
    assert not found.healthy
    assert "no redis-server is on PATH (needed: 7.0 or later)" in found.sentence


def test_what_a_scenario_does_not_need_is_not_said_to_be_started(tmp_path: Path) -> None:
    """Users of Redis need no sample target, and users with their own Redis, or of another service, need no Redis."""
    classes = {
        "redis": "from loadtest.clients.redis import RedisJsonUser\nclass A(RedisJsonUser):\n"
        "    redis_url = 'redis://:secret@shop:1'\n",
        "http": "from loadtest.clients.http import HttpUser\nclass B(HttpUser):\n    host = 'http://shop'\n",
    }
    files = {"key_value": "key_value"}
    for name, text in classes.items():
        files[name] = str(tmp_path / f"of_{name}.py")
        Path(files[name]).write_text(f"from locust import task\n{text}    @task\n    def do(self): pass\n")
    found = {}
    for name, file in files.items():
        config = Config.load({**FREE, "scenario": file}, environ={}, file=Path("/nonexistent"))
        found[name] = {check.name: check for check in itertools.islice(examine(config), 2)}
    hosts = {name: each["host"].sentence for name, each in found.items()}
    assert [text for text in hosts.values() if "sample target" in text] == []
    assert "Redis only, that of REDIS_URL" in hosts["key_value"]
    assert "of A" in hosts["redis"]
    assert "secret" not in hosts["redis"]
    assert "load http://shop of B" in hosts["http"]
    needed = {name: "need that of REDIS_URL" not in each["redis"].sentence for name, each in found.items()}
    assert needed == {"key_value": True, "redis": False, "http": False}
