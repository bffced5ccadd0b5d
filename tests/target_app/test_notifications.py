"""Notifications: WebSocket sessions under Gunicorn, which do not occupy a thread each."""

import contextlib
import json
import os
import socket
import time
import urllib.parse
from collections.abc import Callable, Iterator

import pytest
from flask.testing import FlaskClient
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request, TextMessage
from wsproto.extensions import PerMessageDeflate

from target_app.notifications import EVENT_S, MAX_BYTES
from tests.target_app.gunicorn_server import Server

PATH = "/api/notifications/session"


class Client:
    """A session, read by wsproto."""

    def __init__(self, url: str) -> None:
        place = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((place.hostname, place.port), timeout=60)
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self.send(Request(host=place.netloc, target=PATH, extensions=[PerMessageDeflate()]))
        assert isinstance(self.next(), AcceptConnection)

    def send(self, event: object) -> None:
        """Send a message."""
        self.socket.sendall(self.protocol.send(event))

    def next(self) -> object:
        """Return the next message."""
        while True:
            for event in self.protocol.events():
                return event
            data = self.socket.recv(65_536)
            assert data, "the connection ended"
            self.protocol.receive_data(data)


@pytest.fixture
def connect(start: Callable[..., Server]) -> Iterator[Callable[[], Client]]:
    """Opens sessions at a server with one worker of two threads."""
    server = start(1, "redis://127.0.0.1:1", "--threads", "2")
    with contextlib.ExitStack() as sockets:

        def connected() -> Client:
            client = Client(server.url)
            sockets.enter_context(client.socket)
            return client

        connected.server = server  # type: ignore[attr-defined]
        yield connected


def test_messages_come_back_and_events_are_pushed(connect: Callable[[], Client]) -> None:
    """Text and bytes, whole and in parts; events say when they were sent; pings and the end are answered."""
    client = connect()
    sent = (TextMessage('{"key": 1}'), BytesMessage(b"\x00" * 40_000), TextMessage("ž" * 1_000))
    before_s = time.perf_counter()
    for message in sent:
        client.send(message)
        got = client.next()
        data = got.data
        while not got.message_finished:
            got = client.next()
            data += got.data
        assert data == message.data
    client.send(Ping(b"now"))
    assert client.next() == Pong(payload=bytearray(b"now"))
    client.send(TextMessage("in ", message_finished=False))
    client.send(TextMessage("parts"))
    assert client.next().data == "in parts"
    events = [json.loads(client.next().data) for _ in range(2)]
    assert before_s + EVENT_S <= events[0]["sent_s"]
    assert events[0]["sent_s"] + EVENT_S <= events[1]["sent_s"] <= time.perf_counter()
    client.send(CloseConnection(1000))
    assert client.next().code == 1000
    server = connect.server
    labels = {"route": PATH, "method": "GET", "status": "1xx"}
    assert server.metric("target_app_requests_total", labels) == 1
    assert server.metric("target_app_messages_total", {"kind": "received"}) == len(sent) + 1
    assert server.metric("target_app_messages_total", {"kind": "pushed"}) >= 2


def test_a_session_that_goes_wrong_ends_alone(connect: Callable[[], Client]) -> None:
    """Too long a message, invalid bytes, and more clients that do not read than threads affect no other session."""
    long, broken, deaf, *others = (connect() for _ in range(10))
    long.send(BytesMessage(b"x" * MAX_BYTES, message_finished=False))
    long.send(BytesMessage(b"x"))
    assert long.next().code == 1009
    broken.socket.sendall(b"\xff" * 20)
    assert broken.next().code == 1002
    data = deaf.protocol.send(BytesMessage(os.urandom(MAX_BYTES)))
    with pytest.raises(ConnectionError):
        for _ in range(1_000):
            deaf.socket.sendall(data)
    for number, other in enumerate(others):
        other.send(TextMessage(str(number)))
        assert other.next().data == str(number)
    assert connect.server.get("/healthz/live")[0] == 200


def test_what_opens_no_session_is_refused(client: FlaskClient) -> None:
    """A browser's page, another version, and a server that cannot hand over its socket are refused."""
    opening = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    assert client.get(PATH).status_code == 400
    refused = client.get(PATH, headers=opening)
    assert (refused.status_code, "Sec-WebSocket-Key" in refused.json["detail"]) == (400, True)
    assert client.get(PATH, headers=opening | key | {"Sec-WebSocket-Version": "12"}).status_code == 400
    assert client.get(PATH, headers=opening | key).status_code == 501
