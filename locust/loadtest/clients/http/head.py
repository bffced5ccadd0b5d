"""The head of a response: status, header fields, and the framing of the body.

llhttp does the parsing, through httptools. A server under load sends the same head bytes over and over, at least within
each second of its Date field; a head is therefore parsed once and then looked up by its bytes.

Where a field such as a request id varies with each answer, the head resembles the last one: the same fields in the same
order, with the same values where framing depends on them. A pattern checks that in a tenth of the parser's time.

Tested in tests/unit/clients/http/test_hostile.py and test_wire.py, and against llhttp in tests/fuzz/test_http.py.
"""

import re
from collections import deque

import httptools

from loadtest.clients.http.errors import ProtocolError, TooLargeError
from loadtest.clients.http.headers import Headers

MAX_HEAD_BYTES = 65536
_BARE_END = re.compile(rb"\n\r?\n")
_INTERESTING = frozenset({b"content-length", b"transfer-encoding", b"connection", b"content-encoding", b"set-cookie"})
_FOLD = re.compile(rb"\r\n[ \t]+(?!\r\n)")  # RFC 9112, 5.2: a user agent reads a folded value as one line
_STATUS_LINE_START = b"HTTP/1."
_CACHED_HEADS = 512
_MAX_PATTERNS = 256
_EXAMPLES = 4
_MAX_PATTERNED_BYTES = 4096  # of a head; longer heads are rare, and their pattern would take long to compile
_LENGTH = b"content-length"
# Fields whose values llhttp or ResponseHead interpret; all others may hold any value that llhttp accepts.
_FIXED = _INTERESTING | {b"proxy-connection", b"upgrade"}
_ANY_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
_ANY_LENGTH = rb"[ \t]*+([0-9]{1,15}+)[ \t]*+"
_BODILESS = (204, 304)
_OK, _REDIRECT, _FAILURE = 200, 300, 400


