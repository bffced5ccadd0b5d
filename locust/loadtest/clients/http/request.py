"""What is sent: the request's parts and their bytes."""

import json as stdlib_json
import os
from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson
from urllib3.filepost import encode_multipart_formdata

from loadtest.clients.http.connection import RECEIVE_BYTES
from loadtest.clients.http.errors import InvalidRequestError
from loadtest.clients.http.exchange import Upload
from loadtest.clients.http.head import HEADS, UNKNOWN_HEAD, ResponseHead
from loadtest.clients.http.headers import HeaderValue, Lines, check_method, merged

if TYPE_CHECKING:
    from loadtest.clients.http.url import Url
    from loadtest.measuring.recorder import Series

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
# The types that FastHttpUser sends for a body that names none; a scenario's own header replaces them.
_FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_BYTES = {"Content-Type": "application/octet-stream"}
_RECEIVE_SIZES = (960, 4000, 16000)  # the first is what the C library's fastest allocator still takes
NO_KIND: Mapping[str, str] = {}

BodyBytes = bytes | Upload | None


class Route:
    """What every request of one method, URL and name has in common; made once.

    Attributes:
        method: The method.
        url: The absolute URL.
        origin: Where it leads.
        lines: The header lines sent by default, Host among them.
        wire: The whole request as sent without further headers, cookies or body.
        series: Where it is recorded; its key holds the name.
        success: The series' function for a request that succeeded.
        head: The head of its last response; the next response often begins with the same bytes.
        receive_bytes: How many bytes to ask the kernel for: a little more than the last response had.
        idempotent: Whether it may be sent again when a kept connection turns out to be closed.
    """

    __slots__ = (
        "_heads",
        "head",
        "idempotent",
        "lines",
        "method",
        "origin",
        "receive_bytes",
        "series",
        "success",
        "url",
        "wire",
    )

    body = None

    def __init__(self, method: str, url: "Url", defaults: Lines, series: "Series") -> None:
        """Encode what does not vary.

        Raises:
            InvalidRequestError: The method is no token.
        """
        check_method(method)
        self.method = method
        self.url = url
        self.origin = url.origin
        self.lines = {"host": host_line(url), **defaults}
        self.series = series
        self.success = series.success
        self.idempotent = method in IDEMPOTENT
        self.head = UNKNOWN_HEAD
        self.receive_bytes = RECEIVE_BYTES
        self._heads: dict[str, bytes] = {}
        self.wire = self._head_for(NO_KIND) + _framing(method, None) + b"\r\n"

    def encode(self, kind: Mapping[str, str], body: BodyBytes, cookies: bytes) -> bytes:
        """A request without headers of its own; the bytes of an upload are left out.

        Args:
            kind: The headers that follow from the body's kind.
            body: The body.
            cookies: The Cookie line or b"".
        """
        head = self._head_for(kind) + cookies + _framing(self.method, body) + b"\r\n"
        return head + body if isinstance(body, bytes) else head

    def with_cookies(self, cookies: bytes) -> bytes:
        """The route's wire with a Cookie line, which may be b""."""
        return self.wire[:-2] + cookies + b"\r\n"

    def _head_for(self, kind: Mapping[str, str]) -> bytes:
        """Request line and header lines; there are few kinds, but a multipart form's is never the same."""
        label = kind.get("Content-Type", "")
        head = self._heads.get(label)
        if head is None:
            head = start_line(self.method, self.url) + b"".join(merged(self.lines, kind).values())
            if not label.startswith("multipart/"):
                self._heads[label] = head
        return head

    def find_head(self, received: bytes) -> ResponseHead:
        """The head with which a response begins, UNKNOWN_HEAD if it is incomplete; remembered for the next one.

        Raises:
            ProtocolError, TooLargeError: As HeadCache.find() raises them.
        """
        head = HEADS.find(received)
        if head is None:
            return UNKNOWN_HEAD
        self.head = head
        # A buffer is allocated anew for each response, so a fitting one is cheaper than one for the worst case.
        self.receive_bytes = next((size for size in _RECEIVE_SIZES if size > head.plain_length > 0), RECEIVE_BYTES)
        return head


def start_line(method: str, url: "Url") -> bytes:
    """The request line."""
    return f"{method} {url.target} HTTP/1.1\r\n".encode("ascii")


def host_line(url: "Url") -> bytes:
    """The Host line."""
    return f"Host: {url.origin.authority}\r\n".encode("ascii")


