"""JSON on its way out and, from RedisJSON, in.

Values are encoded with orjson. What it refuses and the standard library accepts (integers beyond 64 bits, lone
surrogates) is left to the standard library, so whatever a stock client can send can be sent here. Dates, UUIDs and
dataclasses, which only orjson accepts, can be sent too. NaN and the infinities, which JSON does not have, are sent as
the standard library sends them, and the server says what it thinks of it; orjson alone would make them null.

A decoder is what redis-py's ``json(decoder=…)`` takes, an object with ``decode()``. Both of these work with redis-py
too:

- ``RAW`` leaves a document as the bytes that came.
- ``LAZY`` gives a ``LazyJson``: the bytes now, the parsed value when it is first asked for.
"""

import json
from typing import Any, Final

import orjson


def encode_json(value: Any) -> bytes:
    """Encode a value.

    Raises:
        TypeError: JSON has no such value.
        ValueError, RecursionError: The value contains itself, or is nested too deeply.
    """
    try:
        encoded = orjson.dumps(value)
    except TypeError:
        try:
            encoded = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
        except TypeError:
            return json.dumps(value).encode()
    # Without a match, replace() gives the very same object, in a fifth of the time that the operator ``in`` takes.
    if encoded.replace(b"null", b"") is not encoded and _holds_nan(value):
        return json.dumps(value).encode()
    return encoded


def _holds_nan(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False, default=repr, skipkeys=True)
    except ValueError:
        return True
    return False


_DIGITS = bytes((b"0123456789".find(byte) >= 0 and 48) or 32 for byte in range(256))
_BEYOND_64_BITS = b"0" * 19


def decode_any(document: bytes | str) -> Any:
    """Parse what the standard library takes: NaN too, integers of any size, and UTF-16.

    Raises:
        json.JSONDecodeError: It is not JSON, or holds a number or a nesting beyond what the interpreter takes.
    """
    try:
        return json.loads(document)
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError(str(error), "", 0) from error


def decode_json(document: bytes) -> Any:
    """Parse a document; integers stay exact.

    Raises:
        json.JSONDecodeError: It is not JSON in UTF-8, or holds a number or a nesting beyond what the interpreter takes.
    """
    # orjson makes floats of integers beyond 64 bits; a look for as many digits costs a fraction of the parsing.
    if _BEYOND_64_BITS in document.translate(_DIGITS):
        return decode_any(document)
    return orjson.loads(document)


class OrjsonDecoder:
    """The default decoder."""

    def decode(self, text: str | bytes) -> Any:
        """Parse a document.

        Raises:
            json.JSONDecodeError: It is not JSON.
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
            json.JSONDecodeError: It is not JSON.
        """
        try:
            return self._value
        except AttributeError:
            self._value: Any = orjson.loads(self.raw)
            return self._value

    def __repr__(self) -> str:
        """Show how the document begins."""
        return f"LazyJson({self.raw[:60]!r})"


class LazyDecoder:
    """Wraps documents in LazyJson."""

    def decode(self, text: Any) -> Any:
        """Return the document unparsed, or whatever else the reply is."""
        return LazyJson(text) if isinstance(text, (bytes, str)) else text


RAW: Final = RawDecoder()
LAZY: Final = LazyDecoder()
