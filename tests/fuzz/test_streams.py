"""Random streamed input from services: events, WebSocket frames and replies of Redis."""

from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import hiredis
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from loadtest.clients.http.errors import TooLargeError
from loadtest.clients.http.server_sent_events import EventParser, ServerSentEvent
from loadtest.clients.redis.errors import ConnectionBroken, reply_error
from loadtest.clients.redis.reply_parser import ARRIVAL, INCOMPLETE, ReplyParser
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
    """The events parsed from these pieces; None if one is too large."""
    parser = EventParser()
    try:
        return [event for piece in pieces for event in parser.feed(piece)]
    except TooLargeError:
        return None


@fuzz
@given(st.lists(st.one_of(LINES, st.binary(max_size=20)), max_size=12))
def test_event_streams(pieces: list[bytes]) -> None:
    """Any bytes are parsed into the same events, however they are split."""
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
    """Any bytes are messages, or one error of the session, which is counted once."""

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
    """Any bytes are a value or an error of the client; each request is counted once."""

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


def pieces_of(whole: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Split bytes at these positions."""
    places = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
    return [whole[begin:end] for begin, end in pairwise(places)]


def parsed(pieces: list[bytes], collects: bool) -> list[Any]:
    """The complete replies after all pieces."""
    parser, found = ReplyParser("redis", collects=collects), []
    for piece in pieces:
        ARRIVAL[: len(piece)] = piece
        if (reply := parser.parse(len(piece))) is not INCOMPLETE:
            found.append(reply)
    return found


LOOKALIKES = st.sampled_from([b"*5\r\n", b"\r\n*99999999\r\n%5\r", b"a*12", b"|3", b"*" + b"9" * 40 + b"\r\n"])
VALUES = st.one_of(
    st.sampled_from([b"$-1\r\n", b":-12345\r\n", b"+a*12\r\n", b"-ERR x\r\n", b"_\r\n", b",inf\r\n", b"*0\r\n"]),
    st.lists(LOOKALIKES, max_size=3).map(b"".join).map(lambda value: b"$%d\r\n%s\r\n" % (len(value), value)),
)
NESTED = st.recursive(
    VALUES, lambda inner: st.builds(array, st.lists(inner, max_size=12), st.sampled_from([b"*", b"~"])), max_leaves=30
)
CUTS = st.lists(st.integers(0, 10_000), max_size=6)


@fuzz
@given(reply=NESTED, cuts=CUTS, collects=st.booleans())
def test_redis_replies_in_pieces(reply: bytes, cuts: list[int], collects: bool) -> None:
    """However a reply is split, it is parsed into the same value as by hiredis."""
    reader = hiredis.Reader(replyError=reply_error)
    reader.feed(reply)
    assert repr(parsed(pieces_of(reply, cuts), collects)) == repr([reader.gets()])


@fuzz
@given(
    before=st.lists(VALUES, max_size=3),
    string=st.builds(
        lambda value, end: b"$%d\r\n%s%s" % (len(value), value, end),
        st.binary(max_size=5),
        st.one_of(st.sampled_from([b"\r\n", b"*1", b"1*", b"\r*", b"\n\r"]), st.binary(min_size=2, max_size=2)),
    ),
    kind=st.sampled_from([b"*", b"~", b">", b"%", b"|"]),
    cuts=CUTS,
    collects=st.booleans(),
)
def test_redis_heads_that_announce_too_much(
    before: list[bytes], string: bytes, kind: bytes, cuts: list[int], collects: bool
) -> None:
    """Wherever the head is, however it is split, whatever precedes it: no memory is allocated for that size."""
    whole = b"*9\r\n" + b"".join((*before, string, kind)) + b"1000000000\r\n"
    with pytest.raises(ConnectionBroken, match="more than 16777216 elements"):
        parsed(pieces_of(whole, cuts), collects)
