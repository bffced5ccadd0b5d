"""redis-py's clients for the Redis of a URL, for what is no load: looking after it, and its test data."""

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
from redis.connection import SSLConnection, parse_url
from redis.sentinel import Sentinel

OWN_OPTIONS = ("cluster", "read_from_replicas", "sentinel")
"""What redis-py's URLs do not have; see `loadtest.clients.redis.settings`."""


def is_cluster(url: str) -> bool:
    """Whether a URL is one of a cluster."""
    return _options(url).get("cluster", "").lower() in {"true", "yes", "1"}


def server_of(url: str, timeout_s: float) -> redis.Redis:
    """Return the client of one server: of a cluster, the node of the URL; with Sentinel, the primary.

    Args:
        url: as of a `RedisJsonUser`.
        timeout_s: for connecting, and for each reply.
    """
    options: dict[str, Any] = {"protocol": 2, "socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    plain, name = _of_redis_py(url), _options(url).get("sentinel")
    if name is None:
        return redis.Redis.from_url(plain, **options)
    given: Any = {**parse_url(plain), **options}
    tls = {"ssl": True} if given.pop("connection_class", None) is SSLConnection else {}
    place = given.pop("host"), given.pop("port", 26379)
    limits = {key: value for key, value in given.items() if key.startswith(("ssl", "socket"))}
    client: redis.Redis = Sentinel([place], sentinel_kwargs={**limits, **tls}).master_for(name, **given, **tls)
    return client


def cluster_of(url: str, timeout_s: float) -> redis.RedisCluster:
    """Return the client of a cluster; arguments as of `server_of`."""
    limits: Any = {"protocol": 2, "socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    return redis.RedisCluster.from_url(_of_redis_py(url), **limits)


def db_of(url: str) -> int:
    """Return the number of the database that a URL names."""
    return int(parse_url(_of_redis_py(url)).get("db", 0))


def _options(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def _of_redis_py(url: str) -> str:
    """Return a URL without what redis-py's do not have."""
    kept = {name: value for name, value in _options(url).items() if name not in OWN_OPTIONS}
    return urlsplit(url)._replace(query=urlencode(kept)).geturl()
