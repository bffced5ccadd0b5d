"""Event streams are split into events by the rules of the HTML standard, however the pieces are divided."""

import json

import pytest

from loadtest.clients.http.errors import TooLargeError
from loadtest.clients.http.server_sent_events import MAX_EVENT_BYTES, EventParser, LineSplitter, ServerSentEvent

# After the examples and rules of the HTML standard, 9.2.6.
STREAMS = {
    "one": (b"data: a\n\n", [("a", "message", "")]),
    "several lines": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("YHOO\n+2\n10", "message", "")]),
    "type": (b"event: add\ndata: 1\n\ndata: 2\n\n", [("1", "add", ""), ("2", "message", "")]),
    "last id": (
        b"data: 1\nid: 1\n\ndata:2\nid\n\ndata: 3\n\n",
        [("1", "message", "1"), ("2", "message", ""), ("3", "message", "")],
    ),
    "id that stays": (b"id: 7\ndata: 1\n\ndata: 2\n\n", [("1", "message", "7"), ("2", "message", "7")]),
    "id with a null": (b"id: 7\nid: 8\0\ndata: 1\n\n", [("1", "message", "7")]),
    "comments": (b": test\n\n:\n\ndata: a\n: b\n\n", [("a", "message", "")]),
    "no data is no event": (b"event: a\nid: 3\n\n", []),
    "empty data": (b"data\n\ndata\ndata\n\ndata:", [("", "message", ""), ("\n", "message", "")]),
    "one blank": (b"data:test\n\ndata:  test\n\n", [("test", "message", ""), (" test", "message", "")]),
    "unknown fields": (b"retry: 10\nfoo: bar\nDATA: x\ndata: a\n\n", [("a", "message", "")]),
    "cut off": (b"data: a\n\ndata: b\n", [("a", "message", "")]),
    "carriage returns": (b"data: a\rdata: b\r\rdata: c\r\r", [("a\nb", "message", ""), ("c", "message", "")]),
    "pairs": (b"data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", [("a\nb", "message", ""), ("c", "message", "")]),
    "mark": (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [("a", "message", "")]),
    "no UTF-8": (b"data: \xff\n\n", [("\ufffd", "message", "")]),
    "colons": (b'data: {"a": ":"}\n\n', [('{"a": ":"}', "message", "")]),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_cut_into_events(name):
    """The events are the same in one piece, byte by byte, and divided at any position."""
    stream, expected = STREAMS[name]
    divided = [[stream], [stream[at : at + 1] for at in range(len(stream))]]
    divided += [[stream[:at], stream[at:]] for at in range(1, len(stream))]
    for pieces in divided:
        parser = EventParser()
        assert [tuple(event) for piece in pieces for event in parser.feed(piece)] == expected


@pytest.mark.parametrize(
    "endless", [b"data: " + b"x" * 1000, b"data: x\n" * 100, b"data: xxxxx\r" * 100, b"id: " + b"7" * 1000]
)
def test_an_event_without_end_is_bounded(endless):
    """Without a newline, or an empty line, there is an error before twice the bound is buffered."""
    parser = EventParser()
    with pytest.raises(TooLargeError, match=f"exceeds {MAX_EVENT_BYTES} bytes"):
        for _ in range(2 * MAX_EVENT_BYTES // len(endless)):
            assert list(parser.feed(endless if b"\n" in endless or b"\r" in endless else endless[4:])) == []


def test_comments_for_ever_hold_nothing():
    """A service that only keeps the connection alive does not fill the memory."""
    parser = EventParser()
    for _ in range(20):
        assert list(parser.feed(b": ping\n\n" * 10_000)) == []
    assert parser._lines.rest() == b""


def test_lines_are_joined_across_pieces():
    """Unfinished lines are buffered, up to their bound."""
    lines = LineSplitter(4)
    assert [lines.feed(piece) for piece in (b"a", b"b\nc", b"\n\nd")] == [[], [b"ab"], [b"c", b""]]
    assert lines.rest() == b"d"
    with pytest.raises(TooLargeError, match="exceeds 4 bytes"):
        lines.feed(b"efgh")


def test_json_of_an_event_that_is_none_is_one_kind_of_error():
    """The error is the same as for a response."""
    assert ServerSentEvent('{"a": 1}').json() == {"a": 1}
    with pytest.raises(json.JSONDecodeError):
        ServerSentEvent("[DONE").json()
