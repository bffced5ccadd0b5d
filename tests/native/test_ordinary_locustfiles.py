"""Ordinary locustfiles, run unchanged: every request that the target answered is in the record."""

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
        return (6, 1) if elapsed_s < 2 else (7, 4) if elapsed_s < 7 else None
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


def run(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`loadtest run` of this file, with the runs folder next to it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LOADTEST_", "LOCUST_"))}
    settings = {"LOADTEST_EXPORTER_PORT": "0", "LOADTEST_RUNS_DIR": str(file.parent / "runs"), "LOADTEST_RUN_ID": "run"}
    return subprocess.run(
        [Path(sys.executable).with_name("loadtest"), "run", "-f", str(file), *options],
        cwd=ROOT, env={**kept, **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_an_ordinary_locustfile_runs_as_it_is(tmp_path: Path, witness: Witness, name: str) -> None:
    """Classes, shape, listeners and host are Locust's; requests have their names, under the file's name."""
    (tmp_path / f"{name}.py").write_text(FILES[name].replace("HOST", witness.url))
    options = [] if name == "shaped" else ["-u", "6", "-r", "6", "-t", "5s"]
    done = run(tmp_path / f"{name}.py", *options)
    document = json.loads((tmp_path / "runs" / "run" / "record.json").read_text())
    assert ended_well(done.returncode, done.stdout), done.stdout + done.stderr
    counted = Counter({series["name"]: series["requests"] for series in document["series"]})
    assert (set(counted), counted.total()) == (NAMES[name], len(witness.requests)), done.stdout
    assert {series["scenario"] for series in document["series"]} == {name}
    late = "note         the load shape requested 6 users at 1 per second, and Locust started all of them before it"
    assert (late in done.stdout) == (name == "shaped"), done.stdout
    target = document["context"]["target"]
    assert target["hosts"] == [witness.url]
    assert f"results      run run\ntarget       {target['sentence']}\n" in done.stdout
    assert f"Target: {witness.url} of " in (tmp_path / "runs" / "run" / "summary.md").read_text().splitlines()[1]
    assert f"Target: {target['sentence']}" in (tmp_path / "runs" / "run" / "report.html").read_text()


def test_an_ordinary_locustfile_without_a_host_loads_nothing(tmp_path: Path) -> None:
    """Without a host the sample target would be loaded instead, and the run would pass."""
    (tmp_path / "bare.py").write_text(OURS.replace('    host = "HOST"\n', ""))
    done = run(tmp_path / "bare.py", "-u", "2", "-t", "3s")
    assert done.returncode == 2, done.stdout
    assert "error: Visitor of this locustfile has no host. Allowed: HOST" in done.stdout
    assert not (tmp_path / "runs" / "run" / "logs" / "target_app.log").exists()
