"""ReplyParser: makes replies of what arrives over one connection, and bounds what they announce.

hiredis, written in C, does the parsing. It makes room for as many elements as an array says it has, before any has
come. So what a reply announces is summed up before it is parsed, and one of more than ``MOST_ELEMENTS`` breaks the
connection. A value may hold what looks like the head of an array. Where such lines would add up to much, hiredis itself
tells which ones are heads: it gets what comes before the line, and is then in the middle of a value or not.

A pipeline of n commands is read as one reply, an array of n: the array's header is fed to hiredis before the replies
come. RESP3 may interleave push messages, which would be counted as elements, so there the replies are collected one by
one. Push messages are dropped.

Tested in tests/unit/clients/redis/test_hostile_replies.py.
"""

import re
from typing import TYPE_CHECKING, Any, Final

import hiredis

from loadtest.clients.redis.errors import ConnectionBroken, reply_error

if TYPE_CHECKING:
    from collections.abc import Callable

INCOMPLETE: Final = object()
"""Stands for a reply of which more is to come."""

# What has just arrived, for all connections of the process: it is parsed before anything else can run. It holds more
# than a TLS stream receives at once, so that none is left where polling does not see it. In front of it is what the
# arrival before ended with, as far as an array's head may begin there.
_AT: Final = 32
_ROOM: Final = bytearray(_AT + 256 * 1024)
ARRIVAL: Final = memoryview(_ROOM)[_AT:]
"""Where a connection puts what it receives, for `ReplyParser.parse`."""
_NEWLINE: Final = ord("\n")
_WHOLE_LINE: Final = b"\n".rjust(_AT)
_PART_OF_LINE: Final = b" " * _AT
_HEAD: Final = re.compile(rb"\n[*~>%|](\d+)\r")
_LONG_BYTES: Final = 2048
_FEW_LINES: Final = 32
_CUT_HEAD: Final = re.compile(rb"\n[*~>%|]\d*\Z")
_HEAD_OR_CUT: Final = re.compile(rb"\n[*~>%|](?:(\d+)\r|\d*\Z)")

MOST_ELEMENTS: Final = 2**24
"""What the arrays, sets and maps of a reply may announce together; room for them takes 128 MiB."""
_FEW_ELEMENTS: Final = 2**16
"""So many of a reply are counted without asking whether what announces them is a head or looks like one."""


class ReplyParser:
    """The parser of one connection's replies.

    Args:
        endpoint: The server, as errors name it.
        collects: Whether push messages may come between replies.
    """

    __slots__ = (
        "_announced",
        "_before",
        "_collected",
        "_collects",
        "_endpoint",
        "_feed",
        "_gets",
        "_has_data",
        "_wanted",
    )

    def __init__(self, endpoint: object, *, collects: bool) -> None:
        """Begin with the first reply of a connection."""
        reader = hiredis.Reader(replyError=reply_error, notEnoughData=INCOMPLETE)
        self._feed: Callable[[Any, int, int], None] = reader.feed
        self._gets: Callable[[], Any] = reader.gets
        self._has_data: Callable[[], bool] = reader.has_data
        self._endpoint = endpoint
        self._collects = collects
        self._announced = 0
        self._before = _WHOLE_LINE
        self._collected: list[Any] = []
        self._wanted = 0

    def expect(self, count: int) -> None:
        """Make one reply, a list, of those to the next commands, which are so many and at least 1."""
        if self._collects:
            self._wanted, self._collected = count, []
        else:
            header = b"*%d\r\n" % count
            self._feed(header, 0, len(header))

    def parse(self, arrived_bytes: int) -> Any:
        """Parse so many bytes in `ARRIVAL`.

        Returns:
            The reply as hiredis parses it, or `INCOMPLETE`.

        Raises:
            ConnectionBroken: There is more than was asked for, or it announces too much.
            hiredis.HiredisError: It is not RESP.
        """
        end = _AT + arrived_bytes
        _ROOM[:_AT] = self._before
        is_whole = _ROOM[end - 1] == _NEWLINE
        if not _holds_head(end) and (is_whole or not _CUT_HEAD.search(_ROOM, end - _AT, end)):
            self._before = _WHOLE_LINE if is_whole else _PART_OF_LINE
            self._feed(_ROOM, _AT, arrived_bytes)
            reply = self._gets()
            if self._collects:
                reply = self._collect(reply)
        else:
            reply = self._feed_heads(end)
        if reply is not INCOMPLETE:
            self._announced = 0
            if self._has_data() and not self._collects:
                raise self.excess()
        return reply

    def too_large(self, most: str) -> ConnectionBroken:
        """The error for a reply beyond a bound."""
        return ConnectionBroken("protocol", f"{self._endpoint} sent a reply of more than {most}")

    def excess(self) -> ConnectionBroken:
        """The error for more than one reply."""
        return ConnectionBroken("protocol", f"{self._endpoint} sent more than was requested")

    def _parse(self) -> Any:
        """Return the reply, if it is whole now."""
        reply = self._gets()
        return self._collect(reply) if self._collects else reply

    def _feed_heads(self, end: int) -> Any:
        """Feed an arrival that seems to hold arrays' heads, or to end with a part of one.

        Returns:
            The reply, if it is whole now.

        Raises:
            ConnectionBroken: They announce too much.
        """
        is_whole = _ROOM[end - 1] == _NEWLINE
        self._before = _WHOLE_LINE if is_whole else _PART_OF_LINE
        announced = self._announced + sum(int(count[:_AT]) for count in _HEAD.findall(_ROOM, 0, end))
        if announced <= _FEW_ELEMENTS and (is_whole or not _CUT_HEAD.search(_ROOM, end - _AT, end)):
            self._announced = announced
            self._feed(_ROOM, _AT, end - _AT)
            return self._parse()
        return self._feed_exactly(end)

    def _feed_exactly(self, end: int) -> Any:
        """Feed an arrival piece by piece: each piece ends where a head may begin. As `_feed_heads` in all else."""
        reply, at = INCOMPLETE, _AT
        for head in _HEAD_OR_CUT.finditer(_ROOM, 0, end):
            begin = head.start() + 1
            if begin >= _AT:  # else it began in the arrival before, as a head
                self._feed(_ROOM, at, begin - at)
                at = begin
                if reply is INCOMPLETE:
                    reply = self._parse()
                if reply is INCOMPLETE and self._has_data():
                    continue  # hiredis waits for the rest of a value
            if head[1] is None:
                self._before = head[0][:_AT].rjust(_AT)
                break
            self._announced += int(head[1][:_AT])
            if self._announced > MOST_ELEMENTS:
                raise self.too_large(f"{MOST_ELEMENTS} elements")
        self._feed(_ROOM, at, end - at)
        return self._parse() if reply is INCOMPLETE else reply

    def _collect(self, reply: Any) -> Any:
        """Leave out push messages and gather a pipeline's replies; tell when they are complete."""
        while reply is not INCOMPLETE:
            if type(reply) is not hiredis.PushNotification:
                if not self._wanted:
                    return reply
                self._collected.append(reply)
                if len(self._collected) == self._wanted:
                    self._wanted = 0
                    return self._collected
            reply = self._gets()
        return reply


def _holds_head(end: int) -> bool:
    """Whether an arrival holds an array's head. Where few lines are long, to go from line to line is faster."""
    at = 0
    if end > _LONG_BYTES:
        for _ in range(_FEW_LINES):
            at = _ROOM.find(b"\n", at, end)
            if at < 0:
                return False
            if _HEAD.match(_ROOM, at, end):
                return True
            at += 1
    return _HEAD.search(_ROOM, at, end) is not None
