"""The built wheel, installed with its dependencies into an empty environment, used in an empty folder."""

import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from loadtest.local import redisjson_module
from tests.endings import ended_well

from .conftest import ROOT

pytestmark = [pytest.mark.native, pytest.mark.timeout(300)]

LOCUSTFILE = """
from locust import FastHttpUser, constant, task


class Shopper(FastHttpUser):
    host = "HOST"
    wait_time = constant(0.1)

    @task
    def look(self):
        self.client.get("/products")
"""


class _Shop(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@dataclass(frozen=True)
class Installed:
    """An environment that has the wheel, and an empty folder."""

    programs: Path
    folder: Path

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the variables of a shell without settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOADTEST_", "LOCUST_"))}
        cache = {"XDG_CACHE_HOME": str(self.folder.parent / "cache"), "PYTHONPATH": ""}
        return {**kept, **cache, **variables}

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `loadtest` in the folder."""
        return subprocess.run(
            [self.programs / "loadtest", *words],
            cwd=self.folder,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build the wheel, and install it as a person would, in the tested versions."""
    place = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    locked = re.findall(
        r"^([a-z0-9._-]+)(?:\[.*?\])?(==[^\\\n]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    (place / "constraints.txt").write_text("\n".join(name + version for name, version in locked))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "venv"], check=True)
    pip = [sys.executable, "-m", "pip", "--python", place / "venv", "install", "-q", "--no-compile"]
    done = subprocess.run(
        [*pip, "--only-binary", ":all:", "-c", place / "constraints.txt", wheel],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (place / "folder").mkdir()
    cache = place / "cache" / "loadtest" / "redis-stack"
    cache.mkdir(parents=True)
    (cache / "rejson.so").symlink_to(redisjson_module.fetched(lambda _text: None))
    return Installed(place / "venv" / "bin", place / "folder")


@pytest.fixture
def shop() -> Iterator[str]:
    """An external service."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Shop)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_locustfile_runs_from_anywhere(installed: Installed, shop: str) -> None:
    """Profiles, thresholds and the product's locustfile are in the wheel; results stay in the folder."""
    (installed.folder / "shop.py").write_text(LOCUSTFILE.replace("HOST", shop))
    options = ["-f", "shop.py", "--profile", "smoke", "--run-time", "4s", "--run-id", "first"]
    done = installed.run("run", *options, LOADTEST_EXPORTER_PORT="0")
    assert ended_well(done.returncode, done.stdout), done.stdout + done.stderr
    record = json.loads((installed.folder / "runs" / "first" / "record.json").read_text())
    (series,) = record["series"]
    assert (series["scenario"], series["name"], series["requests"] > 10) == ("shop", "/products", True)
    assert "error_ratio < 1%" in done.stdout
    files = {path.name for path in installed.folder.iterdir()}
    assert files - {"__pycache__"} == {"runs", "shop.py"}


def test_the_stack_runs_for_the_scenario_of_any_folder(installed: Installed) -> None:
    """Compose accepts the generated file: every mounted or built folder exists, the scenario's among them."""
    (installed.folder / "load").mkdir()
    for name in ("shop", "admin"):
        text = LOCUSTFILE.replace("HOST", "http://shop.example.com").replace("Shopper", name.title())
        (installed.folder / "load" / f"{name}.py").write_text(text)
    done = installed.run("stack", "-f", "load/shop.py", "-f", "load/admin.py", "--profile", "smoke", "config")
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    master = services["locust_master"]
    settings = {name: master["environment"][f"LOADTEST_{name}"] for name in ("SCENARIO", "PROFILE")}
    assert settings == {"SCENARIO": "scenarios/shop.py,scenarios/admin.py", "PROFILE": "smoke"}
    mounts = {mount["target"]: Path(mount["source"]) for mount in master["volumes"] if mount["type"] == "bind"}
    assert mounts["/app/scenarios"] == installed.folder / "load"
    assert (mounts["/app/locust"] / "locustfile.py").is_file()
    assert (mounts["/app/locust"] / "loadtest" / "session.py").is_file()
    assert (mounts["/app/target_app"] / "home.py").is_file()
    for service in services.values():
        for mount in service.get("volumes", []):
            assert mount["type"] != "bind" or any(Path(mount["source"]).iterdir())
        if build := service.get("build"):
            context = Path(build["context"])
            copied = re.findall(r"^COPY (\S+) ", (context / build["dockerfile"]).read_text(), re.MULTILINE)
            assert [name for name in copied if not (context / name).exists()] == []


def test_the_stack_is_not_given_a_whole_home(installed: Installed) -> None:
    """A scenario there would expose keys and mail, and under SELinux relabel all of them for containers."""
    (installed.folder / "shop.py").write_text(LOCUSTFILE.replace("HOST", "http://shop.example.com"))
    done = installed.run("stack", "-f", "shop.py", "config", HOME=str(installed.folder))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"the containers would see {installed.folder} with all that it holds" in done.stderr


COMPOSE = """#!/bin/sh
[ "$2" = version ] && exit 0
trap 'sleep 1; echo "$*" > ended; exit 130' INT TERM
echo "$*" > began
while :; do sleep 0.05; done
"""
"""In place of Docker: takes its time to end, as when it stops containers."""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_compose_ends_by_itself(installed: Installed, tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C and SIGTERM leave nothing half stopped: the command ends with Compose, and with its exit code."""
    (tmp_path / "docker").write_text(COMPOSE)
    (tmp_path / "docker").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    place, command = installed.folder / ".loadtest", [installed.programs / "loadtest", "stack", "up", "-d"]
    with subprocess.Popen(command, cwd=installed.folder, env=installed.environment(PATH=path)) as process:
        until_s = time.monotonic() + 120
        while not (place / "began").exists() and time.monotonic() < until_s:
            time.sleep(0.05)
        process.send_signal(how)
        assert process.wait(60) == 130
    assert (place / "ended").read_text() == "compose up -d\n"
    (place / "began").unlink()
    (place / "ended").unlink()


def test_what_kubernetes_needs_is_in_the_package(installed: Installed) -> None:
    """Every folder and file that a kustomization of deploy/kubernetes names is in the package."""
    (shipped,) = installed.programs.parent.glob("lib/python*/site-packages/loadtest/shipped")
    named = [
        path.parent / name
        for path in (shipped / "deploy" / "kubernetes").glob("*/kustomization.yaml")
        for content in [yaml.safe_load(path.read_text())]
        for part in ("resources", "components")
        for name in content.get(part, [])
    ]
    assert len(named) > 10
    assert [path for path in named if not (path / "kustomization.yaml").exists() and not path.is_file()] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "http://localhost:8000"], "set HOST=http://host.docker.internal:8000"),
        (["--host", "localhost:8000"], "HOST=localhost:8000 is not a base URL"),
        (["-f", "/etc/hosts.py"], "there is no such file"),
    ],
)
def test_what_containers_cannot_reach_is_refused(installed: Installed, options: list[str], words: str) -> None:
    """One sentence says what to do, and nothing is started."""
    done = installed.run("stack", *options, "config")
    assert (done.returncode, words in done.stderr, done.stdout) == (2, True, ""), done.stderr


def test_a_file_that_containers_do_not_see_is_refused(installed: Installed) -> None:
    """Files that are neither in the scenario's folder nor in local_conf/ are named."""
    done = installed.run("stack", "config", LOADTEST_FEED="/etc/passwd")
    assert (done.returncode, "FEED=/etc/passwd is neither in " in done.stderr) == (2, True), done.stderr
