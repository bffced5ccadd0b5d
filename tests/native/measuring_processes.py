"""Real Locust processes for the measuring tests."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loadtest.local.process import free_port

LOCUSTFILE = Path(__file__).with_name("measuring_locustfile.py")
PATIENCE_S = 45.0


def wait_until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Return the condition's first true value."""
    until_s = time.monotonic() + patience_s
    while time.monotonic() < until_s:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"it never came to be: {what}")


class Processes:
    """A master and its workers, and the files that they wrote."""

    def __init__(self, folder: Path, locustfile: Path = LOCUSTFILE, **variables: str) -> None:
        """Nothing runs yet; ``variables`` go to every process."""
        self.locustfile = locustfile
        self.folder = folder
        self.port = free_port()
        self.web_port = free_port()
        self.running: list[subprocess.Popen[bytes]] = []
        self.environment = {**os.environ, "MEASURING_FOLDER": str(folder), **variables}

    def locust(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a Locust process; its output goes to a file."""
        log = self.folder / f"log-{len(self.running)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [Path(sys.executable).with_name("locust"), "-f", self.locustfile, *arguments],
                env={**self.environment, **variables},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.running.append(process)
        return process

    def master(self, *arguments: str, workers: int = 2, users: int = 6, **variables: str) -> subprocess.Popen[bytes]:
        """Start a headless master."""
        return self.locust(
            "--master", "--headless", "--only-summary", "--expect-workers", str(workers), "--users", str(users),
            "--spawn-rate", "100", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(self.port),
            "--csv", str(self.folder / "csv"), *arguments, **variables,
        )  # fmt: skip

    def worker(self, **variables: str) -> subprocess.Popen[bytes]:
        """Start a worker."""
        return self.locust("--worker", "--master-port", str(self.port), **variables)

    def truth(self, *processes: subprocess.Popen[bytes]) -> tuple[int, int]:
        """Requests and failures that these processes counted themselves; of all processes when none is named."""
        names = [f"truth-{process.pid}" for process in processes] or [one.name for one in self.folder.glob("truth-*")]
        counts = [self.folder.joinpath(name) for name in names]
        pairs = [struct.unpack("<QQ", one.read_bytes()) for one in counts if one.exists() and one.stat().st_size]
        return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)

    def wait_for_load(self, *processes: subprocess.Popen[bytes], requests: int = 100) -> None:
        """Wait until these processes have made some requests."""
        for process in processes:
            try:
                wait_until(lambda one=process: self.truth(one)[0] >= requests, f"{process.pid} makes requests")
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self.logs()}") from error

    def result(self, number: int = 1) -> dict[str, Any]:
        """The results that the master wrote at the end of its n-th run."""
        path = self.folder / f"result-{number}.json"
        read = wait_until(lambda: path.exists() and path.stat().st_size and path.read_text(), str(path))
        return json.loads(read)

    def request(self, path: str, data: str | None = None) -> bytes:
        """Send a request to the master's web UI."""
        body = data.encode() if data is not None else None
        with urllib.request.urlopen(f"http://127.0.0.1:{self.web_port}{path}", body, timeout=PATIENCE_S) as answer:
            return answer.read()

    def logs(self) -> str:
        """The output of all processes."""
        return "\n".join(one.read_text(errors="replace") for one in sorted(self.folder.glob("log-*")))

    def end(self) -> None:
        """End all processes that still run."""
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
