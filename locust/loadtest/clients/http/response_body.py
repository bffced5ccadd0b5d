"""The bodies of responses: by length, in chunks, or until the connection closes; whole or as a stream.

Each reader yields pieces as they arrive and knows at the end whether the connection can be reused.

Tested in tests/unit/clients/http/test_client.py and test_hostile.py.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import httptools

from loadtest.clients.http.coding import Decoder
from loadtest.clients.http.errors import ClosedError, HttpError, ProtocolError, TooLargeError
from loadtest.clients.http.head import ResponseHead

_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

Receive = Callable[[], bytes]


class Body(Protocol):
    """A body that is being read.

    Attributes:
        reusable: After the end, whether the connection can be reused.
    """

    reusable: bool

    def read(self) -> bytes:
        """The next piece, b"" at the end."""


class EmptyBody:
    """No body: the answer to HEAD, 204, 304.

    Args:
        head: The response's head.
        rest: Bytes after the head; there should be none.
    """

    def __init__(self, head: ResponseHead, rest: bytes) -> None:
        """Decide at once whether the connection can be reused."""
        self.reusable = head.keep_alive and not rest

    def read(self) -> bytes:
        """Nothing."""
        return b""


class LengthBody:
    """A body of declared length.

    Args:
        head: The response's head.
        rest: What came behind the head already.
        receive: Receives the next bytes.
    """

    def __init__(self, head: ResponseHead, rest: bytes, receive: Receive) -> None:
        """Start behind the head."""
        self._left = head.content_length or 0
        self._declared = self._left
        self._rest = rest
        self._receive = receive
        self.reusable = head.keep_alive

    def read(self) -> bytes:
        """The next piece, b"" at the end.

        Raises:
            ClosedError: The connection closed before the declared length.
        """
        piece, self._rest = self._rest, b""
        if self._left and not piece:
            piece = self._receive()
            if not piece:
                missing = f"{self._left} of {self._declared} bytes are missing"
                raise ClosedError(f"the connection closed within the response's body: {missing}")
        if len(piece) > self._left:
            self.reusable = False  # bytes that belong to no request must not be taken for the next response
            piece = piece[: self._left]
        self._left -= len(piece)
        return piece


class ChunkedBody:
    """A body in chunks; llhttp checks sizes, extensions and trailers.

    Args:
        head: The response's head.
        rest: What came behind the head already.
        receive: Receives the next bytes.

    Attributes:
        trailers: The fields after the last chunk.
    """

    def __init__(self, head: ResponseHead, rest: bytes, receive: Receive) -> None:
        """Move the parser past a head; the real one has already been checked."""
        self._receive = receive
        self._pieces: list[bytes] = []
        self._complete = False
        self._excess = False
        self._keep_alive = head.keep_alive
        self._in_head = True
        self.trailers: list[tuple[bytes, bytes]] = []
        self.reusable = False
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(_CHUNKED_HEAD)
        self._in_head = False
        self._rest = rest

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser for head and trailer fields."""
        if not self._in_head:
            self.trailers.append((name, value))

    def on_message_begin(self) -> None:
        """Called by the parser; a second message would belong to no request."""
        if self._complete:
            self._excess = True

    def on_body(self, piece: bytes) -> None:
        """Called by the parser with a part of a chunk."""
        if not self._excess:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Called by the parser after the trailers."""
        self._complete = True

    def read(self) -> bytes:
        """The next piece, b"" at the end.

        Raises:
            ClosedError: The connection closed before the last chunk.
            ProtocolError: The chunks are malformed.
        """
        while not self._pieces and not self._complete:
            received, self._rest = self._rest or self._receive(), b""
            if not received:
                raise ClosedError("the connection closed within the response's chunked body")
            self._feed(received)
        pieces, self._pieces = self._pieces, []
        if self._complete:
            self.reusable = self._keep_alive and not self._excess
        return b"".join(pieces)

    def _feed(self, received: bytes) -> None:
        try:
            self._parser.feed_data(received)
        except httptools.HttpParserError as error:
            if not self._complete:
                raise ProtocolError(f"the response's chunks are malformed: {error}") from error
            self._excess = True


class ClosingBody:
    """A body that ends with the connection.

    Args:
        rest: What came behind the head already.
        receive: Receives the next bytes.
    """

    def __init__(self, rest: bytes, receive: Receive) -> None:
        """Start behind the head."""
        self._rest = rest
        self._receive = receive
        self.reusable = False

    def read(self) -> bytes:
        """The next piece, b"" at the end."""
        piece, self._rest = self._rest, b""
        return piece or self._receive()


def body_of(head: ResponseHead, method: str, rest: bytes, receive: Receive) -> Body:
    """The reader that fits the head (RFC 9112, section 6.3)."""
    if head.bodiless or method == "HEAD":
        return EmptyBody(head, rest)
    if head.chunked:
        return ChunkedBody(head, rest, receive)
    if head.content_length is not None:
        return LengthBody(head, rest, receive)
    return ClosingBody(rest, receive)


def read_all(body: Body, limit_bytes: float) -> bytes:
    """The whole body.

    Raises:
        TooLargeError: It exceeds the limit.
        ClosedError, ProtocolError: As raised by the readers.
    """
    pieces = []
    size = 0
    while piece := body.read():
        size += len(piece)
        if size > limit_bytes:
            raise TooLargeError(f"the response's body exceeds {limit_bytes} bytes")
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class BodyStream:
    """The decoded pieces of a body; can be iterated over once.

    Args:
        body: Where they come from.
        decoder: Removes the content coding.
        classify: Turns exceptions of waiting and receiving into an HttpError.
        finish: Called once at the end, with whether the connection can be reused.
        received_s: When the last bytes came, in seconds of ``time.perf_counter``.

    Attributes:
        received_s: As given.
        received_bytes: Bytes of the body received so far, before decoding.
        complete: Whether its end has arrived.
        ended_s: When it did, in seconds of ``time.perf_counter``.
    """

    def __init__(
        self,
        body: Body,
        decoder: Decoder,
        classify: Callable[[Exception], HttpError],
        finish: Callable[[bool], None],
        received_s: Callable[[], float],
    ) -> None:
        """Start with nothing read."""
        self._body = body
        self._decoder = decoder
        self._classify = classify
        self._finish: Callable[[bool], None] | None = finish
        self.received_s = received_s
        self.received_bytes = 0
        self.complete = False
        self.ended_s = 0.0

    def __iter__(self) -> Iterator[bytes]:
        """The pieces, as they arrive.

        Raises:
            HttpError: The body is truncated or malformed; its class says which.
        """
        while self._finish is not None:
            piece = self._next()
            if piece:
                yield piece

    def _next(self) -> bytes:
        try:
            piece = self._body.read()
            self.received_bytes += len(piece)
            if piece:
                return self._decoder.feed(piece)
            self._decoder.finish()
            self.complete, self.ended_s = True, self.received_s()
        except Exception as error:
            self._end(reusable=False)
            raise self._classify(error) from error
        except BaseException:
            self._end(reusable=False)
            raise
        self._end(reusable=self._body.reusable)
        return b""

    def _end(self, reusable: bool) -> None:
        finish, self._finish = self._finish, None
        if finish is not None:
            finish(reusable)

    def close(self) -> None:
        """Stop reading; the connection is closed unless the body has been read to its end."""
        self._end(reusable=False)

    def __del__(self) -> None:
        """An abandoned stream must not keep its connection."""
        self._end(reusable=False)
