"""Any error after the load gives exit code 1 and a message, never a pass."""

from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode

from .conftest import Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]

SCENARIO = """
from locust import HttpUser, constant, task
from loadtest.judging import trust
from loadtest.reporting import files
from loadtest.scenarios import Scenario
from loadtest.swarm.record_keeper import MasterRecordKeeper


class Mine(HttpUser):
    scenario = "mine"
    wait_time = constant(0.2)

    @task
    def live(self):
        self.client.get("/healthz/live", name="live")


def fail(*_, **__):
    raise OverflowError("a clock is off")


scenario = Scenario("mine", (Mine,), (("GET", "live"),))
"""
FAULTS = {
    "one file": ('files.FILES["junit.xml"] = fail', "junit.xml could not be generated (OverflowError: a clock is "),
    "the verdict": ("trust.violations = fail", "could not be reported: OverflowError: a clock is off ("),
    "what would end as passed": (
        "import sys\ntrust.violations = lambda *_: sys.exit(0)",
        "could not be reported: SystemExit: 0 (",
    ),
    "the last deltas": ("MasterRecordKeeper.drain = fail", "could not be reported: OverflowError: a clock is off ("),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_after_the_load_is_no_pass(stack: Stack, tmp_path: Path, fault: str) -> None:
    """The sentence names exception, file and line, and the other files are written."""
    more, words = FAULTS[fault]
    path = tmp_path / "mine.py"
    path.write_text(f"{SCENARIO}{more}\n")
    arguments = ("--scenario", str(path), "--profile", "smoke", "--users", "2", "--run-time", "4s")
    code, output = stack.start(*arguments, LOADTEST_THRESHOLD="error_ratio < 1%").end()
    assert words in output
    assert f"{path}, line " in output
    written = {file.name for file in stack.run_dir().iterdir()}
    if fault == "one file":
        assert {"record.json", "report.html", "summary.md", "stats.csv"} <= written
        assert code == (ExitCode.ERROR if "verdict      passed" in output else ExitCode.NOT_TRUSTWORTHY), output
    else:
        assert code == ExitCode.ERROR, output
    assert "record.stream" in written


MASTER = """
import atexit, os, sys
import gevent
from locust import events
from locust.runners import MasterRunner


def end(code):
    gevent.sleep(2)
    HOW


@events.init.add_listener
def begin(environment, **_):
    if isinstance(environment.runner, MasterRunner):
        gevent.spawn(end, 0)
"""
BROKEN_CSV = """
from locust import stats


def full(*_, **__):
    raise OSError(28, "No space left on device")


stats.StatsCSVFileWriter.stats_writer = full
"""
ENDS = {
    "a greenlet's exit": ("sys.exit(0)", "1 x SystemExit: 0 at "),
    "at once": ("os._exit(0)", "exit code 0, but its run has not passed ("),
    "at the process's end": ("atexit.register(os._exit, 0)", "exit code 0, but its run has not passed ("),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_scenario_that_ends_the_master_is_no_pass(stack: Stack, tmp_path: Path, end: str) -> None:
    """However it ends the master, the verdict is unchanged, or there is none, which is not a pass either."""
    how, words = ENDS[end]
    path = tmp_path / "mine.py"
    path.write_text(f"{SCENARIO}{MASTER.replace('HOW', how)}\n")
    arguments = ("--scenario", str(path), "--profile", "smoke", "--users", "2", "--run-time", "6s")
    code, output = stack.start(*arguments, LOADTEST_THRESHOLD="p50 < 0.001ms").end()
    assert words in output
    assert code in (ExitCode.ERROR, ExitCode.NOT_TRUSTWORTHY), output


def test_a_scenario_that_ends_the_master_of_a_search_is_no_pass(stack: Stack, tmp_path: Path) -> None:
    """A search for the capacity that has no result fails."""
    path = tmp_path / "mine.py"
    path.write_text(f"{SCENARIO}{MASTER.replace('HOW', 'os._exit(0)')}\n")
    arguments = ("--scenario", str(path), "--slo", "p99 < 1s", "--users", "2", "--run-time", "20s")
    code, output = stack.start(*arguments, command="capacity").end()
    assert "exit code 0, but its run has not passed (" in output
    assert code == ExitCode.ERROR, output


def test_a_page_of_locusts_own_that_cannot_be_written_is_no_pass(stack: Stack, tmp_path: Path) -> None:
    """The file of --html is written after the run's report; Locust ends with the error."""
    path = tmp_path / "mine.py"
    path.write_text(SCENARIO)
    arguments = (
        "--scenario",
        str(path),
        "--profile",
        "smoke",
        "--users",
        "2",
        "--run-time",
        "3s",
        "--html",
        "/dev/full",
    )
    code, output = stack.start(*arguments, LOADTEST_THRESHOLD="error_ratio < 1%").end()
    assert "error: OSError ended the process: [Errno 28] No space left on device" in output
    assert code == ExitCode.ERROR, output


def test_files_of_locusts_own_that_cannot_be_written_are_no_pass(stack: Stack, tmp_path: Path) -> None:
    """The files of --csv are written during the run, by a greenlet whose death would go unnoticed."""
    path = tmp_path / "mine.py"
    path.write_text(f"{SCENARIO}{BROKEN_CSV}\n")
    arguments = ("--scenario", str(path), "--profile", "smoke", "--users", "2", "--run-time", "4s", "--csv", "out")
    code, output = stack.start(*arguments, cwd=tmp_path, LOADTEST_THRESHOLD="error_ratio < 1%").end()
    assert "error: a part of Locust ended with an error" in output or "verdict      passed" not in output
    assert code in (ExitCode.ERROR, ExitCode.NOT_TRUSTWORTHY), output
