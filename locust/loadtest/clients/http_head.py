"""The head of a response: status, header fields, and what they say about the body.

llhttp does the parsing, through httptools. A server under load answers with the same head bytes over and over,
within one second of its Date field at least; a head is therefore parsed once and found again by its bytes.
"""

import re

import httptools

from loadtest.clients.http_errors import ProtocolError, TooLargeError
from loadtest.clients.http_headers import Headers

MAX_HEAD_BYTES = 65536
_HEAD_END = re.compile(rb"\r\n\r\n|\n\n|\n\r\n")
_FOLD = re.compile(rb"\r\n[ \t]+(?!\r\n)")  # RFC 9112, 5.2: a user agent reads a folded value as one line
_STATUS_LINE_START = b"HTTP/1."
_CACHED_HEADS = 512
_BODILESS = (204, 304)
_OK, _REDIRECT, _FAILURE = 200, 300, 400


class ResponseHead:
    """A parsed head, shared by all responses that have these bytes.

    Attributes:
        raw: The bytes, blank line included.
        raw_length: Their number.
        status: Status code.
        reason: Reason phrase, possibly empty.
        version: "1.0" or "1.1".
        headers: The fields.
        content_length: Declared length of the body, or None.
        chunked: Whether the body comes in chunks.
        bodiless: Whether the status forbids a body.
        keep_alive: Whether the connection may serve another request.
        encoding: The content coding in lower case, "" for none.
        body_length: The declared length where a body is allowed; 0 otherwise.
        plain_length: Bytes of head and body together, if nothing is left to do for such a response but to count it:
            status 2xx, known length, no coding, no cookie, connection kept. -1 otherwise.
    """

    __slots__ = (
        "bodiless",
        "body_length",
        "chunked",
        "content_length",
        "encoding",
        "headers",
        "keep_alive",
        "plain_length",
        "raw",
        "raw_length",
        "reason",
        "status",
        "version",
    )

    def __init__(self, raw: bytes, status: int, reason: str, version: str, fields: list[tuple[bytes, bytes]]) -> None:
        """Derive the framing from the fields (RFC 9112, section 6.3).

        Raises:
            ProtocolError: The fields contradict each other.
        """
        self.raw = raw
        self.raw_length = len(raw)
        self.status = status
        self.reason = reason
        self.version = version
        self.headers = headers = Headers(fields)
        self.bodiless = status < _OK or status in _BODILESS
        self.content_length = _content_length(headers)
        self.chunked = _is_chunked(headers)
        if self.chunked and self.content_length is not None:
            raise ProtocolError("the response has both Content-Length and Transfer-Encoding")
        connection = headers.get("connection", "").lower()
        self.keep_alive = "close" not in connection and (version == "1.1" or "keep-alive" in connection)
        if self.chunked and version == "1.0":
            self.keep_alive = False
        self.encoding = headers.get("content-encoding", "").strip().lower()
        if self.encoding == "identity":
            self.encoding = ""
        self.body_length = 0 if self.bodiless or self.content_length is None else self.content_length
        self.plain_length = -1
        if (
            _OK <= status < _REDIRECT
            and not self.bodiless
            and self.content_length is not None
            and self.keep_alive
            and not self.encoding
            and "set-cookie" not in headers
        ):
            self.plain_length = self.raw_length + self.content_length


def _content_length(headers: Headers) -> int | None:
    values = headers.get_all("content-length")
    if not values:
        return None
    if len(values) > 1 or not (values[0].isascii() and values[0].isdigit()):
        raise ProtocolError(f"the response has the Content-Length {', '.join(values)!r}")
    return int(values[0])


def _is_chunked(headers: Headers) -> bool:
    coding = headers.get("transfer-encoding")
    if coding is None:
        return False
    if coding.strip().lower() != "chunked":
        raise ProtocolError(f"the response has the Transfer-Encoding {coding!r}; only chunked is understood")
    return True


UNKNOWN_HEAD = ResponseHead(b"HTTP/1.1 200 \r\n\r\n", _OK, "", "1.1", [])
"""Stands for a head that has not come yet; no response is as short as its plain_length."""


class _Fields:
    """Collects what llhttp finds in one head."""

    __slots__ = ("complete", "fields", "reason")

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.reason = b""
        self.complete = False

    def on_status(self, status: bytes) -> None:
        self.reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.complete = True


def parse_head(raw: bytes) -> ResponseHead:
    """Parse one head that ends with its blank line.

    Raises:
        ProtocolError: It is not a head of an HTTP/1.0 or 1.1 response.
    """
    found = _Fields()
    parser = httptools.HttpResponseParser(found)
    start = raw.find(b"\r\n") + 2
    try:
        parser.feed_data(raw[:start])
        parser.feed_data(_FOLD.sub(b" ", raw[start:]))
    except httptools.HttpParserUpgrade as error:
        raise ProtocolError("the response switches to another protocol, which nobody asked for") from error
    except httptools.HttpParserError as error:
        raise ProtocolError(f"the response's head is malformed: {error}") from error
    version = parser.get_http_version()
    if not found.complete or version not in {"1.0", "1.1"}:
        raise ProtocolError(f"the response's head is malformed: {raw[:80]!r}")
    return ResponseHead(raw, parser.get_status_code(), found.reason.decode("latin-1"), version, found.fields)


class HeadCache:
    """Heads seen lately, by their bytes."""

    def __init__(self) -> None:
        """Start empty."""
        self._heads: dict[bytes, ResponseHead] = {}

    def find(self, received: bytes) -> ResponseHead | None:
        """The head with which the bytes begin, or None while it is incomplete.

        Raises:
            ProtocolError: The bytes do not begin like an HTTP response, or the head is malformed.
            TooLargeError: The head exceeds MAX_HEAD_BYTES.
        """
        end = received.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES) + 4
        head = self._heads.get(received[:end]) if end > 3 else None  # noqa: PLR2004
        return head or self._parse(received)

    def _parse(self, received: bytes) -> ResponseHead | None:
        if not received.startswith(_STATUS_LINE_START[: len(received)]):
            raise ProtocolError(f"the response does not begin like HTTP: {received[:40]!r}")
        match = _HEAD_END.search(received)
        if match is None or match.end() > MAX_HEAD_BYTES:
            if len(received) >= MAX_HEAD_BYTES:
                raise TooLargeError(f"the response's head exceeds {MAX_HEAD_BYTES} bytes")
            return None
        head = parse_head(received[: match.end()])
        if len(self._heads) >= _CACHED_HEADS:
            self._heads.clear()
        self._heads[head.raw] = head
        return head


HEADS = HeadCache()
"""The process's cache."""


def is_failure(status: int) -> bool:
    """Tell whether a status counts as a failure: 4xx, 5xx and what HTTP does not define."""
    return status >= _FAILURE
