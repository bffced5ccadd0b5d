"""Fetching: this product's own requests, such as for a service's OpenAPI document, which are not part of any load.

They never reach blocked addresses (see `loadtest.settings.hosts`), not even by a redirect or by a name that suddenly
resolves to one. Requests to this machine bypass proxies: the proxy variables of a company's laptop are for other
machines. Other machines cannot redirect to this one. Time and size are limited, however slowly a server answers, and
the limit for connecting is shorter.
"""

from __future__ import annotations

import http.client
import queue
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TypeVar
from urllib.parse import urlsplit

from loadtest.settings.hosts import addresses_of, closed_address_of, is_closed, is_inside, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Found = TypeVar("Found")
LARGEST_BYTES: Final = 32 * 1024 * 1024
CONNECT_WITHIN_S: Final = 10.0
"""The longest time until an address accepts a connection, including TLS."""
_SCHEMES: Final = ("http", "https")


class Answer(NamedTuple):
    """An answer of any status."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def fetch(
    url: str,
    within_s: float,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    most_bytes: int = LARGEST_BYTES,
    *,
    body: IO[bytes] | None = None,
) -> Answer:
    """Make a request, and return its answer.

    Args:
        url: http or https.
        within_s: the limit for everything: look-up, connections, redirects, head and body.
        method: of HTTP.
        headers: to send with it.
        most_bytes: the largest body of the answer.
        body: to send with it; `headers` include its Content-Length. It may still be read after a timeout.

    Raises:
        OSError: a connection is impossible or not allowed, or the answer is too large or too slow.
        ValueError: it is not a URL.
    """
    try:
        return in_time(lambda: _answer(url, within_s, method, headers, most_bytes, body), within_s)
    except http.client.HTTPException as error:
        raise OSError(f"the answer is not HTTP ({error!r})") from error


def in_time(ask: Callable[[], Found], within_s: float) -> Found:
    """Return the result of a request to a service, with a time limit; it may continue after a timeout.

    A socket's timeout applies to each read, and a resolver has none at all.

    Raises:
        TimeoutError: it takes longer.
        Exception: raised by `ask`.
    """
    outcome: queue.SimpleQueue[Callable[[], Found]] = queue.SimpleQueue()

    def make() -> None:
        try:
            found = ask()
        except Exception as error:
            outcome.put(partial(_raise, error))
        else:
            outcome.put(lambda: found)

    threading.Thread(target=make, daemon=True).start()
    try:
        found = outcome.get(timeout=within_s)
    except queue.Empty:
        raise TimeoutError(f"the whole answer takes more than {within_s:.3g} s") from None
    return found()


def _raise(error: Exception) -> NoReturn:
    raise error


def _answer(  # noqa: PLR0917 - those of `fetch`
    url: str, within_s: float, method: str, headers: Mapping[str, str] | None, most_bytes: int, body: IO[bytes] | None
) -> Answer:
    _check(url)
    opener = urllib.request.OpenerDirector()
    for handler in (
        _Proxies(),
        _Handler(),
        _SecureHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)  # noqa: S310 - checked
    try:
        opened: Any = opener.open(request, timeout=within_s)
    except urllib.error.HTTPError as error:
        opened = error
    with opened:
        content = opened.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(f"the answer is larger than {most_bytes:,} bytes")
    return Answer(int(opened.status), opened.headers, content)


def _check(url: str, before: str | None = None) -> None:
    """Check that a request is allowed, also as the target of a redirect."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError(f"{url[:200]!r} is not an http or https URL")
    if address := closed_address_of(parts.hostname):
        raise OSError(f"{parts.hostname} is {address}, an address at which clouds serve credentials")
    if before is not None and not _is_here(before) and any(map(is_inside, addresses_of(parts.hostname))):
        raise OSError(f"{urlsplit(before).hostname} redirects to this machine")


def _is_here(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")


def _leads_here(url: str) -> bool:
    """Return whether a URL means this machine, in any notation or by a name that resolves to it."""
    return _is_here(url) or any(map(is_inside, addresses_of(urlsplit(url).hostname or "")))


class _Proxies(urllib.request.ProxyHandler):
    def proxy_open(self, request: urllib.request.Request, proxy: str, kind: str) -> Any:
        """See urllib."""
        return None if _leads_here(request.full_url) else super().proxy_open(request, proxy, kind)


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        """Connect in time, and disconnect at once if the name now resolves to a blocked address."""
        with _soon(self):
            super().connect()
        _check_peer(self)


class _SecureConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        """Connect in time, and disconnect at once if the name now resolves to a blocked address."""
        with _soon(self):
            super().connect()
        _check_peer(self)


@contextmanager
def _soon(connection: http.client.HTTPConnection) -> Iterator[None]:
    """Allow less time for connecting than for the request."""
    whole_s = connection.timeout
    connection.timeout = min(whole_s or CONNECT_WITHIN_S, CONNECT_WITHIN_S)
    try:
        yield
    except TimeoutError as error:
        raise TimeoutError(f"no connection within {connection.timeout:g} s") from error
    connection.sock.settimeout(whole_s)


def _check_peer(connection: http.client.HTTPConnection) -> None:
    address = str(connection.sock.getpeername()[0])
    if is_closed(address):
        connection.close()
        raise OSError(f"{connection.host} is {address}, an address at which clouds serve credentials")


class _Handler(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """See urllib."""
        return self.do_open(_Connection, _as_given(request))


class _SecureHandler(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """See urllib."""
        return self.do_open(_SecureConnection, _as_given(request))


def _as_given(request: urllib.request.Request) -> urllib.request.Request:
    """Remove the Content-Type that urllib adds to every body: a presigned URL may be signed without one."""
    request.unredirected_hdrs.pop("Content-type", None)
    return request


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request: Any, *answer: Any) -> urllib.request.Request | None:
        """Return the redirected request, if it is allowed."""
        redirected, *_, url = answer
        try:
            _check(url, request.full_url)
        except (OSError, ValueError):
            redirected.close()
            raise
        return super().redirect_request(request, *answer)
