"""JSON on its way to and from RedisJSON.

Documents are written and read with orjson. What orjson refuses and the standard library accepts (keys that are no
strings, integers beyond 64 bits, lone surrogates) is left to the standard library, so that whatever redis-py can
write can be written here. One difference remains: NaN and the infinities, which JSON does not have, are written as
null, where redis-py sends words that RedisJSON refuses.

A decoder is what redis-py's ``json(decoder=…)`` takes, an object with ``decode()``. Both of these work with
redis-py too:

- ``RAW`` gives a document's bytes as they came.
- ``LAZY`` gives a ``LazyJson``: the bytes now, the parsed value when it is first asked for.
"""

import json
from typing import Any, Final

import orjson

# Classes that the standard library refuses are refused here as well.
_ORJSON_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def encode_json(value: Any) -> bytes:
    """Encode a value as redis-py would.

    Raises:
        TypeError: JSON has no such value.
        ValueError: The value contains itself.
    """
    try:
        return orjson.dumps(value, None, _ORJSON_OPTIONS)
    except TypeError:
        return json.dumps(value).encode()


class OrjsonDecoder:
    """The default decoder."""

    def decode(self, text: str | bytes) -> Any:
        """Parse a document.

        Raises:
            json.JSONDecodeError: It is none.
        """
        return orjson.loads(text)


class RawDecoder:
    """Leaves documents as they came."""

    def decode(self, text: Any) -> Any:
        """Return the document's bytes, or whatever else the reply is."""
        return text


class LazyJson:
    """A document that is parsed when its value is first asked for.

    Attributes:
        raw: The document as it came: bytes (str from a redis-py that decodes).
    """

    __slots__ = ("_value", "raw")

    def __init__(self, raw: bytes | str) -> None:
        """Keep the document."""
        self.raw = raw

    @property
    def value(self) -> Any:
        """The parsed document.

        Raises:
            json.JSONDecodeError: It is none.
        """
        try:
            return self._value
        except AttributeError:
            self._value: Any = orjson.loads(self.raw)
            return self._value

    def __repr__(self) -> str:
        """Show how a document begins."""
        return f"LazyJson({self.raw[:60]!r})"


class LazyDecoder:
    """Wraps documents in LazyJson."""

    def decode(self, text: Any) -> Any:
        """Return the document unparsed, or whatever else the reply is."""
        return LazyJson(text) if isinstance(text, (bytes, str)) else text


RAW: Final = RawDecoder()
LAZY: Final = LazyDecoder()
