"""ReplyParser: parses the replies that arrive over one connection, and limits their announced sizes.

hiredis, written in C, does the parsing. It allocates as many elements as an array announces, before any has arrived. So
the announced elements of a reply are summed before it is parsed, and more than ``MAX_ELEMENTS`` break the connection.
A value may contain bytes that look like the head of an array, and a head may be where none belongs: hiredis accepts any
two bytes as the end of a string. Where that would add up to a large number, hiredis itself identifies the heads: it is
fed everything before one, and then is in the middle of a value or not.

A pipeline of n commands is read as one reply, an array of n: the array's header is fed to hiredis before the replies
come. RESP3 may interleave push messages, which would be counted as elements, so its replies are collected one by one.
Push messages are dropped.

Tested in tests/unit/clients/redis/test_hostile_replies.py.
"""

import re
from typing import TYPE_CHECKING, Any, Final

import hiredis

from loadtest.clients.redis.errors import ConnectionBroken, reply_error

if TYPE_CHECKING:
    from collections.abc import Callable

INCOMPLETE: Final = object()
"""Stands for an incomplete reply."""

# What has just arrived, for all connections of the process: it is parsed before anything else can run. It holds more
# than a TLS stream receives at once, so that none is left where polling does not see it. In front of it is what the
# arrival before ended with, as far as a head may begin there.
_AT: Final = 32
_ROOM: Final = bytearray(_AT + 256 * 1024)
ARRIVAL: Final = memoryview(_ROOM)[_AT:]
"""The buffer into which connections receive, for `ReplyParser.parse`."""
_RETURN, _NEWLINE = b"\r\n"
_WHOLE_LINE: Final = b"\n".rjust(_AT)
_PART_OF_LINE: Final = b" " * _AT
_LONG_BYTES: Final = 2048
_FEW_LINES: Final = 32
_MAX_DIGITS: Final = 20

_ONE_VALUE: Final = re.compile(rb"\$(\d{1,9})\r\n|(?:[-+:#_,(]|\$-)[^\r]*\r\n\Z")
"""A string's head, or a one-line value that ends with the arrival."""
_HEAD: Final = re.compile(rb"\n[*~>%|](\d+)\r")
"""A head where it belongs, at the beginning of a line."""
_KINDS: Final = b"*~>%|"
_HIDDEN_HEADS: Final = tuple(re.compile(rb"%b(?<!\n%b)\d+\r\n" % (2 * (re.escape(bytes([kind])),))) for kind in _KINDS)
"""Heads anywhere else. Several patterns that begin with one fixed byte are much faster than one for all."""
_HEADS_END: Final = re.compile(rb"[*~>%|]\d+\Z")
_CUT_HEAD: Final = re.compile(rb"[*~>%|]\d*\r?\Z")
_ANY_HEAD: Final = re.compile(rb"[*~>%|](?:(\d+)\r\n|\d*\r?\Z)")

