"""The cost of connections for a master: connections, memory and its life, over real sockets."""

import ctypes
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import gevent
import msgpack
import pytest
import zmq.green as zmq
from gevent import socket

from loadtest.measuring.machine import resident_bytes
from loadtest.swarm import connections, tcp
from loadtest.swarm.monitor import CLOSED, Monitor
from loadtest.swarm.sockets import MasterEnd
from tests.link_ends import heard, master_end, speaker
from tests.link_peers import eventually

MIB = 2**20
MORE, LONG, COMMAND = 1, 2, 4
"""Flags of a frame of ZMTP 3.1."""


@pytest.fixture
def master() -> Iterator[MasterEnd]:
    """A master's end of the link."""
    connections._give_back_memory()  # memory freed by earlier tests would absorb a flood, and hide it
    with master_end() as found:
        yield found


def frame(body: bytes, flags: int = 0) -> bytes:
    """Return a frame as it is on the wire."""
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | LONG]) + struct.pack(">Q", len(body)) + body


def greeting(name: bytes) -> bytes:
    """Return the start of a connection: 64 bytes, and a command."""
    told = ((b"Socket-Type", b"DEALER"), (b"Identity", name))
    ready = b"".join(bytes([len(key)]) + key + struct.pack(">I", len(value)) + value for key, value in told)
    first = b"\xff" + b"\0" * 8 + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + b"\0" * 32
    return first + frame(b"\x05READY" + ready, COMMAND)


def raw(master: MasterEnd, name: bytes) -> socket.socket:
    """Connect without ZeroMQ, so that anything can be sent; return once the master is ready for messages."""
    connection = socket.create_connection(("127.0.0.1", master.port))
    connection.sendall(greeting(name))
    answered = b""
    while b"READY" not in answered:
        answered += connection.recv(4096)
    return connection


