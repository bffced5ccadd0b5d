"""Preflight: several mistakes are reported at once, on the command line and in Compose."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode
from loadtest.local.process import free_port

ROOT = Path(__file__).parents[2]
WRONG = {
    "LOADTEST_USERS": ("many", "USERS=many "),
    "LOADTEST_SCENARIO": ("helth", "SCENARIO=helth "),
    "LOADTEST_PROFILE": ("quik", "PROFILE=quik "),
    "LOADTEST_THRESHOLD": ("p99 < 50", "THRESHOLD: 'p99 < 50': "),
    "LOADTEST_FEED": ("none.json", "none.json cannot be read"),
    "LOADTEST_TOKEN_FILE": ("none", "TOKEN_FILE=none "),
    "LOADTEST_ALLOWED_HOSTS": ("a b", "ALLOWED_HOSTS has 'a b'"),
}
LOCUST = [sys.executable, "-m", "locust", "-f", "locust/locustfile.py", "--headless"]
COMMAND_LINE = [Path(sys.executable).with_name("loadtest"), "run"]


def errors(command: list[str | Path], **settings: str) -> list[str]:
    """Return the error lines of a command with a wrong argument."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LOADTEST_", "LOCUST_"))}
    done = subprocess.run(command, cwd=ROOT, env=clean | settings, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.USAGE, done.stdout + done.stderr
    return [line.removeprefix("error: ") for line in done.stderr.splitlines() if "Allowed:" in line]


@pytest.mark.parametrize("command", [LOCUST, COMMAND_LINE], ids=["locust", "loadtest"])
@pytest.mark.parametrize("right", [None, "LOADTEST_USERS", "LOADTEST_SCENARIO"])
def test_everything_that_is_wrong_is_said_once(command: list[str | Path], right: str | None) -> None:
    """The same lines are printed whichever mistake is noticed first."""
    wrong = {name: both for name, both in WRONG.items() if name != right}
    ports = {"LOADTEST_EXPORTER_PORT": "0", "LOADTEST_TARGET_PORT": "0"}
    lines = errors(command, **ports, **{name: value for name, (value, _) in wrong.items()})
    assert len(lines) == len(wrong), lines
    assert [text for _, text in wrong.values() if not any(text in line for line in lines)] == []


def test_what_a_run_needs_around_it_is_said_with_the_rest() -> None:
    """Examples are a port in use, a service that does not respond, and an exporter that the command could not read."""
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = str(used.getsockname()[1])
        host = f"http://127.0.0.1:{free_port()}"
        around = {"LOADTEST_EXPORTER_PORT": port, "LOADTEST_EXPORTER_TLS_DIR": "certificate"}
        lines = errors(COMMAND_LINE, LOADTEST_PROFILE="quik", LOADTEST_HOST=host, **around)
    assert len(lines) == 4
    for start in ("PROFILE=quik ", f"EXPORTER_PORT={port} ", "EXPORTER_TLS_DIR=certificate ", f"HOST={host} "):
        assert any(line.startswith(start) for line in lines), lines
