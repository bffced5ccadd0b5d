"""RedisJsonUser: a Locust user that talks to Redis and RedisJSON with redis-py's methods.

::

    class Reader(RedisJsonUser):
        def on_start(self):
            self.read_whole = self.client.labelled("documents/read_whole").json()

        @task
        def read(self):
            document = self.read_whole.get("pokemon:1")

The calls are redis-py's. A label is bound once, to a view of the client with the same methods, so tasks make the same
calls as on ``redis.Redis``.

Tested in tests/unit/clients/redis/test_recording.py and test_settings.py.
"""

import contextlib
import os
from collections.abc import Mapping
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

from redis.commands.cluster import ClusterMultiKeyCommands
from redis.exceptions import WatchError

from loadtest.clients.json_codec import LAZY, RAW, LazyJson
from loadtest.clients.redis.commands import ENCODER, RedisCommands
from loadtest.clients.redis.errors import Missing, interruption
from loadtest.clients.redis.pipeline import RedisPipeline
from loadtest.clients.redis.replies import NO_MATCH, READS, is_nothing, plain_callbacks
from loadtest.clients.redis.session import RedisSession
from loadtest.clients.redis.settings import SCHEMES, RedisSettings
from loadtest.exceptions import UsageError
from loadtest.measuring.tallies import MISS
from loadtest.users.base import LoadUser

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

    from loadtest.clients.redis.replies import Callback
    from loadtest.clients.routes import Route

_PREFIXES = tuple(f"{scheme}://" for scheme in SCHEMES)

__all__ = ["LAZY", "RAW", "LazyJson", "Missing", "RedisJsonClient", "RedisJsonUser"]


@lru_cache(maxsize=64)
def _settings(url: str) -> RedisSettings:
    """The settings of a URL, parsed once for all users, which share its TLS context."""
    return RedisSettings.from_url(url)


class RedisJsonClient(RedisCommands):
    """The client with redis-py's methods, or a view of it whose requests are recorded under a label."""

    def __init__(self, session: RedisSession, label: str | None = None, *, must_exist: bool | None = None) -> None:
        """Use ``RedisJsonUser.client``, or ``labelled`` for a view."""
        self.settings = session.settings
        self.callbacks = plain_callbacks(session.settings.protocol)
        self.label = label
        self._must_exist = must_exist
        self._session = session

    def labelled(self, label: str, *, must_exist: bool | None = None) -> "RedisJsonClient":
        """A view of this client whose requests are recorded under a label, on the same connection.

        Args:
            label: The name in statistics, in the form ``room/operation``; one of a few, never a key.
            must_exist: Whether a command that finds nothing fails with `Missing`; ignored by pipelines. By default such
                commands are counted, and a run whose reads find nothing is not trustworthy; False means that this is
                intended.
        """
        return type(self)(self._session, label, must_exist=must_exist)

    def submit(  # noqa: C901 -- one function is faster
        self, command: str, data: bytes, callback: "Callback | None", options: dict[str, Any] | None
    ) -> Any:
        """Send a command, record it and return its value.

        This is the hot path of nearly every request, hence one function.
        """
        session = self._session
        route = session.routes[self.label][command]
        connection, user, sample = session.connection, session.user, session.sample
        if not connection.ready:
            connection = session.free_connection(route)
        sample.left -= 1
        if not sample.left:
            sample.take(route.series, data)
        sent_s = perf_counter()
        intended_s = user.intended_start_s
        if intended_s is None:
            intended_s = sent_s
        else:
            user.intended_start_s = None
        try:
            reply = connection.exchange(data, sent_s)
        except Exception as error:
            session.record_failure(route, intended_s, sent_s, 0, error, data)
            raise
        except BaseException as cause:  # the user was stopped while it waited
            session.record_failure(route, intended_s, sent_s, 0, interruption(cause), data)
            raise
        if (reply == NO_MATCH if reply.__class__ is bytes else not reply or reply.__class__ is list) and (
            is_nothing(reply)
        ):
            reply = self._missed(route, reply)
        if reply.__class__ is bytes or not isinstance(reply, Exception):
            route.success(intended_s, sent_s, perf_counter(), connection.received_bytes, len(data))
        else:
            route.series.add_sent(len(data))
            session.record_failure(route, intended_s, sent_s, connection.received_bytes, reply, data)
            raise reply
        if len(session.listeners) > 1:
            session.notify_listeners(route, perf_counter() - sent_s, connection.received_bytes, reply, None)
        if callback is None:
            return reply
        if options is None:
            return None if reply is None else callback(reply)
        return callback(reply, **options)

    def _missed(self, route: "Route", reply: Any) -> Any:
        """Handle a reply that means that there is nothing."""
        if self._must_exist:
            return Missing(route.method)
        if self._must_exist is None and route.method in READS:
            route.series.tally(MISS)
        return reply

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> RedisPipeline:  # noqa: ARG002 -- redis-py's
        """Commands that are sent together; ``transaction`` wraps them in MULTI and EXEC."""
        may_miss = self._must_exist is False
        return RedisPipeline(self._session, self.label, self.callbacks, transaction, may_miss)

    def transaction(
        self, func: "Callable[[RedisPipeline], Any]", *watches: Any, value_from_callable: bool = False
    ) -> Any:
        """Watch keys, call ``func`` with a pipeline and execute it; repeat until no watched key has changed.

        Returns:
            What ``execute()`` returns, or what ``func`` returned if ``value_from_callable``.
        """
        with self.pipeline() as pipeline:
            while True:
                with contextlib.suppress(WatchError):
                    if watches:
                        pipeline.watch(*watches)
                    value = func(pipeline)
                    values = pipeline.execute()
                    return value if value_from_callable else values

    def close(self) -> None:
        """Close the connections; the next request opens one again."""
        self._session.close()


