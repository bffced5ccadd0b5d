"""A worker whose connection is gone is known at once, by name, on a real link."""

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
import zmq.green as zmq
from locust.rpc import Message
from locust.runners import MasterRunner

from loadtest.swarm.disconnections import Disconnections, is_connected
from tests.link_peers import Peer, eventually, master


@pytest.fixture
def runner() -> Iterator[MasterRunner]:
    """A master."""
    with master() as runner:
        yield runner


def test_a_closed_connection_is_told_and_named(runner: MasterRunner) -> None:
    """The end of a connection is told at once, and of several workers the right one is named."""
    told: list[str] = []
    disconnections = Disconnections(runner, lambda: told.append("closed"))
    with Peer(runner, "stays"):
        Peer(runner, "goes").cut()
        assert eventually(lambda: told) < 2
        assert disconnections.gone(["stays", "goes"]) == ["goes"]


def test_who_ended_it_hears_no_more(runner: MasterRunner) -> None:
    """After close() nothing is told."""
    told: list[str] = []
    Disconnections(runner, lambda: told.append("closed")).close()
    Peer(runner, "goes").cut()
    eventually(lambda: not is_connected(runner, "goes"))
    gevent.sleep(0.1)
    assert not told


def test_a_worker_that_reads_nothing_is_connected(runner: MasterRunner) -> None:
    """A full queue is a slow worker, not a lost one."""
    socket: Any = runner.server.socket
    with Peer(runner, "slow") as slow:
        slow._listening.kill()
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        with pytest.raises(zmq.Again):
            for _ in range(100_000):
                socket.send_multipart([b"slow", b"x" * 10_000], zmq.NOBLOCK)
        assert is_connected(runner, "slow")


def test_asking_leaves_the_socket_as_locust_wants_it(runner: MasterRunner) -> None:
    """After a probe, a message to a worker that is gone still vanishes without an error."""
    assert not is_connected(runner, "nobody")
    runner.server.send_to_client(Message("stop", None, "nobody"))
