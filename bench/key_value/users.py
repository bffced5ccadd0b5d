"""The users of `bench.key_value`, a locustfile: the operations of the workload in the file that WORKLOAD names."""

import os

from locust import constant, events, task

from loadtest.clients.redis import RedisJsonUser
from loadtest.swarm import session
from loadtest.workload.key_value import Workload

WORKLOAD = Workload.read(os.environ["WORKLOAD"])


@events.init.add_listener
def measure(environment, **_):
    """Measure as a run does."""
    session.start(environment)


class KeyValue(RedisJsonUser):
    """Does one operation after the other."""

    wait_time = constant(0)

    def on_start(self):
        """Begin a series of accesses of its own."""
        self.accesses = WORKLOAD.accesses(self)

    @task
    def access(self):
        """Do the next operation."""
        self.accesses.next()
