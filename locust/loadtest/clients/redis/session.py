"""One user's connections to Redis, and the recording of its requests.

Tested in tests/unit/clients/redis/test_recording.py and test_faults.py.
"""

from functools import partial
from time import perf_counter, time
from typing import TYPE_CHECKING, Any, Final, cast

from redis.exceptions import MaxConnectionsError

from loadtest.clients.redis.cluster import ClusterConnection
from loadtest.clients.redis.connection import RespConnection
from loadtest.clients.redis.errors import error_class_of, interruption
from loadtest.clients.redis.key_sample import KeySample
from loadtest.clients.redis.sentinel import SentinelConnection
from loadtest.clients.routes import Route, RouteTable
from loadtest.measuring.evidence import of_command
from loadtest.measuring.labels import LOAD, MAX_SERIES
from loadtest.measuring.stock_requests import mark_counted
from loadtest.measuring.users import note_failure, scenario_of

if TYPE_CHECKING:
    from loadtest.clients.redis.settings import RedisSettings
    from loadtest.measuring.recorder import Recorder
    from loadtest.users.base import LoadUser


MAX_CONNECTIONS: Final = 64
"""The maximum number of connections per user. It has one unless greenlets share it or a transaction holds one."""

# The types of replies that are not errors.
_GOOD_REPLIES: Final = frozenset({bytes, int, list, type(None), str, dict, bool, float, set, tuple})


class RedisRoutes(RouteTable[str, Route]):
    """The routes of one label by command, as the caller spelled it; made on first use.

    The name of a request is its label, or else the command. The keys of all labels are sampled together, in the table
    without a label.
    """

    def __init__(self, recorder: "Recorder", scenario: str, label: str | None) -> None:
        """Start without routes."""
        super().__init__(recorder, scenario)
        self._label = label
        self.sample = KeySample()

    def __missing__(self, command: str) -> Route:
        """Make a command's route."""
        method = command.upper()
        route = self[command] = Route(method, self.series(method, method if self._label is None else self._label))
        return route


class _RoutesByLabel(dict[str | None, RedisRoutes]):
    """A user's routes in one phase."""

    def __init__(self, user: "LoadUser", phase: str) -> None:
        super().__init__()
        self._user = user
        self._phase = phase

    def __missing__(self, label: str | None) -> RedisRoutes:
        """Find the table that the users share."""
        if len(self) >= MAX_SERIES:
            self.clear()
        user = self._user
        routes = self[label] = RedisRoutes.shared(user.environment, scenario_of(user), label, phase=self._phase)
        return routes


