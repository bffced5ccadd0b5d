"""What services send piece by piece, made up at random: events, WebSocket frames and replies of Redis."""

from contextlib import suppress
from typing import Any

import redis
from hypothesis import given
from hypothesis import strategies as st

from loadtest.clients.http.errors import TooLargeError
from loadtest.clients.http.server_sent_events import EventParser, ServerSentEvent
from loadtest.clients.websocket import WebSocketUser
from loadtest.clients.websocket.errors import SessionError
from tests import redis_harness
from tests.fuzz.cases import fuzz
from tests.http_harness import ScriptedServer, error_classes, running_user
from tests.websocket_harness import accepting, frame

LINES = st.sampled_from(
    [b"data", b"data: a", b"event:", b"id: \0", b": b", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b"\n\n"]
)


def events(pieces: list[bytes]) -> list[ServerSentEvent] | None:
    """The events of pieces; None of one that is too large."""
    parser = EventParser()
    try:
        return [event for piece in pieces for event in parser.feed(piece)]
    except TooLargeError:
        return None


@fuzz
@given(st.lists(st.one_of(LINES, st.binary(max_size=20)), max_size=12))
def test_event_streams(pieces: list[bytes]) -> None:
    """Any bytes are events, and the same ones however they arrive."""
    whole = b"".join(pieces)
    assert events(pieces) == events([whole]) == events([whole[at : at + 1] for at in range(len(whole))])


PAYLOADS = st.one_of(st.binary(max_size=40), st.text(max_size=20).map(str.encode), st.just(b"x" * 70_000))
MASKED = st.sampled_from([False, False, False, False, True])
FRAMES = st.one_of(
    st.builds(frame, st.integers(0, 15), PAYLOADS, fin=st.booleans(), rsv1=st.booleans(), masked=MASKED),
    st.binary(max_size=30),
)


@fuzz
@given(pieces=st.lists(FRAMES, max_size=6), is_packed=st.booleans())
def test_websocket_frames(pieces: list[bytes], is_packed: bool) -> None:
    """Any bytes are messages, or one error of the session's own, which is counted once."""

    def script(peer: Any) -> None:
        peer.send(*pieces)

    fields = ["Sec-WebSocket-Extensions: permessage-deflate"] if is_packed else []
    with ScriptedServer(accepting(script, *fields)) as server, running_user(server.url, WebSocketUser) as user:
        with suppress(SessionError), user.client.websocket("/", name="n") as session:
            for message in session.events(5):
                assert isinstance(message.data, str | bytes)
        assert sum(error_classes(user).values()) <= 1


def array(items: list[bytes], kind: bytes) -> bytes:
    """An array, a set, a push message or a map with these items."""
    return kind + b"%d\r\n" % (len(items) // (2 if kind == b"%" else 1)) + b"".join(items)


SCALARS = st.one_of(
    st.sampled_from([b"$-1\r\n", b"*-1\r\n", b"_\r\n", b"#t\r\n", b",inf\r\n", b"(9\r\n", b"+OK\r\n", b"-ERR x\r\n"]),
    st.integers(-(2**70), 2**70).map(lambda number: b":%d\r\n" % number),
    st.binary(max_size=20).map(lambda value: b"$%d\r\n%s\r\n" % (len(value), value)),
)
REPLIES = st.one_of(
    st.recursive(
        SCALARS,
        lambda inner: st.builds(array, st.lists(inner, max_size=4), st.sampled_from([b"*", b"~", b">", b"%"])),
        max_leaves=6,
    ),
    st.integers(1, 50).map(lambda depth: b"*1\r\n" * depth + b":1\r\n"),
    st.sampled_from([b"$9999999999\r\n", b"*100000\r\n:1\r\n", b"*-2\r\n", b"%99999999999\r\n"]),
    st.binary(max_size=40),
)


@fuzz
@given(reply=REPLIES, protocol=st.sampled_from([2, 3]))
def test_redis_replies(reply: bytes, protocol: int) -> None:
    """Any bytes are a value, or an error of the client's own; each request is counted once."""

    def script(sock: Any) -> None:
        with suppress(OSError):
            while sock.recv(1000):
                sock.sendall(reply)
                sock.close()

    with redis_harness.scripted_server(script) as url, redis_harness.running_user(f"{url}?protocol={protocol}") as user:
        user.network_timeout = 2.0
        for command in (lambda: user.client.get("k"), lambda: user.client.json().get("k")):
            with suppress(redis.RedisError, ValueError):
                command()
        assert sum(redis_harness.Recorded(user).requests.values()) in {1, 2}
