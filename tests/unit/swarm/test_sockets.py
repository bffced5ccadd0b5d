"""The reach of the workers' link, the keys that close it, and messages over real sockets."""

import socket
from collections.abc import Iterator
from contextlib import closing

import gevent
import msgpack
import pytest
import zmq.green as zmq

from loadtest.swarm import refusals, sockets, tcp
from loadtest.swarm.keys import Keys
from loadtest.swarm.monitor import ACCEPTED, Monitor
from loadtest.swarm.sockets import MasterEnd, check_reach
from tests.link_ends import heard, master_end, speaker
from tests.link_peers import eventually


def test_a_worker_goes_to_another_machine_with_a_key_only() -> None:
    """Without a key, outside a private network, the process exits with 2."""
    with pytest.raises(SystemExit) as ended:
        check_reach("203.0.113.7", "--master-host", trusted=False)
    assert ended.value.code == 2
    check_reach("203.0.113.7", "--master-host", trusted=True)
    check_reach("localhost", "--master-host", trusted=False)


def test_one_secret_gives_the_same_two_pairs_everywhere() -> None:
    """Both sides derive the same keys from the same secret, and different ones for each role and each secret."""
    keys, again, other = Keys.of("secret " * 8), Keys.of("secret " * 8), Keys.of("secret " * 7)
    assert again == keys
    pairs = (keys.master, keys.worker, other.master, other.worker)
    assert len({pair.secret for pair in pairs} | {pair.public for pair in pairs}) == 8
    assert all(zmq.curve_public(pair.secret) == pair.public for pair in pairs)


@pytest.fixture
def ends() -> Iterator[tuple[zmq.Socket, zmq.Socket]]:
    """A master's socket and a worker's."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router, context.socket(zmq.DEALER) as dealer:
        router.linger = dealer.linger = 0
        port = router.bind_to_random_port("tcp://127.0.0.1")
        dealer.setsockopt(zmq.IDENTITY, b"worker")
        dealer.connect(f"tcp://127.0.0.1:{port}")
        yield router, dealer


def test_messages_come_whole_and_in_order(ends: tuple[zmq.Socket, zmq.Socket]) -> None:
    """Messages arrive with all their parts, whether they were queued or awaited."""
    router, dealer = ends
    sent = [[b"%d" % number, b"more"][: 1 + number % 2] for number in range(100)]
    receiver = gevent.spawn(lambda: [sockets.receive(router)[1] for _ in sent])
    for number, message in enumerate(sent):
        dealer.send_multipart(message)
        if number % 10 == 0:
            gevent.sleep(0.002)
    assert receiver.get(timeout=5.0) == [[b"worker", *message] for message in sent]


def test_a_socket_that_sends_much_still_receives(ends: tuple[zmq.Socket, zmq.Socket]) -> None:
    """A message that arrives while many are sent wakes its receiver; one to an absent peer is dropped."""
    router, dealer = ends
    dealer.send(b"I am here")
    assert sockets.receive(router)[1] == [b"worker", b"I am here"]
    for number in range(50):
        receiver = gevent.spawn(sockets.receive, router)
        gevent.sleep(0)
        dealer.send(b"%d" % number)
        sockets.send_each(router, [(b"nobody", b"lost"), (b"worker", b"answer"), (b"worker", b"again")])
        assert receiver.get(timeout=5.0)[1] == [b"worker", b"%d" % number]
        assert [dealer.recv(), dealer.recv()] == [b"answer", b"again"]


@pytest.fixture
def master() -> Iterator[MasterEnd]:
    """A master's end."""
    with master_end() as found:
        yield found


def test_names_of_workers_that_left_make_room_for_others(master: MasterEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that uses one name after another shuts nobody out, and takes no name of a connected worker."""
    monkeypatch.setattr(sockets, "MAX_NAMES", 5)
    with closing(speaker(master, b"stays\nmark")) as stays:
        assert heard(master, stays, "stays")
        for number in range(20):
            with closing(speaker(master, b"passes %d" % number)) as passing:
                assert heard(master, passing, f"passes {number}")
            eventually(lambda number=number: not master.is_connected(f"passes {number}"))
        with closing(speaker(master, b"stays\nother")) as impostor, closing(speaker(master, b"next")) as late:
            impostor.send(msgpack.packb(("client_ready", -1, "stays")))
            assert heard(master, late, "next")
            assert heard(master, stays, "stays")
        assert master.address_of("stays") == b"stays\nmark"


def heard_kinds(master: MasterEnd) -> list[str]:
    """Return the kinds of the messages that the master receives within half a second."""
    kinds: list[str] = []
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.5):
        while True:
            kinds.append(master.recv_from_client()[1].type)
    return kinds


def test_what_a_broken_connection_left_is_not_held_against_its_worker(master: MasterEnd) -> None:
    """A master that was busy reads it after the worker has reconnected. Peers without a name are refused as always."""
    accepted: list[int] = []
    nobody = zmq.Context.instance().socket(zmq.DEALER)
    with closing(speaker(master, b"worker\nmark")) as worker, closing(nobody):
        assert heard(master, worker, "worker")
        (connection,) = master._connections._received
        Monitor.of(master.socket).listen(ACCEPTED, accepted.append)
        before = refusals.counts[refusals.MALFORMED]
        for _ in range(5):
            worker.send(msgpack.packb(("client_stopped", None, "worker")))
        gevent.sleep(0.2)  # they have arrived, and wait
        with tcp.opened(connection, master.port) as opened:
            opened.shutdown(socket.SHUT_RDWR)
        eventually(lambda: accepted and master.is_connected("worker"))
        worker.send(msgpack.packb(("client_ready", -1, "worker")))
        assert heard_kinds(master)[-1] == "client_ready"  # before it, those that ZeroMQ had ready already
        assert refusals.counts[refusals.MALFORMED] == before
        nobody.connect(f"tcp://127.0.0.1:{master.port}")
        nobody.send(msgpack.packb(("client_ready", -1, "worker")))
        assert (heard_kinds(master), refusals.counts[refusals.MALFORMED]) == ([], before + 1)
