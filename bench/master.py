"""The cost of a worker to the master, ours and Locust's, over the real socket.

    python -m bench.master

A real MasterRunner runs in a separate process. This process simulates the workers: each has its own socket and sends
the messages of a real one, at the same times. Locust's send a heartbeat per second and a report every 3 s, not in step.
Ours send one report per second, every other one with a heartbeat, at the whole second of their clocks; the bench
spreads them over 50 ms. Messages are created before they are sent. The master's CPU time is read at the beginning and
at the end of a window; a window with heartbeats only is subtracted to get the cost of a report. The two sides
alternate; medians of the rounds. The master does everything that it does in a run: it merges, acknowledges, feeds
Locust's statistics, keeps the time line and streams the record to disk.
"""

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import gevent
import gevent.monkey
import msgpack
import numpy as np
import zmq
from gevent.socket import wait_read
from locust.env import Environment
from locust.runners import STATE_RUNNING
from locust.stats import RequestStats

from loadtest.measuring.health import Health
from loadtest.measuring.packed import PackedMeasurements
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.wire import Delta
from loadtest.settings.config import Config
from loadtest.swarm import replacements, session
from loadtest.swarm.delta_sender import HEARTBEAT_EVERY_S
from loadtest.swarm.messages import REPORT
from loadtest.swarm.record_keeper import RecordKeeper

WINDOW_S = 6
ROUNDS = 3
WORKERS = {50: 200, 100: 200, 2000: 40}
REQUESTS_PER_S = {50: 1_000, 100: 1_000, 2000: 2_000}
"""Requests of one worker, by number of names; with 2,000 names each is requested once a second."""
LOCUSTS_INTERVAL_S = 3
SPREAD_S = {"locust": 1.0, "ours": 0.05}
"""The part of each second over which the workers' messages are spread."""
VERSION = "2.47.0"
HEARTBEAT = {"state": "running", "current_cpu_usage": 20.0, "current_memory_usage": 50_000_000}
USERS = {"user_classes_count": {"User": 10}, "user_count": 10}


def serve(side: str) -> None:
    """The master's process: prints its port, then its CPU time on request."""
    gevent.monkey.patch_all()
    if side == "ours":
        replacements.install(Config())
    environment = Environment()
    runner = environment.create_master_runner("127.0.0.1", 0)
    if side == "ours":
        with tempfile.TemporaryDirectory() as folder:
            session.start(environment)
            RecordKeeper.of(environment).stream_to(Path(folder) / "record.stream", run_id="bench")
            answer(runner, environment)
    else:
        answer(runner, environment)


def answer(runner: object, environment: Environment) -> None:
    """Execute the parent's commands, one per line."""
    print(runner.server.port, flush=True)
    while True:
        wait_read(sys.stdin.fileno())  # a blocking read would stop the event loop
        command = sys.stdin.readline().strip()
        if not command:
            return
        if command == "begin":
            environment.events.test_start.fire(environment=environment)
            runner.update_state(STATE_RUNNING)
        record = RecordKeeper.of(environment).record if command == "cpu ours" else None
        requests = record.requests if record else environment.stats.num_requests
        print(time.process_time(), requests, flush=True)


@dataclass
class Window:
    """The cost of one window."""

    cpu_s: float
    requests: int


class Master:
    """The master's process, and sockets that simulate its workers."""

    def __init__(self, side: str, workers: int) -> None:
        """Start it and connect the workers."""
        self.side = side
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.master", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        port = int(self.process.stdout.readline())
        self.context = zmq.Context()
        self.sockets = []
        for number in range(workers):
            socket = self.context.socket(zmq.DEALER)
            socket.setsockopt(zmq.IDENTITY, f"worker-{number}".encode())
            socket.connect(f"tcp://127.0.0.1:{port}")
            socket.send(msgpack.packb(("client_ready", VERSION, f"worker-{number}")))
            self.sockets.append(socket)
        for socket in self.sockets:
            socket.recv()
        for number, socket in enumerate(self.sockets):
            socket.send(msgpack.packb(("heartbeat", HEARTBEAT, f"worker-{number}")))
        time.sleep(0.5)
        self.ask("begin")

    def ask(self, command: str) -> tuple[float, int]:
        """Return the CPU time and the requests counted so far."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        cpu_s, requests = self.process.stdout.readline().split()
        return float(cpu_s), int(requests)

    def window(self, messages: list[list[list[bytes]]], expected: int) -> Window:
        """Send messages[second][worker], spread over each second, and return the cost."""
        command = "cpu ours" if self.side == "ours" else "cpu"
        cpu_s, requests = self.ask(command)
        for second in messages:
            begin_s = time.monotonic()
            for number, (socket, own) in enumerate(zip(self.sockets, second, strict=True)):
                delay_s = begin_s + SPREAD_S[self.side] * number / len(second) - time.monotonic()
                if delay_s > 0:
                    time.sleep(delay_s)
                for message in own:
                    socket.send(message)
            time.sleep(max(0.0, begin_s + 1.0 - time.monotonic()))
            for socket in self.sockets:
                while socket.poll(0):
                    socket.recv()
        time.sleep(2.0 if expected else 0.5)  # the last second is merged too, and no worker pauses for long
        cpu_after_s, requests_after = self.ask(command)
        until_s = time.monotonic() + 20.0  # later on a busy machine
        while requests_after - requests < expected and time.monotonic() < until_s:
            time.sleep(0.2)
            cpu_after_s, requests_after = self.ask(command)
        return Window(cpu_after_s - cpu_s, requests_after - requests)

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self.context.destroy(linger=0)


def durations(names: int, seconds: int) -> list[tuple[str, float]]:
    """Return the measurements of a worker."""
    source = np.random.default_rng(1)
    count = REQUESTS_PER_S[names] * seconds
    return [(f"documents/operation-{n % names}", d) for n, d in enumerate(source.lognormal(-6, 0.5, count).tolist())]


def heartbeats(side: str, workers: int) -> list[list[list[bytes]]]:
    """Return a window of heartbeats only."""
    kind, data, every = "heartbeat", HEARTBEAT, 1
    if side == "ours":
        kind, data, every = REPORT.name, (0.0, [], HEARTBEAT, None), HEARTBEAT_EVERY_S
    sent = [[msgpack.packb((kind, data, f"worker-{number}"))] for number in range(workers)]
    return [[[] if (second + number) % every else one for number, one in enumerate(sent)] for second in range(WINDOW_S)]


def locust_report(names: int) -> dict:
    """Return a stock worker's report after 3 s."""
    stats = RequestStats(use_response_times_cache=False)
    for name, duration in durations(names, LOCUSTS_INTERVAL_S):
        stats.log_request("GET", name, duration * 1000, 1234)
    return {
        "stats": stats.serialize_stats(),
        "stats_total": stats.total.get_stripped_report(),
        "errors": stats.serialize_errors(),
        **USERS,
    }


