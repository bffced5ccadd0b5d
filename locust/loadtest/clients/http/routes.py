"""The requests that the users of one kind have in common, encoded once for all of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from loadtest.clients.http.headers import HeaderValue, merged
from loadtest.clients.http.request import Route, basic_auth
from loadtest.clients.http.url import DEFAULT_PORTS, Url, parse

if TYPE_CHECKING:
    from locust.env import Environment

    from loadtest.measuring.recorder import Recorder, Series

_CACHED_ROUTES = 4096
_ATTRIBUTE = "loadtest_http_routes"  # where an Environment keeps its route books


class RouteBook:
    """Routes by method, URL and name, for one base URL, set of default headers and scenario.

    Args:
        base_url: What relative URLs are relative to; may carry credentials.
        headers: Sent with every request unless it says otherwise.
        recorder: Where requests are recorded.
        scenario: Under which scenario.

    Attributes:
        routes: Cache of routes by (method, URL, name); look here first.
        common: The header lines that go to every host.
        gets: The same for GET, by URL if there is no name of its own, else by (URL, name).
    """

    def __init__(self, base_url: str, headers: Mapping[str, HeaderValue], recorder: "Recorder", scenario: str) -> None:
        """Start without routes; a bad base URL shows at the first request."""
        self.routes: dict[tuple[str, str, str | None], Route] = {}
        self.gets: dict[str | tuple[str, str], Route] = {}
        self._base_url = base_url
        self._recorder = recorder
        self._scenario = scenario
        self._base: Url | None = None
        self.common = merged({}, headers)
        self._own = self.common  # for the base URL's own host, with its credentials

    @classmethod
    def of(
        cls,
        environment: "Environment",
        base_url: str,
        headers: Mapping[str, HeaderValue],
        recorder: "Recorder",
        scenario: str,
    ) -> "RouteBook":
        """The book that all users of an environment with these settings share."""
        books: dict[object, RouteBook] = vars(environment).setdefault(_ATTRIBUTE, {})
        key = (base_url, tuple(headers.items()), scenario)
        book = books.get(key)
        if book is None:
            book = books[key] = cls(base_url, headers, recorder, scenario)
        return book

    def make(self, method: str, url: str, name: str | None, label: str) -> Route:
        """The route for a URL, absolute or relative to the base.

        Args:
            method: The method.
            url: The URL, its parameters included.
            name: The name that the scenario gave, part of the cache's key.
            label: Under which name the request is recorded.

        Raises:
            InvalidRequestError: The base URL, the URL or the method is not valid.
        """
        base = self._base or self._parse_base()
        parsed = parse(self._absolute(url))
        defaults = self._own if parsed.origin is base.origin else self.common
        route = Route(method, parsed, defaults, self.series(method, label))
        if len(self.routes) >= _CACHED_ROUTES:
            self.routes.clear()
            self.gets.clear()
        self.routes[method, url, name] = route
        if method == "GET":
            self.gets[url if name is None else (url, name)] = route
        return route

    def series(self, method: str, label: str) -> "Series":
        """Where requests of this method and label are recorded."""
        return self._recorder.series(self._scenario, method, label)

    def _parse_base(self) -> Url:
        """Parse the base URL; credentials in it become a header for its own host."""
        base = parse(self._base_url)
        if base.credentials is not None:
            self._own = merged(self.common, {"Authorization": basic_auth(*base.credentials)})
        self._base = base
        return base

    def _absolute(self, url: str) -> str:
        if url.partition("://")[0].lower() in DEFAULT_PORTS:
            return url
        base = self._base_url
        if url.startswith("/"):
            return base.rstrip("/") + url
        return f"{base}{'' if not url or url.startswith('?') or base.endswith('/') else '/'}{url}"
