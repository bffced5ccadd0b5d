"""The commands of the README in their order, in a checkout: what the first one decides, the later ones keep."""

import shlex
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack.compose import ROOT, Project, eventually

CONNECTED = 'sum(loadtest_workers{state=~"ready|spawning|running"})'
NO_GRAFANA = "python:3.13-slim-trixie"
"""In place of Grafana's image, which is not to be had everywhere. It ends at once, and nothing waits for it."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what git knows of this repository, without the .env and the secrets of whoever works in it."""
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


def _connected(project: Project) -> float | None:
    try:
        return project.value(CONNECTED)
    except (AssertionError, OSError):
        return None  # not started yet


def _status(project: Project) -> int:
    """Return how the web UI answers somebody who is not logged in."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{project.port('locust_master', 8089)}/", timeout=30) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