class RedisSession:
    """The state that the client, its labelled views and its pipelines share."""

    __slots__ = ("_spares", "connection", "listeners", "routes", "sample", "settings", "user")

    def __init__(self, user: "LoadUser", settings: "RedisSettings") -> None:
        """Prepare a session; it connects with the first request."""
        self.user = user
        self.settings = settings
        self.listeners = user.recorder.listeners
        self.connection = _connection(settings)
        self._spares: list[RespConnection] = []
        self.enter(LOAD)

    @property
    def last_request_s(self) -> float:
        """When the last request was sent, in seconds of ``time.perf_counter``; 0 before that."""
        return max(connection.last_sent_s for connection in (self.connection, *self._spares))

    def enter(self, phase: str) -> None:
        """Record requests of the client and all its views under this phase from now on."""
        self.routes = _RoutesByLabel(self.user, phase)
        self.sample = self.routes[None].sample

    def request_many(
        self, route: Route, data: bytes, count: int, connection: RespConnection | None = None
    ) -> tuple[list[Any], Exception | None]:
        """Send several commands at once and record them as one request, which fails if any command fails.

        Args:
            route: Where it is recorded.
            data: The encoded commands.
            count: The number of commands.
            connection: The connection that a transaction holds; by default one that is free.

        Returns:
            The replies as hiredis parses them, with error replies as exception objects; and the first error, which may
            also be inside the last reply if that is the result of EXEC.

        Raises:
            redis.exceptions.RedisError: There are no replies.
        """
        if connection is None:
            connection = self.connection
            if not connection.ready:
                connection = self.free_connection(route)
        user, sample = self.user, self.sample
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
            replies = connection.exchange_many(data, count, sent_s)
        except Exception as error:
            self.record_failure(route, intended_s, sent_s, 0, error, data)
            raise
        except BaseException as cause:  # the user was stopped while it waited
            self.record_failure(route, intended_s, sent_s, 0, interruption(cause), data)
            raise
        end_s = perf_counter()
        failure = _first_error(replies)
        if failure is None and route.method == "MULTI" and replies[-1]:
            failure = _first_error(replies[-1])
        if failure is not None:
            route.series.add_sent(len(data))
            self.record_failure(route, intended_s, sent_s, connection.received_bytes, failure, data)
            return replies, failure
        route.success(intended_s, sent_s, end_s, connection.received_bytes, len(data))
        if len(self.listeners) > 1:
            self.notify_listeners(route, end_s - sent_s, connection.received_bytes, replies, None)
        return replies, None

    def reserve(self, route: Route) -> RespConnection:
        """Reserve a connection for a transaction, beginning with the WATCH of this route; ``release`` returns it."""
        connection = self.connection
        if not connection.ready:
            connection = self.free_connection(route)
        connection.reserve()
        return connection

    def close(self) -> None:
        """Close all connections; the next request opens one again."""
        self.connection.close()
        while self._spares:
            self._spares.pop().close()

    def free_connection(self, route: Route) -> RespConnection:
        """A free connection, open or not, after any back-off for failed attempts to connect.

        Args:
            route: The route of the request that may have to open it.

        Raises:
            MaxConnectionsError: Too many greenlets use the user's client at once.
        """
        while True:
            for connection in (self.connection, *self._spares):
                if not connection.busy:
                    break
            else:
                if len(self._spares) + 1 >= MAX_CONNECTIONS:
                    raise MaxConnectionsError(
                        f"one user has more than {MAX_CONNECTIONS} requests under way at once; "
                        "give each greenlet its turn, or spawn more users"
                    )
                connection = _connection(self.settings)
                self._spares.append(connection)
            if not connection.await_turn():
                connection.tally = route.series.tally
                return connection

    def record_failure(  # noqa: PLR0917 - a failed request has that many parts
        self, route: Route, intended_s: float, sent_s: float, received_bytes: int, error: Exception, data: bytes
    ) -> None:
        """Record a failed request, and what it sent."""
        end_s = perf_counter()
        note_failure(self.user)
        kind, message = error_class_of(error), str(error)
        evidence = partial(of_command, data, message)
        route.series.failure(intended_s, sent_s, end_s, received_bytes, kind, message, evidence)
        mark_counted(error)
        if len(self.listeners) > 1:
            self.notify_listeners(route, end_s - sent_s, received_bytes, None, error)

    def notify_listeners(
        self, route: Route, service_time_s: float, received_bytes: int, reply: Any, error: Exception | None
    ) -> None:
        """Notify the listeners of Locust's ``events.request``, with Locust's arguments and units."""
        self.user.recorder.notify(
            request_type=route.method,
            name=route.name,
            response_time=service_time_s * 1e3,
            response_length=received_bytes,
            response=reply,
            context=self.user.context(),
            exception=error,
            start_time=time() - service_time_s,
            url=str(self.settings.endpoint),
        )


def _connection(settings: "RedisSettings") -> RespConnection:
    """A connection to a server, to the primary named by a Sentinel, or to a cluster."""
    if settings.cluster:
        return cast("RespConnection", ClusterConnection(settings))
    return SentinelConnection(settings) if settings.sentinel else RespConnection(settings)


def _first_error(replies: list[Any]) -> Exception | None:
    """The first error reply."""
    if _GOOD_REPLIES.issuperset(map(type, replies)):
        return None
    return next((reply for reply in replies if isinstance(reply, Exception)), None)
