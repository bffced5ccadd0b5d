"""The locustfile of the RedisJSON test: a mixture of commands, and at the end the record's counts in a file."""

import json
import os
from pathlib import Path
from typing import Any

import gevent
from locust import events, task
from locust.env import Environment

from loadtest.clients.redis import RedisJsonUser
from loadtest.swarm import session
from loadtest.swarm.record_keeper import RecordKeeper

ENOUGH = 1_500  # the run ends after this many tasks, however slow the machine is


class Mixture(RedisJsonUser):
    """Reads, writes, pipelines, transactions and a command that fails."""

    begun = 0

    def wait_time(self) -> float:
        """No pause; the task that reaches the number ends the run."""
        Mixture.begun += 1
        if Mixture.begun == ENOUGH:
            gevent.spawn(self.environment.runner.quit)
        return 0.0

    def on_start(self) -> None:
        """Write the documents that are read later."""
        self.key = f"mixture:{id(self)}"
        self.documents = self.client.labelled("mixture/documents").json()
        self.documents.set(self.key, "$", {"n": 0, "text": "x" * 100})

    @task(5)
    def read(self) -> None:
        """Read a document; it must be the user's own."""
        assert self.documents.get(self.key)["text"] == "x" * 100

    @task(2)
    def increment(self) -> None:
        """Change a number."""
        self.documents.numincrby(self.key, "$.n", 1)

    @task
    def batch(self) -> None:
        """Ten reads in one pipeline, two writes in one transaction."""
        pipeline = self.client.labelled("mixture/pipeline").pipeline(transaction=False)
        for _ in range(10):
            pipeline.json().get(self.key)
        pipeline.execute()
        self.client.labelled("mixture/transaction").pipeline().incr("mixture:a").incr("mixture:b").execute()

    @task
    def fail(self) -> None:
        """Request a document from a string key."""
        self.client.labelled("mixture/failing").execute_command("LLEN", self.key)


@events.init.add_listener
def wire(environment: Environment, **_: Any) -> None:
    """Measure, and write the record's counts at the end."""
    session.start(environment)

    @environment.events.quitting.add_listener
    def write(**_: Any) -> None:
        record = RecordKeeper.of(environment).finish()
        assert record is not None
        assert record.setup is not None, "each user writes its document in on_start"
        rows = {
            f"{view.method} {view.name}": [view.requests, view.failures, dict(view.errors)]
            for phase in (record.setup, record)
            for view in phase.series()
        }
        Path(os.environ["RESULT"]).write_text(json.dumps(rows), encoding="utf-8")
