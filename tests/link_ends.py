"""A master's end of the link, and its peers."""

from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import msgpack
import zmq.green as zmq

from loadtest.swarm.sockets import MasterEnd
from tests.locust_runners import close


@contextmanager
def master_end() -> Iterator[MasterEnd]:
    """Listen on a free port of this machine, for as long as the context lasts."""
    found = MasterEnd("127.0.0.1", 0, None)
    try:
        yield found
    finally:
        found.close()
        close(found.socket.context)


def speaker(master: MasterEnd, identity: bytes) -> zmq.Socket:
    """Connect under an identity."""
    dealer = zmq.Context.instance().socket(zmq.DEALER)
    dealer.linger = 0
    dealer.setsockopt(zmq.IDENTITY, identity)
    dealer.connect(f"tcp://127.0.0.1:{master.port}")
    return dealer


def heard(master: MasterEnd, dealer: zmq.Socket, name: str) -> bool:
    """Whether the master accepts a message sent under this name."""
    dealer.send(msgpack.packb(("client_ready", -1, name)))
    listening = gevent.spawn(master.recv_from_client)
    dealer_heard = listening.join(timeout=5.0) or listening.ready()
    listening.kill()
    return bool(dealer_heard) and listening.value[0] == name
