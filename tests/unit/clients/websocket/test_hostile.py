"""Servers that break the protocol: each session fails with one sentence and its class, once, in bounded memory."""

import socket
import struct
import tracemalloc
import zlib
from contextlib import suppress

import gevent
import pytest
from locust.exception import StopUser

from loadtest.clients.websocket import WebSocketUser
from loadtest.clients.websocket.connection import MAX_MESSAGE_BYTES
from loadtest.clients.websocket.errors import SessionError
from loadtest.measuring.record import RunRecord
from tests.http_harness import ScriptedServer, running_user
from tests.websocket_harness import BINARY, CLOSE, PING, PONG, TEXT, accepting, close_frame, frame

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def outcome(script, *fields: str) -> tuple[str, str]:
    """The class and the message of the only failure of a session that waits for an event."""
    with ScriptedServer(accepting(script, *fields)) as server, running_user(server.url, WebSocketUser) as user:
        with suppress(SessionError), user.client.websocket("/", name="n") as session:
            list(session.events(30))
        record = RunRecord()
        record.add(user.recorder.take(), 0)
    (error,) = record.errors()
    (view,) = record.streams()
    assert record.failures == error.occurrences == 1
    assert view.ended_by["error"] == sum(view.ended_by.values()) == 1
    return error.error_class, error.message


def sending(*pieces: bytes):
    """A server that sends this, and waits for the client to close."""

    def script(peer):
        peer.send(*pieces)
        with suppress(ConnectionError):
            while True:
                peer.read()

    return script


MALFORMED = {
    "a masked frame": frame(TEXT, b"hello", masked=True),
    "a reserved bit": frame(TEXT, b"hello", rsv1=True),
    "a reserved opcode": frame(3),
    "a reserved control opcode": frame(11),
    "a fragmented control frame": frame(PING, b"", fin=False),
    "a long control frame": frame(PING, b"x" * 126),
    "a continuation of nothing": frame(0, b"hello"),
    "a message within another": frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
    "text that is not UTF-8": frame(TEXT, b"\xff\xfe"),
    "half a character at the end": frame(TEXT, "é".encode()[:1]),
    "a length longer than needed": b"\x81\x7e\x00\x05hello",
    "a length of 2^63": b"\x82\x7f" + struct.pack("!Q", 1 << 63),
    "a close frame of one byte": frame(CLOSE, b"\x03"),
    "a close code that is none": close_frame(999),
    "a close code that never travels": close_frame(1006),
    "a close reason that is not UTF-8": frame(CLOSE, b"\x03\xe8\xff"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_frames_are_protocol_errors(what):
    """Everything before them is counted as usual."""
    error_class, message = outcome(sending(frame(TEXT, b"good"), MALFORMED[what]))
    assert error_class == "protocol"
    assert message.startswith("the server's frame is malformed: ")


def test_a_frame_is_refused_by_the_length_that_it_announces():
    """Nothing is read of 2 GiB, nor of one byte too many."""
    for announced in (1 << 31, MAX_MESSAGE_BYTES + 1):
        error_class, message = outcome(sending(b"\x82\x7f" + struct.pack("!Q", announced)))
        assert error_class == "too_large"
        assert message == f"the server announced a frame of more than {MAX_MESSAGE_BYTES} bytes"


def test_a_message_without_end_is_refused_in_bounded_memory():
    """Each frame is small, but together they exceed the limit."""

    def script(peer):
        piece = frame(0, b"x" * 65_000, fin=False)
        peer.send(frame(BINARY, b"x", fin=False))
        with suppress(OSError):
            while True:
                peer.send(piece)

    tracemalloc.start()
    try:
        error_class, message = outcome(script)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (error_class, message) == ("too_large", f"the server sent a message of more than {MAX_MESSAGE_BYTES} bytes")
    assert peak_bytes < 4 * MAX_MESSAGE_BYTES


def test_a_compression_bomb_is_refused_in_bounded_memory():
    """A frame of 1 MiB holds a message of 1 GiB; the limit applies to the decompressed size."""
    deflater = zlib.compressobj(wbits=-15, level=9)
    block = deflater.compress(bytes(1 << 20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    bomb = block * 1024

    tracemalloc.start()
    try:
        error_class, _ = outcome(sending(frame(BINARY, bomb, rsv1=True)), DEFLATE)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error_class == "too_large"
    assert peak_bytes < 5 * MAX_MESSAGE_BYTES


def test_what_cannot_be_decompressed_is_a_protocol_error():
    """The error is one sentence."""
    found = outcome(sending(frame(TEXT, b"\xff\xff\xff", rsv1=True)), DEFLATE)
    assert found == ("protocol", "what the server compressed cannot be decompressed")


def test_an_end_without_a_close_frame_is_reported():
    """The connection ends, possibly within a frame, or is reset."""
    assert outcome(lambda _: None) == ("closed", "the connection ended without a close frame")
    assert outcome(lambda peer: peer.send(frame(TEXT, b"hello")[:4]))[0] == "closed"
    assert outcome(lambda peer: peer.peer.reset())[0] in {"reset", "closed"}


def test_a_server_that_does_not_read_stops_a_large_message_by_its_timeout():
    """It is counted once, and the session ends."""

    def script(_peer):
        gevent.sleep(30)

    with ScriptedServer(accepting(script)) as server, running_user(server.url, WebSocketUser) as user:
        with suppress(SessionError), user.client.websocket("/", name="n", compress=False) as session:
            session.send(b"x" * (16 << 20), timeout_s=0.3)
        record = RunRecord()
        record.add(user.recorder.take(), 0)
    assert [error.error_class for error in record.errors()] == ["timeout_read"]
    assert record.failures == 1


def test_a_flood_of_pings_to_which_nobody_listens_is_bounded():
    """Pongs are not queued without limit, and messages between the pings still arrive."""

    def script(peer):
        peer.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.read()
        peer.send(b"".join([frame(PING, b"x" * 125)] * 8_000), frame(TEXT, b"after"))
        gevent.sleep(30)

    with (
        ScriptedServer(accepting(script)) as server,
        running_user(server.url, WebSocketUser) as user,
        suppress(StopUser),
        user.client.websocket("/", name="n") as session,
    ):
        session._connection.stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        session.send("begin")
        assert session.receive(60).data == "after"
        assert len(session._connection._outgoing) < 70_000
        raise StopUser


def test_an_answer_is_looked_for_within_bounds():
    """An exception in the scenario's key function ends the session, counted as an exception."""

    def script(peer):
        peer.read()
        peer.send(frame(PONG), frame(TEXT, b"no number"))
        with suppress(ConnectionError):
            peer.read()

    with ScriptedServer(accepting(script)) as server, running_user(server.url, WebSocketUser) as user:
        with suppress(SessionError), user.client.websocket("/", name="n") as session:
            session.round_trip("1", "n", key=lambda message: int(message.data) == 1)
        record = RunRecord()
        record.add(user.recorder.take(), 0)
    assert [error.error_class for error in record.errors()] == ["exception"]
