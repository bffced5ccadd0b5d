"""Coordinated omission: a stall of 200 ms each second, measured in three ways and compared with the true values.

    python -m bench.coordinated_omission [--realtime]

--realtime keeps other work on a busy machine out of the measurement; it needs root.

The true values are computed from the target's own log by wrk2's rule: the k-th request at a constant rate should have
begun at start + (k + 1/2)/rate, and its response time is the time of its response minus that. The log and the schedule
use the same clock. The log is that of the open-model run, the only one with the stated rate of requests.
"""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.coordinated_omission.plan import QUANTILES, RATE_PER_S, RUN_S, USERS
from loadtest.local.process import free_port

ROOT = Path(__file__).parents[2]
WAYS = {
    "locust": "plain Locust (FastHttpUser), closed",
    "closed": "ours, closed",
    "open": "ours, open",
}
MAX_ERROR = 0.02


def go_first() -> None:
    """Give this process and its children priority over all others on this machine."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def measure(way: str, folder: Path) -> tuple[dict[str, Any], list[float]]:
    """Run one way against its own target; return its figures, and the target's log."""
    port, log, result = free_port(), folder / f"{way}.log.json", folder / f"{way}.json"
    target = subprocess.Popen([sys.executable, Path(__file__).parent / "target.py", str(port), log])
    wait_for(port)
    variables = {"BENCH_WAY": way, "BENCH_RESULT": str(result), "PYTHONPATH": str(ROOT)}
    users = [USERS, USERS] if way != "open" else [2000, 2000]
    run = ["--headless", "-u", str(users[0]), "-r", str(users[1])]
    if way != "open":
        run += ["-t", f"{RUN_S}s"]
    locust = [sys.executable, "-m", "locust", "-f", Path(__file__).parent / "locustfile.py", "--only-summary"]
    locust += ["-H", f"http://127.0.0.1:{port}", "-L", "ERROR"]
    processes = []
    if way == "locust":
        processes.append(start([*locust, *run], variables, folder / f"{way}.txt"))
    else:
        link = str(free_port())
        master = [*locust, *run, "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", link]
        processes.append(start([*master, "--expect-workers", "1"], variables, folder / f"{way}.txt"))
        worker = [*locust, "--worker", "--master-host", "127.0.0.1", "--master-port", link]
        processes.append(start(worker, variables, folder / f"{way}.worker.txt"))
    try:
        for process in processes:
            process.wait(timeout=RUN_S + 60)
    finally:
        for process in processes:
            process.kill()
        target.send_signal(signal.SIGTERM)
        target.wait(timeout=10)
    if not result.exists():
        raise SystemExit("\n".join(path.read_text() for path in folder.glob(f"{way}*.txt")))
    return json.loads(result.read_text()), json.loads(log.read_text())


def start(command: list[Any], variables: dict[str, str], output: Path) -> subprocess.Popen[bytes]:
    """Start a process whose output goes to a file."""
    with output.open("w") as file:
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, stdout=file, stderr=file)


def wait_for(port: int) -> None:
    """Wait until the port accepts connections."""
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"the target does not listen on port {port}")


def truth(answers_s: list[float], origin_s: float) -> dict[str, float]:
    """Return the quantiles of the response times by wrk2's rule, nearest rank."""
    intended_s = origin_s + (np.arange(len(answers_s)) + 0.5) / RATE_PER_S
    times = np.sort(np.sort(np.array(answers_s)) - intended_s)
    return {str(q): float(times[int(np.ceil(q * len(times))) - 1]) for q in QUANTILES}


def row(name: str, requests: int, times: dict[str, float], true: dict[str, float]) -> str:
    """Return a line of the table."""
    cells = [f"{times[str(q)] * 1e3:.4g} ({times[str(q)] / true[str(q)] - 1:+.1%})" for q in QUANTILES]
    return f"| {name} | {requests:,} | {' | '.join(cells)} |"


def main() -> int:
    """Measure, print the table, and return whether the open model was within 2 % of the true values."""
    realtime = "--realtime" in sys.argv[1:]
    if realtime:
        go_first()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{RATE_PER_S} requests/s for {RUN_S} s; closed model: {USERS} users with constant throughput")
    print(f"load average {os.getloadavg()[0]:.1f} at the start{', real-time priority' if realtime else ''}\n")
    with tempfile.TemporaryDirectory() as name:
        results = {way: measure(way, Path(name)) for way in WAYS}
    reported, answers_s = results["open"]
    true = truth(answers_s, reported["origin_s"])
    print(f"| measured by | requests | {' | '.join(f'p{q * 100:g}, ms' for q in QUANTILES)} |")
    print(f"|---|---{'|---' * len(QUANTILES)}|")
    for way, title in WAYS.items():
        print(row(title, results[way][0]["requests"], results[way][0]["response_time"], true))
    print(row("ours, open: service time only", reported["requests"], reported["service_time"], true))
    print(row("**the truth: wrk2's rule on the target's log**", len(answers_s), true, true))
    errors = {q: abs(reported["response_time"][str(q)] / true[str(q)] - 1) for q in QUANTILES[1:]}
    print(f"\ndropped {reported['dropped']}; the open model's largest error from p90 on is {max(errors.values()):.2%}")
    return 0 if max(errors.values()) <= MAX_ERROR and not reported["dropped"] else 1


if __name__ == "__main__":
    sys.exit(main())
