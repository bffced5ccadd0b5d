"""Fixtures for the tests on Kubernetes: a cluster that is intended for tests, with the images."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TIME_LIMIT_S = 1500  # against hanging; the cluster may first have to be built, which takes minutes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder enough time for starting pods."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(TIME_LIMIT_S))


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """The cluster of kubectl's current context; only a person can know whose it is, so the tests have to be asked for.

    TEST_KUBERNETES is the command that makes it ready, `true` where it is. If it is set, the tests run or fail.
    With `down` it stops what it started, because an idle cluster takes a twentieth of a core.
    """
    prepare = os.environ.get("TEST_KUBERNETES")
    if not prepare:
        pytest.skip("neither `make test-kubernetes` nor CI asks for it: Kubernetes is NOT tested")
    command = f"{prepare} && kubectl get --raw /readyz --request-timeout=20s"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"there is no cluster for the tests: {command} ended with {done.returncode}\n{done.stderr[-2000:]}")
    yield
    subprocess.run(["sh", "-c", f"{prepare} down"], check=True)
