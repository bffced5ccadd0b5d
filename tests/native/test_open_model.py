"""The open model end to end: every arrival is started once, at its time, while workers join and die."""

import bisect
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode

from .conftest import ROOT, Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]

RATE_PER_S = 200
RUN_S = 15
WINDOW_S = 5


def test_loadtest_run_keeps_the_arrival_rate(stack: Stack) -> None:
    """`loadtest run` with constant-arrival-rate starts rate times time iterations, none dropped, and passes."""
    arguments = ["--scenario", "health", "--profile", "constant-arrival-rate", "--rate", "40", "--run-time", "8s"]
    code, output = stack.start(*arguments, "--workers", "2").end()
    record = json.loads((stack.run_dir() / "record.json").read_text())
    requests = {series["name"]: series["requests"] for series in record["series"]}
    (scenario,) = record["scenarios"]
    assert (requests["health/live"], requests["health/ready"]) == (320, 320), output
    assert (scenario["dropped"], scenario["schedule_lag"]["count"]) == (0, 320)
    # On a busy machine the run may not be trustworthy, but every arrival is counted.
    assert code in {ExitCode.PASSED, ExitCode.NOT_TRUSTWORTHY}, output
    assert stack.wait_until_nothing_is_left() == []


@dataclass
class Swarm:
    """A master and workers as processes, by Locust's own command line."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Find a free port for the link, and start the master."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = str(probe.getsockname()[1])
        mode = ["--headless", "-u", "2000", "-r", "2000", "--expect-workers", "2"]
        self._start("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", self.port, *mode)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "locust", "-f", "tests/native/open_model_locustfile.py", *arguments]
        mine = {"STARTS_DIR": str(self.folder), "RATE_PER_S": str(RATE_PER_S), "RUN_S": str(RUN_S)}
        log = (self.folder.parent / f"log {len(self.processes)}").open("w")
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **mine}, stdout=log, stderr=log)
        log.close()
        self.processes.append(process)
        return process

    def worker(self) -> subprocess.Popen[bytes]:
        """Start one more worker."""
        return self._start("--worker", "--master-host", "127.0.0.1", "--master-port", self.port)

    def wait_for_starts(self, count: int) -> None:
        """Wait until this many workers have started something."""
        while sum(path.stat().st_size > 0 for path in self.folder.iterdir()) < count:
            assert self.processes[0].poll() is None, self.logs()
            time.sleep(0.05)

    def starts(self) -> list[tuple[float, float]]:
        """Return every (intended, actual) start, in the order of the intended ones."""
        lines = [line for path in self.folder.iterdir() for line in path.read_text().splitlines(keepends=True)]
        pairs = [tuple(map(float, line.split())) for line in lines if line.endswith("\n")]
        return sorted((intended_s, real_s) for intended_s, real_s in pairs)

    def logs(self) -> str:
        """Return the output of all processes."""
        return "\n".join(path.read_text() for path in self.folder.parent.glob("log *"))


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[Swarm]:
    """Yield a swarm without workers; its processes are ended afterwards, by id."""
    (tmp_path / "starts").mkdir()
    swarm = Swarm(tmp_path / "starts")
    yield swarm
    for process in swarm.processes:
        process.kill()
        process.wait()


def windows(times: list[float]) -> list[int]:
    """Return how many of these ascending times are in each window; a window begins every tenth of a second."""
    began_s, last_s = times[0], times[-1] - WINDOW_S
    starts = [began_s + tenth / 10 for tenth in range(int((last_s - began_s) * 10))]
    return [bisect.bisect_left(times, s + WINDOW_S) - bisect.bisect_left(times, s) for s in starts]


def test_the_rate_holds_when_workers_join_and_die(swarm: Swarm) -> None:
    """One worker is killed, one joins, one ends by SIGTERM: in each 5-second window the rate stays within 1 %.

    No arrival is started twice. Only what a killed worker was just about to start may be missing.
    """
    killed, _ = swarm.worker(), swarm.worker()
    swarm.wait_for_starts(2)
    time.sleep(2)
    killed.kill()
    leaving = swarm.worker()
    swarm.wait_for_starts(3)
    time.sleep(2)
    leaving.send_signal(signal.SIGTERM)
    assert swarm.processes[0].wait(timeout=60) == 0, swarm.logs()
    intended = [intended_s for intended_s, _ in swarm.starts()]
    counts = windows(intended)
    expected = RATE_PER_S * WINDOW_S
    assert len({round(start_s, 6) for start_s in intended}) == len(intended)
    assert len(intended) == pytest.approx(RATE_PER_S * RUN_S, abs=RATE_PER_S * 0.05)
    assert (expected * 0.99 <= min(counts), max(counts) <= expected * 1.01) == (True, True), swarm.logs()
    lags = sorted(real_s - intended_s for intended_s, real_s in swarm.starts())
    assert lags[0] >= 0
    assert lags[len(lags) // 2] < 0.005
