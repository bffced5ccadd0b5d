"""SchemaExample: a value that a schema of an OpenAPI document allows: its example, or otherwise the simplest value."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rstr import Rstr

from loadtest.authoring.drafted_secrets import WEB_TOKEN, is_field, replaced

if TYPE_CHECKING:
    from loadtest.authoring.openapi_document import Node, OpenApiDocument

_DEEPEST = 8
"""Optional members below this depth are omitted, so that the value of a recursive schema is finite."""
_DEEPEST_OF_ALL = 24
_LONGEST_LIST = 20
_LONGEST_TEXT = 10_000
_MAX_PARTS = 1_000
_LONGEST_PATTERN = 1_000
_TRIES = 40
_TEXTS = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "ada@example.com",
    "hostname": "www.example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://www.example.com/",
    "uri-reference": "/example",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "byte": "ZXhhbXBsZQ==",
}
_FORMS = {
    "email": r"[^@\s]+@[^@\s]+",
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    **dict.fromkeys(("date", "date-time", "time", "uri", "ipv4", "ipv6", "byte", "binary", "hostname"), r"(?!)"),
}
"""The pattern of each format for texts that can be made unique."""
_WORD = "example"
_WRITTEN = ("example", "examples", "default")
"""Values that an author chose freely; a `const` or an `enum` is a rule of the API."""


class _Place:
    """The position of a part within a value, and the number of parts so far."""

    def __init__(self, parts: Iterator[int], depth: int = 0) -> None:
        self.depth = depth
        self.is_beyond = next(parts) >= _MAX_PARTS or depth > _DEEPEST_OF_ALL
        self._parts = parts

    def deeper(self) -> _Place:
        """Return the position of a part of this one."""
        return _Place(self._parts, self.depth + 1)


def example(schema: Node | bool, document: OpenApiDocument, *, is_secret: bool = False) -> Any:
    """Return a value for a schema.

    Required members beyond the limit on parts, as in a schema that refers to itself twice, are null.

    Args:
        schema: the schema.
        document: the schema's document.
        is_secret: whether the value is a secret, so that the document's own example must not be used.

    Raises:
        ValueError: when no value was found, such as for a pattern in another language's syntax.
    """
    return _example(schema, document, _Place(itertools.count()), is_secret=is_secret)


def without_secrets(value: Any, schema: Node | bool, document: OpenApiDocument, *, is_secret: bool = False) -> Any:
    """Return a document's example with its secrets replaced by values that its schema allows.

    Args:
        value: the example.
        schema: the value's schema.
        document: the schema's document.
        is_secret: whether the name under which the value is sent marks it as a secret.
    """
    if isinstance(value, Mapping):
        parts = members(schema, document)
        return {
            key: without_secrets(each, parts.get(key, {}), document, is_secret=is_field(str(key)))
            for key, each in value.items()
        }
    if isinstance(value, list):
        items = document.resolved(schema).get("items", {}) if isinstance(schema, Mapping) else {}
        return [without_secrets(each, items, document, is_secret=is_secret) for each in value]
    if not isinstance(value, str | int) or isinstance(value, bool) or value in {"", 0}:
        return value
    if not is_secret and not WEB_TOKEN.fullmatch(str(value)):
        return replaced(value, lambda *_: _WORD, _WORD) if isinstance(value, str) else value
    plain = schema if isinstance(schema, Mapping) and schema else {"type": _type_of(value)}
    try:
        return example(_without_written(document.resolved(plain)), document, is_secret=True)
    except ValueError:
        return _WORD


def _type_of(value: float | str) -> str:
    return "string" if isinstance(value, str) else "integer"


def _without_written(schema: Node) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in _WRITTEN}


def _example(schema: Node | bool, document: OpenApiDocument, place: _Place, *, is_secret: bool = False) -> Any:
    if isinstance(schema, bool) or place.is_beyond:
        return None
    schema = document.resolved(schema)
    found, value = given(schema)
    if found and "const" not in schema and "enum" not in schema:
        return without_secrets(value, schema, document, is_secret=is_secret)
    if found:
        return value
    if "allOf" in schema:
        return _merged(schema, document, place, is_secret=is_secret)
    for choice in ("oneOf", "anyOf"):
        if schema.get(choice):
            chosen = {**_without(schema, choice), **document.resolved(schema[choice][0])}
            return _example(chosen, document, place.deeper(), is_secret=is_secret)
    return _of_type(schema, document, place)


def members(schema: Node | bool, document: OpenApiDocument) -> dict[str, Node]:
    """Return the members of a schema's objects by name, including those of the schemas that it combines."""
    found: dict[str, Node] = {}
    waiting: list[Any] = [schema]
    for each in itertools.islice(_taken(waiting), _MAX_PARTS):
        if isinstance(each, Mapping):
            resolved = document.resolved(each)
            waiting += [*resolved.get("allOf", ()), *resolved.get("anyOf", ()), *resolved.get("oneOf", ())]
            parts = resolved.get("properties", {})
            found = {**{name: document.resolved(part) for name, part in parts.items() if part is not True}, **found}
        if len(found) > _MAX_PARTS:
            break
    return found


