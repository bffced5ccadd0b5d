"""One user's connections: opens, keeps and replaces them, and sends requests over them.

Tested in tests/unit/clients/http/test_client.py.
"""

import ssl
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from loadtest.clients.http.connection import HttpConnection
from loadtest.clients.http.errors import ClosedError, ConnectTimeoutError, connect_error
from loadtest.clients.http.exchange import Exchange, Timeouts, timeout_error
from loadtest.clients.http.head import ResponseHead
from loadtest.clients.http.request import IDEMPOTENT, Request
from loadtest.clients.http.url import Origin
from loadtest.clients.transport.stream import TlsStream, TransportError
from loadtest.measuring.tallies import RETRY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadtest.clients.transport.endpoint import Tally

IDLE_PER_ORIGIN = 10
_NO_SESSIONS: "Mapping[Origin, ssl.SSLSession]" = {}
MAX_CONNECTIONS = 100
"""Connections of one user beyond which the longest idle one is closed: a user that visits many hosts, on its own or by
redirects, must not exhaust the process's file descriptors and memory."""


class TlsUser(Protocol):
    """The owner of the connections; see `loadtest.clients.http.HttpUser`."""

    times_arrivals: bool

    def tls_context(self) -> ssl.SSLContext: ...  # noqa: D102 -- as of HttpUser


class ConnectionPool:
    """The connections of one user.

    Args:
        user: Provides the TLS context, once, for the first TLS connection.

    Attributes:
        idle: Idle connections of all origins, the most recently used last.
    """

    __slots__ = ("_context", "_opened", "_sessions", "_user", "idle")

    def __init__(self, user: "TlsUser") -> None:
        """Start without a connection."""
        self.idle: list[HttpConnection] = []
        self._user = user
        self._context: ssl.SSLContext | None = None
        self._sessions: Mapping[Origin, ssl.SSLSession] = _NO_SESSIONS
        self._opened: tuple[HttpConnection, ...] = ()  # closed ones too, until there are many

    @property
    def last_answer_s(self) -> float:
        """When the last answer was complete, in seconds of ``time.perf_counter``; 0 before that."""
        return max((connection.idle_since_s for connection in self._opened), default=0.0)

    def renew(self) -> None:
        """Open new TLS connections with the user's current context from now on."""
        self._context = None
        self._sessions = _NO_SESSIONS

    def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = self._user.tls_context()
        return self._context

    def exchange(
        self,
        request: Request,
        wire: bytes,
        timeouts: Timeouts,
        ends_s: float,
        *,
        tally: "Tally",
        add_sent: Callable[[int], None],
        begun: Exchange | None = None,
    ) -> tuple[Exchange, ResponseHead]:
        """Send a request and read the head of its response.

        The server may close a kept-alive connection at any time. If that happens before any byte of the response, and
        the request is safe to repeat or the server received none of it, it is sent over the next connection (RFC 9110,
        section 9.2.2).

        Args:
            request: What is sent.
            wire: Its bytes, without those of an upload.
            timeouts: How long it may take.
            ends_s: When it must be over.
            tally: Called for each connection that is opened for it, and for each retry.
            add_sent: Called with the bytes sent by each attempt.
            begun: An attempt that is already in progress.

        Raises:
            HttpError: It failed; the connection is closed.
        """
        while True:
            exchange = begun or self._begin(request, wire, timeouts, ends_s, tally)
            begun = None
            try:
                exchange.send()
                return exchange, exchange.read_head()
            except (ClosedError, ConnectionError) as error:
                repeatable = _may_repeat(request, exchange.is_unread(error))
                exchange.connection.close()
                if exchange.any_received or not exchange.reused or not repeatable:
                    raise exchange.classify(error) from error
                tally(RETRY, "", 0.0)
            except Exception as error:
                exchange.connection.close()
                raise exchange.classify(error) from error
            except BaseException:
                exchange.connection.close()
                raise
            finally:
                add_sent(exchange.sent_bytes)

    def _begin(self, request: Request, wire: bytes, timeouts: Timeouts, ends_s: float, tally: "Tally") -> Exchange:
        connection = self._take(request.url.origin, request.method in IDEMPOTENT)
        reused = connection is not None
        if connection is None:
            connection = self._open(request, timeouts, ends_s, tally)
        return Exchange(connection, wire, request.upload, timeouts, ends_s, reused, request.upgrades)

    def _take(self, origin: Origin, idempotent: bool) -> HttpConnection | None:
        """An idle connection that is not known to be closed."""
        while (connection := self.last_idle(origin)) is not None:
            self.idle.remove(connection)
            if not connection.is_stale(look=not idempotent):
                return connection
            self._discard(connection)
        return None

    def last_idle(self, origin: Origin) -> HttpConnection | None:
        """The most recently used idle connection to an origin."""
        return next((connection for connection in reversed(self.idle) if connection.origin is origin), None)

    def _open(self, request: Request, timeouts: Timeouts, ends_s: float, tally: "Tally") -> HttpConnection:
        """A new connection, with TLS if the scheme requires it."""
        origin = request.url.origin
        if len(self._opened) >= MAX_CONNECTIONS:
            self._make_room()
        endpoint = origin.endpoint(self._tls_context, from_elsewhere=request.from_elsewhere)
        try:
            most_s = min(timeouts.connect_s, ends_s - perf_counter())
            stream = endpoint.connect(most_s, self._sessions.get(origin), tally)
        except TransportError as error:
            if error.error_class == "timeout_connect":
                raise timeout_error(ends_s, ConnectTimeoutError) from error
            raise connect_error(error) from error
        connection = HttpConnection(stream, origin)
        if self._user.times_arrivals:
            connection.time_arrivals()
        self._opened = (*self._opened, connection)
        return connection

    def _make_room(self) -> None:
        """Forget closed connections; if that is not enough, close the longest idle one."""
        self._forget_closed()
        if len(self._opened) >= MAX_CONNECTIONS and self.idle:
            self._discard(self.idle.pop(0))
            self._forget_closed()

    def _forget_closed(self) -> None:
        self._opened = tuple(each for each in self._opened if each.stream is not None)
        if len(self._sessions) > MAX_CONNECTIONS:
            in_use = {connection.origin for connection in self._opened}
            self._sessions = {origin: session for origin, session in self._sessions.items() if origin in in_use}

    def release(self, connection: HttpConnection, reusable: bool) -> None:
        """Take back a connection whose response is complete."""
        connection.idle_since_s = perf_counter()
        if not reusable or sum(each.origin is connection.origin for each in self.idle) >= IDLE_PER_ORIGIN:
            self._discard(connection)
            return
        connection.poll()
        self.idle.append(connection)

    def _discard(self, connection: HttpConnection) -> None:
        """Close a connection in good order; its TLS session can be resumed."""
        if isinstance(connection.stream, TlsStream):
            with suppress(ValueError, ssl.SSLError):
                session = connection.stream.session
                if session is not None:
                    self._sessions = {**self._sessions, connection.origin: session}
        connection.close()

    def close(self) -> None:
        """Close every idle connection."""
        while self.idle:
            self._discard(self.idle.pop())


def _may_repeat(request: Request, is_unread: bool) -> bool:
    """Tell whether a request can safely be sent twice."""
    return (is_unread or request.method in IDEMPOTENT) and (request.upload is None or request.upload.rewind())