class ClusterJsonClient(ClusterMultiKeyCommands, RedisJsonClient):
    """The client of a cluster: commands with several keys are split by slot as in redis-py's RedisCluster."""

    encoder: Any = ENCODER

    def _execute_pipeline_by_slot(self, command: str, slots_to_args: Mapping[int, Any]) -> list[Any]:
        """Send a command once for each slot, as one request."""
        parts = [(command, *arguments) for arguments in slots_to_args.values()]
        if len(parts) == 1:
            return [self.execute_command(*parts[0])]
        pipeline = self.pipeline(transaction=False)
        for part in parts:
            pipeline.execute_command(*part)
        values: list[Any] = pipeline.execute()
        return values


class RedisJsonUser(LoadUser):
    """A Locust user with a Redis client.

    Attributes:
        redis_url: Where Redis is; by default the ``host``, if that is a Redis URL, else REDIS_URL.
        client: The client, with one connection of its own.
    """

    abstract = True
    redis_url: str | None = None

    def __init__(self, environment: "Environment") -> None:
        """Create the user; it connects with its first request.

        Raises:
            UsageError: There is no Redis URL, or it is not valid.
        """
        super().__init__(environment)
        self._session = RedisSession(self, _settings(self._find_url()))
        kind = ClusterJsonClient if self._session.settings.cluster else RedisJsonClient
        self.client: RedisJsonClient = kind(self._session)

    def last_request_s(self) -> float:
        """When the last request was sent, in seconds of ``time.perf_counter``; 0 before that."""
        return self._session.last_request_s

    def enter_phase(self, phase: str) -> None:
        """Record the user's requests under this phase from now on."""
        super().enter_phase(phase)
        self._session.enter(phase)

    @classmethod
    def own_url(cls, host: str | None = None) -> str | None:
        """The Redis URL of the class or of the given host; None if REDIS_URL applies."""
        host = host or cls.host or ""
        return cls.redis_url or (host if host.startswith(_PREFIXES) else None)

    def _find_url(self) -> str:
        """The URL of the Redis that this user talks to."""
        url = self.own_url(self.host) or os.environ.get("REDIS_URL")
        if not url:
            raise UsageError(
                f"{type(self).__name__} has no Redis URL: set REDIS_URL, or the class's redis_url, to a URL "
                "such as redis://127.0.0.1:6379/0."
            )
        return url

    def close(self) -> None:
        """Close the user's connections."""
        self.client.close()
