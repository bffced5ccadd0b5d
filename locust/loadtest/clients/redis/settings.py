"""How to reach a Redis: its URL, parsed once and checked completely.

The URL is redis-py's::

    redis://[[username]:password@]host[:port][/db][?option=value&…]
    rediss://…                                   the same over TLS
    unix://[[username]:password@]/path/to/socket[?db=0&…]

with redis-py's names for the supported options (see ``OPTIONS``).
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from loadtest.clients.transport.endpoint import Endpoint
from loadtest.clients.transport.stream import tls_context
from loadtest.exceptions import UsageError
from loadtest.settings.urls import MASK, reason_for, without_credentials

DEFAULT_PORT, SENTINEL_PORT = 6379, 26379
DEFAULT_TIMEOUT_S = 5.0
SCHEMES = ("redis", "rediss", "unix")
RESP2, RESP3 = 2, 3


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """The settings of a connection.

    Attributes:
        endpoint: Where the server listens, with the TLS context for ``rediss``.
        username: For AUTH; empty for the default user.
        password: For AUTH; if both are empty, no AUTH is sent.
        db: Number of the selected database, 0 to 2**31 - 1.
        protocol: The version of RESP, 2 or 3, which also determines the shape of replies.
        client_name: The name shown by CLIENT LIST; empty for none.
        connect_timeout_s: For name resolution, connecting, TLS and authentication together, in seconds.
        cluster: Whether it is a node of a Redis Cluster, whose other nodes are used too.
        read_from_replicas: Whether replicas may serve reads.
        sentinel: The name of the primary if the endpoint is a Sentinel, otherwise empty.
        sentinel_username: For AUTH at the Sentinels; empty for the default user.
        sentinel_password: For AUTH at the Sentinels; if both are empty, no AUTH is sent.
        sentinel_tls: The TLS context for the Sentinels; None without TLS.
        read_timeout_s: How long a reply may take, in seconds.
    """

    endpoint: Endpoint
    username: str = ""
    password: str = ""
    db: int = 0
    protocol: int = RESP2
    client_name: str = ""
    connect_timeout_s: float = DEFAULT_TIMEOUT_S
    read_timeout_s: float = DEFAULT_TIMEOUT_S
    cluster: bool = False
    read_from_replicas: bool = False
    sentinel: str = ""
    sentinel_username: str = ""
    sentinel_password: str = ""
    sentinel_tls: ssl.SSLContext | None = None

    @classmethod
    def from_url(cls, url: str) -> "RedisSettings":
        """Read a URL.

        Raises:
            UsageError: It is invalid; the message names every problem.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise _wrong_url(url, reason_for(url, error)) from error
        options = _read_options(url, parts)
        endpoint = _endpoint(url, parts, port, options)
        cluster, replicas = options.get("cluster", False), options.get("read_from_replicas", False)
        db = options["db"] if "db" in options else _db_of_path(url, parts)
        if cluster and (endpoint.path or db):
            raise _wrong_url(url, "a cluster is reached by TCP, and has database 0 only")
        if replicas and not cluster:
            raise _wrong_url(url, "read_from_replicas is for a cluster; add cluster=true")
        if "sentinel" in options and (cluster or endpoint.path):
            raise _wrong_url(url, "a Sentinel is reached by TCP, and does not watch clusters")
        if "sentinel" not in options and (of_sentinels := [name for name in options if name.startswith("sentinel_")]):
            raise _wrong_url(url, f"{of_sentinels[0]} is for Sentinels; add sentinel=NAME")
        has_tls = options.get("sentinel_ssl", parts.scheme == "rediss")
        return cls(
            endpoint=endpoint,
            username=options.get("username", unquote(parts.username or "")),
            password=options.get("password", unquote(parts.password or "")),
            db=db,
            protocol=options.get("protocol", RESP2),
            client_name=options.get("client_name", ""),
            connect_timeout_s=options.get("socket_connect_timeout", DEFAULT_TIMEOUT_S),
            read_timeout_s=options.get("socket_timeout", DEFAULT_TIMEOUT_S),
            cluster=cluster,
            read_from_replicas=replicas,
            sentinel=options.get("sentinel", ""),
            sentinel_username=options.get("sentinel_username", ""),
            sentinel_password=options.get("sentinel_password", ""),
            sentinel_tls=(endpoint.tls or _tls_context(url, options)) if has_tls else None,
        )

    def at(self, host: str, port: int) -> "RedisSettings":
        """The same settings for another node of the cluster, or for the primary."""
        return replace(self, endpoint=replace(self.endpoint, host=host, port=port))

    def of_sentinel(self, host: str, port: int) -> "RedisSettings":
        """The settings of a Sentinel, which has its own users and no databases."""
        endpoint = replace(self.endpoint, host=host, port=port, tls=self.sentinel_tls)
        username, password = self.sentinel_username, self.sentinel_password
        return replace(self, endpoint=endpoint, username=username, password=password, db=0, protocol=RESP2, sentinel="")


