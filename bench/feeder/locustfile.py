"""Users that take items at a steady rate and record how long each `next()` took.

Environment: BENCH_RATE (items per second of one worker), BENCH_USERS (of one worker), MEASURING_FOLDER.
"""

import os
import time
from array import array
from pathlib import Path

import gevent
from locust import User, constant_throughput, events, task
from locust.env import Environment
from locust.runners import MasterRunner

from loadtest.feeding import service as feeding
from loadtest.feeding.feed import Feed
from loadtest.settings.config import Config
from loadtest.swarm import replacements, session

FOLDER = Path(os.environ["MEASURING_FOLDER"])
RATE_PER_S, USERS = float(os.environ["BENCH_RATE"]), int(os.environ["BENCH_USERS"])
ITEMS = 100_000

replacements.install(Config())
took_s = array("d")


class Taker(User):
    """Takes items."""

    wait_time = constant_throughput(RATE_PER_S / USERS)
    feeder = Feed(lambda: [f"{number:08x}-0000-4000-a000-000000000000" for number in range(ITEMS)])

    @task
    def take(self) -> None:
        """Take one, and read the clock before and after."""
        began_s = time.perf_counter()
        self.feeder.next()
        took_s.append(time.perf_counter() - began_s)


@events.init.add_listener
def on_init(environment: Environment, **_: object) -> None:
    """Connect the feeder, and write the results when the process ends."""

    def write() -> None:
        if isinstance(environment.runner, MasterRunner):
            (FOLDER / "master").write_text(
                "\n".join([str(time.process_time() - began_s[0]), *feeding.of(environment).account()])
            )
        else:
            (FOLDER / f"took-{os.getpid()}").write_bytes(took_s.tobytes())

    began_s = [0.0]

    def begin(**_: object) -> None:
        feeding.of(environment).prepare(None, None, lambda _reason: None)
        began_s[0] = time.process_time()

    if isinstance(environment.runner, MasterRunner):
        environment.events.test_start.add_listener(begin)
    session.start(environment, feeding.service)
    environment.events.test_stop.add_listener(lambda **_: gevent.spawn(write))
