"""Requests: their parts and bytes, and the request that follows a redirect.

Tested in tests/unit/clients/http/test_client.py and test_redirects.py.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from loadtest.clients.http.errors import InvalidRequestError, RedirectError
from loadtest.clients.http.headers import Headers, HeaderValue, Lines, merged
from loadtest.clients.http.request_body import NO_FIELDS, BodyBytes, Upload
from loadtest.clients.http.url import Url, join, over_http
from loadtest.settings import hosts
from loadtest.settings.hosts import is_inside, is_loopback

if TYPE_CHECKING:
    from loadtest.clients.http.head import ResponseHead

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REWRITTEN = frozenset({301, 302})
_SEE_OTHER = 303
_KEPT = frozenset({"GET", "HEAD"})
_FOR_ONE_HOST = re.compile(r"^host$|auth|cookie|token|secret|session|api-?key|password|credential|csrf|xsrf")
"""Header fields that may carry secrets and are only sent to the host for which the scenario set them."""


def start_line(method: str, url: Url) -> bytes:
    """The request line."""
    return f"{method} {url.target} HTTP/1.1\r\n".encode("ascii")


def host_line(url: Url) -> bytes:
    """The Host line."""
    return f"Host: {url.origin.authority}\r\n".encode("ascii")


_NO_LINES: Final[Lines] = {}


class Request:
    """One request with everything specific to it.

    Attributes:
        method: The method.
        url: The absolute URL.
        headers: The headers that the scenario set; None as a value omits a default header.
        body_fields: Header fields that describe the body.
        body: The body.
        lines: The header lines sent by default.
        from_elsewhere: Whether a service that is not on this machine redirected to it.
    """

    __slots__ = ("body", "body_fields", "from_elsewhere", "headers", "lines", "method", "url")

    def __init__(
        self,
        method: str,
        url: Url,
        headers: Mapping[str, HeaderValue] | None,
        body_fields: Mapping[str, str],
        body: BodyBytes,
    ) -> None:
        """Put the parts together."""
        self.method = method
        self.url = url
        self.headers = headers
        self.body_fields = body_fields
        self.body = body
        self.lines = _NO_LINES
        self.from_elsewhere = False

    @property
    def upload(self) -> Upload | None:
        """The body if it is sent in pieces."""
        return self.body if isinstance(self.body, Upload) else None

    @property
    def upgrades(self) -> bool:
        """Whether it asks to switch its connection to another protocol."""
        return any(name.lower() == "upgrade" for name in self.headers or ())

    def encode(self, lines: Lines, cookies: bytes) -> bytes:
        """The request's bytes, without an upload's.

        Args:
            lines: The header lines sent by default.
            cookies: The Cookie line or b""; a Cookie header of the request's own replaces it.

        Raises:
            InvalidRequestError: A header is not allowed.
        """
        self.lines = lines
        if self.body_fields:
            lines = merged(lines, self.body_fields)
        if self.headers:
            lines = merged(lines, self.headers)
        if "cookie" in lines:
            cookies = b""
        start = start_line(self.method, self.url)
        head = b"".join((start, *lines.values(), cookies, framing_line(self.method, self.body), b"\r\n"))
        return head + self.body if isinstance(self.body, bytes) else head


class Sendable(Protocol):
    """A request, or the route of a request that adds nothing to it."""

    @property
    def method(self) -> str: ...  # noqa: D102 -- as in Request
    @property
    def url(self) -> Url: ...  # noqa: D102
    @property
    def headers(self) -> Mapping[str, HeaderValue] | None: ...  # noqa: D102
    @property
    def lines(self) -> Lines: ...  # noqa: D102
    @property
    def body_fields(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def body(self) -> BodyBytes: ...  # noqa: D102


class SentRequest:
    """A request as scenarios see it, in the form of FastHttpUser's.

    Attributes:
        method: The method.
        url: The absolute URL.
        headers: The fields that the scenario or the client set, without cookies and the body's length.
        body, payload: The body as sent, a file or iterable as given; None if there is none.
    """

    __slots__ = ("body", "headers", "method", "url")

    def __init__(self, request: "Sendable") -> None:
        """Wrap a request."""
        self.method = request.method
        self.url = request.url.text
        self.body = request.body.source if isinstance(request.body, Upload) else request.body
        lines = merged(merged(request.lines, request.body_fields), request.headers or {})
        pairs = [line.split(b": ", 1) for entry in lines.values() for line in entry.split(b"\r\n") if line]
        self.headers = Headers([(name, value) for name, value in pairs])

    @property
    def payload(self) -> Any:
        """The body."""
        return self.body


def framing_line(method: str, body: BodyBytes) -> bytes:
    """The field that states the body's length (RFC 9112, section 6.3)."""
    if isinstance(body, Upload):
        if body.length is None:
            return b"Transfer-Encoding: chunked\r\n"
        return b"Content-Length: %d\r\n" % body.length
    if body:
        return b"Content-Length: %d\r\n" % len(body)
    return b"Content-Length: 0\r\n" if method in _WITH_BODY else b""


