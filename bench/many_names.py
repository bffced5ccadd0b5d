"""The cost of the number of request names: memory and CPU of a master and of a worker, from the run's own record.

    python -m bench.many_names [names ...] [seconds]

Runs of `loadtest run` with one worker, 10, 100 and 1,000 names, a minute each by default. Every name is requested about
once a second, so that each second has all of them. For ten minutes the master keeps each second of each name, so a
longer run needs more memory.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MIB = 1 << 20
USERS = 20
SCENARIO = """
from itertools import count

from locust import constant_pacing, task

from loadtest.clients.http import HttpUser

NUMBERS = count()


class Visitor(HttpUser):
    wait_time = constant_pacing({users} / {names})

    @task
    def visit(self):
        self.client.get("/", name=f"name-{{next(NUMBERS) % {names}}}")
"""


class Page(BaseHTTPRequestHandler):
    """Responds to every request alike."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Respond."""
        self.send_response_only(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


def record_of(names: int, seconds: int, url: str, folder: Path) -> dict[str, Any]:
    """Make a run, and return its record."""
    folder.mkdir()
    (folder / "names.py").write_text(SCENARIO.format(users=USERS, names=names))
    settings = {
        "LOADTEST_RUNS_DIR": str(folder), "LOADTEST_RUN_ID": "run",
        "LOADTEST_WEB_PORT": "0", "LOADTEST_EXPORTER_PORT": "0",
    }  # fmt: skip
    command = [Path(sys.executable).with_name("loadtest"), "run", "-f", folder / "names.py", "--host", url]
    load = ["--workers", "1", "--users", str(USERS), "--spawn-rate", str(USERS), "--run-time", f"{seconds}s"]
    done = subprocess.run([*command, *load], env=os.environ | settings, capture_output=True, text=True, check=False)
    file = folder / "run" / "record.json"
    if not file.exists():
        sys.exit(f"the run ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    document: dict[str, Any] = json.loads(file.read_text())
    return document


def main(counts: list[int], seconds: int) -> None:
    """Make the runs, and print the table."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("| names | requests per second | memory of the master | memory of a worker | CPU of the master |")
    print("|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        for names in counts:
            record = record_of(names, seconds, f"http://127.0.0.1:{server.server_port}", Path(name) / str(names))
            (master,) = [one for one in record["workers"] if one["subject"] == "master"]
            (worker,) = [one for one in record["workers"] if one["subject"] != "master"]
            memory = " | ".join(f"{one['highest']['memory_bytes'] / MIB:.0f} MiB" for one in (master, worker))
            rate = record["total"]["requests"] / master["seconds"]
            print(f"| {len(record['series']):,} | {rate:,.0f} | {memory} | {master['mean']['cpu_ratio']:.2f} cores |")
    server.shutdown()


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(given[:-1] or [10, 100, 1000], given[-1] if given else 60)
