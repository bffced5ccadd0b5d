"""From a reply as it came to the value that redis-py's method of the same name returns.

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
    """What redis-py's ``json(decoder=…)`` takes; hashable, as objects are by default."""

    def decode(self, text: Any, /) -> Any:
        """Turn a document into a value."""


DEFAULT_DECODER: Final = OrjsonDecoder()
parse_document: Final = orjson.loads
_SHORT_WAYS: Final[Mapping[Any, Callable[[bytes], Any] | None]] = {
    DEFAULT_DECODER: parse_document,
    RAW: None,
    LAZY: LazyJson,
}


@lru_cache(maxsize=2)
def plain_callbacks(protocol: int) -> Mapping[str, Callback]:
    """The functions for the commands of Redis itself, by name in upper case; protocol is 2 or 3."""
    return dict(_template(protocol).response_callbacks)


@lru_cache(maxsize=32)
def json_callbacks(protocol: int, decoder: Decoder) -> Mapping[str, Callback]:
    """The functions for the commands of RedisJSON, by name in upper case; protocol is 2 or 3."""
    template = _template(protocol)
    template.json(decoder=cast("Any", decoder))
    return {name: call for name, call in template.response_callbacks.items() if name.startswith("JSON.")}


def document_callback(protocol: int, decoder: Decoder) -> Callback | None:
    """The function for a document that JSON.GET returns, never called for the reply None; None for no function."""
    if decoder in _SHORT_WAYS:
        return _SHORT_WAYS[decoder]
    return json_callbacks(protocol, decoder)["JSON.GET"]


def _template(protocol: int) -> redis.Redis:
    """A client of redis-py that never connects; it knows what to do with replies."""
    return redis.Redis(protocol=protocol)