def _read_bool(text: str) -> bool:
    """Read yes or no in redis-py's spellings."""
    lowered = text.lower()
    if lowered in ("true", "yes", "1"):
        return True
    if lowered in ("false", "no", "0"):
        return False
    raise ValueError("allowed are true and false")


def _read_seconds(text: str) -> float:
    """Read a positive number of seconds."""
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError("allowed are seconds above 0")
    return seconds


def _read_db(text: str) -> int:
    """Read the number of a database."""
    if not text.isascii() or not text.isdigit() or int(text) >= 1 << 31:
        raise ValueError("allowed are whole numbers from 0")
    return int(text)


def _read_protocol(text: str) -> int:
    """Read the version of RESP."""
    if text not in ("2", "3"):
        raise ValueError("allowed are 2 and 3")
    return int(text)


def _read_name(text: str) -> str:
    """Read the name of a primary."""
    if not text or not text.isprintable():
        raise ValueError("allowed is the name in `sentinel monitor NAME …`")
    return text


def _read_requirement(text: str) -> ssl.VerifyMode:
    """Read how the server's certificate is verified."""
    modes = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
    if text not in modes:
        raise ValueError("allowed are required, optional and none")
    return modes[text]


OPTIONS: dict[str, Callable[[str], Any]] = {
    "db": _read_db,
    "username": str,
    "password": str,
    "protocol": _read_protocol,
    "client_name": str,
    "cluster": _read_bool,
    "read_from_replicas": _read_bool,
    "sentinel": _read_name,
    "sentinel_username": str,
    "sentinel_password": str,
    "sentinel_ssl": _read_bool,
    "socket_connect_timeout": _read_seconds,
    "socket_timeout": _read_seconds,
    "ssl_ca_certs": str,
    "ssl_cert_reqs": _read_requirement,
    "ssl_check_hostname": _read_bool,
    "ssl_certfile": str,
    "ssl_keyfile": str,
}
"""The options of the query string, each with its parser."""


def _part(url: str, text: str) -> str:
    """A part of a URL for an error message; masked if the URL contains a secret, whose end may not be where it
    seems."""
    return repr(text) if without_credentials(url) == url else MASK


def _wrong_url(url: str, reason: str) -> UsageError:
    """The error for a URL, without its password."""
    return UsageError(
        f"The Redis URL {without_credentials(url)!r} cannot be used: {reason}. A URL looks like redis://host:6379/0, "
        "rediss://user:password@host:6379/0 or unix:///path/to/socket?db=0; set it in REDIS_URL or as the "
        "user class's redis_url."
    )


def _read_options(url: str, parts: SplitResult) -> dict[str, Any]:
    """Read the options of the query string."""
    options: dict[str, Any] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name not in OPTIONS:
            shown = MASK if "@" in url else repr(name)  # it may be the end of a password
            raise _wrong_url(url, f"the option {shown} is unknown; known are {', '.join(OPTIONS)}")
        try:
            options[name] = OPTIONS[name](text)
        except ValueError as error:
            raise _wrong_url(url, f"the option {name}={_part(url, text)} is wrong: {error}") from error
    return options


def _endpoint(url: str, parts: SplitResult, port: int | None, options: dict[str, Any]) -> Endpoint:
    """Read where the server listens."""
    if parts.scheme not in SCHEMES:
        raise _wrong_url(url, f"its scheme is {parts.scheme!r}; allowed are {', '.join(SCHEMES)}")
    if parts.scheme == "unix":
        path = unquote(parts.path)
        if not path:
            raise _wrong_url(url, "it names no socket file")
        return Endpoint(path=path)
    if not parts.hostname:
        raise _wrong_url(url, "it names no host")
    if port == 0:
        raise _wrong_url(url, "port 0 cannot be connected to; allowed are 1 to 65535")
    tls = _tls_context(url, options) if parts.scheme == "rediss" else None
    usual = SENTINEL_PORT if "sentinel" in options else DEFAULT_PORT
    return Endpoint(host=unquote(parts.hostname), port=port or usual, tls=tls)


def _db_of_path(url: str, parts: SplitResult) -> int:
    """Read the database from a URL's path; a Unix socket's path names no database."""
    text = parts.path.strip("/")
    if parts.scheme == "unix" or not text:
        return 0
    try:
        return _read_db(text)
    except ValueError as error:
        raise _wrong_url(url, f"the database {_part(url, text)} is not a number: {error}") from error


def _tls_context(url: str, options: dict[str, Any]) -> ssl.SSLContext:
    """Make the TLS context; certificates are verified unless the URL disables that."""
    try:
        return tls_context(
            requirement=options.get("ssl_cert_reqs", ssl.CERT_REQUIRED),
            checks_host=options.get("ssl_check_hostname", True),
            authorities=options.get("ssl_ca_certs"),
            certificate=options.get("ssl_certfile"),
            key=options.get("ssl_keyfile"),
        )
    except OSError as error:  # a file that is missing, or contains no certificate
        raise _wrong_url(url, f"a certificate file cannot be read: {error}") from error