def _taken(waiting: list[Any]) -> Iterator[Any]:
    while waiting:
        yield waiting.pop()


def fits(text: str, schema: Node) -> bool:
    """Return whether a schema that does not combine others allows a text."""
    is_listed = text in schema.get("enum", [text])
    return bool(is_listed and re.fullmatch(_FORMS.get(schema.get("format", ""), ".*"), text) and _matches(text, schema))


def _matches(text: str, schema: Node) -> bool:
    """Return whether a schema's length limits and pattern allow a text."""
    if not schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", math.inf):
        return False
    try:
        return re.search(schema.get("pattern", ""), text) is not None
    except (re.error, OverflowError):  # the pattern has more repetitions than Python supports
        return False


def given(holder: Node) -> tuple[bool, Any]:
    """Return whether a schema, parameter or media type has a value of its own, and the value."""
    for name in ("example", "const"):
        if name in holder:
            return True, holder[name]
    for name in ("examples", "enum"):
        listed = holder.get(name)
        if isinstance(listed, list) and listed:
            return True, listed[0]
        if isinstance(listed, Mapping) and listed:  # a parameter or media type has them by name
            first = next(iter(listed.values()))
            if isinstance(first, Mapping) and "value" in first:
                return True, first["value"]
    return "default" in holder, holder.get("default")


def _of_type(schema: Node, document: OpenApiDocument, place: _Place) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind == "object" or (kind is None and "properties" in schema):
        return _object(schema, document, place)
    if kind == "array":
        return _list(schema, document, place)
    if kind in {"integer", "number"}:
        return _number(schema, whole=kind == "integer")
    if kind == "boolean":
        return True
    return None if kind == "null" else _text(schema)


def _list(schema: Node, document: OpenApiDocument, place: _Place) -> list[Any]:
    members = [_example(part, document, place.deeper()) for part in schema.get("prefixItems", ())]
    items = schema.get("items", {})
    least = min(max(schema.get("minItems", 1), 1), _LONGEST_LIST, schema.get("maxItems", _LONGEST_LIST))
    while len(members) < least and items is not False:
        member = _example(items, document, place.deeper())
        members.append(_another(member, members) if schema.get("uniqueItems") else member)
    return members


def _another(member: Any, members: list[Any]) -> Any:
    """Return a number or text that is not yet in a list, similar to one that is."""
    for number in range(1, len(members) + 1):
        if member not in members:
            break
        member = f"{member}{number}" if isinstance(member, str) else member + 1 if isinstance(member, int) else member
    return member