def is_closed(connection: socket.socket) -> bool:
    """Return whether the other side closed a connection."""
    connection.settimeout(0.0)
    try:
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def test_further_connections_are_closed(master: MasterEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may fill memory; existing ones are kept, and one that closes makes room."""
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 20)
    with ExitStack() as opened, closing(speaker(master, b"worker")) as worker:
        assert heard(master, worker, "worker")
        address = ("127.0.0.1", master.port)
        strangers = [opened.enter_context(socket.create_connection(address)) for _ in range(60)]
        eventually(lambda: sum(map(is_closed, strangers)) == 60 - 19)
        assert heard(master, worker, "worker")
        for stranger in strangers:
            stranger.close()
        eventually(lambda: len(master._connections) == 1)
        with closing(speaker(master, b"next")) as late:
            assert heard(master, late, "next")


PING = frame(b"\x04PING\0\0", COMMAND)
RESET = struct.pack("ii", 1, 0)


def test_a_connection_that_breaks_with_messages_and_pings_left_ends_nobody(master: MasterEnd) -> None:
    """The master is busy while they arrive; a bounded queue would be full, and ZeroMQ would abort the process."""
    message = frame(msgpack.packb(("client_ready", -1, "odd")))
    for number in range(20):
        connection = raw(master, b"odd%d" % number)
        connection.sendall((message + PING) * 30)
        gevent.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.close()
    with closing(speaker(master, b"worker")) as worker:
        worker.send(msgpack.packb(("client_ready", -1, "worker")))
        listening = gevent.spawn(lambda: next(iter(lambda: master.recv_from_client()[0] == "worker", False)))
        assert listening.get(timeout=10.0)


FLOODS = {
    "a message of endless empty parts": frame(b"", MORE) * 50_000,
    "a message of endless long parts": frame(b"x" * MIB, MORE),
}


def _flood(connection: socket.socket, part: bytes) -> None:
    with suppress(OSError):  # closed by the master, or at the test's end
        while True:
            connection.sendall(part)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count of bytes")
@pytest.mark.parametrize("flood", FLOODS.values(), ids=list(FLOODS))
def test_who_fills_the_memory_is_closed(master: MasterEnd, flood: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection of an innocent worker stays."""
    monkeypatch.setattr(connections, "MAX_HELD_BYTES", 32 * MIB)
    with closing(speaker(master, b"worker")) as worker:
        assert heard(master, worker, "worker")
        with raw(master, b"stranger") as stranger:
            eventually(lambda: len(master._connections) == 2)
            flooding = gevent.spawn(_flood, stranger, flood)
            eventually(lambda: len(master._connections) == 1, within_s=20.0)
            flooding.kill()
        assert heard(master, worker, "worker")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count of bytes")
def test_who_sends_more_than_is_handled_is_closed(master: MasterEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole messages fill the memory too, even though each of them is received in the end."""
    monkeypatch.setattr(connections, "MAX_HELD_BYTES", 32 * MIB)
    part = frame(msgpack.packb(("client_ready", "x" * 8_000, "stranger")))
    began = resident_bytes()

    def take() -> None:
        while True:
            master.recv_from_client()
            gevent.sleep(0.01)

    def send(stranger: socket.socket) -> None:
        with suppress(OSError):
            while True:
                stranger.sendall(part * 60)
                gevent.sleep(0.05)

    taking = gevent.spawn(take)
    with raw(master, b"stranger") as stranger:
        eventually(lambda: len(master._connections) == 1)
        sending = gevent.spawn(send, stranger)
        eventually(lambda: len(master._connections) == 0, within_s=20.0)
        assert resident_bytes() - began < 64 * MIB
        gevent.killall([taking, sending])


_AGAIN = """
import sys, time, zmq
address, context, until_s = sys.argv[1], zmq.Context(), time.monotonic() + 5
while time.monotonic() < until_s:
    with context.socket(zmq.DEALER) as peer:
        peer.linger, peer.sndtimeo, peer.reconnect_ivl, peer.identity = 0, 100, 1, b"flood"
        peer.connect(address)
        stop_s = time.monotonic() + 0.3
        while time.monotonic() < min(stop_s, until_s):
            try:
                peer.send(b"x" * 400)
            except zmq.Again:
                pass
"""


_ONCE = """
import socket, sys, time
flood, until_s = socket.socket(fileno=0), time.monotonic() + 5
while time.monotonic() < until_s:
    flood.sendall(bytes.fromhex(sys.argv[1]) * 50)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count of bytes")
def test_floods_one_after_another_fill_no_more_than_one(master: MasterEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed peer reconnects immediately, and could send until that is noticed; later peers are admitted."""
    monkeypatch.setattr(connections, "MAX_HELD_BYTES", 32 * MIB)
    taking, began, most = gevent.spawn(_take, master), resident_bytes(), 0.0
    command = (sys.executable, "-c", _AGAIN, f"tcp://127.0.0.1:{master.port}")
    floods = [subprocess.Popen(command) for _ in range(3)]
    while any(flood.poll() is None for flood in floods):
        most = max(most, resident_bytes() - began)
        gevent.sleep(0.01)
    assert [flood.returncode for flood in floods] == [0] * 3
    assert most < 128 * MIB
    eventually(lambda: master._connections.has_room, within_s=20.0)
    eventually(lambda: not master.socket.get(zmq.EVENTS) & zmq.POLLIN, within_s=20.0)
    taking.kill()
    with closing(speaker(master, b"late")) as late:
        assert heard(master, late, "late")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count of bytes")
def test_a_flood_is_bounded_while_the_master_is_busy(master: MasterEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report can take seconds, during which no greenlet runs."""
    monkeypatch.setattr(connections, "MAX_HELD_BYTES", 32 * MIB)
    part, began, most = frame(b"x" * 32_000), resident_bytes(), 0.0
    with raw(master, b"stranger") as stranger:
        eventually(lambda: len(master._connections) == 1)
        command = (sys.executable, "-c", _ONCE, part.hex())
        with subprocess.Popen(command, stdin=stranger.detach()):
            until_s = time.monotonic() + 3
            while time.monotonic() < until_s:
                most = max(most, resident_bytes() - began)
    assert most < 160 * MIB
    eventually(lambda: len(master._connections) == 0)


def _take(master: MasterEnd) -> None:
    while True:
        master.recv_from_client()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count of bytes")
def test_a_connection_whose_name_another_took_is_forgotten(master: MasterEnd) -> None:
    """ZeroMQ no longer reads it, and does not notice when its peer leaves; a thousand would shut out every worker."""
    taking = gevent.spawn(_take, master)
    with raw(master, b"twice") as first:
        first.sendall(frame(b"x"))
        with raw(master, b"twice"):
            eventually(lambda: len(master._connections) == 2)
            first.sendall(frame(b"x") * 10)
            first.close()
            eventually(lambda: len(master._connections) == 1)
    taking.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count of bytes")
def test_another_file_under_the_number_of_a_connection_is_left_alone(master: MasterEnd, tmp_path: Path) -> None:
    """ZeroMQ closes connections in its own thread; their descriptors are reused for whatever is opened next."""
    pair = socket.socketpair()
    with (tmp_path / "file").open("w") as file, pair[0], pair[1]:
        before = len([*Path("/proc/self/fd").iterdir()])
        for _ in range(50):
            for descriptor in (file.fileno(), pair[0].fileno(), 100_000):
                assert tcp.bytes_received(descriptor, master.port) is None
                tcp.shut_down([descriptor], master.port)
        assert len([*Path("/proc/self/fd").iterdir()]) < before + 50
        pair[0].sendall(b"x")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count of bytes")
def test_a_message_that_never_ends_is_not_waited_for(master: MasterEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then would otherwise keep memory from ever being calm."""
    monkeypatch.setattr(connections, "_LONGEST_MESSAGE_S", 1.0)
    with raw(master, b"slow") as slow, suppress(OSError):
        slow.sendall(frame(b"x" * 2 * MIB)[:MIB])
        eventually(lambda: len(master._connections) == 1)
        until_closed = gevent.spawn(lambda: eventually(lambda: len(master._connections) == 0))
        while not until_closed.ready():
            slow.sendall(b"x")
            gevent.sleep(0.05)
    until_closed.get()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count of bytes")
def test_what_waits_of_a_connection_that_filled_the_memory_is_dropped(
    master: MasterEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would keep others out until they are read; messages of a worker arrive meanwhile."""
    monkeypatch.setattr(connections, "MAX_HELD_BYTES", 32 * MIB)
    with closing(speaker(master, b"worker")) as worker, raw(master, b"stranger") as stranger:
        assert heard(master, worker, "worker")
        told = frame(msgpack.packb(("client_ready", "x" * 8_000, "stranger")))
        flooding = gevent.spawn(_flood, stranger, told * 100)
        eventually(lambda: not master._connections.has_room, within_s=20.0)
        eventually(lambda: len(master._connections) == 1)
        flooding.kill()
        assert heard(master, worker, "worker")


@pytest.mark.skipif(sys.platform != "linux", reason="the C library's memory")
@pytest.mark.parametrize("others_wait", [False, True])
def test_a_flood_that_was_handled_leaves_no_memory_behind(
    master: MasterEnd, others_wait: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would add to the process's memory until none is left: the C library keeps freed memory."""
    monkeypatch.setattr(connections, "MAX_HELD_BYTES", 32 * MIB)
    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    with closing(speaker(master, b"worker")) as worker:
        assert heard(master, worker, "worker")
        if others_wait:
            worker.send(msgpack.packb(("client_ready", -1, "worker")))
            eventually(lambda: master.socket.get(zmq.EVENTS) & zmq.POLLIN)
        connections._give_back_memory()
        before = resident_bytes()
        messages = [library.malloc(8_000) for _ in range(20_000)]
        for message in messages:
            ctypes.memset(message, 1, 8_000)
        last = library.malloc(8_000)
        for message in messages:
            library.free(message)
        assert resident_bytes() - before > 64 * MIB
        eventually(lambda: resident_bytes() - before < 16 * MIB)
        library.free(last)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count of bytes")
def test_memory_that_the_master_fills_itself_closes_nobody(master: MasterEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads test data while its workers' messages wait."""
    monkeypatch.setattr(connections, "MAX_HELD_BYTES", 32 * MIB)
    closed: list[int] = []
    Monitor.of(master.socket).listen(CLOSED, closed.append)
    with closing(speaker(master, b"worker")) as worker:
        assert heard(master, worker, "worker")
        for _ in range(100):
            worker.send(msgpack.packb(("client_ready", -1, "worker")))
        eventually(lambda: master.socket.get(zmq.EVENTS) & zmq.POLLIN)
        data = bytearray(os.urandom(MIB)) * 100
        watch = master._connections
        looks = watch._looks
        eventually(lambda: watch._looks >= looks + 2 * connections._COUNT_EVERY)
        assert (len(data), closed) == (100 * MIB, [])


def test_a_message_of_two_parts_is_none(master: MasterEnd) -> None:
    """Workers never send one."""
    packed = msgpack.packb(("client_ready", -1, "worker"))
    with closing(speaker(master, b"worker")) as worker:
        worker.send_multipart([packed, b""])
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.5):
            master.recv_from_client()
        assert heard(master, worker, "worker")
