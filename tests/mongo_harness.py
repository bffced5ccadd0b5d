"""A MongoDB server for tests: a real one if the machine has it, otherwise an imitation."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.exceptions import LoadtestError
from loadtest.local.process import ManagedProcess, free_port
from loadtest.seeding.stores import MongoStore

used: set[str] = set()
"""Which servers the tests of this process ran against."""


@contextmanager
def mongo_server(folder: Path) -> Iterator[str]:
    """Run a server that is empty, and yield the URL of a database of it."""
    port = free_port()
    name, command = _server(folder, port)
    used.add(name)
    server = ManagedProcess(name, command, folder / "log")
    url = f"mongodb://127.0.0.1:{port}/loadtest_tests"
    try:
        server.wait_until(lambda: _answers(url), 60)
        yield url
    finally:
        server.stop()


def summary() -> str:
    """Return what the MongoDB tests ran against; empty if there were none, or if it was a real server."""
    if not used - {"mongod"}:
        return ""
    return (
        f"MongoDB itself was NOT tested: there is no mongod on PATH. Its tests ran against {', '.join(sorted(used))}, "
        "which speaks its protocol. Next: install mongod, and run tests/unit/feeding and tests/unit/seeding again."
    )


def _server(folder: Path, port: int) -> tuple[str, list[str]]:
    if shutil.which("mongod"):
        listen = ["--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"]
        return "mongod", ["mongod", "--dbpath", str(folder), *listen]
    files = ["--log-file", str(folder / "server.log"), "--pid-file", str(folder / "server.pid")]
    return "nx-27017", [sys.executable, "-m", "nx_27017.nx_27017", "--db", "memory", "--port", str(port), *files]


def _answers(url: str) -> bool:
    try:
        with MongoStore(url + "?serverSelectionTimeoutMS=300") as store:
            return store.ids() == []
    except LoadtestError:
        return False
