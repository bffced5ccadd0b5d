"""The cost of serving a RedisJSON document of 14 kB in Flask, by server and by the processing of the document.

    python -m bench.target [ROUNDS]       5 rounds by default, some 3 minutes

All servers run with one process, pinned to one core; wrk and Redis use the others. They run alternately; requests are
wrk's count, CPU time is that of the server's processes. Ratios are relative to Gunicorn's default worker with redis-py
and stdlib json; that one waits for Redis and for new connections, so it serves less than its CPU would allow. At the
end the naive application and the sample target's are called without a server.
"""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import redis

from bench.engine.redis_documents import LARGE_DOCUMENT
from bench.target.variants import KEY, PATH
from loadtest.local import redis_server
from loadtest.local.process import free_port

ROOT = Path(__file__).parents[2]
WINDOW_S = 3
CONNECTIONS = 16
NAIVE = "Gunicorn sync, redis-py, stdlib json"
SHIPPED = "the sample target as it ships: gthread, lean pool, bytes passed through"


def _gunicorn(worker: str, way: str) -> list[str]:
    threads = ["--threads", "4"] if worker == "gthread" else []
    served = f'bench.target.variants:create_app("{way}")'
    return ["-m", "gunicorn", "-b", "127.0.0.1:{port}", "-k", worker, *threads, "--keep-alive", "75", served]


SERVERS = {
    "app.run(), redis-py, stdlib json": ["-m", "bench.target.variants", "{port}"],
    NAIVE: _gunicorn("sync", "json"),
    "Gunicorn sync, redis-py, orjson": _gunicorn("sync", "orjson"),
    "Gunicorn sync, redis-py, bytes passed through": _gunicorn("sync", "bytes"),
    "Gunicorn gthread, redis-py, stdlib json": _gunicorn("gthread", "json"),
    "Gunicorn gthread, redis-py, bytes passed through": _gunicorn("gthread", "bytes"),
    "Gunicorn gevent, redis-py, bytes passed through": _gunicorn("gevent", "bytes"),
    SHIPPED: ["-m", "gunicorn", "-c", "python:target_app.gunicorn_conf", "target_app:create_app()"],
}


@contextmanager
def served(command: list[str], redis_url: str, log: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Start a server on the first core; yield the document's URL and the process."""
    port = free_port()
    environment = {
        **os.environ, "REDIS_URL": redis_url, "TARGET_APP_BIND": f"127.0.0.1:{port}", "TARGET_APP_WORKERS": "1"
    }  # fmt: skip
    with log.open("w") as output:
        process = subprocess.Popen(
            ["taskset", "-c", "0", sys.executable, *(part.format(port=port) for part in command)],
            cwd=ROOT, env=environment, stdout=output, stderr=output,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}{PATH}"
    try:
        until_s = time.monotonic() + 60
        while not _answers(url):
            if time.monotonic() > until_s:
                raise RuntimeError(f"no document at {url}: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - a server of our own
            return bool(json.load(answer) == LARGE_DOCUMENT)
    except OSError:
        return False


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU time of a process and its children so far, in seconds."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def window(url: str, process: psutil.Process) -> tuple[float, float]:
    """Load a server for a while; return requests per CPU second and per second."""
    wrk = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{WINDOW_S}", url]
    before_s, began_s = cpu_s(process), time.monotonic()
    shown = subprocess.run(wrk, capture_output=True, text=True, check=True).stdout
    used_s, took_s = cpu_s(process) - before_s, time.monotonic() - began_s
    if "Non-2xx" in shown:
        raise RuntimeError(f"{url} answered with errors: {shown}")
    requests = int(re.search(r"(\d+) requests in", shown)[1])
    return requests / used_s, requests / took_s


def main() -> None:
    """Measure, and print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVERS}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis_url = stack.enter_context(redis_server.running(folder / "redis.log", print))
        redis.Redis.from_url(redis_url).json().set(KEY, "$", LARGE_DOCUMENT)
        running = {
            name: stack.enter_context(served(command, redis_url, folder / f"{number}.log"))
            for number, (name, command) in enumerate(SERVERS.items())
        }
        for number in range(rounds):
            for name, (url, process) in running.items():
                found[name].append(window(url, process))
                print(f"round {number + 1}/{rounds}  {name}: {found[name][-1][0]:,.0f} per CPU second", flush=True)
        alone = subprocess.run(
            [sys.executable, "-m", "bench.target.alone", str(rounds)],
            cwd=ROOT, env={**os.environ, "REDIS_URL": redis_url}, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    naive, naive_per_s = (statistics.median(column) for column in zip(*found[NAIVE], strict=True))
    print(f"\nPython {platform.python_version()}, load average {os.getloadavg()[0]:.1f} at the end\n")
    print("| server, one process | requests per CPU second | min | max | ratio | requests per second | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, windows in found.items():
        costs, rates = zip(*windows, strict=True)
        middle, rate = statistics.median(costs), statistics.median(rates)
        print(
            f"| {name} | {middle:,.0f} | {min(costs):,.0f} | {max(costs):,.0f} | {middle / naive:.2f} "
            f"| {rate:,.0f} | {rate / naive_per_s:.2f} |"
        )
    print(f"\n{alone}")


if __name__ == "__main__":
    main()
