"""The users of `bench.key_value`, a locustfile: the operations of the workload in the file that WORKLOAD names.

At the maximum rate; or, with BENCH_RATE, at that many operations per second in total, whose figures are then in
BENCH_RESULT. ``python -m bench.key_value.users`` writes the keys that exist from the beginning.
"""

import json
import os
from pathlib import Path

from locust import constant, constant_throughput, events, task

from bench.key_value.plan import CONNECTIONS
from loadtest.clients.redis import RedisJsonUser
from loadtest.measuring.labels import CHECK
from loadtest.swarm import session
from loadtest.swarm.record_keeper import RecordKeeper
from loadtest.workload.key_value import Workload

WORKLOAD = Workload.read(os.environ["WORKLOAD"])
RATE_PER_S = float(os.environ.get("BENCH_RATE", "0"))


@events.init.add_listener
def measure(environment, **_):
    """Record as in a run."""
    session.start(environment)
    if RATE_PER_S:
        environment.events.quitting.add_listener(lambda **_: write(RecordKeeper.of(environment).finish()))


def write(record):
    """Write the figures that are compared."""
    total = record.total()
    (hits,) = record.of_phase(CHECK).series()
    result = {
        "hit_ratio": 1 - hits.failures / hits.requests,
        "p50_s": total.service_time.quantile(0.5),
        "p99_s": total.service_time.quantile(0.99),
    }
    Path(os.environ["BENCH_RESULT"]).write_text(json.dumps(result))


class KeyValue(RedisJsonUser):
    """Does one operation after the other."""

    wait_time = constant_throughput(RATE_PER_S / CONNECTIONS) if RATE_PER_S else constant(0)

    def on_start(self):
        """Start the user's own series of accesses."""
        self.accesses = WORKLOAD.accesses(self)

    @task
    def access(self):
        """Do the next operation."""
        self.accesses.next()


if __name__ == "__main__":
    WORKLOAD.load(os.environ["REDIS_URL"], lambda _done, _total: None)
