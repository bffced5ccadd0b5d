"""The locustfile of the feeding tests: users that log each item before they use it.

A worker appends the item and the time to ``used-<pid>`` with one write, which survives any end of the process. The
master writes the ending of the run to ``ended``.
"""

import os
import time
from pathlib import Path

import gevent
from locust import User, constant, events, task
from locust.env import Environment
from locust.runners import MasterRunner

from loadtest.feeding import service as feeding
from loadtest.feeding.feed import Feed
from loadtest.settings.config import Config
from loadtest.swarm import replacements, session

FOLDER = Path(os.environ["MEASURING_FOLDER"])
ITEMS = int(os.environ.get("FEEDING_ITEMS", "1000"))
POLICY = os.environ.get("FEEDING_POLICY", "unique_then_stop")
replacements.install(Config())


class Reader(User):
    """Uses an item about every 50 ms."""

    wait_time = constant(0.05)
    feeder = Feed(range(ITEMS), POLICY)
    file = os.open(FOLDER / f"used-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    @task
    def use(self) -> None:
        """Write the next item down."""
        os.write(self.file, b"%d %f\n" % (self.feeder.next(), time.perf_counter()))


@events.init.add_listener
def on_init(environment: Environment, **_: object) -> None:
    """Wire the feeding, as a composition root does."""

    def end(reason: str) -> None:
        (FOLDER / "ended").write_text("\n".join([reason, *feeding.of(environment).account()]))
        gevent.spawn(environment.runner.quit)

    if isinstance(environment.runner, MasterRunner):
        environment.events.test_start.add_listener(lambda **_: feeding.of(environment).prepare(None, None, end))
    session.start(environment, feeding.service)
