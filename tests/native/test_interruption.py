"""Events that end a run before its plan is completed, and events that only seem to."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from loadtest.exceptions import ExitCode
from tests.endings import ended_well
from tests.faults.swarm import FaultySwarm, Witness, end

from .conftest import ROOT, Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]

HEALTH = ("--scenario", "health", "--profile", "smoke")


def record_of(stack: Stack) -> dict[str, Any]:
    """Return the record of the last run, once it is written."""
    until_s = time.monotonic() + 30
    while not (found := sorted(stack.runs_dir.glob("*/record.json"), key=lambda path: path.stat().st_mtime)):
        assert time.monotonic() < until_s
        time.sleep(0.1)
    return json.loads(found[-1].read_text())


@pytest.mark.parametrize(("run_time", "by"), [("&run_time=60s", "stopped in the web UI"), ("", None)])
def test_a_stop_in_the_web_ui_interrupts_only_a_plan(stack: Stack, run_time: str, by: str | None) -> None:
    """A stop interrupts a run that was to last a minute; without a planned end, a stop is the normal end."""
    stack.start("--scenario", "health", "--ui")
    url = re.search(r"http://127\.0\.0\.1:\d+", stack.read_until("web UI").splitlines()[-1])[0]
    stack.read_until("ready  ")
    start = f"user_count=2&spawn_rate=2&load_profile=as-entered{run_time}"
    urllib.request.urlopen(f"{url}/swarm", start.encode()).close()
    time.sleep(5)
    urllib.request.urlopen(f"{url}/stop", b"").close()
    record = record_of(stack)
    stack.process.send_signal(signal.SIGINT)
    code, _ = stack.end()
    assert (record["interruption"] or {}).get("by") == by
    assert (record["verdict"]["name"] == "interrupted", code) == (by is not None, 130 if by else 0)


def test_a_threshold_that_ends_the_run_fails_it(stack: Stack) -> None:
    """`abort_on_fail` is part of the plan."""
    code, output = stack.start(*HEALTH, "--threshold", "max < 1us abort_on_fail", "--run-time", "60s").end()
    assert (record_of(stack)["interruption"], code in (3, 5)) == (None, True), output


def test_locusts_own_run_time_is_a_plan_which_may_lie_within_the_warm_up(tmp_path: Path) -> None:
    """A master started with Locust's --run-time ends by Locust's timer, as planned; nothing was judged."""
    witness = Witness()
    with FaultySwarm(tmp_path, witness.url) as swarm:
        master = swarm.master("-u", "8", "-r", "8", "-t", "5s", workers=1, LOADTEST_WARM_UP="30s")
        swarm.worker()
        code = master.wait()
        record = swarm.record()
    witness.close()
    assert record["interruption"] is None, swarm.logs()
    assert code in {ExitCode.NO_DATA, ExitCode.NOT_TRUSTWORTHY}, swarm.logs()  # on a busy machine
    assert "s ended within its warm-up of 30 s, so nothing is left to judge" in "".join(record["verdict"]["reasons"])


TERMINAL = """
import os, pty, subprocess, sys
screen, terminal = pty.openpty()
command = ["setsid", "--ctty", *sys.argv[1:]]
process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal)
os.close(terminal)
seen = b""
while b"requests/s" not in seen:
    seen += os.read(screen, 4096)
os.close(screen)
sys.exit(process.wait(60))
"""


def test_a_terminal_that_is_closed_costs_no_report(stack: Stack) -> None:
    """The kernel sends SIGHUP and discards output: the run still ends with its report, and no process is left."""
    loadtest = Path(sys.executable).with_name("loadtest")
    command = [sys.executable, "-c", TERMINAL, loadtest, "run", *HEALTH, "--run-time", "60s"]
    done = subprocess.run(command, cwd=ROOT, env=stack.environment(), check=False, timeout=100)
    assert done.returncode == ExitCode.INTERRUPTED
    assert stack.wait_until_nothing_is_left() == []
    assert record_of(stack)["interruption"]["by"] == "SIGHUP"
    assert (stack.run_dir() / "report.html").exists()


def test_a_run_that_was_told_to_ignore_sighup_goes_on(stack: Stack) -> None:
    """Under nohup, closing the terminal ends nothing."""
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stack.start(*HEALTH, "--run-time", "8s")
    finally:
        signal.signal(signal.SIGHUP, ignored)
    stack.read_until("ready  ")
    stack.process.send_signal(signal.SIGHUP)
    for pid in stack.pids("locustfile.py"):
        os.kill(pid, signal.SIGHUP)
    code, output = stack.end()
    assert (record_of(stack)["interruption"], ended_well(code, output)) == (None, True), output


def test_a_worker_and_a_master_take_sighup_for_sigterm(tmp_path: Path) -> None:
    """The worker leaves gracefully, so that nothing is missing; the master reports the signal that ended the run."""
    witness = Witness()
    with FaultySwarm(tmp_path, witness.url) as swarm:
        master = swarm.master(workers=2)
        leaving = swarm.worker()
        swarm.worker()
        swarm.wait_for_load()
        assert end(leaving, signal.SIGHUP) == 0
        swarm.wait_for_load(workers=1)
        assert end(master, signal.SIGHUP) == ExitCode.INTERRUPTED, swarm.logs()
        record = swarm.record()
    witness.close()
    assert (record["interruption"]["by"], record["delivery"]["completeness"]) == ("SIGHUP", 1)
