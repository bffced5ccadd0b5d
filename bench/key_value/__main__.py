"""The key-value workload beside redis-benchmark and memtier_benchmark, on GET and SET of uniform keys.

    python -m bench.key_value [--rounds N]

16 connections, 10,000 keys of which half are there, values of 500 bytes: how many commands each tool sends per second
of its own CPU time, as fast as it goes, by Redis' own count. A tool that is not on PATH is left out, and said.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import redis

from bench.engine.measuring import SERVER_CORE, Comparison, Subject, compare
from loadtest.local.process import ManagedProcess, free_port
from loadtest.workload.key_value import Workload

CONNECTIONS: Final = 16
KEYS: Final = 10_000
VALUE_BYTES: Final = 500
OURS, MEMTIER, BENCHMARK = "this product's workload", "memtier_benchmark", "redis-benchmark"
_USERS: Final = Path(__file__).with_name("users.py")


class Server:
    """A Redis that counts the commands.

    Attributes:
        environment: variables that tell the tools where it is.
        client: of redis-py.
    """

    def __init__(self, port: int, work: str, folder: Path) -> None:
        """Write half of the keys, under the names of each tool."""
        self.client = redis.Redis(port=port, protocol=2)
        self._command = f"cmdstat_{work}"
        workload = folder / "workload.toml"
        workload.write_text(
            f"[keys]\nsize = {KEYS}\nfill = 0.5\n[values]\nsize_bytes = {VALUE_BYTES}\n[operations]\n{work} = 1\n"
        )
        self.environment = {
            "REDIS_URL": f"redis://127.0.0.1:{port}", "PORT": str(port), "WORKLOAD": str(workload),
            "LOCUST_SKIP_UPDATE_CHECK": "1",
        }  # fmt: skip
        Workload.read(workload).load(self.environment["REDIS_URL"], lambda _done, _total: None)
        for name, first in (("memtier-{}", 1), ("key:{:012}", 0)):
            numbers = range(first, first + KEYS // 2)
            self.client.mset({name.format(number): b"x" * VALUE_BYTES for number in numbers})

    def served(self) -> int:
        """Commands executed so far."""
        return int(self.client.info("commandstats").get(self._command, {"calls": 0})["calls"])


@contextmanager
def running(work: str) -> Iterator[Server]:
    """A Redis on a core of its own."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        command = ["taskset", "-c", str(SERVER_CORE), "redis-server", *options]
        process = ManagedProcess("redis", command, Path(folder) / "redis.log")
        try:
            process.wait_until(partial(_answers, port), 20)
            yield Server(port, work, Path(folder))
        finally:
            process.kill()


def _answers(port: int) -> bool:
    try:
        return bool(redis.Redis(port=port).ping())
    except redis.RedisError:
        return False


def subjects(work: str) -> list[Subject]:
    """Each tool that is there, as fast as it goes."""
    return [Subject(name, tuple(command), is_ours=name == OURS) for name, command in _commands(work).items()]


def _commands(work: str) -> dict[str, list[str]]:
    users = ["-u", str(CONNECTIONS), "-r", str(CONNECTIONS), "-t", "10m"]
    found = {OURS: [sys.executable, "-m", "locust", "-f", str(_USERS), "--headless", "--only-summary", *users]}
    if program := shutil.which(BENCHMARK):
        load = ["-c", str(CONNECTIONS), "-n", "1000000000", "-r", str(KEYS), "-d", str(VALUE_BYTES), "-t", work, "-q"]
        found[BENCHMARK] = [program, "-p", "{PORT}", *load]
    if program := shutil.which(MEMTIER):
        keys = ["--key-minimum=1", f"--key-maximum={KEYS}", "--key-pattern=R:R", f"--data-size={VALUE_BYTES}"]
        load = [f"--clients={CONNECTIONS}", "--threads=1", f"--ratio={'0:1' if work == 'get' else '1:0'}"]
        found[MEMTIER] = [program, "--port={PORT}", *keys, *load, "--hide-histogram", "--test-time=600"]
    return found


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.key_value", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="windows of each tool (default 3)")
    rounds = parser.parse_args().rounds
    if missing := [name for name in (BENCHMARK, MEMTIER) if shutil.which(name) is None]:
        print(f"not on PATH, so left out: {', '.join(missing)}")
    print("| command | tool | per CPU second | per second |\n|---|---|---|---|")
    for work in ("get", "set"):
        comparison = Comparison(work, work.upper(), "commands", subjects(work), partial(running, work))
        for result in compare(comparison, rounds, lambda _: None):
            print(
                f"| {work.upper()} | {result.subject.name} | {result.per_cpu_s:,.0f} | {result.per_s:,.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
