"""Reported against true times: from a target that timestamps its own service times to Prometheus' buckets.

    python -m bench.ground_truth

The target sleeps for times drawn from a known distribution, half of them below a millisecond, with a tail whose 99.9th
percentile is far from its 99th, and records how long each response really took. First a master and a worker with our
client send requests to it, then the same with stock Locust and its FastHttpUser; the user's task also times each call
with its own clock. The table has both true times, the record, the results of a real Prometheus that scraped the
exporter every 2 s, and Locust's statistics. Prometheus runs in the container that docker-compose.yml names; without a
Docker engine its row is missing, and the bench says so.

Between the target's times and the caller's are the loopback and, on a busy machine, the scheduler: no client can see
less. So the reported service times are compared with the caller's times. Our last row is the response time, which
begins at the intended start of the call: it includes the lateness of the generator's timers.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from locust import FastHttpUser, constant, events, task
from locust.env import Environment

from loadtest.clients.http import HttpUser
from loadtest.exporting import exporter
from loadtest.local.process import free_port
from loadtest.settings.config import Config
from loadtest.swarm import replacements, session
from loadtest.swarm.record_keeper import RecordKeeper

QUANTILES = (0.5, 0.9, 0.99, 0.999)
USERS = 4
RUN_S = int(os.environ.get("BENCH_RUN_S", "40"))
LOCUSTFILE = Path(__file__)
WAY = os.environ.get("BENCH_WAY", "")
FOLDER = Path(os.environ.get("BENCH_FOLDER", "."))
EXPORTER_PORT = int(os.environ.get("BENCH_EXPORTER_PORT", "0"))
SCRAPE_EVERY_S = 2
COUNT = 'sum(last_over_time(loadtest_requests_total{name="page"}[1m]))'


def drawn_s(source: random.Random) -> float:
    """A sleep: 55 % below a millisecond, 38 % around 10 ms, 6.5 % around 80 ms, 0.5 % around 700 ms."""
    at = source.random()
    if at < 0.55:
        return source.uniform(0.0002, 0.0005)
    if at < 0.93:
        return source.gauss(0.010, 0.001)
    if at < 0.995:
        return source.gauss(0.080, 0.005)
    return source.gauss(0.700, 0.030)


class Target(asyncio.Protocol):
    """Responds after a drawn sleep, and records how long it took."""

    stamps_s: list[float]
    source: random.Random

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request; the bench's have no body and arrive whole. ``/stamps`` returns the sorted stamps."""
        if data.startswith(b"GET /stamps"):
            self.answer(json.dumps(sorted(self.stamps_s)).encode())
            return
        begin_s = time.perf_counter()
        until_s = begin_s + drawn_s(self.source)
        # Timers are accurate to a millisecond or two; the rest is a busy wait.
        asyncio.get_running_loop().call_later(until_s - begin_s - 0.002, self.finish, begin_s, until_s)

    def finish(self, begin_s: float, until_s: float) -> None:
        """Wait for the rest of the sleep, and respond."""
        while time.perf_counter() < until_s:
            pass
        self.answer(b"ok")
        self.stamps_s.append(time.perf_counter() - begin_s)

    def answer(self, body: bytes) -> None:
        """Send in one write, so that no part waits for an acknowledgement."""
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


async def serve(port: int) -> None:
    """The target's process."""
    Target.stamps_s, Target.source = [], random.Random(1)
    server = await asyncio.get_running_loop().create_server(Target, "127.0.0.1", port)
    await server.serve_forever()


stamps_s: list[float] = []


class Getter(FastHttpUser if WAY == "locust" else HttpUser):  # type: ignore[misc]
    """Gets one page after the other."""

    wait_time = constant(0.02)
    scenario = "truth"

    @task
    def get(self) -> None:
        """Get the page, and record how long that took."""
        begin_s = time.perf_counter()
        self.client.get("/", name="page")
        stamps_s.append(time.perf_counter() - begin_s)


if WAY:
    if WAY == "ours":
        replacements.install(Config())

    @events.init.add_listener
    def wire(environment: Environment, **_: object) -> None:
        """Connect the measuring side, and write its figures at the end."""
        if WAY == "ours":
            session.start(environment)
        if not environment.parsed_options.master:
            stamped = FOLDER / "stamped.json"
            environment.events.quitting.add_listener(lambda **_: stamped.write_text(json.dumps(sorted(stamps_s))))
            return
        if WAY == "ours":
            exporter.start(environment, "127.0.0.1", EXPORTER_PORT)
        environment.events.quitting.add_listener(lambda **_: write(environment))


def write(environment: Environment) -> None:
    """Write the figures of the record and of Locust; then give Prometheus time for the last scrape."""
    entry = environment.stats.total
    reported = {
        "locust": [entry.get_response_time_percentile(q) / 1000 for q in QUANTILES],
        "count": entry.num_requests,
    }
    if WAY == "ours":
        record = RecordKeeper.of(environment).finish()
        reported |= {
            "record": record.total().service_time.quantiles(QUANTILES),
            "response": record.total().response_time.quantiles(QUANTILES),
            "count": record.requests,
            "completeness": record.completeness,
        }
        time.sleep(3 * SCRAPE_EVERY_S)
    FOLDER.joinpath("reported.json").write_text(json.dumps(reported), encoding="utf-8")


