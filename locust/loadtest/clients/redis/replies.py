"""Turns raw replies into the values that redis-py's methods of the same name return.

The functions are redis-py's own, one per command, so that the same call gives the same value with either client; only
the JSON decoder differs.
"""

from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any, Final, Protocol, cast

import orjson
import redis

from loadtest.clients.json_codec import LAZY, RAW, LazyJson, OrjsonDecoder

Callback = Callable[..., Any]


class Decoder(Hashable, Protocol):
    """A decoder for redis-py's ``json(decoder=…)``; hashable, as objects are by default."""

    def decode(self, text: Any, /) -> Any:
        """Turn a document into a value."""


NO_MATCH: Final = b"[]"
"""RedisJSON's replies if there is nothing at a path."""
READS: Final = frozenset(
    (
        *("GET", "GETEX", "GETDEL", "MGET", "HGET", "HMGET", "HGETALL", "HKEYS", "HVALS", "LINDEX", "LRANGE"),
        *("SMEMBERS", "SRANDMEMBER", "ZRANGE", "ZREVRANGE", "ZRANGEBYSCORE", "ZSCORE", "ZMSCORE", "ZRANK", "ZREVRANK"),
        *("XRANGE", "XREVRANGE", "JSON.GET", "JSON.MGET", "JSON.TYPE", "JSON.ARRLEN", "JSON.OBJKEYS", "JSON.OBJLEN"),
        *("JSON.STRLEN",),
    )
)
"""Commands that request the data at a given key: an empty reply means that there is none."""
DEFAULT_DECODER: Final = OrjsonDecoder()
parse_document: Final = orjson.loads
_SHORTCUTS: Final[Mapping[Any, Callable[[bytes], Any] | None]] = {
    DEFAULT_DECODER: parse_document,
    RAW: None,
    LAZY: LazyJson,
}


def is_nothing(reply: Any) -> bool:
    """Whether a reply means that there is no key, or nothing at a path; Redis keeps no empty lists, sets or hashes."""
    if reply.__class__ is list:
        return all(item is None for item in reply)
    return reply is None or reply == NO_MATCH or (not reply and isinstance(reply, dict | set))


@lru_cache(maxsize=2)
def plain_callbacks(protocol: int) -> Mapping[str, Callback]:
    """The functions for the commands of Redis itself, by name in upper case; protocol is 2 or 3."""
    return dict(_template(protocol).response_callbacks)


@lru_cache(maxsize=32)
def json_callbacks(protocol: int, decoder: Decoder) -> tuple[Mapping[str, Callback], Callback | None]:
    """The functions for the commands of RedisJSON.

    Returns:
        All of them, by name in upper case; and the one for a document from JSON.GET, which is never called for the
        reply None, and which is None if documents are left as received.
    """
    template = _template(protocol)
    template.json(decoder=cast("Any", decoder))
    callbacks = {name: call for name, call in template.response_callbacks.items() if name.startswith("JSON.")}
    return callbacks, _SHORTCUTS[decoder] if decoder in _SHORTCUTS else callbacks["JSON.GET"]


def _template(protocol: int) -> redis.Redis:
    """A client of redis-py that never connects; it holds the callbacks for replies."""
    return redis.Redis(protocol=protocol)
