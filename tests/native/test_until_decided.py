"""`loadtest run --baseline RUN --until-decided` end to end: a run of a slower service ends at its first look."""

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from loadtest.estimating import looks
from loadtest.exceptions import ExitCode

from .conftest import ROOT, Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(700)]

LONGEST_S = 45
SCENARIO = """
import time
from pathlib import Path

from locust import task

from loadtest.clients.http import HttpUser

IS_BLOCKING = Path(__file__).with_name("blocking").exists()


class Visitor(HttpUser):
    blocks_at_s = 0.0

    @task
    def look(self):
        self.client.get("/look")
        now_s = time.perf_counter()
        if IS_BLOCKING and now_s >= Visitor.blocks_at_s:
            Visitor.blocks_at_s = now_s + 0.5
            while time.perf_counter() < now_s + 0.2:
                pass
"""
LOAD = (
    *("-f", "shop.py", "--profile", "constant-arrival-rate", "--rate", "40", "--run-time", f"{LONGEST_S}s"),
    *("--workers", "1", "--run-id"),
)


class Service(ThreadingHTTPServer):
    """Responds to everything after a delay, which can be changed."""

    daemon_threads = True
    waits_s = 0.02

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Wait and respond."""
        server: Any = self.server
        time.sleep(server.waits_s)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def call_passed(record: Path) -> None:
    """Change the verdict of a run."""
    document = json.loads(record.read_text())
    document["verdict"]["name"] = "passed"
    record.write_text(json.dumps(document))


def test_a_run_of_a_slower_service_ends_at_the_first_look(stack: Stack, tmp_path: Path) -> None:
    """A service ten times as slow is detected after 20 of at most 45 s; both runs are kept, and the second is worse.

    On a busy machine a run may not be trustworthy, and is then not compared at the end. Such a baseline is refused
    immediately; here it is marked as passed, so that the rest is tested. Two runs are not compared either if only one
    had much other work at the same time. A run that would not be compared does not end early, and says so.
    """
    (tmp_path / "shop.py").write_text(SCENARIO)
    service = Service()
    load = (*LOAD[:1], str(tmp_path / LOAD[1]), *LOAD[2:])
    host = ("--host", f"http://127.0.0.1:{service.server_address[1]}")
    base_code, output = stack.start(*load, "base", *host).end(300)
    assert base_code in {ExitCode.PASSED, ExitCode.NOT_TRUSTWORTHY}, output
    if base_code == ExitCode.NOT_TRUSTWORTHY:
        code, output = stack.start(*load, "refused", *host, "--baseline", "base").end(60)
        assert (code, "base is not trustworthy" in output) == (ExitCode.USAGE, True), output
        call_passed(stack.runs_dir / "base" / "record.json")
    service.waits_s *= 10
    code, output = stack.start(*load, "new", *host, "--baseline", "base", "--until-decided").end(300)
    document = json.loads((stack.runs_dir / "new" / "record.json").read_text())
    if "goes on      the answer was known after 2" not in output:
        assert "ended        the answer was known after 2" in output
        assert [event["kind"] for event in document["events"]].count("decided") == 1
        assert looks.FIRST_S - 1 <= document["load_s"] < LONGEST_S - 5
        assert code == ExitCode.THRESHOLD_FAILED, output
        assert json.loads((stack.runs_dir / "new" / "comparison.json").read_text())["verdict"] == "worse"
    (tmp_path / "blocking").touch()
    code, output = stack.start(*load, "unfit", *host, "--baseline", "base", "--until-decided").end(300)
    assert code == ExitCode.NOT_TRUSTWORTHY, output
    assert output.count("the run could not be compared: it is not trustworthy so far; worker 0 ") == 1, output
    unfit = json.loads((stack.runs_dir / "unfit" / "record.json").read_text())
    assert "decided" not in {event["kind"] for event in unfit["events"]}
    assert unfit["load_s"] > LONGEST_S - 1
    command = [Path(sys.executable).with_name("loadtest"), "compare", "base", "new", "--force", "--json"]
    compared = subprocess.run(command, cwd=ROOT, env=stack.environment(), capture_output=True, check=True)
    assert json.loads(compared.stdout)["verdict"] == "worse"
