"""Handshakes succeed only with the workers' key; others are counted, over real sockets."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import zmq.green as zmq

from loadtest.swarm import refusals
from loadtest.swarm.authenticator import Authenticator
from loadtest.swarm.keys import KeyPair, Keys
from tests.link_peers import eventually
from tests.locust_runners import close

KEYS = Keys.of("a secret of more than thirty-two characters")
OTHERS = Keys.of("another secret of more than thirty-two characters")


@dataclass
class Server:
    """A master's socket and its authenticator."""

    socket: Any
    authenticator: Authenticator
    port: int
    room: list[bool]
    closed: bool = False

    def close(self) -> None:
        """Close the authenticator; the socket stays open."""
        self.closed = True
        self.authenticator.close()

    def accepts(self, pair: KeyPair | None, patience_ms: int) -> bool:
        """Connect with this key pair, or in clear text, and return whether a message arrived in time."""
        with self.socket.context.socket(zmq.DEALER) as peer:
            peer.setsockopt(zmq.LINGER, 0)
            if pair:
                peer.curve_serverkey = KEYS.master.public
                peer.curve_publickey, peer.curve_secretkey = pair.public, pair.secret
            peer.connect(f"tcp://127.0.0.1:{self.port}")
            peer.send(b"here")
            if not self.socket.poll(patience_ms):
                return False
            return bool(self.socket.recv_multipart()[1] == b"here")


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that accepts workers."""
    with listening(KEYS) as made:
        yield made


@contextmanager
def listening(keys: Keys | None) -> Iterator[Server]:
    """Accept workers, with keys or in clear text."""
    socket, room = zmq.Context().socket(zmq.ROUTER), [True]
    if keys:
        socket.curve_server, socket.curve_secretkey = True, keys.master.secret
    socket.handshake_ivl = 500
    authenticator = Authenticator(socket, keys.worker if keys else None, lambda: room[0])
    made = Server(socket, authenticator, socket.bind_to_random_port("tcp://127.0.0.1"), room)
    yield made
    if not made.closed:
        made.close()
    close(socket.context)


def test_a_worker_with_the_key_is_accepted(server: Server) -> None:
    """The message of a worker with the key arrives, and nothing is counted."""
    before = dict(refusals.counts)
    assert server.accepts(KEYS.worker, 5_000)
    assert refusals.counts == before


@pytest.mark.parametrize("pair", [OTHERS.worker, KEYS.master, None], ids=["other key", "master's key", "no key"])
def test_a_peer_without_the_key_is_refused_and_counted(server: Server, pair: KeyPair | None) -> None:
    """A handshake with another key, another role's or none is refused; the next worker is still accepted."""
    before = refusals.counts[refusals.HANDSHAKE]
    assert not server.accepts(pair, 200)
    eventually(lambda: refusals.counts[refusals.HANDSHAKE] > before)
    assert server.accepts(KEYS.worker, 5_000)


def test_a_closed_authenticator_accepts_nobody(server: Server) -> None:
    """After close() every handshake fails."""
    server.close()
    assert not server.accepts(KEYS.worker, 200)


@pytest.mark.parametrize("keys", [KEYS, None], ids=["key", "in the clear"])
def test_nobody_is_let_in_while_there_is_no_room(keys: Keys | None) -> None:
    """ZeroMQ accepts no messages of a worker before; the worker is admitted once there is room."""
    with listening(keys) as server, server.socket.context.socket(zmq.DEALER) as worker:
        server.room[0] = False
        worker.linger = 0
        if keys:
            worker.curve_serverkey = keys.master.public
            worker.curve_publickey, worker.curve_secretkey = keys.worker.public, keys.worker.secret
        worker.connect(f"tcp://127.0.0.1:{server.port}")
        worker.send(b"here")
        assert not server.socket.poll(300)
        server.room[0] = True
        assert server.socket.poll(5_000)
        assert server.socket.recv_multipart()[1] == b"here"