class ResponseHead:
    """A parsed head, shared by all responses with the same bytes.

    Attributes:
        raw: The bytes, blank line included.
        raw_length: Their number.
        status: Status code.
        reason: Reason phrase, possibly empty.
        version: "1.0" or "1.1".
        pattern: Matches heads that differ only in lengths and in values without meaning here, with the length as its
            group; or None.
        content_length: Declared length of the body, or None.
        chunked: Whether the body comes in chunks.
        bodiless: Whether the status forbids a body.
        keep_alive: Whether the connection may serve another request.
        encoding: The content coding in lower case, "" for none.
        body_length: The declared length where a body is allowed; 0 otherwise.
        plain_length: Bytes of head and body together, for a response that only needs to be counted: status 2xx, known
            length, no coding, no cookie, connection kept. -1 otherwise.
    """

    __slots__ = (
        "_headers",
        "bodiless",
        "body_length",
        "chunked",
        "content_length",
        "encoding",
        "keep_alive",
        "pattern",
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
        self.pattern: re.Pattern[bytes] | None = None
        self._headers: Headers | None = Headers(fields)
        self.bodiless = status < _OK or status in _BODILESS
        found = _of_interest(fields)
        self.content_length = _content_length(found)
        self.chunked = _is_chunked(found)
        if self.chunked and self.content_length is not None:
            raise ProtocolError("the response has both Content-Length and Transfer-Encoding")
        connection = b",".join(found.get(b"connection", ())).lower()
        may_be_kept = version == "1.1" or (b"keep-alive" in connection and not self.chunked)
        self.keep_alive = may_be_kept and b"close" not in connection
        encoding = b",".join(found.get(b"content-encoding", ())).decode("latin-1").lower()
        self.encoding = "" if encoding == "identity" else encoding
        self.body_length = 0 if self.bodiless or self.content_length is None else self.content_length
        self.plain_length = -1
        if (
            _OK <= status < _REDIRECT
            and not self.bodiless
            and self.content_length is not None
            and self.keep_alive
            and not self.encoding
            and b"set-cookie" not in found
        ):
            self.plain_length = self.raw_length + self.content_length

    @property
    def headers(self) -> Headers:
        """The fields."""
        if self._headers is None:
            self._headers = parse_head(self.raw).headers
        return self._headers

    def like(self, received: bytes) -> "ResponseHead | None":
        """The head at the start of these bytes, if this head's pattern matches it."""
        match = self.pattern.match(received) if self.pattern is not None else None
        return None if match is None else self.again(match[0], int(match[1]))

    def again(self, raw: bytes, length: int) -> "ResponseHead":
        """The head of these bytes, which this one's pattern matches.

        Args:
            raw: All of them.
            length: The body's length that they declare.
        """
        head = _new(ResponseHead)
        head.raw = raw
        head.raw_length = raw_length = len(raw)
        head.body_length = head.content_length = length
        head.plain_length = raw_length + length
        head.status = self.status
        head.reason = self.reason
        head.version = self.version
        head.pattern = self.pattern
        head.keep_alive = True
        head.bodiless = head.chunked = False
        head.encoding = ""
        head._headers = None
        return head

    def is_framed(self, method: str) -> bool:
        """Tell whether the head determines where the body ends; otherwise it ends with the connection."""
        return self.bodiless or method == "HEAD" or self.chunked or self.content_length is not None


def _of_interest(fields: list[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """The values that framing depends on, by name in lower case."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        key = name.lower()
        if key in _INTERESTING:
            found.setdefault(key, []).append(value)
    return found


def _content_length(found: dict[bytes, list[bytes]]) -> int | None:
    values = found.get(b"content-length")
    if values is None:
        return None
    if len(values) > 1 or not values[0].isdigit():
        raise ProtocolError(f"the response has the Content-Length {b', '.join(values).decode('latin-1')!r}")
    return int(values[0])


def _is_chunked(found: dict[bytes, list[bytes]]) -> bool:
    codings = found.get(b"transfer-encoding")
    if codings is None:
        return False
    coding = b", ".join(codings)
    if coding.lower() != b"chunked":
        raise ProtocolError(
            f"the response has the Transfer-Encoding {coding.decode('latin-1')!r}; only chunked is supported"
        )
    return True


_new = object.__new__

UNKNOWN_HEAD = ResponseHead(b"HTTP/1.1 200 \r\n\r\n", _OK, "", "1.1", [])
"""Stands for a head that has not arrived yet; no response is as short as its plain_length."""


class _Fields:
    """Collects llhttp's events for one head."""

    __slots__ = ("complete", "fields", "reason")

    # The parser looks these up too; finding None is quicker than finding nothing.
    on_message_begin = on_url = on_body = on_message_complete = on_chunk_header = on_chunk_complete = None

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
    try:
        parser.feed_data(_unfolded(raw) if b"\r\n " in raw or b"\r\n\t" in raw else raw)
    except httptools.HttpParserUpgrade:
        pass  # the exchange knows whether the request asked for it
    except httptools.HttpParserError as error:
        raise ProtocolError(f"the response's head is malformed: {error}") from error
    version = parser.get_http_version()
    if not found.complete or version not in {"1.0", "1.1"}:
        raise ProtocolError(f"the response's head is malformed: {raw[:80]!r}")
    return ResponseHead(raw, parser.get_status_code(), found.reason.decode("latin-1"), version, found.fields)


def _unfolded(raw: bytes) -> bytes:
    """A head with its folded values unfolded; a line folded onto the status line stays, and is refused."""
    start = raw.find(b"\r\n") + 1
    return raw[:start] + _FOLD.sub(b" ", raw[start:])


class HeadCache:
    """Recently seen heads by their bytes."""

    def __init__(self) -> None:
        """Start empty."""
        self._heads: dict[bytes, ResponseHead] = {}
        self._patterns: dict[bytes, re.Pattern[bytes] | None] = {}
        self._examples: deque[ResponseHead] = deque(maxlen=_EXAMPLES)  # one for each of the latest patterns

    def find(self, received: bytes, last: ResponseHead = UNKNOWN_HEAD) -> ResponseHead | None:
        """The head at the start of the bytes, or None while it is incomplete.

        Args:
            received: What has come.
            last: The head of the previous response, which the next one often resembles.

        Raises:
            ProtocolError: The bytes do not begin like an HTTP response, or the head is malformed.
            TooLargeError: The head exceeds MAX_HEAD_BYTES.
        """
        alike = last.like(received)
        if alike is not None:
            return alike
        end = received.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES) + 4
        raw = received[:end] if end > 3 else _odd_head(received)  # noqa: PLR2004
        if raw is None:
            return None
        return self._heads.get(raw) or self._alike(raw) or self._parsed(raw)

    def _alike(self, raw: bytes) -> ResponseHead | None:
        """The head if it resembles a recent one of another kind, for example from the other of two servers."""
        for example in self._examples:
            alike = example.like(raw)
            if alike is not None:
                return alike
        return None

    def _parsed(self, raw: bytes) -> ResponseHead:
        """The head as parsed by llhttp, cached."""
        head = parse_head(raw)
        head.pattern = self._pattern_of(head)
        if len(self._heads) >= _CACHED_HEADS:
            self._heads.clear()
        self._heads[raw] = head
        return head

    def _pattern_of(self, head: ResponseHead) -> re.Pattern[bytes] | None:
        """The pattern of a plain head, made from the second head that it would match."""
        is_folded = b"\r\n " in head.raw or b"\r\n\t" in head.raw
        if head.plain_length < 0 or is_folded or head.raw_length > _MAX_PATTERNED_BYTES:
            return None
        source = _source_of(head.raw)
        if source in self._patterns:
            pattern = self._patterns[source] = self._patterns[source] or re.compile(source)
            if all(example.pattern is not pattern for example in self._examples):
                self._examples.append(head)
            return pattern
        if len(self._patterns) < _MAX_PATTERNS:
            self._patterns[source] = None
        return None


def _source_of(raw: bytes) -> bytes:
    """A pattern that matches heads like this well-formed one."""
    start, *lines = raw[:-4].split(b"\r\n")
    parts = [re.escape(start)]
    for line in lines:
        name = line.partition(b":")[0]
        key = name.lower()
        if key in _FIXED and key != _LENGTH:
            parts.append(re.escape(line))
        else:
            parts.append(re.escape(name) + b":" + (_ANY_LENGTH if key == _LENGTH else _ANY_VALUE))
    return b"\r\n".join([*parts, b"\r\n"])


def _odd_head(received: bytes) -> bytes | None:
    """The result while a head has no proper end: None if the end may still arrive.

    A head that ends with bare line feeds goes to the parser, which refuses it; waiting for more would hold the user
    until its timeout.
    """
    if not received.startswith(_STATUS_LINE_START[: len(received)]):
        raise ProtocolError(f"the response does not begin like HTTP: {received[:40]!r}")
    if len(received) >= MAX_HEAD_BYTES:
        raise TooLargeError(f"the response's head exceeds {MAX_HEAD_BYTES} bytes")
    match = _BARE_END.search(received)
    return received[: match.end()] if match else None


HEADS = HeadCache()
"""The process's cache."""


def is_failure(status: int) -> bool:
    """Tell whether a status counts as a failure: 4xx, 5xx, and anything that HTTP does not define."""
    return status >= _FAILURE
