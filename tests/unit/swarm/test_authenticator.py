"""The door lets in who has the workers' key, and counts who was turned away, over real handshakes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import zmq.green as zmq

from loadtest.swarm import refusals
from loadtest.swarm.authenticator import Door
from loadtest.swarm.keys import KeyPair, Keys
from tests.link_peers import eventually
from tests.locust_runners import close

KEYS = Keys.of("a secret of more than thirty-two characters")
OTHERS = Keys.of("another secret of more than thirty-two characters")


@dataclass
class House:
    """A master's socket behind a door."""

    socket: Any
    door: Door
    port: int
    closed: bool = False

    def close(self) -> None:
        """Close the door; the house stands."""
        self.closed = True
        self.door.close()

    def hears(self, pair: KeyPair | None, patience_ms: int) -> bool:
        """Knock with this key pair, or in the clear, and say whether the master heard it in time."""
        with self.socket.context.socket(zmq.DEALER) as guest:
            guest.setsockopt(zmq.LINGER, 0)
            if pair:
                guest.curve_serverkey = KEYS.master.public
                guest.curve_publickey, guest.curve_secretkey = pair.public, pair.secret
            guest.connect(f"tcp://127.0.0.1:{self.port}")
            guest.send(b"here")
            if not self.socket.poll(patience_ms):
                return False
            return bool(self.socket.recv_multipart()[1] == b"here")


@pytest.fixture
def house() -> Iterator[House]:
    """One whose door is open to the workers."""
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.curve_server, socket.curve_secretkey = True, KEYS.master.secret
    house = House(socket, Door(socket, KEYS.worker), socket.bind_to_random_port("tcp://127.0.0.1"))
    yield house
    if not house.closed:
        house.close()
    close(socket.context)


def test_who_has_the_key_comes_in(house: House) -> None:
    """A worker with the key is heard, and nothing is counted."""
    before = dict(refusals.counts)
    assert house.hears(KEYS.worker, 5_000)
    assert refusals.counts == before


@pytest.mark.parametrize("pair", [OTHERS.worker, KEYS.master, None], ids=["other key", "master's key", "no key"])
def test_who_has_not_is_turned_away_and_counted(house: House, pair: KeyPair | None) -> None:
    """Who has another key, another role's or none is not heard, and is a refused handshake."""
    before = refusals.counts[refusals.HANDSHAKE]
    assert not house.hears(pair, 200)
    eventually(lambda: refusals.counts[refusals.HANDSHAKE] > before)
    assert house.hears(KEYS.worker, 5_000)  # the next one comes in as ever


def test_behind_a_closed_door_nobody_is_heard(house: House) -> None:
    """After close() the key opens nothing."""
    house.close()
    assert not house.hears(KEYS.worker, 200)
