"""How long a user waits for the feeder's next item.

    python -m bench.feeder

A master and two workers, over Locust's real link. Each worker's users take items at a steady rate; each call of
`next()` is timed, including the cost of the clock. A wait is a call that found no item. Also shown: the master's CPU
during the run, including all of its work. Takes about two minutes.
"""

import platform
import tempfile
from pathlib import Path

import numpy as np

from tests.native.measuring_processes import PATIENCE_S, Processes, wait_until

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
WORKERS = 2
RUN_S = 15
CASES = ((30, 10), (300, 50), (1_000, 100), (3_000, 100))
"""Items per second and users of one worker."""


def measure(rate_per_s: int, users: int) -> str:
    """Return a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        processes = Processes(
            Path(folder), LOCUSTFILE, BENCH_RATE=str(rate_per_s), BENCH_USERS=str(users), MEASURING_FOLDER=folder
        )
        try:
            master = processes.master("--run-time", f"{RUN_S}s", workers=WORKERS, users=WORKERS * users)
            workers = [processes.worker() for _ in range(WORKERS)]
            for process in (master, *workers):
                process.wait(2 * PATIENCE_S + RUN_S)
            written = Path(folder)
            wait_until(lambda: len(list(written.glob("took-*"))) == WORKERS, "the workers' times", 5)
            took_us = np.concatenate([np.frombuffer(file.read_bytes()) for file in written.glob("took-*")]) * 1e6
            cpu_s, account = (written / "master").read_text().splitlines()[:2]
        finally:
            processes.end()
    points = " | ".join(f"{value:,.1f}" for value in np.percentile(took_us, (50, 99, 99.9)))
    waits = account.partition("; ")[2]
    return (
        f"| {rate_per_s:,} | {users} | {len(took_us):,} | {points} | {took_us.max():,.0f} | {waits} "
        f"| {float(cpu_s) / RUN_S:.1%} |"
    )


def main() -> None:
    """Print the table."""
    print(f"Python {platform.python_version()}, {WORKERS} workers, {RUN_S} s each\n")
    print(
        "| items/s per worker | users per worker | calls | p50 µs | p99 µs | p99.9 µs | max µs | waits | master CPU |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---|---:|")
    for rate_per_s, users in CASES:
        print(measure(rate_per_s, users), flush=True)


if __name__ == "__main__":
    main()
