"""URLs as a client needs them: where to connect, and what to send on the request line.

Schemes: ``http``, ``https``, and ``http+unix`` for a Unix socket, with its percent-encoded path in place of the host:
``http+unix://%2Frun%2Fapp.sock/path``.
"""

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit
from weakref import WeakValueDictionary

import idna  # a dependency of requests, which Locust needs; the standard library implements IDNA 2003

from loadtest.clients.http.errors import InvalidRequestError
from loadtest.clients.transport.endpoint import Endpoint

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

DEFAULT_PORTS = {"http": 80, "https": 443, "http+unix": 0}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNSAFE = re.compile(r"[^!#$%&'()*+,/:;=?@\[\]~\w.-]", re.ASCII)
_SAFE = "!#$%&'()*+,/:;=?@[]~"
_SCHEME = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:/")
_WEBSOCKET = re.compile(r"^\s*ws(?=s?://)", re.IGNORECASE)
_COLON = re.compile(r"[^/?#]*:")  # RFC 3986, 4.2: the first segment of a relative reference contains none
_NO_HOST = re.compile(
    r"[\s\"#%/<>?@\[\\\]^`{|}]"
)  # the Fetch standard's forbidden host code points, and their look-alikes
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MAX_PORT = 65535


class Origin:
    """The destination of a connection. There is one object per scheme, host and port, so identity is equality.

    An origin lives as long as a route, a connection or a cookie's URL refers to it, so their number needs no limit.

    Attributes:
        scheme: http, https or http+unix.
        host: Name or address without brackets; the socket's path for http+unix.
        port: TCP port; 0 for http+unix.
        authority: What goes into the Host field.
    """

    __slots__ = ("__weakref__", "authority", "host", "port", "scheme")

    def __init__(self, scheme: str, host: str, port: int) -> None:
        """Use Origin.of(); it returns the one object for these values."""
        self.scheme = scheme
        self.host = host
        self.port = port
        name = "localhost" if scheme == "http+unix" else f"[{host}]" if ":" in host else host
        self.authority = name if port == DEFAULT_PORTS[scheme] else f"{name}:{port}"

    @classmethod
    def of(cls, scheme: str, host: str, port: int) -> "Origin":
        """The one Origin of these values."""
        key = (scheme, host, port)
        origin = _origins.get(key)
        if origin is None:
            origin = _origins[key] = cls(scheme, host, port)
        return origin

    def endpoint(self, tls_context: "Callable[[], ssl.SSLContext]", *, from_elsewhere: bool) -> Endpoint:
        """The endpoint of its connections; the context is requested only for https."""
        if self.scheme == "http+unix":
            return Endpoint(path=self.host)
        tls = tls_context() if self.scheme == "https" else None
        return Endpoint(self.host, self.port, tls=tls, from_elsewhere=from_elsewhere)

    @property
    def place(self) -> str:
        """Host and port, formatted as by its endpoint."""
        return str(Endpoint(path=self.host) if self.scheme == "http+unix" else Endpoint(self.host, self.port))

    def __repr__(self) -> str:
        """Scheme and authority."""
        return f"{self.scheme}://{self.host if self.scheme == 'http+unix' else self.authority}"


_origins: WeakValueDictionary[tuple[str, str, int], Origin] = WeakValueDictionary()


class Url(NamedTuple):
    """A parsed absolute URL.

    Attributes:
        text: The URL without credentials and fragment.
        origin: Where to connect.
        target: Path and query, percent-encoded, as on the request line.
        credentials: Name and password from the URL, or None.
    """

    text: str
    origin: Origin
    target: str
    credentials: tuple[str, str] | None

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


def over_http(url: str) -> str:
    """The URL at which a WebSocket is requested: ``http`` for ``ws``, ``https`` for ``wss`` (RFC 6455, section 3)."""
    return _WEBSOCKET.sub("http", url)


def names_scheme(text: str, base: str) -> bool:
    """Tell whether a URL names its scheme, as ``ftp:x`` does and, by mistake, ``localhost:80``.

    A URL without a scheme is relative to the base. ``items:count`` may continue a base that ends with a slash.
    """
    return (_SCHEME if base.endswith("/") else _COLON).match(text) is not None


