"""Splits the pieces of a body into lines and server-sent events as they arrive, in bounded memory.

The format is that of the HTML standard, section 9.2.6, *Interpreting an event stream*.
"""

import codecs
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from loadtest.clients.http.errors import TooLargeError
from loadtest.clients.json_codec import decode_json

MAX_EVENT_BYTES: Final = 1 << 20
"""The largest event, and the longest line of one: 1 MiB. A service that never ends its line can make a worker hold this
and one piece for each stream that is being read."""


class ServerSentEvent(NamedTuple):
    """One event.

    Attributes:
        data: Its lines of data, joined by line feeds.
        type: Its type as named by the service; by default ``message``.
        id: The last id that the service sent, "" before the first.
    """

    data: str
    type: str = "message"
    id: str = ""

    def json(self) -> Any:
        """Its data parsed as JSON.

        Raises:
            json.JSONDecodeError: It is not JSON.
        """
        return decode_json(self.data.encode())


class LineSplitter:
    """Splits pieces into lines without their line feeds.

    Args:
        limit_bytes: How much of an unfinished line is held.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Start with nothing held."""
        self._limit_bytes = limit_bytes
        self._held: list[bytes] = []
        self._held_bytes = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that end in this piece.

        Raises:
            TooLargeError: The unfinished line exceeds the limit.
        """
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = self.rest() + lines[0]
            self._held, self._held_bytes = [], 0
        self._held.append(rest)
        self._held_bytes += len(rest)
        if self._held_bytes > self._limit_bytes:
            raise TooLargeError(f"a line of the response exceeds {self._limit_bytes} bytes and has not ended")
        return lines

    def rest(self) -> bytes:
        """The unfinished line."""
        return b"".join(self._held)


class EventParser:
    """Splits pieces into events. As the standard says, an event cut off by the end of the body is dropped."""

    def __init__(self) -> None:
        """Start before the first line."""
        self._lines = LineSplitter(MAX_EVENT_BYTES)
        self._after_return = False
        self._begun = False
        self._type = ""
        self._id = ""
        self._data: list[str] = []
        self._data_bytes = 0

    def feed(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """The events that end in this piece.

        Raises:
            TooLargeError: One exceeds `MAX_EVENT_BYTES`.
        """
        if self._after_return and piece.startswith(b"\n"):  # the line feed of a CR LF pair split between two pieces
            piece = piece[1:]
        self._after_return = piece.endswith(b"\r")
        for line in self._lines.feed(piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")):
            if line:
                self._take(line if self._begun else line.removeprefix(codecs.BOM_UTF8))
            elif self._data:
                yield ServerSentEvent("\n".join(self._data), self._type or "message", self._id)
            if not line:
                self._type, self._data, self._data_bytes = "", [], 0
            self._begun = True

    def _take(self, line: bytes) -> None:
        """Handle one field; unknown fields and comments are ignored."""
        name, _, value = line.decode("utf-8", errors="replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._data_bytes += len(line)
            if self._data_bytes > MAX_EVENT_BYTES:
                raise TooLargeError(f"an event of the response exceeds {MAX_EVENT_BYTES} bytes")
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