def basic_auth(auth: tuple[str | bytes, str | bytes]) -> str:
    """The value of the Authorization field for a name and a password (RFC 7617).

    Raises:
        InvalidRequestError: It is not a pair of text or bytes.
    """
    parts = tuple(auth) if isinstance(auth, tuple | list) else ()
    if len(parts) != 2 or not all(isinstance(part, str | bytes) for part in parts):  # noqa: PLR2004
        raise InvalidRequestError(f"auth is of type {type(auth).__name__}; allowed is a pair (name, password) of text")
    raw = b":".join(part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part for part in parts)
    return "Basic " + b64encode(raw).decode("ascii")


def location_of(head: "ResponseHead") -> str | None:
    """Where a response redirects to, or None."""
    location = head.headers.get("location") if head.status in _REDIRECTS else None
    if location is None or location.isascii():
        return location
    return location.encode("latin-1").decode("utf-8", "surrogateescape")  # mostly UTF-8; other bytes are kept


def for_any_host(lines: Lines) -> Lines:
    """The header lines that a redirect may carry to a host that the scenario did not name."""
    return {name: line for name, line in lines.items() if not _FOR_ONE_HOST.search(name)}


def redirected(first: Request, request: Request, status: int, location: str, own: str) -> Request:
    """The request that follows a redirect (RFC 9110, section 15.4, with the method rules of the Fetch standard).

    301 and 302 turn POST into GET, 303 turns everything but HEAD into GET, 307 and 308 repeat the request. Credentials
    are only sent to the host for which the scenario set them. A Unix socket is followed only if the scenario named it,
    and the loopback interface only from the loopback interface: no target may direct a worker to services of its own
    machine, or to another host, unless LOADTEST_ALLOWED_HOSTS names that.

    Args:
        first: The request that the scenario made.
        request: The redirected request.
        status: The redirect's status.
        location: Where it leads.
        own: The host of the user.

    Raises:
        RedirectError: The target is invalid or not allowed, or the body cannot be sent a second time.
    """
    try:
        url = join(request.url, over_http(location) if request.upgrades else location)
    except InvalidRequestError as error:
        raise RedirectError(f"the redirect cannot be followed: {error}") from error
    if url.origin.scheme == "http+unix" and url.origin is not first.url.origin:
        raise RedirectError(f"the redirect leads to the Unix socket {url.origin.host}, which the scenario did not name")
    try:
        hosts.check_redirect(url.origin.host, first.url.origin.host, request.url.origin.host, own)
    except hosts.RedirectError as error:
        raise RedirectError(str(error)) from error
    headers = dict(first.headers or {})
    if url.origin is not first.url.origin:
        headers = {name: value for name, value in headers.items() if not _FOR_ONE_HOST.search(name.lower())}
    method, body, fields = request.method, request.body, request.body_fields
    if (status == _SEE_OTHER and method not in _KEPT) or (status in _REWRITTEN and method == "POST"):
        method, body, fields = "GET", None, NO_FIELDS
    elif isinstance(body, Upload) and not body.rewind():
        raise RedirectError("the redirect needs the body a second time, but it cannot be read again")
    if method != first.method:  # the body was dropped here or earlier in the chain
        headers = {name: value for name, value in headers.items() if not name.lower().startswith("content-")}
    found = Request(method, url, headers, fields, body)
    host = first.url.origin.host
    found.from_elsewhere = url.origin is not first.url.origin and not (is_loopback(host) or is_inside(host))
    return found
