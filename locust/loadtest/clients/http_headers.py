"""Header fields: a case-insensitive view of a response's, and the encoding of a request's."""

import re
from collections.abc import Iterator, Mapping

from loadtest.clients.http_errors import InvalidRequestError

HeaderValue = str | bytes | int | float | None

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_LINE_CACHE_SIZE = 2048
_line_cache: dict[tuple[str, str], bytes] = {}


class Headers(Mapping[str, str]):
    """A response's header fields; names compare without case, repeated fields are joined by a comma.

    Args:
        fields: Pairs of name and value as received, in order.
    """

    __slots__ = ("_by_name", "fields")

    def __init__(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Keep the fields; nothing is decoded before someone looks."""
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


def encode_line(name: str, value: str | bytes | float) -> bytes:
    """One header line with its line end.

    Raises:
        InvalidRequestError: The name is no token, or the value holds a line break or another control character.
    """
    if type(value) is str:
        line = _line_cache.get((name, value))
        if line is None:
            line = _checked_line(name, value)
            if len(_line_cache) >= _LINE_CACHE_SIZE:
                _line_cache.clear()
            _line_cache[name, value] = line
        return line
    return _checked_line(name, value)


def _checked_line(name: str, value: str | bytes | float) -> bytes:
    try:
        raw_name = name.encode("ascii")
        raw_value = value if isinstance(value, bytes) else str(value).encode("latin-1")
    except (UnicodeEncodeError, AttributeError) as error:
        raise InvalidRequestError(
            f"header {name!r}: {value!r} cannot be encoded; names are ASCII, values Latin-1 or bytes"
        ) from error
    if not _NAME.fullmatch(raw_name):
        raise InvalidRequestError(f"header name {name!r} is not allowed; use letters, digits and -")
    if not _VALUE.fullmatch(raw_value):
        raise InvalidRequestError(
            f"header {name!r} has the value {value!r}; line breaks and control characters are not allowed"
        )
    return raw_name + b": " + raw_value + b"\r\n"


def check_method(method: str) -> None:
    """Make sure that a method can stand on a request line.

    Raises:
        InvalidRequestError: It is no token.
    """
    if not _NAME.fullmatch(method.encode("utf-8", "replace")):
        raise InvalidRequestError(f"the method {method!r} is not allowed; use letters, as in GET")


class HeaderSet:
    """The headers that a client sends by default, encoded once.

    Args:
        defaults: Name and value; a later name replaces an earlier one in any case.
    """

    def __init__(self, defaults: Mapping[str, HeaderValue]) -> None:
        """Encode the defaults."""
        self._lines = _merged({}, defaults)
        self.encoded = b"".join(self._lines.values())

    def merged(self, headers: Mapping[str, HeaderValue] | None, weak: Mapping[str, str] | None = None) -> bytes:
        """The lines to send for one request.

        Args:
            headers: The request's own, which replace defaults; the value None leaves a default out.
            weak: Fields the request's kind calls for; they replace defaults, and ``headers`` replaces them.
        """
        if not headers and not weak:
            return self.encoded
        lines = self._lines
        if weak:
            lines = _merged(lines, weak)
        if headers:
            lines = _merged(lines, headers)
        return b"".join(lines.values())


def _merged(lines: dict[str, bytes], headers: Mapping[str, HeaderValue]) -> dict[str, bytes]:
    merged = dict(lines)
    for name, value in headers.items():
        if value is None:
            merged.pop(name.lower(), None)
        else:
            merged[name.lower()] = encode_line(name, value)
    return merged