class Outgoing:
    """One request with all that is its own.

    Attributes:
        method: The method.
        url: The absolute URL.
        headers: The headers that the scenario gave; None as a value leaves a default out.
        kind: Headers that follow from the body's kind.
        body: The body.
    """

    __slots__ = ("body", "headers", "kind", "method", "url")

    def __init__(
        self,
        method: str,
        url: "Url",
        headers: Mapping[str, HeaderValue] | None,
        kind: Mapping[str, str],
        body: BodyBytes,
    ) -> None:
        """Put the parts together."""
        self.method = method
        self.url = url
        self.headers = headers
        self.kind = kind
        self.body = body

    @property
    def upload(self) -> Upload | None:
        """The body if it is sent in pieces."""
        return self.body if isinstance(self.body, Upload) else None

    def encode(self, lines: Lines, cookies: bytes) -> bytes:
        """The request's bytes, without an upload's.

        Args:
            lines: The header lines sent by default.
            cookies: The Cookie line or b""; a Cookie header of the request's own replaces it.

        Raises:
            InvalidRequestError: A header is not allowed.
        """
        if self.kind:
            lines = merged(lines, self.kind)
        if self.headers:
            lines = merged(lines, self.headers)
        if "cookie" in lines:
            cookies = b""
        start = start_line(self.method, self.url)
        head = b"".join((start, *lines.values(), cookies, _framing(self.method, self.body), b"\r\n"))
        return head + self.body if isinstance(self.body, bytes) else head


def _framing(method: str, body: BodyBytes) -> bytes:
    """The field that says how long the body is (RFC 9112, section 6.3)."""
    if isinstance(body, Upload):
        if body.length is None:
            return b"Transfer-Encoding: chunked\r\n"
        return b"Content-Length: %d\r\n" % body.length
    if body:
        return b"Content-Length: %d\r\n" % len(body)
    return b"Content-Length: 0\r\n" if method in _WITH_BODY else b""


def encode_body(data: Any, json: Any, files: Any) -> tuple[BodyBytes, Mapping[str, str]]:
    """The body's bytes, and the headers that its kind calls for.

    Args:
        data: bytes, str, a mapping or pairs for a form, a binary file or an iterable of bytes.
        json: Anything JSON knows; used only if there is no data.
        files: As urllib3 takes multipart fields: a mapping of field to content or (file name, content[, type]).

    Raises:
        InvalidRequestError: It cannot be encoded.
    """
    if files:
        return _encode_multipart(data, files)
    if data is not None and data not in (b"", ""):  # an empty form is data too, and is sent as such
        return _encode_data(data)
    if json is not None:
        return encode_json(json), _JSON
    return None, NO_KIND


def encode_json(value: Any) -> bytes:
    """JSON bytes; what orjson does not know (huge integers, for example) the standard library encodes.

    Raises:
        InvalidRequestError: Neither can.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        try:
            return stdlib_json.dumps(value).encode("utf-8")
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequestError(f"json={type(value).__name__} cannot be encoded: {error}") from error


def _encode_data(data: Any) -> tuple[BodyBytes, Mapping[str, str]]:
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), _BYTES
    try:
        if isinstance(data, str):
            return data.encode("utf-8"), _TEXT
        if isinstance(data, Mapping) or _is_pairs(data):
            return urlencode(data, doseq=True).encode("ascii"), _FORM
    except (UnicodeEncodeError, TypeError, ValueError) as error:
        raise InvalidRequestError(f"data of type {type(data).__name__} cannot be encoded: {error}") from error
    if hasattr(data, "read") or hasattr(data, "__iter__"):
        return Upload(data, _length_of(data)), _BYTES
    raise InvalidRequestError(
        f"data of type {type(data).__name__} cannot be sent; allowed are bytes, str, a mapping, a file, an iterable"
    )


def _is_pairs(data: Any) -> bool:
    return isinstance(data, list | tuple) and all(isinstance(item, tuple) and len(item) == 2 for item in data)  # noqa: PLR2004


def _length_of(source: Any) -> int | None:
    """What is left to read of a file, or None where nobody knows."""
    try:
        position = source.tell()
        end = os.fstat(source.fileno()).st_size if hasattr(source, "fileno") else source.seek(0, os.SEEK_END)
        source.seek(position)
    except (AttributeError, OSError, ValueError):
        return _length_in_memory(source)
    return int(end - position) if end > position else None


def _length_in_memory(source: Any) -> int | None:
    try:
        position = source.tell()
        end = source.seek(0, os.SEEK_END)
        source.seek(position)
    except (AttributeError, OSError, ValueError):
        return None
    return int(end - position)


def _encode_multipart(data: Any, files: Any) -> tuple[bytes, Mapping[str, str]]:
    try:
        pairs = list(data.items()) if isinstance(data, Mapping) else list(data or ())
        named = list(files.items()) if isinstance(files, Mapping) else list(files)
        body, content_type = encode_multipart_formdata(pairs + [(name, _file_field(part)) for name, part in named])
    except (TypeError, ValueError, AttributeError, UnicodeError) as error:
        raise InvalidRequestError(f"files cannot be encoded: {error}") from error
    return body, {"Content-Type": content_type}


def _file_field(part: Any) -> Any:
    """Read files; urllib3 wants their contents."""
    if isinstance(part, tuple):
        name, content, *rest = part
        return (name, content.read() if hasattr(content, "read") else content, *rest)
    if hasattr(part, "read"):
        return (os.path.basename(getattr(part, "name", "file")), part.read())  # noqa: PTH119 -- a label, no path
    return part


def basic_auth(name: str | bytes, password: str | bytes) -> str:
    """The value of the Authorization field (RFC 7617)."""
    raw = b":".join(part.encode("utf-8") if isinstance(part, str) else part for part in (name, password))
    return "Basic " + b64encode(raw).decode("ascii")
