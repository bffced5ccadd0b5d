"""redis-py's clients for a Redis URL, for administration and test data, not for load."""

from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
from redis.connection import SSLConnection, parse_url
from redis.sentinel import Sentinel

OWN_OPTIONS = ("cluster", "read_from_replicas", "sentinel", "sentinel_username", "sentinel_password", "sentinel_ssl")
"""Options that redis-py's URLs do not have; see `loadtest.clients.redis.settings`."""
_LONGEST_SAID: Final = 500


def said(error: Exception) -> str:
    """Return a server's message, which may have megabytes, in a readable length."""
    return str(error)[:_LONGEST_SAID]


def is_cluster(url: str) -> bool:
    """Whether a URL is that of a cluster."""
    return _is_on(_options(url).get("cluster", ""))


def is_one_server(url: str) -> bool:
    """Whether a URL is neither that of a cluster nor that of a Sentinel."""
    return not is_cluster(url) and "sentinel" not in _options(url)


def server_of(url: str, timeout_s: float) -> redis.Redis:
    """Return the client of one server: for a cluster, the node in the URL; with Sentinel, the primary.

    Args:
        url: as for a `RedisJsonUser`.
        timeout_s: for connecting, and for each reply.
    """
    limits: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    plain, own = _of_redis_py(url), _options(url)
    if "sentinel" not in own:
        return redis.Redis.from_url(plain, protocol=2, **limits)
    given: Any = {**parse_url(plain), **limits, "protocol": 2}
    has_tls = given.pop("connection_class", None) is SSLConnection
    place = given.pop("host"), given.pop("port", 26379)
    tls: Any = {"ssl": True} | {name: given.pop(name) for name in list(given) if name.startswith("ssl_")}
    user = {name: own.get(f"sentinel_{name}") or None for name in ("username", "password")}
    have_tls = _is_on(own["sentinel_ssl"]) if "sentinel_ssl" in own else has_tls
    sentinels = Sentinel([place], sentinel_kwargs={**limits, **user, **(tls if have_tls else {})})
    client: redis.Redis = sentinels.master_for(own["sentinel"], **given, **(tls if has_tls else {}))
    return client


def cluster_of(url: str, timeout_s: float) -> redis.RedisCluster:
    """Return the client of a cluster; arguments as for `server_of`."""
    limits: Any = {"protocol": 2, "socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    return redis.RedisCluster.from_url(_of_redis_py(url), **limits)


def client_of(url: str, timeout_s: float) -> redis.Redis | redis.RedisCluster:
    """Return the client for any kind of URL; arguments as for `server_of`."""
    return cluster_of(url, timeout_s) if is_cluster(url) else server_of(url, timeout_s)


def db_of(url: str) -> int:
    """Return the number of the database in a URL."""
    return int(parse_url(_of_redis_py(url)).get("db", 0))


def _is_on(text: str) -> bool:
    return text.lower() in {"true", "yes", "1"}


def _options(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def _of_redis_py(url: str) -> str:
    """Return a URL without the options that redis-py lacks."""
    kept = {name: value for name, value in _options(url).items() if name not in OWN_OPTIONS}
    return urlsplit(url)._replace(query=urlencode(kept)).geturl()