MAX_ELEMENTS: Final = 2**24
"""The maximum number of elements that the arrays, sets and maps of a reply may announce together; they take 128 MiB."""
_FEW_ELEMENTS: Final = 2**16
"""Up to this many elements are counted without checking whether a head is real."""


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
        "_is_between",
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
        self._is_between = True  # values: the next bytes begin with a head
        self._collected: list[Any] = []
        self._wanted = 0

    def expect(self, count: int) -> None:
        """Collect the replies to the next ``count`` commands, at least 1, into one list."""
        if self._collects:
            self._wanted, self._collected = count, []
        else:
            header = b"*%d\r\n" % count
            self._feed(header, 0, len(header))

    def parse(self, arrived_bytes: int) -> Any:
        """Parse this many bytes of `ARRIVAL`.

        Returns:
            The reply as hiredis parses it, or `INCOMPLETE`.

        Raises:
            ConnectionBroken: There is more than was requested, or it announces too much.
            hiredis.HiredisError: It is not RESP.
        """
        end = _AT + arrived_bytes
        if self._is_between and _is_one_value(end):
            self._feed(_ROOM, _AT, arrived_bytes)
            reply = self._gets()
            if self._collects:
                reply = self._collect(reply)
        else:
            reply = self._feed_heads(end)
            self._is_between = not self._has_data()
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
        """Return the reply, if it is complete now."""
        reply = self._gets()
        return self._collect(reply) if self._collects else reply

    def _feed_heads(self, end: int) -> Any:
        """Feed an arrival that may contain heads of arrays, or end within one.

        Returns:
            The reply, if it is complete now.

        Raises:
            ConnectionBroken: They announce too much.
        """
        _ROOM[:_AT] = self._before
        is_whole = _ROOM[end - 1] == _NEWLINE
        self._before = _WHOLE_LINE if is_whole else _PART_OF_LINE
        if not is_whole and _CUT_HEAD.search(_ROOM, end - _AT, end):
            return self._feed_exactly(end)
        if _may_hold_head(end):
            counts = _HEAD.findall(_ROOM, 0, end)
            announced = self._announced + sum(int(count[:_AT]) for count in counts)
            if announced > _FEW_ELEMENTS or (_kinds(end) > len(counts) and _hides_head(end)):
                return self._feed_exactly(end)
            self._announced = announced
        self._feed(_ROOM, _AT, end - _AT)
        return self._parse()

    def _feed_exactly(self, end: int) -> Any:
        """Feed an arrival in pieces that each end where a head may begin; otherwise like `_feed_heads`."""
        reply, at = INCOMPLETE, _AT
        for head in _ANY_HEAD.finditer(_ROOM, 0, end):
            begin = head.start()
            if begin >= _AT:  # otherwise it began as a head in the previous arrival
                self._feed(_ROOM, at, begin - at)
                at = begin
                if reply is INCOMPLETE:
                    reply = self._parse()
                if reply is INCOMPLETE and self._has_data():
                    continue  # hiredis waits for the rest of a value
            if head[1] is None:
                self._before = bytes(_ROOM[max(0, begin - 1) : end][:_AT]).rjust(_AT)
                break
            self._announced += int(head[1][:_AT])
            if self._announced > MAX_ELEMENTS:
                raise self.too_large(f"{MAX_ELEMENTS} elements")
        self._feed(_ROOM, at, end - at)
        return self._parse() if reply is INCOMPLETE else reply

    def _collect(self, reply: Any) -> Any:
        """Drop push messages and collect a pipeline's replies; return whether they are complete."""
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


def _is_one_value(end: int) -> bool:
    """Whether an arrival that begins between two values is exactly one value, as most are."""
    head = _ONE_VALUE.match(_ROOM, _AT, end)
    if head is None:
        return False
    length = head[1]
    if length is None:
        return True
    return head.end() + int(length) == end - 2 and _ROOM[end - 2] == _RETURN and _ROOM[end - 1] == _NEWLINE


def _may_hold_head(end: int) -> bool:
    """Whether an arrival may contain the head of an array. With few long lines, a scan by lines is faster."""
    if end < _LONG_BYTES:
        return True
    at = _AT - 1
    for _ in range(_FEW_LINES):
        at = _ROOM.find(b"\r\n", at, end)
        if at < 0:
            return False
        if _HEADS_END.search(_ROOM, max(0, at - _MAX_DIGITS - 1), at):
            return True
        at += 2
    return True


def _kinds(end: int) -> int:
    """How many bytes of an arrival a head may begin with; as a rule those of the heads that begin a line."""
    if end < _LONG_BYTES:  # one call for all of them is faster
        return end - len(_ROOM[:end].translate(None, _KINDS))
    return sum([_ROOM.count(kind, 0, end) for kind in _KINDS])


def _hides_head(end: int) -> bool:
    """Whether an arrival contains something like a head that does not begin a line."""
    return any(hidden.search(_ROOM, 0, end) for hidden in _HIDDEN_HEADS)
