"""Messages over real sockets, without a look at the socket's state after each."""

from collections.abc import Iterator

import gevent
import pytest
import zmq.green as zmq

from loadtest.swarm import burst


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
    """Messages that wait, and those that are waited for, come with all their parts."""
    router, dealer = ends
    sent = [[b"%d" % number, b"more"][: 1 + number % 2] for number in range(100)]
    receiver = gevent.spawn(lambda: [burst.receive(router) for _ in sent])
    for number, message in enumerate(sent):
        dealer.send_multipart(message)
        if number % 10 == 0:
            gevent.sleep(0.002)
    assert receiver.get(timeout=5.0) == [[b"worker", *message] for message in sent]


def test_who_sends_much_still_hears(ends: tuple[zmq.Socket, zmq.Socket]) -> None:
    """What comes in while a burst goes out wakes who waits for it; a receiver that is away harms nobody."""
    router, dealer = ends
    dealer.send(b"I am here")
    assert burst.receive(router) == [b"worker", b"I am here"]
    for number in range(50):
        receiver = gevent.spawn(burst.receive, router)
        gevent.sleep(0)
        dealer.send(b"%d" % number)
        burst.send(router, [(b"nobody", b"lost"), (b"worker", b"answer"), (b"worker", b"again")])
        assert receiver.get(timeout=5.0) == [b"worker", b"%d" % number]
        assert [dealer.recv(), dealer.recv()] == [b"answer", b"again"]
