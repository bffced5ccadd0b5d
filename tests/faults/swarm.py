"""A real master and real workers, by Locust's own command line, and a target that logs requests."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import gevent
from gevent.server import StreamServer

from loadtest.local.process import free_port

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0
USERS = 8
_ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"status":"ok"}'
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


class Witness:
    """A target that responds to every request, and records its time and source address."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        """Listen on a free port."""
        self.requests: list[tuple[float, str]] = []
        self._server = StreamServer((host, 0), self._serve)
        self._server.start()
        self.url = f"http://{host}:{self._server.server_port}"

    def _serve(self, connection: socket.socket, address: tuple[str, int]) -> None:
        rest = b""
        try:
            while data := connection.recv(65536):
                *requests, rest = (rest + data).split(b"\r\n\r\n")
                for _ in requests:
                    self.requests.append((time.monotonic(), address[0]))
                    connection.sendall(_ANSWER)
        except OSError:
            return

    def between(self, from_s: float, to_s: float = float("inf"), source: str = "") -> int:
        """Return how many requests came in this time, from this address or from any."""
        return sum(from_s <= at_s < to_s and source in ("", origin) for at_s, origin in self.requests)

    def close(self) -> None:
        """End it."""
        self._server.stop()


@dataclass
class Sight:
    """The exporter's response at one time."""

    at_s: float
    samples: dict[tuple[str, str], float]

    def value(self, name: str, labels: str = "") -> float:
        """Return the sum over every sample of the name whose labels hold this text."""
        return sum(value for (one, own), value in self.samples.items() if one == name and labels in own)

    @property
    def workers(self) -> int:
        """The connected workers."""
        return int(self.value("loadtest_workers") - self.value("loadtest_workers", 'state="missing"'))

    @property
    def users(self) -> dict[str, int]:
        """The users of each connected worker."""
        found = {own: int(value) for (name, own), value in self.samples.items() if name == "loadtest_worker_users"}
        return {own: users for own, users in found.items() if users}


@dataclass
class FaultySwarm:
    """A master and workers whose ends the test decides; everything is ended with it, by id."""

    folder: Path
    target: str
    users: int = USERS
    variables: dict[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Choose ports; nothing runs yet."""
        self.port, self.exporter, self.web = free_port(), free_port(), free_port()
        self.runs = self.folder / "runs"

    def start(self, *arguments: str, before: tuple[str, ...] = (), **variables: str) -> subprocess.Popen[bytes]:
        """Start a Locust process on the product's locustfile; ``before`` is a prefix of the command."""
        mine = {
            "LOADTEST_SCENARIO": "health",
            "LOADTEST_PROFILE": "smoke",
            "LOADTEST_HOST": self.target,
            "LOADTEST_ALLOWED_HOSTS": "10.99.0.0/16",
            "LOADTEST_EXPORTER_PORT": str(self.exporter),
            "LOADTEST_RUNS_DIR": str(self.runs),
        }
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("LOADTEST_", "LOCUST_"))
        }
        locust = [sys.executable, "-m", "locust", "-f", "locust/locustfile.py", "--config", "local_conf/locust.conf"]
        with (self.folder / f"log {len(self.processes)}").open("wb") as log:
            process = subprocess.Popen(
                [*before, *locust, *arguments],
                cwd=ROOT,
                env={**environment, **mine, **self.variables, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def master(
        self, *arguments: str, workers: int = 2, run_time_s: int = 300, **variables: str
    ) -> subprocess.Popen[bytes]:
        """Start a headless master."""
        load = {
            "LOADTEST_USERS": str(self.users), "LOADTEST_SPAWN_RATE": str(self.users),
            "LOADTEST_RUN_TIME": f"{run_time_s}s",
        }  # fmt: skip
        link = ["--master-bind-host", self.host, "--master-bind-port", str(self.port)]
        waiting = ["--expect-workers", str(workers)]
        return self.start("--master", "--headless", *link, *waiting, *arguments, **load, **variables)

    def master_with_web_ui(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a master that is controlled through `ask`."""
        link = ["--master-bind-host", self.host, "--master-bind-port", str(self.port)]
        return self.start("--master", *link, "--web-host", "127.0.0.1", "--web-port", str(self.web), *arguments)

    def ask(self, path: str, **form: str) -> bool:
        """Send a form to the web UI, and return whether it was accepted.

        Raises:
            OSError: when it does not answer, or refuses.
        """
        data = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.web}{path}", data, timeout=150) as answer:
            return bool(json.load(answer)["success"])

    def worker(
        self, before: tuple[str, ...] = (), master_port: int | None = None, **variables: str
    ) -> subprocess.Popen[bytes]:
        """Start a worker."""
        link = ["--master-host", self.host, "--master-port", str(master_port or self.port)]
        return self.start("--worker", *link, before=before, **variables)

    def look(self, headers: dict[str, str] | None = None) -> Sight | None:
        """Return the exporter's current values; None when it does not respond."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.exporter}/metrics", headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return None
        samples = {(name, labels or ""): float(value) for name, labels, value in _SAMPLE.findall(text)}
        return Sight(time.monotonic(), samples)

    def wait_for(self, condition: Callable[[Sight], Any], what: str, patience_s: float = PATIENCE_S) -> Sight:
        """Return the first look at the exporter that meets the condition."""
        until_s = time.monotonic() + patience_s
        while time.monotonic() < until_s:
            sight = self.look()
            if sight is not None and condition(sight):
                return sight
            time.sleep(0.1)
        raise AssertionError(f"it never came to be: {what}\n{self.logs()}")

    def wait_for_load(self, workers: int = 2) -> Sight:
        """Wait until every user runs, on this number of workers in equal shares."""
        shares = sorted((self.users + number) // workers for number in range(workers))
        return self.wait_for(lambda s: sorted(s.users.values()) == shares, f"{self.users} users on {workers} workers")

    def record(self) -> dict[str, Any]:
        """Return the last run's record."""
        folder = max(self.runs.iterdir(), key=lambda path: path.stat().st_mtime)
        return json.loads((folder / "record.json").read_text())

    def logs(self) -> str:
        """Return what all processes wrote."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("log *")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def end(process: subprocess.Popen[bytes], signal_number: int = signal.SIGTERM, patience_s: float = PATIENCE_S) -> int:
    """Send a signal, wait for the end, and return the exit code."""
    process.send_signal(signal_number)
    with gevent.Timeout(patience_s):
        return process.wait()
