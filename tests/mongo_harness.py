"""A server of MongoDB's wire protocol for tests."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.exceptions import LoadtestError
from loadtest.local.process import ManagedProcess, free_port
from loadtest.seeding.stores import MongoStore


@contextmanager
def mongo_server(folder: Path) -> Iterator[str]:
    """Run a server that is empty, and yield the URL of a database of it."""
    port = free_port()
    files = ["--log-file", str(folder / "server.log"), "--pid-file", str(folder / "server.pid")]
    command = [sys.executable, "-m", "nx_27017.nx_27017", "--db", "memory", "--port", str(port), *files]
    server = ManagedProcess("nx-27017", command, folder / "log")
    url = f"mongodb://127.0.0.1:{port}/loadtest_tests"
    try:
        server.wait_until(lambda: _answers(url), 30)
        yield url
    finally:
        server.stop()


def _answers(url: str) -> bool:
    try:
        with MongoStore(url + "?serverSelectionTimeoutMS=300") as store:
            return store.ids() == []
    except LoadtestError:
        return False
