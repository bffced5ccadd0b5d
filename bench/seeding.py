"""How many generated users per second `loadtest seed users` writes into Redis.

    python -m bench.seeding [USERS]

The command itself, as a separate process, with a Redis with RedisJSON started for it: once with an empty Redis, and
once more when all users exist. The rate is that of the writes, without the start of Python and Faker.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from loadtest.local import redis_server

USERS = 100_000


def seed(url: str, count: int, out: Path) -> str:
    """Return the result of one seeding."""
    command = [Path(sys.executable).with_name("loadtest"), "seed", "users", "--count", str(count), "--store", url]
    began_s = time.monotonic()
    printed = subprocess.run([*command, "--out", out], check=True, capture_output=True, text=True).stdout
    took_s = time.monotonic() - began_s
    writing_s = float(re.search(r" in ([\d.]+) s", printed).group(1))
    return f"{count / writing_s:,.0f} users/s written, {took_s:.1f} s in all: {printed.strip().splitlines()[-2]}"


def main() -> None:
    """Seed twice."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else USERS
    with tempfile.TemporaryDirectory() as folder, redis_server.running(Path(folder) / "log", print) as url:
        for _ in range(2):
            print(seed(url, count, Path(folder) / "user_ids.json"), flush=True)


if __name__ == "__main__":
    main()
