"""Every listener is notified of a connection's end, on real sockets."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gevent
import pytest
import zmq.green as zmq

from loadtest.swarm.monitor import CLOSED, FAILED, Monitor
from tests.link_peers import eventually
from tests.locust_runners import close


@dataclass
class Server:
    """A socket that admits peers with its key."""

    socket: Any
    key: bytes
    port: int

    @contextmanager
    def peer(self, key: bytes | None) -> Iterator[None]:
        """Connect, with the server's key or in clear text, and exchange a message if that succeeds."""
        with zmq.Context.instance().socket(zmq.DEALER) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            if key:
                socket.curve_serverkey = key
                socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
            socket.connect(f"tcp://127.0.0.1:{self.port}")
            socket.send(b"here")
            if key:
                assert self.socket.poll(5_000)
                self.socket.recv_multipart()
            yield

    def come_and_go(self) -> None:
        """Open and close a connection."""
        with self.peer(self.key):
            pass


@pytest.fixture
def server() -> Iterator[Server]:
    """A listening server."""
    key, secret = zmq.curve_keypair()
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.curve_server, socket.curve_secretkey = True, secret
    yield Server(socket, key, socket.bind_to_random_port("tcp://127.0.0.1"))
    close(socket.context)


@pytest.fixture
def heard(server: Server) -> Counter[str]:
    """The calls of two listeners for closed connections, and of one for failed handshakes."""
    heard: Counter[str] = Counter()
    for name, kind in (("one", CLOSED), ("other", CLOSED), ("failed", FAILED)):
        Monitor.of(server.socket).listen(kind, lambda _value, name=name: heard.update([name]))
    return heard


def test_every_listener_hears_of_every_end(server: Server, heard: Counter[str]) -> None:
    """Each closed connection is reported once to each of its listeners, and to no other."""
    for number in (1, 2):
        server.come_and_go()
        eventually(lambda number=number: heard["one"] == number)
    assert heard == {"one": 2, "other": 2}


def test_a_failed_handshake_is_another_event(server: Server, heard: Counter[str]) -> None:
    """A peer without the key is reported to the listener for it."""
    with server.peer(None):
        eventually(lambda: heard["failed"])


def test_nobody_hears_of_what_goes_on(server: Server, heard: Counter[str]) -> None:
    """An open connection is not an event."""
    with server.peer(server.key):
        gevent.sleep(0.1)
        assert not heard


def test_a_listener_that_ended_hears_no_more(server: Server, heard: Counter[str]) -> None:
    """The handle that `listen` returns ends it, and leaves the others."""
    late: list[str] = []
    end = Monitor.of(server.socket).listen(CLOSED, lambda _value: late.append("heard"))
    end()
    server.come_and_go()
    eventually(lambda: heard["other"])
    assert not late


def test_a_socket_has_one_monitor(server: Server) -> None:
    """A second call returns the same one: a second reader would steal events from the first."""
    another = zmq.Context().socket(zmq.ROUTER)
    assert Monitor.of(server.socket) is Monitor.of(server.socket)
    assert Monitor.of(server.socket) is not Monitor.of(another)
    close(another.context)