class Prometheus:
    """A real Prometheus, which scrapes the exporter."""

    def __init__(self, port: int) -> None:
        """Store the address at which it listens."""
        self._url = f"http://127.0.0.1:{port}/api/v1/query?query="

    def __call__(self, query: str) -> float:
        """Return the result of a query with one value."""
        with urllib.request.urlopen(self._url + urllib.parse.quote(query)) as answer:  # noqa: S310 - loopback
            (sample,) = json.load(answer)["data"]["result"]
        return float(sample["value"][1])

    def quantiles(self) -> list[float]:
        """Return a quantile of the service time over the whole run."""
        buckets = 'sum by (le) (last_over_time(loadtest_service_time_seconds_bucket{name="page"}[1m]))'
        return [self(f"histogram_quantile({q}, {buckets})") for q in QUANTILES]


@contextlib.contextmanager
def prometheus(exporter_port: int, folder: Path) -> Iterator[Prometheus | None]:
    """Start a Prometheus for the run; None without a Docker engine."""
    compose = (Path(__file__).parents[1] / "docker-compose.yml").read_text()
    image = os.environ.get("PROMETHEUS_IMAGE") or re.search(r"PROMETHEUS_IMAGE:-([^}]+)\}", compose)[1]
    config = folder / "prometheus.yml"
    scrape = {"job_name": "bench", "static_configs": [{"targets": [f"127.0.0.1:{exporter_port}"]}]}
    config.write_text(json.dumps({"global": {"scrape_interval": f"{SCRAPE_EVERY_S}s"}, "scrape_configs": [scrape]}))
    folder.chmod(0o755)
    port = free_port()
    options = ["--network", "host", "--volume", f"{config}:/etc/prometheus/prometheus.yml:ro", image]
    own = ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/tmp/prometheus"]
    command = ["docker", "run", "--detach", "--rm", *options, *own, f"--web.listen-address=127.0.0.1:{port}"]
    started = subprocess.run(command, capture_output=True, text=True, check=False)
    if started.returncode:
        print(f"no Prometheus in this table: {started.stderr.strip()}", file=sys.stderr)
        yield None
        return
    try:
        yield Prometheus(port)
    finally:
        subprocess.run(["docker", "kill", started.stdout.strip()], capture_output=True, check=False)


def run(way: str, folder: Path) -> tuple[dict, list[float], list[float]]:
    """Make one run; return the reported figures, and the times recorded by target and caller."""
    port, link, exporter_port = free_port(), free_port(), free_port()
    target = subprocess.Popen([sys.executable, "-m", "bench.ground_truth", "--serve", str(port)])
    environment = {
        **os.environ, "BENCH_WAY": way, "BENCH_FOLDER": str(folder), "PYTHONPATH": str(Path.cwd()),
        "BENCH_EXPORTER_PORT": str(exporter_port),
    }  # fmt: skip
    common = [Path(sys.executable).with_name("locust"), "-f", LOCUSTFILE, "--host", f"http://127.0.0.1:{port}"]
    started = [target]
    beside = prometheus(exporter_port, folder) if way == "ours" else contextlib.nullcontext()
    try:
        time.sleep(1.5)
        load = ["--headless", "--only-summary", "-u", str(USERS), "-r", "100", "--run-time", f"{RUN_S}s"]
        master = [
            *common,
            "--master",
            "--expect-workers",
            "1",
            "--master-bind-host",
            "127.0.0.1",
            "--master-bind-port",
            str(link),
            *load,
        ]
        worker = [*common, "--worker", "--master-port", str(link)]
        with beside as scraper:
            for command in (master, worker):
                log = (folder / f"log-{len(started)}").open("wb")
                started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
            started[1].wait(RUN_S + 60)
            started[2].wait(RUN_S + 60)
            seen = [scraper.quantiles(), scraper(COUNT)] if scraper else None
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stamps") as answer:
            stamps = json.load(answer)
    finally:
        for process in started:
            process.kill()
            process.wait()
    reported = folder / "reported.json"
    if not reported.exists():
        raise RuntimeError("\n".join(log.read_text() for log in folder.glob("log-*")))
    return (
        json.loads(reported.read_text()) | {"prometheus": seen},
        stamps,
        json.loads((folder / "stamped.json").read_text()),
    )


def main() -> None:
    """Print the table."""
    print("| | requests |" + "".join(f" p{100 * q:g} |" for q in QUANTILES))
    print("|---|" + "---|" * (len(QUANTILES) + 1))
    for way in ("ours", "locust"):
        with tempfile.TemporaryDirectory() as folder:
            reported, at_target, at_caller = run(way, Path(folder))
        true = quantiles(at_caller)
        show(f"target's stamps ({way})", len(at_target), quantiles(at_target))
        show(f"caller's stamps ({way})", len(at_caller), true)
        if reported["prometheus"]:
            values, count = reported["prometheus"]
            show("Prometheus, by `histogram_quantile`", int(count), values, true)
        ours = {"record": "record", "response": "record, from the intended start"}
        names = ours if way == "ours" else {"locust": "stock Locust"}
        for key, name in names.items():
            show(name, reported["count"], reported[key], true)


def quantiles(stamps: list[float]) -> list[float]:
    """Return a quantile of sorted stamps by nearest rank."""
    return [stamps[max(0, math.ceil(q * len(stamps)) - 1)] for q in QUANTILES]


def show(name: str, count: int, values: list[float], true: list[float] | None = None) -> None:
    """Print a row, with its error if the true figures are given."""
    errors = [f" ({value / one - 1:+.1%})" for value, one in zip(values, true, strict=True)] if true else [""] * 9
    print(f"| {name} | {count:,} |" + "".join(f" {1000 * v:.3f} ms{e} |" for v, e in zip(values, errors, strict=False)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", type=int)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve))
    else:
        main()
