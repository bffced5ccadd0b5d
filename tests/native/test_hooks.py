"""A scenario's setup and teardown in a real run of several processes."""

import json
import re
from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode

from .conftest import Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(150)]

SCENARIO = """
import os
import time
from pathlib import Path

from locust import HttpUser, constant, task

from loadtest.scenarios import Scenario


class Mine(HttpUser):
    scenario = "mine"
    wait_time = constant(0.1)

    @task
    def live(self):
        note("task")
        self.client.get("/healthz/live", name="live")


def note(what):
    with Path("NOTES").open("a") as file:
        file.write(f"{time.time()} {os.getpid()} {what}\\n")


def setup(environment):
    note("setup")


def teardown(environment):
    note("teardown")
    raise SystemExit(0)  # HERE


scenario = Scenario("mine", (Mine,), (("GET", "live"),), setup=setup, teardown=teardown)
"""


def test_each_hook_runs_once_on_the_master(stack: Stack, tmp_path: Path) -> None:
    """They run before the first task and after the last, in the master's process; a failed teardown is not a pass."""
    notes = tmp_path / "notes"
    text = SCENARIO.replace("NOTES", str(notes))
    (tmp_path / "mine.py").write_text(text)
    options = ["--scenario", str(tmp_path / "mine.py"), "--workers", "2", "--users", "4", "--spawn-rate", "4"]
    code, output = stack.start(*options, "--run-time", "4s").end()
    lines = [line.split() for line in notes.read_text().splitlines()]
    kinds = [kind for *_, kind in sorted(lines, key=lambda line: float(line[0]))]
    assert (kinds[0], kinds[-1], kinds.count("setup"), kinds.count("teardown")) == ("setup", "teardown", 1, 1)
    masters = {pid for _, pid, kind in lines if kind != "task"}
    workers = {pid for _, pid, kind in lines if kind == "task"}
    assert (len(masters), len(workers), masters & workers) == (1, 2, set())
    assert code in {ExitCode.ERROR, ExitCode.NOT_TRUSTWORTHY}, output
    line = 1 + text.splitlines().index("    raise SystemExit(0)  # HERE")
    sentence = "the scenario's teardown failed: SystemExit: 0"
    assert re.search(rf"error: {sentence} \(.*mine\.py, line {line}\)", output)
    document = json.loads((stack.run_dir() / "record.json").read_text())
    noted = [event["text"] for event in document["events"] if event["kind"] == "teardown"]
    assert [text.startswith(sentence) for text in noted] == [True]
