"""ParameterStyle: serialise the value of a parameter into a path, a query, a header or a cookie.

The styles are those of OpenAPI 3 (https://spec.openapis.org/oas/v3.1.1#style-values), which follow RFC 6570.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT: Final = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}
"""The default style of each place."""
_SEPARATORS: Final = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C"}
_PREFIXES: Final = {"simple": "", "label": ".", "matrix": ";"}


def text_of(value: Any) -> str:
    """Return a value as JSON text; a string has no quotation marks."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def query_pairs(name: str, value: Any, style: str, *, explode: bool) -> list[tuple[str, str]]:
    """Return the pairs of a query or form, with percent-encoded names and values.

    Raises:
        ValueError: for a style that a query cannot have.
    """
    key = _encoded(name)
    if style == "deepObject":
        return [(f"{key}{inner}", _encoded(text)) for inner, text in _deep(value)]
    if style not in _SEPARATORS:
        raise ValueError(f"a query has no style {style}")
    if isinstance(value, dict):
        if explode:
            return [(_encoded(member), _encoded(text_of(each))) for member, each in value.items()]
        return [(key, _SEPARATORS[style].join(_flat(value)))]
    if isinstance(value, list):
        texts = [_encoded(text_of(each)) for each in value]
        return [(key, text) for text in texts] if explode else [(key, _SEPARATORS[style].join(texts))]
    return [(key, _encoded(text_of(value)))]


def in_path(name: str, value: Any, style: str, *, explode: bool) -> str:
    """Return the replacement of ``{name}`` in a path.

    Raises:
        ValueError: for a style that a path cannot have.
    """
    if style not in _PREFIXES:
        raise ValueError(f"a path has no style {style}")
    prefix, key = _PREFIXES[style], _encoded(name)
    separator = (prefix or ",") if explode else ","
    if isinstance(value, dict):
        texts = _members(value) if explode else _flat(value)
    else:
        texts = [_encoded(text_of(each)) for each in (value if isinstance(value, list) else [value])]
        if style == "matrix" and explode:
            texts = [f"{key}={text}" for text in texts]
    joined = separator.join(texts)
    is_named = style == "matrix" and not explode
    if style == "matrix" and not isinstance(value, dict | list):
        return f";{key}={texts[0].removeprefix(f'{key}=')}"
    return f";{key}={joined}" if is_named else prefix + joined


def in_header(value: Any, *, explode: bool) -> str:
    """Return the value of a header field."""
    if isinstance(value, dict):
        pairs = [(member, text_of(each)) for member, each in value.items()]
        return ",".join("=".join(pair) if explode else ",".join(pair) for pair in pairs)
    return ",".join(map(text_of, value)) if isinstance(value, list) else text_of(value)


def _members(value: dict[str, Any]) -> list[str]:
    return [f"{_encoded(member)}={_encoded(text_of(each))}" for member, each in value.items()]


def _flat(value: dict[str, Any]) -> list[str]:
    return [_encoded(text) for member, each in value.items() for text in (member, text_of(each))]


def _deep(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the keys in brackets and their texts; the members of a list share a key."""
    if isinstance(value, dict):
        for member, each in value.items():
            for inner, text in _deep(each):
                yield f"%5B{_encoded(member)}%5D{inner}", text
    elif isinstance(value, list):
        for each in value:
            yield from _deep(each)
    else:
        yield "", text_of(value)


def _encoded(text: str) -> str:
    return quote(str(text), safe=":@" if text else "")
