"""What RFC 6455 and 7692 allow a server, by the groups of Autobahn's cases for clients; the rest is in test_hostile.

The results of the cases themselves are in docs/reference/websocket_client.md.
"""

import zlib
from contextlib import suppress

import gevent
import pytest

from loadtest.clients.websocket import WebSocketUser
from loadtest.clients.websocket.errors import SessionError
from tests.http_harness import ScriptedServer, error_classes, running_user
from tests.websocket_harness import BINARY, CLOSE, PING, PONG, TEXT, SocketPeer, accepting, close_frame, frame

TEXTS = "κόσμε \U0010ffff é \ufeff\u0000"


def echoed(sent: list[bytes], count: int, *fields: str) -> tuple[list[tuple[int, bytes]], list[str | bytes]]:
    """The messages that a server gets from a client that echoes, and those that the client received."""
    got: list[tuple[int, bytes]] = []
    received: list[str | bytes] = []

    def script(peer: SocketPeer) -> None:
        peer.send(*sent)
        got.extend(peer.read() for _ in range(count))
        peer.send(close_frame(1000))
        peer.read()

    with ScriptedServer(accepting(script, *fields)) as server, running_user(server.url, WebSocketUser) as user:
        with user.client.websocket("/", name="n") as socket:
            for message in socket.events(30):
                received.append(message.data)
                socket.send(message.data)
        assert error_classes(user) == {}
    return got, received


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65_535, 65_536, 300_000])
def test_messages_of_each_length_of_a_frame_come_and_go(size):
    """Groups 1 and 9: text and binary, at the limits of the three forms of a length; in one piece and byte by byte."""
    for opcode, byte in ((TEXT, b"*"), (BINARY, b"\xfe")):
        whole = frame(opcode, byte * size)
        for pieces in ([whole], [whole[at : at + 1] for at in range(min(len(whole), 300))] + [whole[300:]]):
            assert echoed(pieces, 1)[0] == [(opcode, byte * size)]


def test_pings_and_pongs_may_come_at_any_time():
    """Group 2: each ping is answered with its payload, in order; an unsolicited pong is ignored."""
    pings = [
        frame(PING),
        frame(PING, b"\x00\xff" * 62),
        frame(PONG, b"unasked"),
        *(frame(PING, b"%d" % n) for n in range(9)),
    ]
    got, _ = echoed([*pings, frame(TEXT, b"end")], 12)
    assert got == [(PONG, b""), (PONG, b"\x00\xff" * 62), *((PONG, b"%d" % n) for n in range(9)), (TEXT, b"end")]


@pytest.mark.parametrize("first", [0xA1, 0x91, 0xB1, 0xF1, 0xA9, 0x99, 0x98, *range(0x83, 0x88), *range(0x8B, 0x90)])
def test_reserved_bits_and_opcodes_end_the_session(first):
    """Groups 3 and 4: on data and control frames, with compression too; earlier messages are received."""
    for fields in ((), ("Sec-WebSocket-Extensions: permessage-deflate",)):

        def script(peer):
            peer.send(frame(TEXT, b"good"), bytes([first, 0]))
            with suppress(ConnectionError):
                assert peer.read()[0] == CLOSE

        received = []
        with ScriptedServer(accepting(script, *fields)) as server, running_user(server.url, WebSocketUser) as user:
            with pytest.raises(SessionError, match="malformed"), user.client.websocket("/", name="n") as socket:
                received += [message.data for message in socket.events(30)]
            assert error_classes(user) == {"protocol": 1}


def test_messages_in_fragments_with_control_frames_between_them():
    """Group 5: including empty fragments, and a ping between any two."""
    parts = [b"", b"frag", b"", b"ment", b""]
    frames = [frame(TEXT if not at else 0, part, fin=at == len(parts) - 1) for at, part in enumerate(parts)]
    between = [each for number, one in enumerate(frames) for each in (one, frame(PING, b"%d" % number))]
    got, received = echoed(between, 6)
    assert (received, got[-1] in got, dict(got)[TEXT]) == (["fragment"], True, b"fragment")
    assert [payload for opcode, payload in got if opcode == PONG] == [b"0", b"1", b"2", b"3", b"4"]


def test_text_may_be_divided_within_a_character():
    """Group 6: at any byte, by fragments and by pieces of the connection."""
    data = TEXTS.encode()
    for at in range(len(data) + 1):
        got, received = echoed([frame(TEXT, data[:at], fin=False), frame(0, data[at:])], 1)
        assert (got, received) == ([(TEXT, data)], [TEXTS])


@pytest.mark.parametrize(
    "data",
    [b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80",
     b"\x80", b"\xfe", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"],
)  # fmt: skip
def test_text_that_is_no_utf_8_is_refused_at_once(data):
    """Group 6: overlong forms, surrogates and code points out of range; before the message has ended."""

    def script(peer):
        peer.send(frame(TEXT, data, fin=False))
        with suppress(ConnectionError):
            assert peer.read()[0] == CLOSE

    with ScriptedServer(accepting(script)) as server, running_user(server.url, WebSocketUser) as user:
        with pytest.raises(SessionError, match="malformed"), user.client.websocket("/", name="n") as socket:
            list(socket.events(30))
        assert error_classes(user) == {"protocol": 1}


@pytest.mark.parametrize("code", [None, *range(1000, 1004), *range(1007, 1012), 3000, 3999, 4000, 4999])
def test_a_close_frame_is_answered_with_its_code(code):
    """Group 7: without a code, with each valid one, with the longest reason; later frames are ignored."""
    payload = b"" if code is None else code.to_bytes(2, "big") + b"*" * 123
    answers = gevent.event.AsyncResult()

    def script(peer):
        peer.send(frame(CLOSE, payload) + frame(TEXT, b"late") + frame(PING, b"late"))
        answers.set([peer.read(), peer.peer.sock.recv(1)])

    with ScriptedServer(accepting(script)) as server, running_user(server.url, WebSocketUser) as user:
        with suppress(SessionError), user.client.websocket("/", name="n") as socket:
            assert list(socket.events(30)) == []
        assert socket.close_code == (code or 1005)
        assert answers.get(timeout=30) == [(CLOSE, payload[:2]), b""]


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("bits", [9, 15])
def test_compressed_messages_come_and_go(keeps, bits):
    """Groups 12 and 13: with and without the server's context, with a small window, in many fragments."""
    extension = f"permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}"
    extension += "" if keeps else "; server_no_context_takeover; client_no_context_takeover"
    texts = [b'{"n": %d, "text": "%s"}' % (number, b"abcdefgh" * 5_000) for number in range(20)]
    deflater, frames = zlib.compressobj(wbits=-bits), []
    for text in texts:
        packed = (deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        pieces = [packed[at : at + 100] for at in range(0, len(packed), 100)]
        last = len(pieces) - 1
        frames += [frame(0 if at else TEXT, one, fin=at == last, rsv1=not at) for at, one in enumerate(pieces)]
        deflater = deflater if keeps else zlib.compressobj(wbits=-bits)
    got, received = echoed(frames, len(texts), f"Sec-WebSocket-Extensions: {extension}")
    assert [str(one).encode() for one in received] == texts
    inflater = zlib.decompressobj(-bits)
    for (opcode, payload), text in zip(got, texts, strict=True):
        assert (opcode, inflater.decompress(payload + b"\x00\x00\xff\xff")) == (TEXT | 0x40, text)
        inflater = inflater if keeps else zlib.decompressobj(-bits)
