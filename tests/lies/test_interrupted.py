"""Half a run that passes for a whole one."""

import json
import os
import signal

import pytest

from loadtest.exceptions import ExitCode
from tests.native.conftest import Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]

CLOSED = ("--scenario", "health", "--profile", "quick", "--users", "4", "--spawn-rate", "4", "--run-time", "60s")
OPEN = ("--scenario", "health", "--profile", "constant-arrival-rate", "--rate", "20", "--run-time", "60s")


@pytest.mark.parametrize("load", [CLOSED, OPEN], ids=["closed", "open"])
def test_all_workers_leave_gracefully_half_way(stack: Stack, load: tuple[str, ...]) -> None:
    """Both workers end by SIGTERM after some seconds, as when scaled down, and no sample is missing.

    The master reports the measurements so far: interrupted, the cause, the time, and the completed part of the plan.
    """
    stack.start(*load, "--workers", "2").read_until("requests/s")
    for worker in stack.pids("--worker "):
        os.kill(worker, signal.SIGTERM)
    code, output = stack.end()
    record = json.loads((stack.run_dir() / "record.json").read_text())
    assert (code, record["verdict"]["name"]) == (ExitCode.INTERRUPTED, "interrupted"), output
    assert record["interruption"]["by"] == "all workers left"
    assert record["interruption"]["planned_s"] == 60
    assert 2 < record["interruption"]["load_s"] < 40
    assert record["verdict"]["reasons"][0].endswith(" of the plan): all workers left")
    assert record["delivery"]["completeness"] == 1
    assert record["verdict"]["reasons"][0] in output
