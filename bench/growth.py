"""Whether a long run grows: memory and open files of its master and workers, from warm-up to end.

    python -m bench.growth [minutes]

A real `loadtest run` of the documents scenario, 3 minutes by default; 30 at night. The first third is warm-up: for ten
minutes the record keeps each second of each name, and merges them from then on. Of the rest, the mean of the last
quarter is compared with that of the first. A growth of memory above 5 %, or of open files, has exit code 1.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psutil

USERS, WORKERS = 20, 2
SAMPLE_EVERY_S = 2.0
MAX_GROWTH = 0.05
ROLES = {"--master": "master", "--worker": "worker"}

Samples = dict[str, list[tuple[int, int]]]


def begin(minutes: float, folder: str) -> subprocess.Popen[bytes]:
    """Start the run."""
    ports = {f"LOADTEST_{name}_PORT": "0" for name in ("WEB", "EXPORTER", "TARGET")}
    command = [Path(sys.executable).with_name("loadtest"), "run", "--scenario", "documents", "--users", str(USERS)]
    load = ["--workers", str(WORKERS), "--run-time", f"{round(minutes * 60)}s", "--spawn-rate", str(USERS)]
    return subprocess.Popen([*command, *load], env={**os.environ, **ports, "LOADTEST_RUNS_DIR": folder})


def sample(run: subprocess.Popen[bytes], samples: Samples) -> None:
    """Record memory and open files of each process of the swarm."""
    for process in psutil.Process(run.pid).children(recursive=True):
        try:
            words = process.cmdline()
            role = next((role for word, role in ROLES.items() if word in words), None)
            if role:
                samples[f"{role} {process.pid}"].append((process.memory_info().rss, process.num_fds()))
        except psutil.Error:
            continue  # it has just ended


def growth(values: list[int]) -> tuple[float, float]:
    """Return the first and the last quarter's mean, after the warm-up."""
    settled = values[len(values) // 3 :]
    quarter = max(1, len(settled) // 4)
    return statistics.mean(settled[:quarter]), statistics.mean(settled[-quarter:])


def main(minutes: float) -> int:
    """Run, print the table, and return the exit code."""
    samples: Samples = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        run = begin(minutes, folder)
        while run.poll() is None:
            time.sleep(SAMPLE_EVERY_S)
            if run.poll() is None:
                sample(run, samples)
    print(f"\n{minutes:g} minutes, {USERS} users, {WORKERS} workers; exit code of the run: {run.returncode}\n")
    print("| process | memory, first quarter | last quarter | growth | open files |")
    print("|---|---:|---:|---:|---:|")
    flat = bool(samples)
    for name, taken in sorted(samples.items()):
        first_bytes, last_bytes = growth([memory for memory, _ in taken])
        first_files, last_files = growth([files for _, files in taken])
        grown = last_bytes / first_bytes - 1
        flat = flat and grown <= MAX_GROWTH and last_files <= first_files + 1
        print(
            f"| {name.split()[0]} | {first_bytes / 1e6:.1f} MB | {last_bytes / 1e6:.1f} MB | {grown:+.1%} "
            f"| {first_files:.0f} → {last_files:.0f} |"
        )
    print("\nMemory by tenths of the run, in MB:\n")
    for name, taken in sorted(samples.items()):
        tenths = [memory for memory, _ in taken][:: max(1, len(taken) // 10)]
        print(f"{name.split()[0]:8}" + " ".join(f"{memory / 1e6:6.1f}" for memory in tenths))
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0))
