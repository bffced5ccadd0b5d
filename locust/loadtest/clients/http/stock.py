"""The users that replace Locust's own (`--fast`) without changes to the file that defines them.

They have this product's client with the defaults of the class that they replace, and the features of the library
requests that locustfiles use: docs/reference/http_client.md has a table.

Tested in tests/unit/scenarios/test_fast.py.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from requests.structures import CaseInsensitiveDict  # comes with Locust

from loadtest.clients.http.client import HttpClient, defaults_of
from loadtest.clients.http.headers import HeaderValue
from loadtest.clients.http.request import basic_auth
from loadtest.clients.http.response import CaughtResponse, Response
from loadtest.clients.http.url import parse
from loadtest.clients.http.user import HttpUser
from loadtest.clients.transport.deadlines import FOREVER_S

NOT_SET: Final = frozenset({"adapters", "cert", "hooks", "max_redirects", "params", "proxies", "stream"})
"""Attributes of a requests session that this client does not support."""


class _TextOfAny(Response):
    """A response whose text is empty, not None, when there was no response."""

    __slots__ = ()

    @property
    def text(self) -> str:
        """The body as text."""
        return super().text or ""


class _CaughtTextOfAny(_TextOfAny, CaughtResponse):
    __slots__ = ()


class _SessionHeaders(CaseInsensitiveDict[HeaderValue]):
    """The default headers of a client, from its next call on."""

    def __init__(self, headers: Mapping[str, HeaderValue], changed: Callable[[], None]) -> None:
        self._changed: Callable[[], None] = lambda: None
        super().__init__(headers)
        self._changed = changed

    def __setitem__(self, name: str, value: HeaderValue) -> None:
        super().__setitem__(name, value)
        self._changed()

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._changed()


class SessionClient(HttpClient):
    """The client with attributes of a requests session: `headers`, `auth`, `verify`, and its request names."""

    _kinds = (_TextOfAny, _CaughtTextOfAny)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse an attribute that would have no effect.

        Raises:
            AttributeError: It is an attribute of requests sessions that this client does not support.
        """
        if name in NOT_SET:
            raise AttributeError(f"client.{name} has no effect with --fast. Next: run this file without it")
        super().__setattr__(name, value)

    @property
    def headers(self) -> _SessionHeaders:
        """Headers sent with every request that does not set its own."""
        headers: _SessionHeaders | None = vars(self).get("_headers")
        if headers is None:
            headers = self._headers = _SessionHeaders(dict(self._defaults), self._use_headers)
        return headers

    @headers.setter
    def headers(self, headers: Mapping[str, HeaderValue]) -> None:
        self._headers = _SessionHeaders(headers, self._use_headers)
        self._use_headers()

    def _use_headers(self) -> None:
        self._defaults = defaults_of(self._headers)
        self._use_routes(shared=False)  # mostly a token that only this user has

    @property
    def auth(self) -> tuple[str | bytes, str | bytes] | None:
        """Name and password for the host of ``base_url``."""
        return vars(self).get("_auth")

    @auth.setter
    def auth(self, auth: tuple[str | bytes, str | bytes] | None) -> None:
        self._auth = auth
        self.auth_header = None if auth is None else basic_auth(auth)

    @property
    def verify(self) -> bool:
        """Whether certificates are verified on new connections."""
        return not self._session_user.insecure

    @verify.setter
    def verify(self, verify: bool) -> None:
        self._session_user.insecure = not verify
        self._pool.renew()

    @property
    def _session_user(self) -> "SessionUser":
        return cast("SessionUser", self.user)

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        name: str | None = None,
        catch_response: bool = False,
        context: Mapping[str, Any] | None = None,
        *,
        verify: bool | None = None,  # noqa: ARG002 -- the same in each call of the file, so it is set on the class
        **options: Any,
    ) -> Response:
        """Send a request; the options are those of HttpClient.request()."""
        return super().request(method, url, name, catch_response=catch_response, context=context, **options)

    def head(self, url: str, allow_redirects: bool = False, **options: Any) -> Response:
        """Send a HEAD request without following redirects."""
        return super().head(url, allow_redirects=allow_redirects, **options)

    def _label(self, url: str, full_url: str) -> str:  # noqa: ARG002
        """Path and query, as sent."""
        return parse(self._routes.absolute(full_url)).target


class FastUser(HttpUser):
    """Replaces Locust's FastHttpUser."""

    abstract = True
    insecure = True


class SessionUser(HttpUser):
    """Replaces Locust's HttpUser, which has no timeouts."""

    abstract = True
    _client_kind = SessionClient
    connection_timeout = FOREVER_S
    network_timeout = FOREVER_S
    total_timeout = None
    default_headers = {"Accept": "*/*"}  # noqa: RUF012
