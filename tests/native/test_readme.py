"""The README's commands and scenario work, and it stays short."""

import http.server
import re
import shlex
import subprocess
import threading
from pathlib import Path

import pytest

from tests.endings import ended_well

from .conftest import ROOT, Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^\$ (.+)$", README, re.MULTILINE)

RUN_HERE = {
    "make help",
    "make loadtest SCENARIO=health PROFILE=smoke WORKERS=2",
    "make loadtest USERS=20 SPAWN_RATE=20 RUN_TIME=10s",
    "make loadtest PROFILE=constant-arrival-rate RATE=20 RUN_TIME=10s THRESHOLD='p95(response_time) < 2s'",
}
RUN_ELSEWHERE = {
    "make loadtest": "test_make_loadtest_runs_to_its_end",
    "docker compose up": "tests/stack",
    "docker compose up --scale locust_worker=3": "tests/stack",
    "docker compose up -d --no-recreate --scale locust_worker=5": "tests/stack",
    "docker compose down": "tests/stack",
    "make loadtest HOST=https://staging.example.com SCENARIO=health": "test_own_host_is_tested_without_the_target",
    "make duet BASE=main": "test_the_sample_target_of_a_commit_meets_that_of_the_working_tree",
    ".venv/bin/loadtest baseline set 20261121T093657Z-documents-quick": "test_a_baseline_stands_for_its_run",
    "make loadtest BASELINE=baseline": "test_json_of_a_run_is_all_of_standard_output",
    "make test": "the test run itself",
}


def test_every_command_is_run_somewhere() -> None:
    """Each command in the README is run by a test."""
    assert sorted(COMMANDS) == sorted([*RUN_HERE, *RUN_ELSEWHERE])


def test_the_first_screen_shows_commands_and_a_result() -> None:
    """The README has at most 150 lines; the first 40 show both commands and a picture of a result."""
    lines = README.splitlines()
    assert len(lines) <= 150
    first_screen = "\n".join(lines[:40])
    assert "$ make loadtest\n$ docker compose up\n" in first_screen
    (picture,) = re.findall(r"!\[.+\]\((.+)\)", first_screen)
    assert (ROOT / picture).is_file()


@pytest.mark.parametrize("command", sorted(RUN_HERE))
def test_command_ends_well(stack: Stack, command: str) -> None:
    """Each command that needs no Docker succeeds and leaves no process running."""
    done = subprocess.run(
        shlex.split(command), cwd=ROOT, env=stack.environment(), capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert ended_well(done.returncode, output), output
    assert stack.wait_until_nothing_is_left() == []


def test_own_scenario_runs_at_once(stack: Stack, tmp_path: Path) -> None:
    """The README's scenario, saved outside the project, runs against another service without a failure."""
    (scenario,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "shop.py").write_text(scenario)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Shop)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_port}"
    arguments = ["--scenario", str(tmp_path / "shop.py"), "--profile", "smoke", "--run-time", "10s", "--host", host]
    code, output = stack.start(*arguments).end()
    server.shutdown()
    server.server_close()
    assert ended_well(code, output), output
    (total,) = [line.split() for line in output.splitlines() if re.match(r" +all ", line)]
    assert int(total[1]) > 10
    assert total[2] == "0"


class _Shop(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Return 200 for /products, and 404 for anything else."""
        self.send_response(200 if self.path == "/products" else 404)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        """Log nothing."""
