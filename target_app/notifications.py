"""Notifications over WebSocket: messages are echoed, and events are pushed. It does not use Redis.

A session would occupy one of Gunicorn's few threads. So its socket is taken from Gunicorn after the opening handshake,
and one thread per worker serves all sessions. A client that does not read is disconnected: nothing is buffered for it.
"""

import heapq
import itertools
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIEnvironment

import h11
import orjson
from flask import Blueprint, Response, abort, current_app, request
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Message, Ping, Request, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError, RemoteProtocolError

from target_app.metrics import Metrics
from target_app.openapi import described

blueprint = Blueprint("notifications", __name__, url_prefix="/api/notifications")

EVENT_S: Final = 1.0
"""The time to the first event, and between events."""
MAX_BYTES: Final = 65_536
"""A longer message ends its session."""
_SLICE_BYTES: Final = 4_096
"""The maximum number of bytes read, and decompressed, at a time."""
_NEVER_WAIT: Final = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)

_log = logging.getLogger(__name__)


class _Switched(Response):
    """The response after the socket became a WebSocket: Gunicorn sends nothing, and closes its substitute socket."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:  # noqa: ARG002
        """End the request: Gunicorn treats a StopIteration like a client that has disconnected."""
        start_response("101 Switching Protocols", [])
        raise StopIteration


class _Session:
    """A client's session.

    Attributes:
        socket: its connection.
        protocol: the state of the WebSocket protocol.
        is_subscribed: whether events are pushed.
    """

    def __init__(self, sock: socket.socket, protocol: WSConnection) -> None:
        self.socket = sock
        self.protocol = protocol
        self.is_subscribed = False
        self._parts: list[Any] = []
        self._size = 0

    def send(self, event: Any) -> None:
        """Send all data immediately.

        Raises:
            OSError: when the client has disconnected, or has not read the data sent earlier.
        """
        data = self.protocol.send(event)
        try:
            sent = self.socket.send(data, _NEVER_WAIT)
        except BlockingIOError:
            sent = 0
        if sent != len(data):
            raise ConnectionAbortedError

    def whole(self, message: Message[Any]) -> Message[Any] | None:
        """Return a message once its last frame has arrived.

        Raises:
            ValueError: when it is too long.
        """
        self._parts.append(message.data)
        self._size += len(message.data)
        if self._size > MAX_BYTES:
            raise ValueError
        if not message.message_finished:
            return None
        data = message.data[:0].join(self._parts)
        self._parts, self._size = [], 0
        return Message(data)


class Sessions:
    """All sessions of a process.

    Args:
        metrics: counts the messages.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, int, _Session]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, sock: socket.socket, protocol: WSConnection) -> None:
        """Serve a session that is open."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="notifications", daemon=True)
                self._thread.start()
        self._selector.register(sock, selectors.EVENT_READ, _Session(sock, protocol))

    def _serve(self) -> None:
        while True:
            wait_s = max(0.0, self._due[0][0] - time.perf_counter()) if self._due else None
            for key, _ in self._selector.select(wait_s):
                self._attempt(self._read, key.data)
            while self._due and self._due[0][0] <= time.perf_counter():
                self._attempt(self._push, heapq.heappop(self._due)[2])

    def _attempt(self, step: Any, session: _Session) -> None:
        """Run one step of a client's WebSocket. An error closes only that client's connection."""
        try:
            if session.socket.fileno() < 0 or step(session):
                return
        except (OSError, ProtocolError):
            pass
        except Exception:
            _log.exception("a session failed")
        self._selector.unregister(session.socket)
        session.socket.close()

    def _read(self, session: _Session) -> bool:
        """Handle the received data; return whether the session continues."""
        try:
            data = session.socket.recv(_SLICE_BYTES, _NEVER_WAIT)
            if not data:
                return False
            session.protocol.receive_data(data)
            return all(self._answer(session, event) for event in session.protocol.events())
        except BlockingIOError:
            return True
        except RemoteProtocolError as error:
            if error.event_hint is not None:
                session.send(error.event_hint)
        except ValueError:
            session.send(CloseConnection(CloseReason.MESSAGE_TOO_BIG))
        return False

    def _answer(self, session: _Session, event: Any) -> bool:
        if isinstance(event, CloseConnection):
            session.send(event.response())
            return False
        if isinstance(event, Ping):
            session.send(event.response())
        elif isinstance(event, Message) and (message := session.whole(event)) is not None:
            self._metrics.count_message("received")
            session.send(message)
            if not session.is_subscribed:
                session.is_subscribed = True
                self._push_later(session)
        return True

    def _push_later(self, session: _Session) -> None:
        heapq.heappush(self._due, (time.perf_counter() + EVENT_S, next(self._numbers), session))

    def _push(self, session: _Session) -> bool:
        event = {"event": "tick", "sent_s": time.perf_counter()}
        session.send(TextMessage(orjson.dumps(event).decode()))
        self._metrics.count_message("pushed")
        self._push_later(session)
        return True


@blueprint.route("/session", websocket=True)
@described(status=101, problems=(400, 501))
def session() -> Response:
    """Open a WebSocket session: messages are echoed, and after the first one an event is pushed every second."""
    protocol = WSConnection(ConnectionType.SERVER)
    try:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
        protocol.initiate_upgrade_connection(headers, request.path)
    except (ProtocolError, h11.ProtocolError) as error:
        abort(HTTPStatus.BAD_REQUEST, f"This is not a WebSocket handshake: {error}")
    given = request.environ.get("gunicorn.socket")
    if type(given) is not socket.socket:  # another server's, or TLS
        abort(HTTPStatus.NOT_IMPLEMENTED)
    (opening,) = protocol.events()
    assert isinstance(opening, Request)  # noqa: S101 - for the type checker
    given.sendall(protocol.send(AcceptConnection(extensions=[PerMessageDeflate()])))
    current_app.extensions["sessions"].add(_taken(given), protocol)
    return _Switched()


def _taken(given: socket.socket) -> socket.socket:
    """Take a connection from Gunicorn and leave a closed one in its place, which Gunicorn then shuts down."""
    mine = given.dup()
    ended, other = socket.socketpair()
    other.close()
    os.dup2(ended.fileno(), given.fileno(), inheritable=False)
    ended.close()
    return mine
