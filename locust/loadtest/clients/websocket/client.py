"""An HTTP client that also opens WebSocket sessions.

Tested in tests/unit/clients/websocket/test_client.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from loadtest.clients.http.client import HttpClient
from loadtest.clients.http.coding import Decoder
from loadtest.clients.http.errors import HttpError
from loadtest.clients.http.exchange import Exchange
from loadtest.clients.http.head import ResponseHead
from loadtest.clients.http.headers import HeaderValue
from loadtest.clients.http.response_body import BodyStream, EmptyBody
from loadtest.clients.http.url import over_http
from loadtest.clients.transport.deadlines import FOREVER_S
from loadtest.clients.websocket.connection import WebSocketConnection
from loadtest.clients.websocket.errors import SessionError
from loadtest.clients.websocket.handshake import Offer
from loadtest.clients.websocket.session import WebSocket
from loadtest.measuring.stock_requests import mark_counted

if TYPE_CHECKING:
    from loadtest.clients.http.response import CaughtResponse


class _Upgraded(BodyStream):
    """The connection of a response that switches protocols; it is closed unless it is taken over."""

    def __init__(self, exchange: Exchange, head: ResponseHead) -> None:
        exchange.ends_s = FOREVER_S
        connection = exchange.connection
        super().__init__(
            EmptyBody(head, b""), Decoder("", FOREVER_S), exchange.classify,
            lambda _reusable: connection.close(), connection.received_s,
        )  # fmt: skip
        self._exchange = exchange

    def open(self, session: WebSocket, extensions: Sequence[Any]) -> WebSocketConnection:
        """Speak WebSocket on it; bytes received after the response have already been read."""
        self._finish = None
        stream = self._exchange.connection.detach()
        assert stream is not None  # noqa: S101 -- for the type checker
        return WebSocketConnection(stream, extensions, self._exchange.classify, session.take)

    @property
    def rest(self) -> bytes:
        """The bytes received after the response."""
        return self._exchange.received


class WebSocketClient(HttpClient):
    """The client of one user, with sessions."""

    _session: WebSocket | None = None

    @property
    def last_answer_s(self) -> float:
        """When the last answer, or the last message of the latest session, arrived."""
        return max(super().last_answer_s, self._session.last_message_s if self._session else 0.0)

    @contextmanager
    def websocket(
        self,
        url: str,
        name: str | None = None,
        *,
        subprotocols: Sequence[str] = (),
        compress: bool = True,
        headers: Mapping[str, HeaderValue] | None = None,
        **options: Any,
    ) -> Iterator[WebSocket]:
        """Open a session for a with-block, and end it after the block. The opening is a request of the method ``GET``.

        Args:
            url: ``ws://``, ``wss://``, or as for ``request``.
            name: The name that the session is recorded under; by default the URL as given.
            subprotocols: The offered subprotocols, in order of preference.
            compress: Offer permessage-deflate.
            headers: Headers of the opening request.
            options: Other options of ``request``: ``timeout``, ``auth``, ``cookies``, ``params``, ``allow_redirects``.

        Raises:
            SessionError: It could not be opened; it is counted.
            InvalidRequestError: The request cannot be built. It is counted as a failure too.
        """
        offer = Offer(subprotocols, compress)
        label = name or self.request_name or url
        fields: dict[str, HeaderValue] = {**(headers or {}), **offer.headers()}
        options |= {"stream": True, "catch_response": True, "headers": fields}
        response = cast("CaughtResponse", self.request("GET", over_http(url), label, **options))
        session = WebSocket(self.user, self._reporter, label, response.intended_s, self._timeouts.read_s)
        with response:
            failure = response.error
            try:
                if failure is None:
                    agreed = offer.check(response.status_code, response.headers)
                    upgraded = cast("_Upgraded", response._stream)
                    extensions = [agreed.compression] if agreed.compression else []
                    connection = upgraded.open(session, extensions)
            except HttpError as error:
                failure = error
                response.failure(error)
        if failure is not None:
            raise _counted(failure) from failure
        self._session = session
        session.begin(connection, agreed.subprotocol, response.end_s)
        connection.feed(memoryview(upgraded.rest))
        try:
            yield session
        except BaseException as cause:
            session.end(cause)
            raise
        session.end(None)

    def _switched(self, exchange: Exchange, head: ResponseHead) -> _Upgraded:
        """The connection, for a session."""
        return _Upgraded(exchange, head)


def _counted(failure: Exception) -> SessionError:
    """The error that the scenario gets for a failed opening."""
    error = SessionError(getattr(failure, "error_class", "other"), str(failure))
    mark_counted(error)
    return error
