"""Fixtures for the stack tests: an engine, and a project that is always torn down."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.compose import WITH_REFEREES, Project, docker
from tests.stack.evidence import Evidence, make_runs

HERE = Path(__file__).parent
TIME_LIMIT_S = 600  # against hanging; on an idle machine all of them take about three minutes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and allow for the time that builds and starts take."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(TIME_LIMIT_S))


def needed(what: str, *, there: bool) -> None:
    """Skip a test that needs something this machine lacks; in CI, fail it instead."""
    if there:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what} is needed here, and is not there")
    pytest.skip(f"{what} is not there: the Compose stack is NOT tested")


def answers(*command: str) -> bool:
    """Return whether a command exists and succeeds."""
    return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine with Compose v2."""
    needed("a Docker engine that `docker info` reaches", there=answers("docker", "info"))
    needed("Compose v2 (`docker compose`)", there=answers("docker", "compose", "version"))


@pytest.fixture(scope="session")
def name() -> str:
    """A unique name for the projects of this test run."""
    return f"loadtest-test-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def built(engine: None, name: str) -> Iterator[Project]:  # noqa: ARG001 - the engine must exist
    """A project whose images are built, and nothing else; they are removed at the end."""
    project = Project(name, LOADTEST_EXPORTER_COMPATIBILITY="1")
    project.run("build", timeout_s=300)
    yield project
    docker(
        "image", "rm", "--force", *(f"{name}-{service}" for service in ("target_app", "locust_master", "locust_worker"))
    )


@pytest.fixture(scope="session")
def evidence(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """Two runs, and the project that they were made with, which is torn down whatever happens.

    The modules that judge it are the last ones of this folder: no other project runs at the same time.
    """
    files = f"docker-compose.yml:{WITH_REFEREES}"
    project = Project(built.name, COMPOSE_FILE=files, LOADTEST_EXPORTER_COMPATIBILITY="1")
    try:
        with project.told():
            seen = make_runs(project, tmp_path_factory.mktemp("results"))
        yield seen
    finally:
        project.down()