def parse(text: str) -> Url:
    """Parse an absolute URL.

    Raises:
        InvalidRequestError: Unknown scheme, no host, a bad port, control characters.
    """
    if _CONTROL.search(text):
        raise InvalidRequestError(f"the URL {text!r} holds a control character; percent-encode it")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidRequestError(f"the URL {text!r} is not valid: {error}") from error
    scheme = parts.scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise InvalidRequestError(
            f"the URL {text!r} has the scheme {parts.scheme!r}; allowed are http, https and http+unix, "
            "as in http://localhost:5000"
        )
    host = _host(parts.hostname, parts.netloc, scheme, text)
    port = DEFAULT_PORTS[scheme] if port is None or scheme == "http+unix" else port
    if scheme != "http+unix" and not 0 < port <= _MAX_PORT:
        raise InvalidRequestError(f"the URL {text!r} has the port {port}; allowed are 1 to {_MAX_PORT}")
    credentials = None
    if parts.username is not None and parts.password is not None:
        credentials = (unquote(parts.username), unquote(parts.password))
    origin = Origin.of(scheme, host, port)
    target = encode_target(parts.path, parts.query)
    shown = parts.netloc.rpartition("@")[2]
    return Url(f"{scheme}://{shown}{target if parts.path or parts.query else ''}", origin, target, credentials)


def split_credentials(text: str) -> tuple[str, tuple[str, str] | None]:
    """A URL without name and password, and these two, decoded; ``parse`` refuses an invalid URL later."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return text, None
    if parts.username is None or parts.password is None:
        return text, None
    bare = text.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)
    return bare, (unquote(parts.username), unquote(parts.password))


def _host(hostname: str | None, netloc: str, scheme: str, text: str) -> str:
    """The name or address to connect to."""
    if scheme == "http+unix":
        path = unquote(netloc.rpartition("@")[2])
        if not path.startswith("/"):
            raise InvalidRequestError(
                f"the URL {text!r} names no Unix socket; write its percent-encoded path, "
                "as in http+unix://%2Frun%2Fapp.sock"
            )
        return path
    if not hostname:
        raise InvalidRequestError(f"the URL {text!r} names no host; write one, as in http://localhost:5000")
    if _NO_HOST.search(hostname.partition("%")[0] if ":" in hostname else hostname):
        raise InvalidRequestError(f"the URL {text!r} has the host {hostname!r}, which is not a name or an address")
    if hostname.isascii():
        return hostname
    try:
        return idna.encode(hostname, uts46=True).decode("ascii")
    except UnicodeError as error:
        raise InvalidRequestError(f"the host {hostname!r} is not a valid name: {error}") from error


def encode_target(path: str, query: str) -> str:
    """Path and query for the request line; percent-encoded parts are kept.

    Raises:
        InvalidRequestError: It contains a lone surrogate.
    """
    target = f"{path or '/'}?{query}" if query else path or "/"
    if _UNSAFE.search(target):
        try:
            target = quote(target, safe=_SAFE, errors="surrogateescape")
        except UnicodeEncodeError as error:
            raise InvalidRequestError(f"the URL {target!r} cannot be encoded: {error}") from error
    if "%" in target:
        target = _LONE_PERCENT.sub("%25", target)
    return target if target.startswith("/") else f"/{target}"


def with_params(url: str, params: object) -> str:
    """The URL with a query appended: a mapping or pairs, values may be lists; a string is used as it is.

    Raises:
        InvalidRequestError: The parameters cannot be encoded.
    """
    if not params:
        return url
    try:
        query = params if isinstance(params, str) else urlencode(_without_none(params), doseq=True)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"params={params!r} cannot be encoded: {error}") from error
    bare, _, fragment = url.partition("#")
    separator = "?" if "?" not in bare else "" if bare.endswith(("?", "&")) else "&"
    joined = f"{bare}{separator}{query}"
    return f"{joined}#{fragment}" if fragment else joined


def _without_none(params: Any) -> list[tuple[str, Any]]:
    pairs = list(params.items()) if hasattr(params, "items") else list(params)
    return [(key, value) for key, value in pairs if value is not None]


def join(base: Url, location: str) -> Url:
    """The URL to which a redirect leads.

    Raises:
        InvalidRequestError: The location is not a URL that this client can follow.
    """
    if location.startswith("/") and not location.startswith("//"):
        path, _, query = location.partition("#")[0].partition("?")
        text = f"{base.text.split('://', 1)[0]}://{base.text.split('://', 1)[1].partition('/')[0].partition('?')[0]}"
        target = encode_target(path, query)
        return Url(text + target, base.origin, target, None)
    try:
        joined = urljoin(base.text, location)
    except ValueError as error:
        raise InvalidRequestError(f"the URL {location!r} is not valid: {error}") from error
    return parse(joined)
