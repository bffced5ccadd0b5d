"""Queues between master and worker are bounded in messages; tests show the effect of each bound."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import gevent
import pytest
import zmq.green as zmq
from locust.exception import RPCSendError
from locust.rpc import Message
from locust.util import exception_handler

from loadtest.swarm import sockets
from loadtest.swarm.sockets import WorkerEnd
from tests.link_ends import master_end, speaker
from tests.link_peers import eventually
from tests.locust_runners import close

LONG = "x" * 100_000
BUFFERS = [Path("/proc/sys/net/ipv4", name).read_text().split() for name in ("tcp_rmem", "tcp_wmem")]
IN_THE_KERNEL = sum(int(largest) for _, _, largest in BUFFERS) // len(LONG) + 1
"""More messages of that length than the buffers of a connection hold."""


@contextmanager
def worker_end(port: int) -> Iterator[WorkerEnd]:
    """A worker's end that connects to a port of this machine."""
    found = WorkerEnd("127.0.0.1", port, "worker", None)
    found.socket.linger = 0
    try:
        yield found
    finally:
        found.close()
        close(found.socket.context)


def test_what_a_worker_does_not_take_waits_at_the_master() -> None:
    """It queues few messages, the kernel some more; the others arrive in order when the worker reads them."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger, router.sndhwm, router.router_mandatory = 0, 1, 1
        with worker_end(router.bind_to_random_port("tcp://127.0.0.1")) as worker:
            worker.send(Message("client_ready", None, "worker"))
            address, _ = router.recv_multipart()
            sent = _sent(router, address)
            assert sockets.MAX_UNREAD <= sent < sockets.MAX_UNREAD + IN_THE_KERNEL
            for number in range(sent):
                assert gevent.with_timeout(20, worker.recv).data == [number, LONG]


def _sent(router: zmq.Socket, address: bytes) -> int:
    """Send until nothing is accepted for a second, and return the number of messages."""
    sent, until_s = 0, time.monotonic() + 1
    while time.monotonic() < until_s:
        message = Message("x", [sent, LONG], "worker").serialize()
        try:
            router.send_multipart([address, message], zmq.NOBLOCK)
        except zmq.Again:
            gevent.sleep(0.02)
        else:
            sent, until_s = sent + 1, time.monotonic() + 1
        assert sent < 5_000
    return sent


def test_a_worker_whose_master_takes_nothing_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It queues a bounded number of messages, and then gets an error instead of an endless wait."""
    monkeypatch.setattr(exception_handler.time, "sleep", lambda _: gevent.sleep(0))
    with (
        zmq.Context() as context,
        context.socket(zmq.STREAM) as deaf,  # it accepts bytes, but never sends a greeting
        worker_end(deaf.bind_to_random_port("tcp://127.0.0.1")) as worker,
    ):
        message = Message("exception", {"msg": "", "traceback": ""}, "worker")
        for _ in range(sockets.MAX_UNSENT):
            worker.send(message)
        with pytest.raises(RPCSendError):
            gevent.with_timeout(20, worker.send, message)


def test_a_worker_that_takes_nothing_holds_up_no_other() -> None:
    """Messages beyond its bound are dropped for this worker alone, and the master never waits."""
    with (
        master_end() as master,
        closing(speaker(master, b"stuck")) as stuck,
        closing(speaker(master, b"works")) as works,
    ):
        stuck.rcvhwm = 1
        for each, name in ((stuck, "stuck"), (works, "works")):
            each.send(Message("client_ready", -1, name).serialize())
            assert gevent.with_timeout(20, master.recv_from_client)[0] == name
        long = Message("x", LONG, "stuck")
        for number in range(sockets.MAX_UNSENT + 1_000 + IN_THE_KERNEL + 100):
            gevent.with_timeout(5, master.send_to_client, long)
            if number % 100 == 0:
                master.send_to_client(Message("x", number, "works"))
                assert Message.unserialize(gevent.with_timeout(5, works.recv)).data == number
        assert master.is_connected("stuck")
        taken = 0
        while stuck.poll(2_000):
            stuck.recv()
            taken += 1
        assert sockets.MAX_UNSENT <= taken < sockets.MAX_UNSENT + 1_000 + IN_THE_KERNEL
        eventually(lambda: master.send_to_client(Message("x", "again", "stuck")) is None and stuck.poll(100))
