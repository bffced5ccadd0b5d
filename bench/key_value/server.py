"""The Redis of `bench.key_value`: on a separate core, with some of the keys of each tool."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import redis

from bench.engine.measuring import SERVER_CORE
from bench.key_value.plan import FILLED, KEYS, VALUE_BYTES
from loadtest.local.process import ManagedProcess, free_port

_ROOT = Path(__file__).parents[2]


class Server:
    """A Redis that counts the commands.

    Attributes:
        port: the port at which it listens.
        environment: variables with its address for the tools, and the work of our users.
    """

    def __init__(self, port: int, work: str, distribution: str, folder: Path) -> None:
        """Write the keys, under the names of each tool."""
        self.port = port
        self._client = redis.Redis(port=port, protocol=2)
        self._command = f"cmdstat_{work}"
        workload = folder / "workload.toml"
        workload.write_text(
            f'[keys]\nsize = {KEYS}\nfill = {FILLED / KEYS}\ndistribution = "{distribution}"\n'
            f"[values]\nsize_bytes = {VALUE_BYTES}\n[operations]\n{work} = 1\n"
        )
        self.environment = {
            "REDIS_URL": f"redis://127.0.0.1:{port}", "PORT": str(port), "WORKLOAD": str(workload),
            "LOCUST_SKIP_UPDATE_CHECK": "1",
        }  # fmt: skip
        fill = [sys.executable, "-m", "bench.key_value.users"]
        subprocess.run(fill, env={**os.environ, **self.environment}, cwd=_ROOT, check=True)
        for name, first in (("memtier-{}", 1), ("key:{:012}", 0)):
            numbers = range(first, first + FILLED)
            self._client.mset({name.format(number): b"x" * VALUE_BYTES for number in numbers})

    def served(self) -> int:
        """Return the number of commands executed so far."""
        return int(self._client.info("commandstats").get(self._command, {"calls": 0})["calls"])

    def looked_up(self) -> tuple[int, int]:
        """Return the number of hits and of misses so far."""
        stats = self._client.info("stats")
        return stats["keyspace_hits"], stats["keyspace_misses"]


@contextmanager
def running(work: str, distribution: str) -> Iterator[Server]:
    """Run a Redis on a separate core."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        command = ["taskset", "-c", str(SERVER_CORE), "redis-server", *options]
        process = ManagedProcess("redis", command, Path(folder) / "redis.log")
        try:
            process.wait_until(partial(_answers, port), 20)
            yield Server(port, work, distribution, Path(folder))
        finally:
            process.kill()


def _answers(port: int) -> bool:
    try:
        return bool(redis.Redis(port=port).ping())
    except redis.RedisError:
        return False
