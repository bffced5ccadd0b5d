"""The locustfile of the measuring tests: users that keep their true counts in files.

Each worker writes its number of requests and failures after every request to ``truth-<pid>``, 16 bytes at a fixed
offset, so that it can be read after any end of the process. The master writes its results to ``result-<n>.json``.
"""

import itertools
import json
import os
import random
import signal
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from locust import User, constant, events, task
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtest.judging import trust
from loadtest.judging.outcome import decide
from loadtest.measuring import locust_statistics, record_dict
from loadtest.measuring.recorder import Recorder
from loadtest.settings.config import Config
from loadtest.swarm import replacements, session
from loadtest.swarm.record_keeper import RecordKeeper

FOLDER = Path(os.environ["MEASURING_FOLDER"])
BUSY_S = float(os.environ.get("MEASURING_BUSY_S", "0"))
INTERRUPT_IN = os.environ.get("MEASURING_INTERRUPT_IN", "")  # "request" or "feed"
BREAK_LINK_AFTER_S = float(os.environ.get("MEASURING_BREAK_LINK_AFTER_S", "0"))
INTERRUPTED_REQUEST = 150
replacements.install(Config())


class Truth:
    """The true counts of this process, in a file."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.counts = [0, 0]
        self._file = os.open(FOLDER / f"truth-{os.getpid()}", os.O_WRONLY | os.O_CREAT, 0o644)

    def count(self, *, failed: bool) -> None:
        """Count a request."""
        self.counts[0] += 1
        self.counts[1] += failed
        os.pwrite(self._file, struct.pack("<QQ", *self.counts), 0)


class Steady(User):
    """About 50 requests a second, a tenth of them failing."""

    scenario = "steady"
    wait_time = constant(0.02)
    truth: Truth

    def on_start(self) -> None:
        """Look up the series."""
        recorder = Recorder.of(self.environment)
        self.series = [recorder.series(self.scenario, "GET", f"steady/{number}") for number in range(3)]

    @task
    def request(self) -> None:
        """Record a made-up request."""
        failed = random.random() < 0.1
        sent_s = time.perf_counter()
        until_s = sent_s + BUSY_S
        while time.perf_counter() < until_s:
            pass
        end_s = time.perf_counter() + random.random() * 0.01
        series = random.choice(self.series)
        if failed:
            series.failure(sent_s, sent_s, end_s, 10, "status_5xx", "HTTP 503")
        else:
            series.success(sent_s, sent_s, end_s, 10)
        if INTERRUPT_IN == "request" and self.truth.counts[0] == INTERRUPTED_REQUEST:
            signal.raise_signal(signal.SIGINT)
        self.truth.count(failed=failed)


def interrupted(feed: Callable[..., None]) -> Callable[..., None]:
    """Raise Ctrl-C just before Locust's statistics are updated for the third time, when the record already is."""
    calls = itertools.count(1)

    def interrupt_and_feed(*arguments: Any) -> None:
        if next(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        feed(*arguments)

    return interrupt_and_feed


@events.init.add_listener
def on_init(environment: Environment, **_: object) -> None:
    """Wire the measuring core, as a composition root does."""
    session.start(environment)
    Steady.truth = Truth()
    if isinstance(environment.runner, WorkerRunner):
        return
    own = RecordKeeper.of(environment)
    own.stream_to(FOLDER / "record.stream", configuration={"profile": "test"})
    results: list[dict[str, Any]] = []
    if INTERRUPT_IN == "feed":
        locust_statistics.feed = interrupted(locust_statistics.feed)

    def write_result() -> None:
        record = own.record
        verdict = decide(record, trust.violations(record, own.watch))
        stats = environment.stats
        results.append(
            {
                **record_dict.as_dict(record),
                "verdict": verdict.outcome.value,
                "reasons": verdict.reasons,
                "totals": own.totals.requests,
                "workers_seen": sorted(own.workers),
                "locust": {
                    "total": [stats.total.num_requests, stats.total.num_failures],
                    "names": {entry.name: [entry.num_requests, entry.num_failures] for entry in stats.entries.values()},
                    "errors": sum(error.occurrences for error in stats.errors.values()),
                },
            }
        )
        FOLDER.joinpath(f"result-{len(results)}.json").write_text(json.dumps(results[-1]), encoding="utf-8")

    @environment.events.test_stop.add_listener
    def on_test_stop(**_: object) -> None:
        write_result()

    if BREAK_LINK_AFTER_S and isinstance(environment.runner, MasterRunner):
        gevent.spawn_later(BREAK_LINK_AFTER_S, setattr, environment.runner, "connection_broken", True)
