"""Quiet runs in a row: none of them may be not trustworthy.

    python -m bench.calm [RUNS]

A check of the trust rules' limits rather than of speed: a master and two workers with ten users share the machine with
whatever else runs on it. Takes about 12 s a run; 20 runs by default. Ends with an error at the first false alarm.
"""

import sys
import tempfile
from pathlib import Path

from tests.native.measuring_processes import PATIENCE_S, Processes

RUNS = 20


def run(folder: Path) -> dict:
    """One calm run's result."""
    processes = Processes(folder)
    try:
        master = processes.master("--run-time", "8s", users=10)
        processes.worker()
        processes.worker()
        master.wait(PATIENCE_S)
        return processes.result()
    finally:
        processes.end()


def main() -> None:
    """Print a line a run."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    for number in range(1, runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            result = run(Path(folder))
        highest = {name: max(one["highest"][name] for one in result["workers"]) for name in ("cpu_ratio", "loop_lag_s")}
        print(
            f"{number:2}: {result['verdict']}, {result['total']['requests']:,} requests, "
            f"highest CPU {highest['cpu_ratio']:.0%}, highest event-loop lag {highest['loop_lag_s'] * 1e3:.0f} ms",
            flush=True,
        )
        if result["verdict"] != "passed":
            sys.exit("\n".join(result["reasons"]))


if __name__ == "__main__":
    main()
