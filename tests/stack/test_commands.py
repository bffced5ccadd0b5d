"""The commands of the README in their order, in a checkout: later ones keep the settings of the first."""

import shlex
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.exceptions import ExitCode
from tests.stack.compose import ROOT, Project, eventually

CONNECTED = 'sum(loadtest_workers{state=~"ready|spawning|running"})'
NO_GRAFANA = "python:3.13.15-slim-trixie"
"""In place of Grafana's image, which is not to be had everywhere. It ends at once, and nothing waits for it."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files of this repository that git tracks, without a developer's .env and secrets."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.fixture
def project(checkout: Path, built: Project) -> Iterator[Project]:
    """The checkout's project, with a shell's variables."""
    made = Project(built.name, folder=checkout, COMPOSE_PROJECT_NAME=built.name, GRAFANA_IMAGE=NO_GRAFANA)
    yield made
    made.down()


@pytest.mark.parametrize(("first", "status"), [("make up", 401), ("docker compose up --scale locust_worker=1", 200)])
def test_later_commands_keep_what_the_first_decided(project: Project, first: str, status: int) -> None:
    """Scaling by the README's command or without --no-recreate adds workers that connect, and the login stays."""
    typed: dict[str, Any] = {"cwd": project.folder, "env": project.environment, "stdout": subprocess.DEVNULL}
    started = subprocess.Popen(shlex.split(first), stderr=subprocess.DEVNULL, **typed)
    try:
        eventually("workers", lambda: _connected(project), 1)
        assert _status(project) == status
        for command, workers in (
            ("docker compose up -d --no-recreate --scale locust_worker=3", 3),
            ("docker compose up -d --scale locust_worker=2", 2),
        ):
            subprocess.run(shlex.split(command), check=True, stderr=subprocess.DEVNULL, **typed)
            with project.told():
                eventually(f"workers after {command}", lambda: _connected(project), workers)
            assert _status(project) == status
    finally:
        started.terminate()
        started.wait(60)


def test_results_that_cannot_be_written_are_refused_before_there_is_load(built: Project, tmp_path: Path) -> None:
    """RUNS_DIR mounts a folder of another user: the master ends immediately, and says who must own it."""
    tmp_path.chmod(0o555)
    project = Project(built.name, RUNS_DIR=str(tmp_path), LOADTEST_AUTOSTART="1")
    try:
        project.run("up", "-d", "--no-deps", "locust_master")
        eventually("the master has ended", lambda: [one["State"]["Status"] for one in project.containers()], ["exited"])
        (master,) = project.containers()
        log = project.run("logs", "--no-color", "locust_master")
    finally:
        project.down()
    assert master["State"]["ExitCode"] == ExitCode.USAGE, log
    assert "RUNS_DIR=/app/runs cannot be written (Permission denied). Allowed: a folder that user 10001 can" in log
    assert "in Compose, RUN_AS=$(id -u):$(id -g) is you." in log
    assert "Traceback" not in log
    assert not list(tmp_path.iterdir())


def _connected(project: Project) -> float | None:
    try:
        return project.value(CONNECTED)
    except (AssertionError, OSError):
        return None  # not started yet


def _status(project: Project) -> int:
    """Return the web UI's status code for a request without a login."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{project.port('locust_master', 8089)}/", timeout=30) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
