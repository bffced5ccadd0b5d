"""Users survive the workers that ran them."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.local.process import free_port

LOCUSTFILE = """
from locust import User, constant, events, task
from locust.runners import MasterRunner

from loadtest.swarm import rebalancing


@events.init.add_listener
def wire(environment, runner, **_):
    if isinstance(runner, MasterRunner):
        rebalancing.keep(runner)


class Waiting(User):
    wait_time = constant(1)

    @task
    def wait_here(self):
        pass
"""
USERS = 12


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[tuple[int, list[subprocess.Popen[bytes]]]]:
    """A master's web port and its four workers, started as processes."""
    file = tmp_path / "locustfile.py"
    file.write_text(LOCUSTFILE)
    web, link = free_port(), free_port()
    locust = [sys.executable, "-m", "locust", "-f", str(file), "--master-port", str(link)]
    master = [*locust, "--master", "--master-bind-port", str(link), "--web-port", str(web), "--enable-rebalancing"]
    worker = [*locust, "--worker", "--master-host", "127.0.0.1"]
    log = (tmp_path / "log").open("wb")
    commands = [master, worker, worker, worker, worker]
    processes = [subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ)) for command in commands]
    yield web, processes[1:]
    for process in processes:
        process.kill()
        process.wait()
    log.close()


def test_users_survive_workers_that_leave_together(swarm: tuple[int, list[subprocess.Popen[bytes]]]) -> None:
    """When three of four workers are stopped at the same time, the fourth soon runs all users."""
    web, workers = swarm
    _wait_for(web, workers=4, users=0)
    _ask(web, "/swarm", {"user_count": USERS, "spawn_rate": USERS})
    _wait_for(web, workers=4, users=USERS)
    for worker in workers[:3]:
        worker.send_signal(signal.SIGTERM)
    _wait_for(web, workers=1, users=USERS)


def _wait_for(web: int, *, workers: int, users: int) -> None:
    """Wait, up to two minutes, until Locust counts these workers, and users on them."""
    until_s = time.monotonic() + 120
    seen: object = None
    while time.monotonic() < until_s:
        try:
            living = [worker for worker in _ask(web, "/stats/requests")["workers"] if worker["state"] != "missing"]
            seen = (len(living), sum(worker["user_count"] for worker in living))
        except OSError as error:
            seen = error
        if seen == (workers, users):
            return
        time.sleep(0.2)
    pytest.fail(f"expected {workers} workers with {users} users, the last answer was {seen}")


def _ask(web: int, path: str, form: dict[str, int] | None = None) -> dict[str, list[dict[str, int]]]:
    data = None if form is None else urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{web}{path}", data, timeout=10) as answer:
        parsed: dict[str, list[dict[str, int]]] = json.load(answer)
    return parsed
