"""Locustfiles of nobody's product, run as they are: every request that the target answered is in the record."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endings import ended_well
from tests.faults.swarm import ROOT, Witness

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]

NESTED = """
from locust import FastHttpUser, HttpUser, SequentialTaskSet, constant, task

print("this file is imported")


class Browse(SequentialTaskSet):
    @task
    def first(self):
        self.client.get("/first")

    @task
    def second(self):
        with self.client.get("/second", catch_response=True) as response:
            if response.json()["status"] != "ok":
                response.failure("not ok")

    @task
    def leave(self):
        self.interrupt()


class Browser(HttpUser):
    host = "HOST"
    wait_time = constant(0.1)
    tasks = [Browse]


class Quick(FastHttpUser):
    host = "HOST"
    weight = 2
    wait_time = constant(0.1)

    @task
    def third(self):
        self.client.get("/third")
"""
SHAPED = """
from locust import HttpUser, LoadTestShape, constant, events, task

begun = []


@events.test_start.add_listener
def note(**kwargs):
    begun.append(kwargs)


class Visitor(HttpUser):
    host = "HOST"
    wait_time = constant(0.1)

    @task
    def visit(self):
        self.client.get(f"/begun-{len(begun)}")


class Steps(LoadTestShape):
    def tick(self):
        elapsed_s = self.get_run_time()
        return (2, 2) if elapsed_s < 3 else (4, 4) if elapsed_s < 6 else None
"""
OURS = """
from locust import constant, task

from loadtest.clients.http import HttpUser


class Visitor(HttpUser):
    host = "HOST"
    wait_time = constant(0.1)

    @task
    def visit(self):
        self.client.get("/ours")
"""
NAMES = {
    "nested": {"/first", "/second", "/third"},
    "shaped": {"/begun-1"},
    "ours": {"/ours"},
}
FILES = {"nested": NESTED, "shaped": SHAPED, "ours": OURS}


@pytest.fixture
def witness() -> Iterator[Witness]:
    """A target that counts."""
    witness = Witness()
    yield witness
    witness.close()


@pytest.mark.parametrize("name", FILES)
def test_an_ordinary_locustfile_runs_as_it_is(tmp_path: Path, witness: Witness, name: str) -> None:
    """Its classes, shape, listeners and host are Locust's; its requests are under their names, under the file's."""
    (tmp_path / f"{name}.py").write_text(FILES[name].replace("HOST", witness.url))
    options = [] if name == "shaped" else ["-u", "6", "-r", "6", "-t", "5s"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LOADTEST_", "LOCUST_"))}
    settings = {"LOADTEST_EXPORTER_PORT": "0", "LOADTEST_RUNS_DIR": str(tmp_path / "runs"), "LOADTEST_RUN_ID": "run"}
    done = subprocess.run(
        [Path(sys.executable).with_name("loadtest"), "run", "-f", str(tmp_path / f"{name}.py"), *options],
        cwd=ROOT, env={**kept, **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    document = json.loads((tmp_path / "runs" / "run" / "record.json").read_text())
    assert ended_well(done.returncode, done.stdout), done.stdout + done.stderr
    counted = Counter({series["name"]: series["requests"] for series in document["series"]})
    assert (set(counted), counted.total()) == (NAMES[name], len(witness.requests)), done.stdout
    assert {series["scenario"] for series in document["series"]} == {name}
    assert f"{witness.url} of " in done.stdout
