"""`loadtest report` and `loadtest run --json`, on a real run that ended and on one that was cut off."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from loadtest.comparing.run_figures import RunFigures
from loadtest.exceptions import ExitCode
from loadtest.reporting import files
from tests import reports

from .conftest import ROOT, Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]


def report(stack: Stack, *arguments: str) -> str:
    """Return the output of `loadtest report` for the only run."""
    command = [Path(sys.executable).with_name("loadtest"), "report", str(stack.run_dir()), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=stack.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A run to compare with, of the same scenario and load."""
    record = reports.record(5, names=("health/live", "health/ready"))
    record.configuration = {"scenario": "health", "profile": "smoke", "run_time": 5.0, "client": "lean"}
    record.context = {}
    (tmp_path / "old").mkdir()
    assert files.write(tmp_path / "old", files.of(reports.run_document(record))) == []
    return tmp_path / "old"


def test_json_of_a_run_is_all_of_standard_output(stack: Stack, old: Path) -> None:
    """With --json, programs can read Locust's statistics from standard output; the report shows the same run again.

    The run ends with the comparison, on standard error: five seconds are inconclusive, and the exit code says so. On a
    busy machine the run may not be comparable at all.
    """
    arguments = ["--scenario", "health", "--profile", "smoke", "--run-time", "5s", "--json", "--baseline", str(old)]
    command = [Path(sys.executable).with_name("loadtest"), "run", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=stack.environment(), capture_output=True, text=True, check=False)
    rows = json.loads(done.stdout)
    assert done.returncode in {ExitCode.NO_DATA, ExitCode.NOT_TRUSTWORTHY}, done.stderr
    compared = done.returncode == ExitCode.NO_DATA
    assert ("comparison   inconclusive" in done.stderr) is compared, done.stderr
    assert (stack.run_dir() / "comparison.html").exists() is compared
    assert (stack.run_dir() / "comparison.json").exists() is compared
    document = json.loads(report(stack, "--json"))
    counted = {(one["name"], one["requests"], one["failures"]) for one in document["series"]}
    assert {(row["name"], row["num_requests"], row["num_failures"]) for row in rows} == counted
    assert f"verdict      {document['verdict']['name']}" in report(stack)
    assert "workers" in done.stderr
    assert RunFigures.kept(stack.run_dir()) is not None
    assert document["total"]["requests"] > 2
    jsonschema.validate(document, json.loads((ROOT / "docs/reference/record.schema.json").read_text()))
    assert document["events"][0]["text"] == "load begins"
    assert {"redis-server", "ReJSON", "python"} <= set(document["context"]["versions"])
    assert document["context"]["source"]["file"] == "locust/loadtest/scenarios/health.py"
    files = {
        path.name: path.read_text() for path in stack.run_dir().iterdir() if path.suffix in {".md", ".csv", ".xml"}
    }
    for name in ("summary.md", "stats.csv", "timeline.csv", "junit.xml"):
        (stack.run_dir() / name).unlink()
    report(stack)
    assert {name: (stack.run_dir() / name).read_text() for name in files} == files


def test_a_run_whose_master_was_killed_is_shown_as_interrupted(stack: Stack) -> None:
    """After kill -9 of the master, the record so far is shown."""
    stack.start("--run-time", "5m").read_until("requests/s")
    os.kill(min(stack.pids("--master ")), signal.SIGKILL)
    code, output = stack.end()
    assert code == 1, output
    text = report(stack)
    assert "verdict      interrupted" in text
    document = json.loads(report(stack, "--json"))
    assert document["total"]["requests"] > 50
    assert json.loads((stack.run_dir() / "record.json").read_text()) == document
    assert "Interrupted" in (stack.run_dir() / "report.html").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of one's own takes root")
def test_a_full_disk_at_the_end_costs_no_verdict_and_is_no_pass(stack: Stack) -> None:
    """On a disk too small for the reports, verdict and exit code are right, and missing files are named."""
    stack.runs_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", stack.runs_dir], check=True)
    try:
        code, output = stack.start("--scenario", "health", "--profile", "smoke", "--run-time", "4s").end()
        written = {path.name for path in stack.run_dir().iterdir()}
    finally:
        subprocess.run(["umount", "--lazy", stack.runs_dir], check=True)
    verdict = output.split("verdict      ")[1].split("\n")[0]
    assert code == {"passed": 1, "not trustworthy": 5}[verdict], output
    assert "locust.html could not be written (No space left on device)" in output
    assert {"record.stream", "record.json"} <= written
    assert [name for name in written if name.endswith(".part")] == []
