"""Shared by the HTTP tests: a scripted server, and users to send requests."""

import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from gevent.server import StreamServer
from locust import FastHttpUser
from locust.env import Environment

from loadtest.clients.http import HttpUser
from loadtest.measuring.labels import CONNECTION_PHASES, ITERATION
from loadtest.measuring.measurements import Measurements
from loadtest.measuring.recorder import Recorder

HEAD = b"HTTP/1.1 200 OK\r\n"
"""A status line, which header fields follow."""


class Peer:
    """The server's side of one connection."""

    def __init__(self, sock: Any, number: int) -> None:
        self.sock = sock
        self.number = number
        self._buffer = b""

    def read_head(self) -> bytes:
        """The next request's head, b"" if the client has closed."""
        while b"\r\n\r\n" not in self._buffer:
            received = self.sock.recv(65536)
            if not received:
                return b""
            self._buffer += received
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    def read_request(self) -> tuple[bytes, bytes]:
        """The next request's head and body; the body as on the wire if it comes in chunks."""
        head = self.read_head()
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if fields.get(b"transfer-encoding") == b"chunked":
            return head, self.read_until(b"0\r\n\r\n")
        return head, self.read(int(fields.get(b"content-length", b"0")))

    def read_until(self, end: bytes) -> bytes:
        """Everything up to and with these bytes."""
        while end not in self._buffer:
            self._buffer += self._receive()
        found, _, self._buffer = self._buffer.partition(end)
        return found + end

    def read(self, size: int) -> bytes:
        """This many bytes."""
        while len(self._buffer) < size:
            self._buffer += self._receive()
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return body

    def _receive(self) -> bytes:
        received: bytes = self.sock.recv(65536)
        if not received:
            raise ConnectionError("the client closed within a request")
        return received

    def send(self, *pieces: bytes) -> None:
        """Send pieces."""
        for piece in pieces:
            self.sock.sendall(piece)

    def reset(self) -> None:
        """Close so that the client gets a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class ScriptedServer:
    """A TCP server that runs a script on each connection and closes it at the script's end."""

    def __init__(
        self, script: Callable[[Peer], None], address: str | socket.socket = "127.0.0.1", **options: Any
    ) -> None:
        self.connections = 0
        self._script = script
        self._server = StreamServer((address, 0) if isinstance(address, str) else address, self._serve, **options)

    def _serve(self, sock: Any, _address: Any) -> None:
        self.connections += 1
        try:
            self._script(Peer(sock, self.connections))
        except OSError:
            pass
        finally:
            sock.close()

    def __enter__(self) -> Self:
        """Start listening."""
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._server.stop(timeout=0)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_port)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"


def answering(*responses: bytes) -> Callable[[Peer], None]:
    """A script that answers each request of a connection with the next of these bytes, then closes."""

    def script(peer: Peer) -> None:
        for response in responses:
            if not peer.read_request()[0]:
                return
            peer.send(response)

    return script


def always(response: bytes) -> Callable[[Peer], None]:
    """A script that answers every request with the same bytes and keeps the connection."""

    def script(peer: Peer) -> None:
        while peer.read_request()[0]:
            peer.send(response)

    return script


def ok(body: bytes = b"hello", *fields: str, status: str = "200 OK") -> bytes:
    """A response with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def running_user(host: str | None, base: type = HttpUser, **attributes: Any) -> Iterator[Any]:
    """A user of a fresh environment, its connections closed at the end."""
    user_class = type("TestUser", (base,), {"host": host, **attributes})
    user = user_class(Environment(user_classes=[user_class]))
    try:
        yield user
    finally:
        close(user)


def close(user: Any) -> None:
    """Close a user's connections; a stock FastHttpUser leaves them to the garbage collector otherwise."""
    client = user.client
    (client.client if isinstance(user, FastHttpUser) else client).close()


def counted(recorder: Recorder) -> Measurements:
    """Requests recorded since the last look, without those that are left out of every figure."""
    taken = recorder.take()
    return taken._select(np.array([key.phase not in {*CONNECTION_PHASES, ITERATION} for key in taken.series], np.bool_))


def counts(user: Any) -> tuple[int, int]:
    """Requests and failures recorded since the last look."""
    taken = counted(Recorder.of(user.environment))
    return int(sum(taken.requests)), int(sum(taken.failures))


def error_classes(user: Any) -> dict[str, int]:
    """Failures recorded since the last look, by class."""
    found: Counter[str] = Counter()
    for error in Recorder.of(user.environment).take().errors:
        found[error.error_class] += error.occurrences
    return dict(found)


class StatusError(Exception):
    """An error that carries a response, as requests' does."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.response = type("Response", (), {"status_code": status})()
