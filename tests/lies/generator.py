"""A small service and a whole run against it, in separate processes, so that a test can disturb the generator."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
SERVICE = """
import gevent.monkey; gevent.monkey.patch_all()
import sys
from gevent.pywsgi import WSGIServer

def answer(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]

server = WSGIServer(("127.0.0.1", 0), answer, log=None)
server.start()
print(server.server_port, flush=True)
server.serve_forever()
"""
BUSY = "import time; end = time.monotonic() + 120\nwhile time.monotonic() < end: pass"


@dataclass
class Ended:
    """How a run ended."""

    code: int
    output: str
    document: dict[str, Any]

    @property
    def rules(self) -> set[str]:
        """The names of the trust checks that it failed."""
        return {finding["rule"] for finding in self.document["findings"]}

    def sentence(self, rule: str) -> str:
        """What a trust check found."""
        return next(finding["sentence"] for finding in self.document["findings"] if finding["rule"] == rule)


@dataclass
class Generator:
    """A `loadtest run` that is still running."""

    folder: Path
    process: "subprocess.Popen[str]" = field(repr=False)

    def workers(self) -> list[psutil.Process]:
        """Its workers."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in children if "--worker" in one.cmdline()]

    def wait_for_load(self, seconds: float = 60.0) -> None:
        """Wait until the load has begun, that is, until a record grows."""
        stream, until_s = self.folder / "lie" / "record.stream", time.monotonic() + seconds
        while not (stream.exists() and stream.stat().st_size > 2000):
            assert time.monotonic() < until_s, "the load never began"
            time.sleep(0.1)

    def end(self) -> Ended:
        """Wait for its end."""
        output, _ = self.process.communicate(timeout=150)
        record = self.folder / "lie" / "record.json"
        assert record.exists(), output
        return Ended(self.process.returncode, output, json.loads(record.read_text()))


@contextmanager
def service(prefix: tuple[str, ...] = ()) -> Iterator[str]:
    """A service that responds immediately, started with a command prefix; yields its base URL."""
    with subprocess.Popen([*prefix, sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


@contextmanager
def busy_neighbours(count: int) -> Iterator[None]:
    """Processes that use all the CPU time they can get."""
    neighbours = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


@contextmanager
def generator(
    folder: Path, host: str, *arguments: str, prefix: tuple[str, ...] = (), **variables: str
) -> Iterator[Generator]:
    """`loadtest run` with these arguments, after a command prefix; ten users of the scenario `health` by default."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("LOADTEST_", "LOCUST_"))}
    settings = {
        "LOADTEST_HOST": host,
        "LOADTEST_SCENARIO": "health",
        "LOADTEST_USERS": "10",
        "LOADTEST_SPAWN_RATE": "10",
        "LOADTEST_RUN_TIME": "8s",
        "LOADTEST_WORKERS": "1",
        "LOADTEST_EXPORTER_PORT": "0",
        "LOADTEST_WEB_PORT": "0",
        "LOADTEST_RUNS_DIR": str(folder),
        "LOADTEST_RUN_ID": "lie",
    }
    command = [*prefix, str(Path(sys.executable).with_name("loadtest")), "run", *arguments]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**mine, **settings, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Generator(folder, process)
    finally:
        process.terminate()
        process.communicate(timeout=60)