def messages_of(side: str, names: int, workers: int) -> tuple[list[list[list[bytes]]], int]:
    """A window's messages, and the bytes of one report."""
    report = locust_report(names)
    recorder = Recorder()
    for name, duration in durations(names, 1):
        recorder.series("documents", "GET", name).success(1.0, 1.0, 1.0 + duration, 1234)
    packed = PackedMeasurements.of(recorder.take())
    seconds = []
    size = 0
    for second in range(WINDOW_S):
        sent = []
        for number in range(workers):
            name = f"worker-{number}"
            turn = (second + number) % LOCUSTS_INTERVAL_S == 0
            if side == "ours":
                begin_s = time.perf_counter()
                delta = Delta("bench", second + 1, begin_s - 1, begin_s, False, {"d": 10}, Health(0.2), packed)
                heartbeat = None if (second + number) % HEARTBEAT_EVERY_S else HEARTBEAT
                full = (begin_s, [delta.to_bytes()], heartbeat, USERS if turn else None)
                own = [msgpack.packb((REPORT.name, full, name))]
                size = len(own[-1])
            else:
                own = [msgpack.packb(("heartbeat", HEARTBEAT, name))]
                if turn:
                    own.append(msgpack.packb(("stats", report, name)))
                    size = len(own[-1])
            sent.append(own)
        seconds.append(sent)
    return seconds, size


@dataclass
class Cost:
    """The master's CPU time."""

    per_report_s: float
    per_worker_second_s: float
    report_bytes: int


def measure(side: str, names: int) -> Cost:
    """One round of one side."""
    workers = WORKERS[names]
    messages, size = messages_of(side, names, workers)
    reports = workers * WINDOW_S // (1 if side == "ours" else LOCUSTS_INTERVAL_S)
    requests = REQUESTS_PER_S[names] * (1 if side == "ours" else LOCUSTS_INTERVAL_S) * reports
    master = Master(side, workers)
    try:
        idle = master.window(heartbeats(side, workers), 0)
        busy = master.window(messages, requests)
    finally:
        master.close()
    if busy.requests != requests:
        raise AssertionError(f"{side} counted {busy.requests} of {requests} requests")
    return Cost((busy.cpu_s - idle.cpu_s) / reports, busy.cpu_s / workers / WINDOW_S, size)


def main() -> None:
    """Print the table."""
    print(f"{platform.machine()}, Python {platform.python_version()}; medians of {ROUNDS} rounds\n")
    print("| names | side | bytes/report | CPU/report | CPU/worker and second | workers on one core |")
    print("|---|---|---|---|---|---|")
    for names in WORKERS:
        rounds = [{side: measure(side, names) for side in ("locust", "ours")} for _ in range(ROUNDS)]
        medians = {}
        for side in ("locust", "ours"):
            costs = [one[side] for one in rounds]
            report_s = statistics.median(cost.per_report_s for cost in costs)
            second_s = statistics.median(cost.per_worker_second_s for cost in costs)
            medians[side] = Cost(report_s, second_s, costs[0].report_bytes)
            print(
                f"| {names} | {side} | {costs[0].report_bytes:,} | {report_s * 1e3:.3f} ms "
                f"| {second_s * 1e3:.3f} ms | {1 / second_s:,.0f} |"
            )
        ours, theirs = medians["ours"], medians["locust"]
        print(
            f"| {names} | ratio | {ours.report_bytes / theirs.report_bytes:.2f} "
            f"| {ours.per_report_s / theirs.per_report_s:.2f} | "
            f"{ours.per_worker_second_s / theirs.per_worker_second_s:.2f} "
            f"| {theirs.per_worker_second_s / ours.per_worker_second_s:.1f}x |"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(sys.argv[1])
    else:
        main()
