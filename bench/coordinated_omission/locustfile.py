"""One GET after the other, in three ways: BENCH_WAY is locust, closed or open.

`locust` and `closed` are USERS users that each make RATE/USERS iterations per second, Locust's constant throughput;
`open` is RATE arrivals per second. The master (or Locust alone) writes its measurements to BENCH_RESULT as JSON.
"""

import json
import os
from pathlib import Path

from locust import FastHttpUser, constant_throughput, events, task
from locust.env import Environment
from locust.runners import LocalRunner, MasterRunner

from bench.coordinated_omission.plan import QUANTILES, RATE_PER_S, RUN_S, USERS
from loadtest.clients.http import HttpUser
from loadtest.pacing import service as pacing
from loadtest.profiles.curve import Stage
from loadtest.profiles.profile import LoadProfile
from loadtest.settings.config import Config
from loadtest.swarm import replacements, session
from loadtest.swarm.record_keeper import RecordKeeper

WAY = os.environ["BENCH_WAY"]
RESULT = Path(os.environ["BENCH_RESULT"])


class Getter(FastHttpUser if WAY == "locust" else HttpUser):  # type: ignore[misc]
    """Gets one page at its share of the rate."""

    wait_time = constant_throughput(RATE_PER_S / USERS)

    @task
    def get(self) -> None:
        """Get the page."""
        self.client.get("/", name="page")


if WAY != "locust":
    replacements.install(Config())


@events.init.add_listener
def wire(environment: Environment, runner: object, **_: object) -> None:
    """Connect our recorder, unless Locust measures."""
    if WAY == "locust":
        if isinstance(runner, LocalRunner):
            environment.events.quitting.add_listener(lambda **_: write_locusts(environment))
        return
    if isinstance(runner, MasterRunner) and WAY == "open":
        environment.events.test_start.add_listener(lambda **_: begin_open(environment))
    session.start(environment, pacing.service)
    if isinstance(runner, MasterRunner):
        environment.events.test_stop.add_listener(lambda **_: write_ours(environment))


def begin_open(environment: Environment) -> None:
    """Start the arrivals."""
    profile = LoadProfile("bench", "open", (Stage(RUN_S, RATE_PER_S, "step"),), max_users=2000)
    begun.append(pacing.prepare(environment, profile, lambda: end_open(environment)))


begun: list[pacing.ArrivalCoordinator] = []
origin_s: list[float] = []


def end_open(environment: Environment) -> None:
    """Record the start of the schedule, and end the run."""
    origin_s.append(begun[0].schedule.origin_s)
    environment.runner.quit()


def write_ours(environment: Environment) -> None:
    """Write the figures of our record."""
    record = RecordKeeper.of(environment).finish()
    total = record.total()
    times = {str(quantile): total.response_time.quantile(quantile) for quantile in QUANTILES}
    service = {str(quantile): total.service_time.quantile(quantile) for quantile in QUANTILES}
    more = {"origin_s": origin_s[0] if origin_s else None, "dropped": sum(record.dropped.values())}
    result = {"requests": total.requests, "response_time": times, "service_time": service, **more}
    RESULT.write_text(json.dumps(result))


def write_locusts(environment: Environment) -> None:
    """Write the figures of Locust's own statistics."""
    entry = environment.stats.total
    times = {str(quantile): entry.get_response_time_percentile(quantile) / 1000 for quantile in QUANTILES}
    RESULT.write_text(json.dumps({"requests": entry.num_requests, "response_time": times}))
