"""Lies that the generator's own machine tells: its delays and its limits, which would read as the service's."""

from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode
from tests.lies.generator import busy_neighbours, generator, service

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]
BUSY_MACHINE = {"other_processes", "run_delay"}
"""What is found on a machine that does other work during the tests."""


def test_a_busy_neighbour_is_not_blamed_on_the_service(tmp_path: Path) -> None:
    """Beside processes that take the cores a run is not trustworthy, and says that they did, with numbers."""
    with service() as host, generator(tmp_path, host) as running:
        running.wait_for_load()
        with busy_neighbours(4):
            ended = running.end()
    assert ended.code == ExitCode.NOT_TRUSTWORTHY
    assert "other_processes" in ended.rules
    assert "was crowded by other processes" in ended.output
    shares = [one["mean"]["others_cpu_ratio"] for one in ended.document["workers"] if one["subject"] == "master"]
    assert shares[0] > 0.3


def test_a_calm_run_is_trusted(tmp_path: Path) -> None:
    """Nothing is found but what the machine does beside the tests, and each output says that the cores are shared."""
    with service() as host, generator(tmp_path, host) as running:
        ended = running.end()
    assert ended.rules <= BUSY_MACHINE
    assert ended.code == (ExitCode.NOT_TRUSTWORTHY if ended.rules else ExitCode.PASSED)
    for text in (ended.output, *((tmp_path / "lie" / name).read_text() for name in ("summary.md", "junit.xml"))):
        assert "with the load generator; the cores were" in text
