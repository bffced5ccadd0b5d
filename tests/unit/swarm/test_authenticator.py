"""Handshakes succeed with the workers' key only, and the others are counted, over real sockets."""

from collections.abc import Iterator
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
    closed: bool = False

    def close(self) -> None:
        """Close the authenticator; the socket stays open."""
        self.closed = True
        self.authenticator.close()

    def accepts(self, pair: KeyPair | None, patience_ms: int) -> bool:
        """Connect with this key pair, or in the clear, and say whether a message arrived in time."""
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
    """One that accepts workers."""
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.curve_server, socket.curve_secretkey = True, KEYS.master.secret
    made = Server(socket, Authenticator(socket, KEYS.worker), socket.bind_to_random_port("tcp://127.0.0.1"))
    yield made
    if not made.closed:
        made.close()
    close(socket.context)


def test_a_worker_with_the_key_is_accepted(server: Server) -> None:
    """What a worker with the key sends arrives, and nothing is counted."""
    before = dict(refusals.counts)
    assert server.accepts(KEYS.worker, 5_000)
    assert refusals.counts == before


@pytest.mark.parametrize("pair", [OTHERS.worker, KEYS.master, None], ids=["other key", "master's key", "no key"])
def test_a_peer_without_the_key_is_refused_and_counted(server: Server, pair: KeyPair | None) -> None:
    """Another key, another role's or none is a refused handshake, and the next worker is accepted all the same."""
    before = refusals.counts[refusals.HANDSHAKE]
    assert not server.accepts(pair, 200)
    eventually(lambda: refusals.counts[refusals.HANDSHAKE] > before)
    assert server.accepts(KEYS.worker, 5_000)


def test_a_closed_authenticator_accepts_nobody(server: Server) -> None:
    """After close() every handshake fails."""
    server.close()
    assert not server.accepts(KEYS.worker, 200)
