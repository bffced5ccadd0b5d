"""The users of the RedisJSON comparisons, a locustfile; the bench names one class on Locust's command line.

The redis-py user follows Locust's documentation for custom clients: a wrapper that fires ``events.request`` for each
call. The requests of ours are folded and reported as in a real run; Locust's statistics do the same for redis-py's.
"""

import os
from time import perf_counter

import redis
from locust import User, events, task

from bench.engine.redis_documents import LARGE, PIPELINE_LENGTH, SMALL
from loadtest.clients.redis import RAW, RedisJsonUser
from loadtest.swarm import session


@events.init.add_listener
def measure(environment, **_):
    """Record our users as in a run; for redis-py's, Locust's own statistics stay in place."""
    if any(issubclass(user_class, OurUser) for user_class in environment.user_classes):
        session.start(environment)


class OurUser(RedisJsonUser):
    """This product's client."""

    abstract = True


class OurJsonGet(OurUser):
    """JSON.GET of a small document, parsed."""

    def on_start(self):
        """Bind the methods that the task calls."""
        self.documents = self.client.labelled("bench/small").json()

    @task
    def get(self):
        """One unit of work."""
        self.documents.get(SMALL)


class OurJsonGetRaw(OurUser):
    """JSON.GET of a small document, left as bytes, as redis-benchmark leaves it."""

    def on_start(self):
        """Bind the methods that the task calls."""
        self.documents = self.client.labelled("bench/small").json(decoder=RAW)

    @task
    def get(self):
        """One unit of work."""
        self.documents.get(SMALL)


class OurPipeline(OurUser):
    """Ten JSON.GETs of a small document in one pipeline."""

    def on_start(self):
        """Bind the methods that the task calls."""
        self.labelled = self.client.labelled("bench/pipeline")

    @task
    def get(self):
        """One unit of work."""
        pipeline = self.labelled.pipeline(transaction=False)
        documents = pipeline.json()
        for _ in range(PIPELINE_LENGTH):
            documents.get(SMALL)
        pipeline.execute()


class OurLargeParsed(OurUser):
    """JSON.GET of a 14 kB document, parsed."""

    def on_start(self):
        """Bind the methods that the task calls."""
        self.documents = self.client.labelled("bench/large").json()

    @task
    def get(self):
        """One unit of work."""
        self.documents.get(LARGE)


class OurLargeRaw(OurUser):
    """JSON.GET of a 14 kB document, left as bytes."""

    def on_start(self):
        """Bind the methods that the task calls."""
        self.documents = self.client.labelled("bench/large").json(decoder=RAW)

    @task
    def get(self):
        """One unit of work."""
        self.documents.get(LARGE)


class RedisPyUser(User):
    """redis-py, one client per user, its calls reported by events."""

    abstract = True

    def on_start(self):
        """Bind the methods that the task calls."""
        self.redis = redis.Redis.from_url(os.environ["REDIS_URL"])

    def measured(self, method, name, call, *arguments):
        """Call a command, and report it."""
        started_s = perf_counter()
        reply = error = None
        try:
            reply = call(*arguments)
        except redis.RedisError as caught:
            error = caught
        self.environment.events.request.fire(
            request_type=method,
            name=name,
            response_time=(perf_counter() - started_s) * 1000,
            response_length=0,
            exception=error,
            context={},
        )
        return reply


class PlainJsonGet(RedisPyUser):
    """Like OurJsonGet."""

    def on_start(self):
        """Bind the methods that the task calls."""
        super().on_start()
        self.documents = self.redis.json()

    @task
    def get(self):
        """One unit of work."""
        self.measured("JSON.GET", "bench/small", self.documents.get, SMALL)


class PlainPipeline(RedisPyUser):
    """Like OurPipeline."""

    @task
    def get(self):
        """One unit of work."""
        pipeline = self.redis.pipeline(transaction=False)
        documents = pipeline.json()
        for _ in range(PIPELINE_LENGTH):
            documents.get(SMALL)
        self.measured("PIPELINE", "bench/pipeline", pipeline.execute)


class PlainLargeParsed(RedisPyUser):
    """Like OurLargeParsed."""

    def on_start(self):
        """Bind the methods that the task calls."""
        super().on_start()
        self.documents = self.redis.json()

    @task
    def get(self):
        """One unit of work."""
        self.measured("JSON.GET", "bench/large", self.documents.get, LARGE)


class PlainLargeRaw(RedisPyUser):
    """Like OurLargeRaw: without ``json()`` redis-py does not parse the bytes."""

    @task
    def get(self):
        """One unit of work."""
        self.measured("JSON.GET", "bench/large", self.redis.execute_command, "JSON.GET", LARGE, ".")
