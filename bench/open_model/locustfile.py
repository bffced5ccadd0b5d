"""Open-model iterations that do nothing, or one small GET: BENCH_KIND is noop or get.

Other variables: BENCH_RATE (arrivals per second), BENCH_SPACING (even or poisson), BENCH_RUN_S, BENCH_RESULT.
"""

import json
import os
import time
from pathlib import Path

from locust import events, task
from locust.env import Environment
from locust.runners import MasterRunner

from loadtest.clients.http import HttpUser
from loadtest.pacing import service as pacing
from loadtest.profiles.curve import Stage
from loadtest.profiles.profile import LoadProfile
from loadtest.settings.config import Config
from loadtest.swarm import replacements, session
from loadtest.swarm.record_keeper import RecordKeeper
from loadtest.users.base import LoadUser

KIND, RESULT = os.environ["BENCH_KIND"], Path(os.environ["BENCH_RESULT"])
RATE_PER_S, RUN_S = float(os.environ["BENCH_RATE"]), float(os.environ["BENCH_RUN_S"])
MAX_USERS = 5000

replacements.install(Config())

if KIND == "get":

    class Getter(HttpUser):
        """Gets the page."""

        @task
        def get(self) -> None:
            """Get the page."""
            self.client.get("/", name="page")

else:

    class Doer(LoadUser):
        """Does nothing, and records when it began."""

        scenario = "noop"

        def on_start(self) -> None:
            """Look up the series."""
            self.success = self.recorder.series(self.scenario, "", "start").success

        @task
        def nothing(self) -> None:
            """Record the start, like a client records a request."""
            now_s = time.perf_counter()
            self.success(self.intended_start_s, now_s, now_s, 0)


@events.init.add_listener
def wire(environment: Environment, runner: object, **_: object) -> None:
    """Connect measuring and pacing."""
    if isinstance(runner, MasterRunner):
        profile = LoadProfile(
            "bench",
            "open",
            (Stage(RUN_S, RATE_PER_S, "step"),),
            max_users=MAX_USERS,
            pre_allocated_users=64,
            arrivals=os.environ["BENCH_SPACING"],
        )
        environment.events.test_start.add_listener(lambda **_: pacing.prepare(environment, profile, runner.quit))
        environment.events.test_stop.add_listener(lambda **_: write(environment))
    session.start(environment, pacing.service)


def write(environment: Environment) -> None:
    """Write the record's figures on the starts and the worker."""
    record = RecordKeeper.of(environment).finish()
    (lag,) = record.schedule_lag.values()
    (worker,) = [row for row in record.workers if row["subject"] != "master"]
    result = {
        "starts": lag.count,
        "dropped": sum(record.dropped.values()),
        "failures": record.failures,
        "lags_ms": {str(q): lag.quantile(q) * 1e3 for q in (0.5, 0.99, 0.999)} | {"max": lag.max_s * 1e3},
        "cpu": worker["mean"]["cpu_ratio"],
    }
    RESULT.write_text(json.dumps(result))
