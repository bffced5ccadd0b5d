"""Fetching: requests of this product's own, such as for a service's OpenAPI document; none of them is load.

They go neither to closed addresses (see `loadtest.settings.hosts`), also not by a redirect or a name that suddenly
resolves to one, nor through a proxy to this machine: the proxy variables of a company's laptop are for what is
elsewhere.
"""

from __future__ import annotations

import http.client
import urllib.request
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from loadtest.settings.hosts import closed_address_of, is_closed, is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

_SCHEMES: Final = ("http", "https")


def fetch(
    url: str, timeout_s: float, method: str = "GET", headers: Mapping[str, str] | None = None
) -> AbstractContextManager[Any]:
    """Make a request and return its open answer, a `http.client.HTTPResponse`.

    Args:
        url: http or https.
        timeout_s: for each read and write.
        method: of HTTP.
        headers: to send with it.

    Raises:
        urllib.error.HTTPError: when the status is 400 or higher; it is an open answer, too.
        OSError: when no connection can be made, or it may not be.
        ValueError: when the URL is none.
    """
    _check(url)
    is_here = is_loopback(urlsplit(url).hostname or "")
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({} if is_here else None),
        _Handler(),
        _SecureHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    answer: AbstractContextManager[Any] = opener.open(
        urllib.request.Request(url, method=method, headers=dict(headers or {})),  # noqa: S310 - checked
        timeout=timeout_s,
    )
    return answer


def _check(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError(f"{url[:200]!r} is no http or https URL")
    if address := closed_address_of(parts.hostname):
        raise OSError(f"{parts.hostname} is {address}, an address at which clouds serve credentials")


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        """Connect, and leave at once when the name meanwhile means a closed address."""
        super().connect()
        _check_peer(self)


class _SecureConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        """Connect, and leave at once when the name meanwhile means a closed address."""
        super().connect()
        _check_peer(self)


def _check_peer(connection: http.client.HTTPConnection) -> None:
    address = str(connection.sock.getpeername()[0])
    if is_closed(address):
        connection.close()
        raise OSError(f"{connection.host} is {address}, an address at which clouds serve credentials")


class _Handler(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """See urllib."""
        return self.do_open(_Connection, request)


class _SecureHandler(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """See urllib."""
        return self.do_open(_SecureConnection, request)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request: Any, *answer: Any) -> urllib.request.Request | None:
        """Return the next request, if it may be made."""
        redirected, *_, url = answer
        try:
            _check(url)
        except (OSError, ValueError):
            redirected.close()
            raise
        return super().redirect_request(request, *answer)
