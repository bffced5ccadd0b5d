"""Cluster nodes and Sentinels that send nonsense: one error of its class, counted once, in bounded memory."""

import contextlib
import gc
import tracemalloc
from collections import Counter
from itertools import count

import gevent
import pytest
import redis
from gevent.server import StreamServer

from loadtest.clients.redis import cluster
from loadtest.clients.redis.sentinel import Sentinels
from loadtest.clients.redis.settings import RedisSettings
from tests.redis_harness import Recorded, failure_of, running_user, scripted_server

ADDRESS = b"*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n"


def slots(first: int, last: int, node: bytes = ADDRESS) -> bytes:
    """A reply to CLUSTER SLOTS with one range."""
    return b"*1\r\n*3\r\n:%d\r\n:%d\r\n" % (first, last) + node


ALL = slots(0, 16383)
NO_SLOTS = {
    "a number": b":1\r\n",
    "a text": b"+OK\r\n",
    "nothing": b"$-1\r\n",
    "no node": b"*1\r\n*2\r\n:0\r\n:1\r\n",
    "a node without a port": slots(0, 16383, b"*1\r\n$9\r\n127.0.0.1\r\n"),
    "a host that is no text": slots(0, 16383, b"*2\r\n$1\r\n\xff\r\n:%d\r\n"),
    "a host that is a number": slots(0, 16383, b"*2\r\n:7\r\n:%d\r\n"),
    "a port that is a text": slots(0, 16383, b"*2\r\n$9\r\n127.0.0.1\r\n$1\r\nx\r\n"),
    "a port beyond the last": slots(0, 16383, b"*2\r\n$9\r\n127.0.0.1\r\n:65537\r\n"),
    "slots beyond the last": slots(0, 16384),
    "a billion slots": slots(0, 10**9),
    "slots below the first": slots(-5, 5),
    "slots backwards": slots(9, 5),
    "a slot that is a text": b"*1\r\n*3\r\n$1\r\na\r\n:5\r\n" + ADDRESS,
}
NO_NODES = (
    *("MOVED", "MOVED 1", "MOVED a b", "MOVED 16384 127.0.0.1:7", "MOVED -1 127.0.0.1:7", "MOVED 1 127.0.0.1:65543"),
    *("MOVED 1 127.0.0.1:-1", "MOVED 1 127.0.0.1:0", "ASK 1", "ASK x y:z"),
)


def node(slots: bytes, reply: bytes = b"$1\r\nx\r\n"):
    """A node that knows these slots, and gives this reply to commands; `%d` stands for its own port."""

    def script(sock):
        port = sock.getsockname()[1]
        while data := sock.recv(4096):
            said = slots if b"SLOTS" in data else reply
            sock.sendall(said.replace(b"%d", b"%d" % port))

    return script


@pytest.mark.parametrize("what", NO_SLOTS)
def test_a_node_that_names_no_slots_is_one_sentence(what):
    """The reply is not used, however many slots it names."""
    tracemalloc.start()
    try:
        with scripted_server(node(NO_SLOTS[what])) as url, running_user(f"{url}?cluster=true") as user:
            error, error_class = failure_of(user, lambda client: client.get("a"))
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
    assert error_class == "protocol"
    assert "cannot be asked for its slots (127.0.0.1:" in str(error)
    assert "which are no slots and nodes" in str(error)


def test_a_cluster_whose_slots_are_not_assigned_yet_is_used_when_they_are(monkeypatch):
    """Users may start before the cluster is ready."""
    monkeypatch.setattr("loadtest.clients.redis.topology.REFRESH_S", 0)
    known = [b"*0\r\n", b"*0\r\n", ALL]

    def script(sock):
        port = sock.getsockname()[1]
        while data := sock.recv(4096):
            sock.sendall(known.pop(0).replace(b"%d", b"%d" % port) if b"SLOTS" in data else b"$1\r\nx\r\n")

    with scripted_server(script) as url, running_user(f"{url}?cluster=true") as user:
        for _ in range(2):
            error, error_class = failure_of(user, lambda client: client.get("a"))
            assert (error_class, "knows no node that serves any" in str(error)) == ("redis_cluster_down", True)
        assert user.client.get("a") == b"x"


@pytest.mark.parametrize("text", NO_NODES)
@pytest.mark.parametrize("options", ["", "?cluster=true"])
def test_a_redirection_to_no_node_is_one_sentence(text, options):
    """No other port is tried, and the slot is assigned to nobody."""
    with scripted_server(node(ALL, b"-%s\r\n" % text.encode())) as url, running_user(f"{url}{options}") as user:
        error, error_class = failure_of(user, lambda client: client.get("a"))
    assert (error_class, str(error)) == ("protocol", f"{text}: this names no slot or no node")
    assert isinstance(error, redis.ResponseError)


def test_a_node_that_names_ever_new_nodes_does_not_use_up_the_files(monkeypatch):
    """Every address in 127.0.0.0/8 is this machine, so each of these nodes exists."""
    monkeypatch.setattr(cluster, "MAX_NODES", 20)
    hosts, open_now, most_open = count(2), Counter(), 0

    def serve(sock, _address):
        nonlocal most_open
        open_now["connections"] += 1
        most_open = max(most_open, open_now["connections"])
        port = sock.getsockname()[1]
        with contextlib.suppress(OSError):
            while data := sock.recv(4096):
                number = next(hosts)
                moved = b"-MOVED 1 127.0.%d.%d:%d\r\n" % (number >> 8, number & 255, port)
                sock.sendall(ALL.replace(b"%d", b"%d" % port) if b"SLOTS" in data else moved)
        open_now["connections"] -= 1

    server = StreamServer(("0.0.0.0", 0), serve)  # noqa: S104 - all addresses of the loopback interface
    server.start()
    try:
        with running_user(f"redis://127.0.0.1:{server.server_port}?cluster=true") as user:
            for _ in range(10):
                with pytest.raises(redis.ResponseError, match="given up after 16 redirections"):
                    user.client.get("a")
                gevent.sleep(0.01)
            recorded = Recorded(user)
            assert (set(recorded.errors), sum(recorded.failures.values())) == ({"redis_moved"}, 10)
            assert len(user._session.connection._nodes) == 20
        assert 16 < most_open < 30
    finally:
        server.stop(timeout=1)
        gc.collect()


def test_a_sentinel_that_names_ever_new_ones_does_not_fill_the_memory(monkeypatch):
    """Nor is an invalid port contacted."""
    monkeypatch.setattr("loadtest.clients.redis.sentinel.REFRESH_S", 0)
    hosts = count(100)

    def script(sock):
        while sock.recv(4096):
            named = [b"127.1.1.%d" % next(hosts) for _ in range(50)]  # where nobody listens at port 1
            others = [b"*4\r\n$2\r\nip\r\n$11\r\n%s\r\n$4\r\nport\r\n$1\r\n1\r\n" % host for host in named]
            sock.sendall(b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n70000\r\n*50\r\n" + b"".join(others))

    with scripted_server(script) as server:
        url = f"{server}?sentinel=shop"
        with running_user(url) as user:
            for _ in range(3):
                error, error_class = failure_of(user, lambda client: client.get("a"))
                assert error_class == "connect", str(error)
        assert len(Sentinels.of(RedisSettings.from_url(url))._known) == 100