def _object(schema: Node, document: OpenApiDocument, place: _Place) -> dict[str, Any]:
    required = dict.fromkeys(schema.get("required", []))
    properties = schema.get("properties", {})
    members = {}
    for name, part in properties.items():
        resolved = {} if isinstance(part, bool) else document.resolved(part)
        if resolved.get("readOnly") or (name not in required and place.depth >= _DEEPEST):
            continue
        try:
            members[name] = _example(resolved, document, place.deeper(), is_secret=is_field(name))
        except ValueError:
            if name in required:
                raise
    others = schema.get("additionalProperties", True)
    names = [name for name in required if name not in properties and others is not False]
    least = min(schema.get("minProperties", 0), _LONGEST_LIST) if others is not False else 0
    names += [f"{_WORD}{number}" for number in range(1, least + 1 - len(members) - len(names))]
    part = others if isinstance(others, Mapping) and others else {"type": "string"}
    return members | {name: _example(part, document, place.deeper(), is_secret=is_field(name)) for name in names}


def _merged(schema: Node, document: OpenApiDocument, place: _Place, *, is_secret: bool) -> Any:
    """Return a value for several schemas at once: their members together, or the first value that is not an object."""
    parts = [_without(schema, "allOf"), *(document.resolved(part) for part in schema["allOf"])]
    values = [_example(part, document, place.deeper(), is_secret=is_secret) for part in parts if part]
    objects = [value for value in values if isinstance(value, dict)]
    if not objects:
        return next((value for value in values if value is not None), None)
    return {name: value for each in objects for name, value in each.items()}


def _without(schema: Node, name: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != name}


def _number(schema: Node, *, whole: bool) -> float:
    """Return 1 if it is allowed, otherwise a number near a limit, or between the two limits."""
    step = schema.get("multipleOf", 1 if whole else None)
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", False), schema.get("exclusiveMaximum", False)
    # In OpenAPI 3.0 an exclusive limit is a flag for the limit, in 3.1 it is the limit itself.
    above, below = (low if above is True else above), (high if below is True else below)
    low = max(low, -math.inf if above is False else above)
    high = min(high, math.inf if below is False else below)
    middle = (low + high) / 2 if math.isfinite(low) and math.isfinite(high) else 0.0
    margin = step or 0.5
    found = [1, *(each for each in (low, high, low + margin, high - margin, middle) if math.isfinite(each))]
    if step:
        found = [1, *(up(each / step) * step for each in found for up in (math.ceil, math.floor))]
    for value in found:
        is_inside = low <= value <= high and (above is False or value > above) and (below is False or value < below)
        if is_inside and (not step or math.isclose(value / step, round(value / step))):
            return int(value) if whole else value
    raise ValueError(f"no number was found from {low} to {high}")


def _text(schema: Node) -> str:
    text = _TEXTS.get(schema.get("format", ""), _WORD)
    shortest, longest = min(schema.get("minLength", 0), _LONGEST_TEXT), schema.get("maxLength", len(text))
    while len(text) < shortest:
        text += f"-{_WORD}"
    text = text[: max(shortest, longest)]
    if _matches(text, schema):
        return text
    found = [each for each in _texts_of(str(schema.get("pattern", ""))) if _matches(each, schema)]
    if not found:
        raise ValueError(f"no text was found for the pattern {schema.get('pattern')}")
    return min(found, key=len)


def _texts_of(pattern: str) -> Iterator[str]:
    """Yield some texts that match a pattern, always the same ones; none if Python does not support the pattern."""
    counts = [int(each) for each in re.findall(r"[{,](\d{1,9})(?=[,}])", pattern)]
    if len(pattern) > _LONGEST_PATTERN or math.prod(max(1, each) for each in counts) > _LONGEST_TEXT:
        return
    for seed in range(_TRIES):
        try:
            yield Rstr(random.Random(seed)).xeger(pattern)  # noqa: S311 - an example
        # rstr raises these if it cannot generate a text: the operation is then listed as not drafted.
        except (re.error, LookupError, TypeError, ValueError, NotImplementedError, OverflowError):
            return
