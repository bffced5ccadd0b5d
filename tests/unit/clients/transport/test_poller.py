"""The poller: the reads and sends of a batch of arrivals, and the end of its event loop."""

import os
import socket
import sys

import gevent

from loadtest.clients.transport.poller import Poller


def test_a_forked_process_gets_a_poller_of_its_own():
    """A child never uses the parent's epoll set, from which it would take events."""
    parent = Poller.current()
    child = gevent.os.fork()
    if child == 0:
        os._exit(0 if Poller.current() is not parent else 1)
    _, status = gevent.os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert parent is Poller.current()


class _Party:
    """A greenlet that reads and then sends, and the log of both."""

    def __init__(self, log):
        self.log = log
        self.ours, theirs = socket.socketpair()
        self.theirs = theirs
        self.waiter = gevent.spawn(self._run)

    def _run(self):
        poller = Poller.current()
        poller.add(self.ours.fileno(), self)
        poller.wait()
        self.ours.recv(1)
        self.log.append("read")
        assert poller.defer(self)
        poller.wait()

    def send_deferred(self):
        self.log.append("sent")

    def close(self):
        self.waiter.kill()
        Poller.current().discard(self.ours.fileno())
        self.ours.close()
        self.theirs.close()


def test_what_a_batch_of_arrivals_has_to_send_goes_out_together():
    """Sixteen messages go out at a time, and the rest at the end of the batch; without a batch nothing is deferred."""
    log = []
    parties = [_Party(log) for _ in range(20)]
    gevent.sleep(0)
    for party in parties:
        party.theirs.send(b"x")
    gevent.sleep(0.05)
    assert log == ["read"] * 16 + ["sent"] * 16 + ["read"] * 4 + ["sent"] * 4
    assert not Poller.current().defer(parties[0])
    for party in parties:
        party.close()


def test_an_event_loop_with_closed_connections_only_can_end(redis_url):
    """Once the last connection is closed, nothing keeps an idle process alive."""
    program = (
        "import gevent.monkey; gevent.monkey.patch_all()\n"
        "import gevent\n"
        "from tests.redis_harness import client_of\n"
        f"with client_of({redis_url!r}) as client: client.ping()\n"
        "try: gevent.get_hub().switch()\n"
        "except gevent.exceptions.LoopExit: print('ended')\n"
    )
    done = gevent.subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120, check=False)
    assert done.stdout == b"ended\n", done.stderr
