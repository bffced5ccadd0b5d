"""An ordinary locustfile: users that only wait, and, if SHAPE is set, a custom LoadTestShape."""

import os
import sys
import time

from locust import constant, events, task
from locust.shape import LoadTestShape

from loadtest.conducting import service as conducting
from loadtest.exceptions import LoadtestError
from loadtest.feeding import service as feeding
from loadtest.pacing import service as pacing
from loadtest.scenarios import Scenario
from loadtest.settings.config import Config
from loadtest.swarm import session
from loadtest.users.base import LoadUser

config = Config.load()


class Sleeper(LoadUser):
    """Counts a request per task, and waits a second by default."""

    scenario = "sleep"
    wait_time = constant(1)

    @task
    def count(self) -> None:
        """Count a request that took no time."""
        now_s = time.perf_counter()
        self.intended_start_s = None
        self.recorder.series("sleep", "GET", "sleep/count").success(now_s, now_s, now_s, 0)


if shape := os.environ.get("SHAPE"):
    SHAPED = (100, 3) if shape == "100 users" else (2, 2)  # users and seconds

    class Shape(LoadTestShape):
        """Some users for some seconds, started at two per second."""

        def tick(self) -> tuple[int, float] | None:
            """Return what Locust expects of a shape."""
            users, seconds = SHAPED
            return (users, 2) if self.get_run_time() < seconds else None


@events.init.add_listener
def wire(environment: object, **_: object) -> None:
    """Wire the process as the product's own locustfile does."""
    session.start(environment, feeding.service, pacing.service)
    try:
        conducting.start(environment, config, Scenario("sleep", (Sleeper,), (("GET", "sleep/count"),)))
    except LoadtestError as error:
        sys.stdout.write(f"{error}\n")
        sys.exit(int(error.exit_code))
