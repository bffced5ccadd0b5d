"""The HTTP requests that users of the same kind share, encoded once for all of them.

Tested in tests/unit/clients/http/test_request_head.py and test_response_head.py.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from loadtest.clients.http.head import HEADS, UNKNOWN_HEAD, ResponseHead
from loadtest.clients.http.headers import HeaderValue, Lines, check_method, encoded, merged, replaced_by
from loadtest.clients.http.request import Request, framing_line, host_line, start_line
from loadtest.clients.http.request_body import NO_FIELDS
from loadtest.clients.http.url import Url, names_scheme, parse
from loadtest.clients.routes import Route, RouteTable
from loadtest.clients.transport.stream import RECEIVE_BYTES
from loadtest.measuring.tallies import ELSEWHERE

if TYPE_CHECKING:
    from loadtest.measuring.recorder import Recorder
    from loadtest.measuring.series import Series

_CACHED_ROUTES = 4096
_CACHED_HEADS = 64
_RECEIVE_SIZES = (470, 960, 4000, 16000)  # fast sizes of Python's allocator and of the C library


class HttpRoute(Route):
    """The common part of all requests with the same method, URL and name.

    Attributes:
        url: The absolute URL.
        origin: Where the requests are sent.
        lines: The header lines sent by default, Host among them.
        wire: The whole request as sent without additional headers, cookies or body.
        head: The head of its last response; the next response often begins with the same bytes.
        receive_bytes: How many bytes to request from the kernel: slightly more than the longest response had.
    """

    __slots__ = ("_heads", "_last_raw", "head", "lines", "origin", "receive_bytes", "url", "wire")

    # As for a request that adds nothing; see Request.
    body = None
    headers = None
    from_elsewhere = False
    body_fields = NO_FIELDS

    def __init__(self, method: str, url: Url, defaults: Lines, series: "Series") -> None:
        """Encode what does not vary.

        Raises:
            InvalidRequestError: The method is not a token.
        """
        check_method(method)
        super().__init__(method, series)
        self.url = url
        self.origin = url.origin
        self.lines = {"host": host_line(url), **defaults}
        self.head = UNKNOWN_HEAD
        self._last_raw = b""
        self.receive_bytes = RECEIVE_BYTES
        self._heads: dict[str | tuple[str, ...], bytes] = {}
        self.wire = self._head_for("", NO_FIELDS, {}) + framing_line(method, None) + b"\r\n"

    def encode(self, request: Request, cookies: bytes) -> bytes:
        """A request to this URL, without the bytes of an upload.

        Args:
            request: A request with this route's method, URL and lines.
            cookies: The Cookie line or b"".

        Raises:
            InvalidRequestError: A header is not allowed.
        """
        headers, body = request.headers, request.body
        content_type = request.body_fields.get("Content-Type", "")
        key = (content_type, *headers) if headers else content_type
        head = self._heads.get(key)
        if head is None:
            head = self._head_for(key, request.body_fields, headers or {})
        if headers:
            if not head:
                return request.encode(self.lines, cookies)
            head += encoded(headers)
        if "cookie" in self.lines:
            cookies = b""
        if body and isinstance(body, bytes):
            return b"%b%bContent-Length: %d\r\n\r\n%b" % (head, cookies, len(body), body)
        return head + cookies + framing_line(self.method, body) + b"\r\n"

    def with_cookies(self, cookies: bytes) -> bytes:
        """The route's wire with a Cookie line, which may be b""; a Cookie header of the user's defaults replaces it."""
        return self.wire if "cookie" in self.lines else self.wire[:-2] + cookies + b"\r\n"

    def _head_for(
        self, key: str | tuple[str, ...], body_fields: Mapping[str, str], headers: Mapping[str, HeaderValue]
    ) -> bytes:
        """Request line and header lines without those that these headers replace; b"" if that is not enough.

        Most are cached: there are few body types and header names, but the type of a multipart form is always new.
        """
        replaced, head = replaced_by(headers), b""
        if replaced is not None:
            kept = [line for name, line in merged(self.lines, body_fields).items() if name not in replaced]
            head = start_line(self.method, self.url) + b"".join(kept)
        if len(self._heads) < _CACHED_HEADS and not body_fields.get("Content-Type", "").startswith("multipart/"):
            self._heads[key] = head
        return head

    def find_head(self, received: bytes) -> ResponseHead:
        """The head at the start of a response, or UNKNOWN_HEAD if it is incomplete; cached for the next one.

        Its lengths are the response's own; its other values may be those of the last head, see Response.headers.

        Raises:
            ProtocolError, TooLargeError: As HeadCache.find() raises them.
        """
        last = self.head
        pattern = last.pattern
        match = pattern.match(received) if pattern is not None else None
        if match is None:
            head = HEADS.find(received)
            if head is None:
                return UNKNOWN_HEAD
        else:
            length = int(match[1])
            if length == last.content_length and match.end() == last.raw_length:
                before, self._last_raw = self._last_raw, match[0]
                if before != self._last_raw:
                    return last  # no need to make a head that never comes again, such as one with an id
            head = last.again(match[0], length)
        self.head = head
        if head.plain_length != last.plain_length and head.plain_length > 0:
            self.series.note_size(head.body_length)
            # A buffer is allocated for each response, so one that fits is cheaper than one for the worst case. It does
            # not shrink from one response to the next: each longer one would need a second receive call.
            fitting = next((size for size in _RECEIVE_SIZES if size > head.plain_length), RECEIVE_BYTES)
            if self.receive_bytes == RECEIVE_BYTES or fitting > self.receive_bytes:
                self.receive_bytes = fitting
        return head


class HttpRoutes(RouteTable[tuple[str, str, str | None], HttpRoute]):
    """Routes by method, URL and name; look one up here first, then call ``make``.

    Args:
        base_url: Base of relative URLs; may carry credentials.
        headers: Default headers, as name and value.
        auth_header: Value of the header Authorization for the base URL's own host, or None.

    Attributes:
        gets: The same for GET, by URL, or by (URL, name) if the request has its own name.
        common: The header lines that go to every host.
    """

    def __init__(
        self,
        recorder: "Recorder",
        scenario: str,
        base_url: str,
        headers: tuple[tuple[str, HeaderValue], ...],
        auth_header: str | None = None,
    ) -> None:
        """Start without routes; an invalid base URL raises at the first request."""
        super().__init__(recorder, scenario)
        self.gets: dict[str | tuple[str, str], HttpRoute] = {}
        self._base_url = base_url
        self._base: Url | None = None
        self.common = merged({}, dict(headers))
        # For the base URL's own host, with its credentials.
        self._own = merged(self.common, {"Authorization": auth_header}) if auth_header is not None else self.common

    def make(self, method: str, url: str, name: str | None, label: str) -> HttpRoute:
        """The route for a URL, absolute or relative to the base.

        Args:
            method: The method.
            url: The URL, its parameters included.
            name: The name that the scenario set, part of the key.
            label: The name that the request is recorded under.

        Raises:
            InvalidRequestError: The base URL, the URL or the method is not valid.
        """
        base = self._base = self._base or parse(self._base_url)
        parsed = parse(self.absolute(url))
        defaults, series = self._own, self.series(method, label)
        if parsed.origin is not base.origin:
            defaults = self.common
            series.tally(ELSEWHERE, parsed.origin.authority)
        route = HttpRoute(method, parsed, defaults, series)
        if len(self) >= _CACHED_ROUTES:
            self.clear()
            self.gets.clear()
        self[method, url, name] = route
        if method == "GET":
            self.gets[url if name is None else (url, name)] = route
        return route

    @property
    def host(self) -> str:
        """That of the base URL.

        Raises:
            InvalidRequestError: The base URL is not valid.
        """
        return parse(self._base_url).origin.host

    def absolute(self, url: str) -> str:
        """The absolute URL; a relative one continues the base."""
        base = self._base_url
        if names_scheme(url, base):
            return url
        if url.startswith("/"):
            return base.rstrip("/") + url
        return f"{base}{'' if not url or url.startswith('?') or base.endswith('/') else '/'}{url}"
