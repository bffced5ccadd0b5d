"""How close `loadtest capacity` comes to a known capacity.

    python -m bench.capacity [TRIES]

Each try searches a separate queue (bench/capacity/target.py) with its own number of servers and service time.
The scenario health makes two requests per iteration, so the capacity is servers / (2 x service time) iterations per
second. A try is good if the result is within 5 % of that and took less than 6 minutes.
"""

import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from loadtest.local.process import free_port

ROOT = Path(__file__).parents[2]
SLO = "p99(response_time) < 100ms, error_ratio < 0.1%"
REQUESTS_PER_ITERATION = 2
WITHIN = 0.05
IN_S = 360.0


@dataclass(frozen=True)
class Try:
    """One search and its result."""

    servers: int
    service_s: float
    found_per_s: float
    low_per_s: float
    high_per_s: float
    steps: int
    took_s: float

    @property
    def true_per_s(self) -> float:
        """The capacity by theory."""
        return self.servers / self.service_s / REQUESTS_PER_ITERATION

    @property
    def error(self) -> float:
        """The relative error."""
        return self.found_per_s / self.true_per_s - 1

    @property
    def is_good(self) -> bool:
        """Whether it was close enough and fast enough."""
        return abs(self.error) <= WITHIN and self.took_s <= IN_S


def search(servers: int, service_s: float, folder: Path) -> Try:
    """Start a queue and search its capacity with the command line."""
    port = free_port()
    queue = [sys.executable, Path(__file__).parent / "target.py", str(port), str(servers), str(service_s)]
    target = subprocess.Popen(queue)
    run_id = f"try-{port}"
    command = [Path(sys.executable).with_name("loadtest"), "capacity", "--slo", SLO, "--scenario", "health"]
    command += ["--host", f"http://127.0.0.1:{port}", "--run-id", run_id]
    ports = {f"LOADTEST_{name}_PORT": "0" for name in ("WEB", "EXPORTER", "TARGET")}
    began_s = time.monotonic()
    try:
        time.sleep(1)
        variables = {**os.environ, **ports, "LOADTEST_RUNS_DIR": str(folder)}
        log = (folder / f"{run_id}.txt").open("w")
        subprocess.run(command, cwd=ROOT, env=variables, stdout=log, stderr=log, timeout=900, check=False)
        log.close()
    finally:
        target.kill()
        target.wait()
    found = json.loads((folder / run_id / "capacity.json").read_text())
    rates = [found[name] or 0.0 for name in ("rate_per_s", "low_per_s", "high_per_s")]
    return Try(servers, service_s, *rates, len(found["steps"]), time.monotonic() - began_s)


def main() -> int:
    """Make the tries and print a line for each."""
    tries = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"load average {os.getloadavg()[0]:.1f} at the start; objective {SLO}\n")
    print("| queue | true, iterations/s | found | 95 % interval | error | steps | took | |")
    print("|---|---|---|---|---|---|---|---|")
    random.seed(20)
    good = 0
    with tempfile.TemporaryDirectory() as name:
        for _ in range(tries):
            servers, service_s = random.randint(2, 16), round(random.uniform(0.01, 0.04), 3)
            one = search(servers, service_s, Path(name))
            good += one.is_good
            print(
                f"| {servers} x {service_s * 1e3:g} ms | {one.true_per_s:.1f} | {one.found_per_s:.1f} "
                f"| {one.low_per_s:.1f} to {one.high_per_s:.1f} | {one.error:+.1%} | {one.steps} | {one.took_s:.0f} s "
                f"| {'good' if one.is_good else 'MISSED'} |",
                flush=True,
            )
    print(f"\n{good} of {tries} within {WITHIN:.0%} and {IN_S:.0f} s")
    return 0 if good >= 0.9 * tries else 1


if __name__ == "__main__":
    sys.exit(main())
