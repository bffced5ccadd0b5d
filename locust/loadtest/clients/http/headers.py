"""Header fields: a case-insensitive view of a response's, and the encoding of a request's.

Tested in tests/unit/clients/http/test_client.py.
"""

import re
from collections.abc import Iterator, Mapping

from loadtest.clients.http.errors import InvalidRequestError

OneValue = str | bytes | int | float
HeaderValue = OneValue | list[OneValue] | tuple[OneValue, ...] | None

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_WITH_A_PLACE = _FRAMING | {"host", "cookie"}
_CACHED_NAMES = 1024
_names: dict[str, tuple[str, bytes]] = {}

Lines = dict[str, bytes]
"""Encoded header lines by name in lower case."""


class Headers(Mapping[str, str]):
    """A response's header fields; names are case-insensitive, repeated fields are joined by a comma.

    Args:
        fields: Pairs of name and value as received, in order.
    """

    __slots__ = ("_by_name", "fields")

    def __init__(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Keep the fields; they are decoded on first use."""
        self.fields = fields
        self._by_name: dict[str, list[str]] | None = None

    def _index(self) -> dict[str, list[str]]:
        if self._by_name is None:
            self._by_name = {}
            for name, value in self.fields:
                key = name.decode("latin-1").lower()
                self._by_name.setdefault(key, []).append(value.decode("latin-1"))
        return self._by_name

    def __getitem__(self, name: str) -> str:
        """The field's value, repeated ones joined by ", "."""
        return ", ".join(self._index()[name.lower()])

    def __iter__(self) -> Iterator[str]:
        """The names, in lower case, in order of first appearance."""
        return iter(self._index())

    def __len__(self) -> int:
        """The number of different names."""
        return len(self._index())

    def get_all(self, name: str) -> list[str]:
        """Every value of a repeated field, such as Set-Cookie, in order."""
        return list(self._index().get(name.lower(), ()))

    def __repr__(self) -> str:
        """All fields."""
        return f"Headers({dict(self)!r})"


def merged(lines: Lines, headers: Mapping[str, HeaderValue]) -> Lines:
    """Header lines, with further headers replacing those of the same name.

    Args:
        lines: Encoded lines by name in lower case.
        headers: What to add; None as a value leaves a line out, a list makes a line for each of its values. Fields that
            state the body's length are ignored: the client sets them itself.

    Raises:
        InvalidRequestError: A name is not a token, or a value holds a line break or another control character.
    """
    together = dict(lines)
    for name, value in headers.items():
        key, prefix = _names.get(name) or _learn(name)
        if value is None:
            together.pop(key, None)
        elif key in _FRAMING:
            continue
        else:
            together[key] = _encode(name, prefix, value)
    return together


def replaced_by(headers: Mapping[str, HeaderValue]) -> frozenset[str] | None:
    """The lines of a head that the headers replace, by name in lower case.

    Returns:
        None if this alone is not enough: some are ignored, have a fixed place, or replace one another.

    Raises:
        InvalidRequestError: A name is not a token.
    """
    names = frozenset((_names.get(name) or _learn(name))[0] for name in headers)
    return names if len(names) == len(headers) and not names & _WITH_A_PLACE else None


def encoded(headers: Mapping[str, HeaderValue]) -> bytes:
    """The lines of headers for which `replaced_by` does not return None.

    Raises:
        InvalidRequestError: A value holds a line break or another control character.
    """
    lines = []
    for name, value in headers.items():
        _, prefix = _names.get(name) or _learn(name)
        if type(value) is str and value.isascii() and value.isprintable():  # almost always
            lines.append(b"%b%b\r\n" % (prefix, value.encode()))
        elif value is not None:
            lines.append(_encode(name, prefix, value))
    return b"".join(lines)


def _encode(name: str, prefix: bytes, value: OneValue | list[OneValue] | tuple[OneValue, ...]) -> bytes:
    """The line of a header, or the lines of one that has several values."""
    if isinstance(value, (list, tuple)):
        return b"".join(prefix + _encode_value(name, each) + b"\r\n" for each in value)
    return prefix + _encode_value(name, value) + b"\r\n"


def _learn(name: str) -> tuple[str, bytes]:
    """A name in lower case, and the beginning of its line; cached."""
    raw = name.encode("utf-8", "replace") if isinstance(name, str) else b""
    if not _TOKEN.fullmatch(raw):
        raise InvalidRequestError(f"the header name {name!r} is not allowed; use letters, digits and -")
    if len(_names) >= _CACHED_NAMES:
        _names.clear()
    known = _names[name] = (name.lower(), raw + b": ")
    return known


def _encode_value(name: str, value: OneValue) -> bytes:
    if type(value) is str and value.isascii() and value.isprintable():
        return value.encode("ascii")
    if hasattr(value, "__iter__") and not isinstance(value, str | bytes):
        raise InvalidRequestError(
            f"the header {name!r} has the value {value!r}; allowed are text, numbers, bytes, and a list of these"
        )
    try:
        raw = value if isinstance(value, bytes) else str(value).encode("latin-1")
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"the header {name!r} has the value {value!r}; allowed are Latin-1 text, numbers and bytes"
        ) from error
    if not _VALUE.fullmatch(raw):
        raise InvalidRequestError(
            f"the header {name!r} has the value {value!r}; line breaks and control characters are not allowed"
        )
    return raw


def check_method(method: str) -> None:
    """Check that a method is valid on a request line.

    Raises:
        InvalidRequestError: It is not a token.
    """
    if not _TOKEN.fullmatch(method.encode("utf-8", "replace")):
        raise InvalidRequestError(f"the method {method!r} is not allowed; use letters, as in GET")
