"""The target under Gunicorn, for the tests of its metrics and of its server."""

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from loadtest.local.process import ManagedProcess, free_port
from tests.servers import answers


class Server:
    """The target under Gunicorn, with its own port and folder."""

    def __init__(self, folder: Path, redis_url: str, workers: int, *options: str) -> None:
        """Start it; `wait` for it to be ready."""
        self.folder = folder
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            "REDIS_URL": redis_url,
            "TARGET_APP_BIND": f"127.0.0.1:{port}",
            "TARGET_APP_WORKERS": str(workers),
            "TARGET_APP_REDIS_TIMEOUT_S": "0.5",
            "TARGET_APP_TMP_DIR": str(folder),
        }
        command = [sys.executable, "-m", "gunicorn", "-c", "python:target_app.gunicorn_conf", *options]
        command.append("target_app:create_app()")
        self.process = ManagedProcess("target", command, folder / "target.log", environment)

    def wait(self, path: str = "/healthz/live") -> None:
        """Wait until a GET of the path gives 200."""
        self.process.wait_until(lambda: answers(self.url + path), 20)

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a GET on a connection of its own."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str, labels: dict[str, str] | None = None) -> float:
        """Scrape, and return a sample's value; 0 when there is none."""
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                if sample.name == name and sample.labels == (labels or {}):
                    return sample.value
        return 0.0

    def in_flight(self) -> dict[str, float]:
        """Scrape, and return the requests in flight by the slot of their worker."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        samples = [sample for family in families for sample in family.samples]
        return {s.labels["pid"]: s.value for s in samples if s.name == "target_app_requests_in_flight"}

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes."""
        return psutil.Process(self.process.pid).children()

    def metric_files(self, kind: str = "") -> list[str]:
        """Return the files, of one kind or all, of all metrics folders in this server's folder."""
        return sorted(file.name for file in self.folder.glob(f"target_app-metrics-*/{kind}*"))


def until(happened: Callable[[], bool], timeout_s: float = 60) -> bool:
    """Wait for something to happen; return whether it did."""
    end_s = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.05)
    return True
