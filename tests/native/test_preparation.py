"""Any exception while a run is prepared ends it before there is load, with a message that names its place."""

import json
import os
import re
import urllib.request
from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode

from .conftest import Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]

SCENARIO = """
import sys

from locust import HttpUser, LoadTestShape, constant, events, task
from loadtest.scenarios import Scenario


class Mine(HttpUser):
    scenario = "mine"
    wait_time = constant(0.2)

    @task
    def live(self):
        self.client.get("/healthz/live", name="live")


class Shape(LoadTestShape):
    ticks = 0

    def tick(self):
        self.ticks += 1
        if self.ticks > GOOD_TICKS:
            raise ValueError("no more ticks")  # HERE
        return 2, 2


def load_data(redis_url, progress):
    raise KeyError("no such user")  # HERE


def listen(environment, **_):
    sys.exit(0)  # HERE


"""
FEED = """
from loadtest.feeding.feed import Feed


def customers():
    yield "ada"
    raise LookupError("no such table")  # HERE


Mine.feeder = Feed(customers)
"""
CASES = {
    "feed": (f'{FEED}scenario = Scenario("mine", (Mine,), (("GET", "live"),))', "LookupError: no such table"),
    "load_data": ('scenario = Scenario("mine", (Mine,), (("GET", "live"),), load_data=load_data)', "KeyError"),
    "listener": (
        'events.test_start.add_listener(listen)\nscenario = Scenario("mine", (Mine,), (("GET", "live"),))',
        "SystemExit: 0",
    ),
    "shape": (
        'GOOD_TICKS = 0\nscenario = Scenario("mine", (Mine,), (("GET", "live"),), shapes=(Shape,))',
        "ValueError: no more ticks",
    ),
}
PLACE = re.compile(r"mine\.py, line (\d+)")


def scenario(folder: Path, more: str) -> Path:
    """Write the scenario."""
    path = folder / "mine.py"
    path.write_text(f"{SCENARIO}{more}\n")
    return path


def place(path: Path, text: str) -> str:
    """Return the line of the scenario that contains the text."""
    number = PLACE.search(text)
    assert number, text
    return path.read_text().splitlines()[int(number[1]) - 1].partition("#")[2].strip()


@pytest.mark.parametrize("case", CASES)
def test_an_error_while_a_run_is_prepared_ends_it(stack: Stack, tmp_path: Path, case: str) -> None:
    """Exit code 1, one sentence with exception, file and line; no record, no process and no load."""
    more, error = CASES[case]
    path = scenario(tmp_path, more)
    code, output = stack.start("--scenario", str(path), "--profile", "smoke", TMPDIR=str(tmp_path)).end()
    assert (code, stack.wait_until_nothing_is_left()) == (ExitCode.ERROR, []), output
    (sentence,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert sentence.startswith(f"error: the run could not be prepared: {error}")
    assert place(path, sentence) == "HERE"
    assert [file.name for file in stack.run_dir().iterdir()] == ["logs"]
    assert list(tmp_path.glob("loadtest-redis-*")) == []


def test_a_damaged_feed_is_wrong_usage(stack: Stack, tmp_path: Path) -> None:
    """Only the master reads it: the error names line and column, there is no load, and the exit code is 2."""
    (tmp_path / "ids.csv").write_text("id,name\n1,Ada\n2\n")
    code, output = stack.start("--scenario", "coin_queue", "--feed", str(tmp_path / "ids.csv")).end()
    assert (code, stack.wait_until_nothing_is_left()) == (ExitCode.USAGE, []), output
    (sentence,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert sentence.startswith(f"error: {tmp_path}/ids.csv, line 3, column 1: 1 values. Allowed: "), output
    assert [file.name for file in stack.run_dir().iterdir()] == ["logs"]


def test_an_error_of_the_shape_under_load_interrupts_the_run(stack: Stack, tmp_path: Path) -> None:
    """The measurements so far are reported, with exception, file and line."""
    more, error = CASES["shape"]
    path = scenario(tmp_path, more.replace("GOOD_TICKS = 0", "GOOD_TICKS = 4"))
    code, output = stack.start("--scenario", str(path), "--profile", "smoke").end()
    record = json.loads((stack.run_dir() / "record.json").read_text())
    assert (code, record["verdict"]["name"]) == (ExitCode.INTERRUPTED, "interrupted"), output
    assert record["interruption"]["by"].startswith(f"the load shape raised {error}")
    assert place(path, record["interruption"]["by"]) == "HERE"
    assert record["total"]["requests"] > 0


@pytest.mark.parametrize("case", CASES)
def test_with_the_web_ui_the_master_goes_on_serving(stack: Stack, tmp_path: Path, case: str) -> None:
    """The error is on the terminal and in the web UI each time a run is started, and no user runs."""
    more, error = CASES[case]
    path = scenario(tmp_path, more)
    stack.start("--scenario", str(path), "--ui")
    url = re.search(r"http://127\.0\.0\.1:\d+", stack.read_until("web UI").splitlines()[-1])[0]
    stack.read_until("ready  ")
    for _ in range(2):
        urllib.request.urlopen(f"{url}/swarm", b"user_count=2&spawn_rate=2&load_profile=as-entered").close()
        assert f"the run could not be prepared: {error}" in stack.read_until("error: ")
        with urllib.request.urlopen(f"{url}/exceptions") as answer:
            assert [error in one["msg"] for one in json.load(answer)["exceptions"]] == [True]
        with urllib.request.urlopen(f"{url}/stats/requests") as answer:
            assert json.load(answer)["user_count"] == 0
    os.kill(stack.process.pid, 2)
    assert stack.end()[0] == ExitCode.PASSED
