"""What the tests on Kubernetes need: a cluster that is meant to be used for tests, with the images in it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TIME_LIMIT_S = 1200  # against hanging; on two idle cores all of them take about four minutes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder the time that starting pods takes."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(TIME_LIMIT_S))


@pytest.fixture(scope="session")
def cluster() -> None:
    """The cluster of kubectl's present context; whose it is, is for a person to know, so they have to ask for it."""
    if os.environ.get("TEST_KUBERNETES") != "1":
        pytest.skip("`make test-kubernetes` was not typed: Kubernetes is NOT tested")
    if not shutil.which("kubectl"):
        pytest.skip("there is no kubectl: Kubernetes is NOT tested")
    ready = ("kubectl", "get", "--raw", "/readyz", "--request-timeout=20s")
    asked = subprocess.run(ready, capture_output=True, text=True, check=False)
    if asked.returncode:
        pytest.skip(f"kubectl reaches no cluster ({asked.stderr.strip()[-200:]}): Kubernetes is NOT tested")
