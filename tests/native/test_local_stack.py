"""`loadtest run` and `make loadtest`: a real run, each way it can end, and each bad input."""

import csv
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode
from loadtest.measuring import record_file
from tests.endings import ended_well

from .conftest import ROOT, Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(150)]


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stack, int, str]:
    """Return one finished `make loadtest` with its exit code and output; a store refuses the results."""
    folder = tmp_path_factory.mktemp("finished")
    stack = Stack(folder / "runs")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), RefusingStore) as store:
        threading.Thread(target=store.serve_forever, daemon=True).start()
        (folder / "url").write_text(f"http://127.0.0.1:{store.server_address[1]}/bucket/key?signature=5ec2e7")
        stack.process = subprocess.Popen(
            ["make", "loadtest"],
            cwd=ROOT,
            env={
                **stack.environment(),
                "LOADTEST_WORKERS": "2",
                "LOADTEST_RESULTS_URL_FILE": str(folder / "url"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        code, output = stack.end(130)
        store.shutdown()
    return stack, code, output


class RefusingStore(http.server.BaseHTTPRequestHandler):
    """Receives an object, and refuses it."""

    def do_PUT(self) -> None:
        """Respond once the whole body has arrived."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_make_loadtest_runs_to_its_end(finished_run: tuple[Stack, int, str]) -> None:
    """`make loadtest` ends well after showing each part, progress lines and the summary."""
    _, code, output = finished_run
    assert ended_well(code, output), output
    assert [part for part in PARTS if part not in output] == [], output


def test_results_that_a_store_refuses_change_no_verdict(finished_run: tuple[Stack, int, str]) -> None:
    """The run ends normally; one line reports the refusal, without the signature of the URL."""
    stack, code, output = finished_run
    assert ended_well(code, output), output
    line = "upload       failed: the results were not sent to 127.0.0.1: it answered 403. They are in "
    assert line in output
    log = (stack.run_dir() / "logs" / "master.log").read_text()
    assert [text for text in (output, log, (stack.run_dir() / "record.json").read_text()) if "5ec2e7" in text] == []


PARTS = [
    "environment",
    "redis",
    "RedisJSON",
    "target",
    "master",
    "2 connected",
    "ready",
    "0:10/1:00",
    "requests/s",
    "p95",
]


def test_finished_run_leaves_no_process(finished_run: tuple[Stack, int, str]) -> None:
    """A run that ended normally leaves no process behind."""
    assert finished_run[0].wait_until_nothing_is_left() == []


def test_run_folder_holds_the_reports(finished_run: tuple[Stack, int, str]) -> None:
    """runs/<id>/ holds the reports, Locust's HTML and CSV, the raw record and the logs."""
    files = {str(path.relative_to(finished_run[0].run_dir())) for path in finished_run[0].run_dir().rglob("*.*")}
    expected = {"record.json", "locust.html", "locust_stats.csv", "locust_failures.csv", "locust_exceptions.csv"}
    expected |= {"report.html", "summary.md", "junit.xml", "stats.csv", "steps.csv", "timeline.csv"}
    expected |= {f"logs/{name}.log" for name in ("master", "worker_1", "worker_2", "target_app", "redis")}
    assert expected - files == set()


def test_locust_statistics_agree_with_the_record(finished_run: tuple[Stack, int, str]) -> None:
    """Every name has as many requests and failures in Locust's CSV as in the record."""
    run_dir = finished_run[0].run_dir()
    record = json.loads((run_dir / "record.json").read_text())
    ours = {(s["method"], s["name"]): (s["requests"], s["failures"]) for s in record["series"] if s["requests"]}
    with (run_dir / "locust_stats.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["Name"] != "Aggregated"]
    theirs = {(r["Type"], r["Name"]): (int(r["Request Count"]), int(r["Failure Count"])) for r in rows}
    assert theirs == ours
    assert sum(requests for requests, _ in ours.values()) > 100
    assert sum(failures for _, failures in ours.values()) == 0


SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@pytest.mark.parametrize("end", SIGNALS)
def test_signal_ends_a_run_with_its_report(stack: Stack, tmp_path: Path, end: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and SIGHUP end a run early: every file names the signal; exit code 130, no process is left."""
    stack.start("--run-time", "5m", TMPDIR=str(tmp_path)).read_until("requests/s")
    stack.process.send_signal(end)
    code, output = stack.end()
    assert (code, stack.wait_until_nothing_is_left()) == (ExitCode.INTERRUPTED, []), output
    assert re.search(r"data +[\d,]{3,} keys removed", output), output
    record = json.loads((stack.run_dir() / "record.json").read_text())
    assert record["series"]
    assert (record["verdict"]["name"], record["interruption"]["by"]) == ("interrupted", SIGNALS[end])
    assert record["interruption"]["planned_s"] == 300
    assert record["interruption"]["load_s"] < 60
    assert record["events"][-1]["kind"] == "interrupted"
    sentence = record["verdict"]["reasons"][0]
    assert sentence.endswith(f": {SIGNALS[end]}")
    assert [f"verdict      interrupted\n             {sentence}" in output] == [True], output
    assert "Load test interrupted" in (stack.run_dir() / "summary.md").read_text()
    assert sentence in (stack.run_dir() / "report.html").read_text()
    junit = ET.fromstring((stack.run_dir() / "junit.xml").read_text())  # noqa: S314 - our own
    assert [error.attrib["message"] for error in junit.iter("error")].count(sentence) == 1
    assert record_file.read(stack.run_dir() / "record.stream").interruption.by == SIGNALS[end]
    assert list(tmp_path.glob("loadtest-redis-*")) == []


def test_second_signal_ends_at_once(stack: Stack) -> None:
    """A second Ctrl-C does not wait for the report: all parts are ended, and no process is left."""
    stack.start("--run-time", "5m").read_until("requests/s")
    stack.process.send_signal(signal.SIGINT)
    stack.read_until("press Ctrl-C again to end at once")
    stack.process.send_signal(signal.SIGINT)
    started = time.monotonic()
    code, output = stack.end()
    assert (code, stack.wait_until_nothing_is_left()) == (ExitCode.INTERRUPTED, []), output
    assert time.monotonic() - started < 10


def test_signal_during_start_leaves_nothing(stack: Stack) -> None:
    """Ctrl-C during start-up ends the parts that have started."""
    stack.start().read_until("redis")
    stack.process.send_signal(signal.SIGINT)
    code, output = stack.end()
    assert (code, stack.wait_until_nothing_is_left()) == (ExitCode.INTERRUPTED, []), output


def test_a_signal_before_the_test_begins_is_no_error(stack: Stack) -> None:
    """Everything is ready, but Locust still checks its workers: Ctrl-C ends the run with exit code 130."""
    stack.start("--scenario", "health", "--run-time", "5m").read_until("ready        after")
    stack.process.send_signal(signal.SIGINT)
    code, output = stack.end()
    assert (code, stack.wait_until_nothing_is_left()) == (ExitCode.INTERRUPTED, []), output


def test_killed_supervisor_leaves_nothing(stack: Stack) -> None:
    """Even after kill -9 of the supervisor every part ends, by the kernel's parent-death signal."""
    stack.start("--run-time", "5m").read_until("ready")
    stack.process.kill()
    stack.end()
    assert stack.wait_until_nothing_is_left() == []


def test_lost_target_fails_the_run(stack: Stack) -> None:
    """A target that dies during the run ends it with its name, its log and exit code 1; the record names it too."""
    stack.start("--run-time", "5m").read_until("requests/s")
    os.kill(min(stack.pids("gunicorn")), signal.SIGKILL)
    code, output = stack.end()
    assert (code, stack.wait_until_nothing_is_left()) == (ExitCode.ERROR, []), output
    assert "error: target_app ended during the run with exit code -9" in output
    assert "target_app.log" in output
    interruption = json.loads((stack.run_dir() / "record.json").read_text())["interruption"]
    assert interruption["by"] == "target_app ended during the run with exit code -9"


def test_web_ui_serves_until_ctrl_c(stack: Stack) -> None:
    """With --ui, Locust's web UI is available on loopback, and Ctrl-C is its normal end: exit code 0."""
    output = stack.start("--ui").read_until("web UI")
    url = output.rsplit("http://", 1)[1].split()[0]
    with urllib.request.urlopen(f"http://{url}/", timeout=10) as page:
        assert "Locust" in page.read().decode()
    stack.process.send_signal(signal.SIGINT)
    code, output = stack.end()
    assert (code, stack.wait_until_nothing_is_left()) == (0, []), output


def test_own_host_is_tested_without_the_target(stack: Stack) -> None:
    """With HOST no target is started, and the requests go to that host."""
    paths = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_port}"
    code, output = stack.start("--scenario", "health", "--profile", "smoke", "--run-time", "4s", "--host", host).end()
    server.shutdown()
    server.server_close()
    assert ended_well(code, output), output
    assert set(paths) == {"/healthz/live", "/healthz/ready"}, output
    assert [name for name in ("target_app.log", "redis.log") if (stack.run_dir() / "logs" / name).exists()] == []


BAD_INPUT = {
    "unknown scenario": (["--scenario", "documnets"], {}, ExitCode.USAGE, "did you mean documents?"),
    "unknown profile": (["--profile", "quik"], {}, ExitCode.USAGE, "did you mean quick?"),
    "users": (["--users", "-1"], {}, ExitCode.USAGE, "USERS=-1"),
    "run time": ([], {"LOADTEST_RUN_TIME": "abc"}, ExitCode.USAGE, "RUN_TIME=abc (from LOADTEST_RUN_TIME"),
    "malformed host": (["--host", "localhost:5000"], {}, ExitCode.USAGE, "HOST=localhost:5000"),
    "dead host": (["--host", "http://127.0.0.1:1"], {}, ExitCode.USAGE, "HOST=http://127.0.0.1:1 does not accept"),
    "no redis": ([], {"REDIS_URL": "redis://127.0.0.1:1/0"}, ExitCode.ERROR, "REDIS_URL=redis://127.0.0.1:1/0"),
    "runs folder": ([], {"LOADTEST_RUNS_DIR": "/proc/runs"}, ExitCode.USAGE, "RUNS_DIR=/proc/runs cannot be written"),
    "unknown option": (["--usr", "1"], {}, ExitCode.USAGE, "--usr is not an option."),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_paragraph(stack: Stack, case: str) -> None:
    """Each bad input gives its exit code and one paragraph: value, allowed values, next step; no process is left."""
    arguments, variables, expected, words = BAD_INPUT[case]
    code, output = stack.start(*arguments, **variables).end()
    assert (code, stack.wait_until_nothing_is_left()) == (expected, []), output
    assert words in output
    assert "Traceback" not in output
    assert "Next: " in output
    assert "Allowed: " in output
    assert list(stack.runs_dir.rglob("redis.log")) == []  # not even for an unreachable host


def test_port_in_use_names_the_setting(stack: Stack) -> None:
    """A port in use is refused before anything starts, and the error names the setting that changes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, output = stack.start(LOADTEST_EXPORTER_PORT=str(port)).end()
    assert (code, stack.wait_until_nothing_is_left()) == (ExitCode.USAGE, []), output
    assert f"EXPORTER_PORT={port} is not available on 127.0.0.1" in output


def test_missing_docker_engine_is_reported(stack: Stack) -> None:
    """`make up` without a Docker engine fails before it makes anything, and names the alternative without Docker."""
    environment = {**stack.environment(), "DOCKER_HOST": "tcp://127.0.0.1:1"}
    done = subprocess.run(["make", "up"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "error: no Docker engine answers" in done.stderr
    assert "make loadtest" in done.stderr


@pytest.mark.parametrize(("given", "hint"), [("SCENRIO=health", "did you mean SCENARIO?"), ("FOO=1", "leave it out.")])
def test_a_misspelt_setting_of_make_is_refused(given: str, hint: str) -> None:
    """`make loadtest SCENRIO=health` would otherwise run another scenario than the intended one."""
    done = subprocess.run(["make", "-n", "loadtest", given], cwd=ROOT, capture_output=True, text=True, check=False)
    name = given.partition("=")[0]
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {name} is not a setting. Allowed: ACCOUNTS_FILE, ")
    assert hint in done.stderr


def test_a_part_that_cannot_start_is_named(stack: Stack, tmp_path: Path) -> None:
    """If Locust refuses a file in local_conf/, the part and its log are reported, without a traceback."""
    (tmp_path / "local_conf").mkdir()
    (tmp_path / "local_conf" / "locust.conf").write_text("users = many\n")
    code, output = stack.start(cwd=tmp_path).end()
    assert (code, stack.wait_until_nothing_is_left()) == (ExitCode.USAGE, []), output
    assert "error: master ended with exit code 2 before it was ready: “" in output
    assert "invalid int value: 'many'" in output
    assert "master.log" in output
    assert "Traceback" not in output


def test_worker_without_master_gives_up(stack: Stack) -> None:
    """A worker that cannot reach its master gives up after a while, with a next step and a non-zero exit code."""
    command = [ROOT / ".venv/bin/locust", "-f", "locust/locustfile.py", "--worker", "--master-port", "1"]
    started = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**stack.environment(), "LOADTEST_MASTER_WAIT": "3s"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "no master answered at 127.0.0.1:1 within 3 s" in done.stderr
    assert "Next: " in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 20
