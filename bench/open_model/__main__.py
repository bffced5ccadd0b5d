"""How many iterations per second one worker on one core starts in the open model, and how late.

    python -m bench.open_model [--run-time SECONDS] [--realtime]

--realtime keeps other work on a busy machine out of the measurement; it needs root.

The worker is pinned to one core; the master, and nginx for the GETs, use the others. Everything is as in a real run:
Locust's command line, the assignments over its connection, the recorder. Start lag is actual minus intended start.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loadtest.local.process import free_port

ROOT = Path(__file__).parents[2]
CASES = [
    ("noop", 1_000, "even"),
    ("noop", 30_000, "even"),
    ("noop", 30_000, "poisson"),
    ("noop", 60_000, "even"),
    ("noop", 60_000, "poisson"),
    ("noop", 100_000, "even"),
    ("get", 1_000, "even"),
    ("get", 10_000, "even"),
    ("get", 20_000, "even"),
    ("get", 30_000, "even"),
]
FLOOR_MS = 2.0
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port} backlog=8192; location / {{ default_type application/json;
    return 200 '{{"id": 1, "name": "a small answer", "items": [1, 2, 3], "ok": true}}'; }} }} }}
"""


def go_first() -> None:
    """Give this process and its children priority over all others on this machine."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def start(command: list[Any], core: int | None, log: Path, **variables: str) -> subprocess.Popen[bytes]:
    """Start a process on one core, or on all cores except the worker's."""
    cores = {core} if core is not None else set(os.sched_getaffinity(0)) - {worker_core()} or {worker_core()}
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, stdout=file, stderr=file)
    os.sched_setaffinity(process.pid, cores)
    return process


def worker_core() -> int:
    """Return the worker's core."""
    return max(os.sched_getaffinity(0))


def measure(kind: str, rate: int, spacing: str, run_s: float, port: int) -> dict[str, Any]:
    """Make one run."""
    with tempfile.TemporaryDirectory() as name:
        folder, link = Path(name), str(free_port())
        variables = {"BENCH_KIND": kind, "BENCH_RATE": str(rate), "BENCH_SPACING": spacing, "BENCH_RUN_S": str(run_s)}
        variables |= {"BENCH_RESULT": str(folder / "result.json"), "PYTHONPATH": str(ROOT)}
        locust = [sys.executable, "-m", "locust", "-f", Path(__file__).parent / "locustfile.py", "-L", "ERROR"]
        mode = ["--headless", "-u", "5000", "-r", "5000", "--expect-workers", "1", "--only-summary"]
        address = ["--master-bind-host", "127.0.0.1", "--master-bind-port", link, "-H", f"http://127.0.0.1:{port}"]
        master = start([*locust, "--master", *mode, *address], None, folder / "master.txt", **variables)
        there = ["--worker", "--master-host", "127.0.0.1", "--master-port", link]
        worker = start([*locust, *there], worker_core(), folder / "worker.txt", **variables)
        try:
            master.wait(timeout=run_s + 90)
            worker.wait(timeout=30)
        finally:
            master.kill()
            worker.kill()
        if not (folder / "result.json").exists():
            raise SystemExit("\n".join((folder / name).read_text() for name in ("master.txt", "worker.txt")))
        return dict(json.loads((folder / "result.json").read_text()))


def main() -> int:
    """Measure every case, print the table, and return whether 30,000 starts/s met the floor."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run-time", type=float, default=10.0)
    parser.add_argument("--realtime", action="store_true", help="go before everything else; needs root")
    run_s, realtime = parser.parse_args().run_time, parser.parse_args().realtime
    if realtime:
        go_first()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {run_s:g} s each")
    print(f"load average {os.getloadavg()[0]:.1f} at the start{', real-time priority' if realtime else ''}\n")
    print("| iteration | intended/s | spacing | started | dropped | worker's core | lag p50 | p99 | p99.9 | max, ms |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    met = True
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
        nginx = start([shutil.which("nginx") or "nginx", "-c", folder / "nginx.conf"], None, folder / "nginx.txt")
        try:
            time.sleep(0.5)
            for kind, rate, spacing in CASES:
                result = measure(kind, rate, spacing, run_s, port)
                lags = " | ".join(f"{value:.3g}" for value in result["lags_ms"].values())
                what = "small GET" if kind == "get" else "nothing"
                counts = f"{result['starts']:,} | {result['dropped']:,} | {result['cpu']:.0%}"
                print(f"| {what} | {rate:,} | {spacing} | {counts} | {lags} |", flush=True)
                met &= rate != 30_000 or kind == "get" or result["lags_ms"]["0.99"] <= FLOOR_MS
        finally:
            nginx.terminate()
            nginx.wait()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
