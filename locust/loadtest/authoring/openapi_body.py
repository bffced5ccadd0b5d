"""OpenApiBody: the body of an operation as arguments of the client's call.

Tested in tests/unit/authoring/test_openapi_requests.py.
"""

from __future__ import annotations

import pprint
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from loadtest.authoring.parameter_style import query_pairs, text_of
from loadtest.authoring.schema_example import example, given, without_secrets
from loadtest.authoring.xml_example import xml_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadtest.authoring.openapi_document import Node, OpenApiDocument

FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_JSON: Final = "application/json"
_ANY: Final = ("*/*", "application/*")
_WIDTH: Final = 100
_FILE: Final = b"example"


@dataclass(frozen=True)
class Body:
    """The body of a request.

    Attributes:
        arguments: arguments of the call, as Python code.
        media_type: the value of the Content-Type header, if the client would not set it.
    """

    arguments: tuple[str, ...] = ()
    media_type: str | None = None


def body_of(document: OpenApiDocument, operation: Node, values: Mapping[str, str]) -> Body:
    """Return the body of an operation: as JSON if it accepts that, else as a form, else in the first media type listed.

    Args:
        document: the operation's document.
        operation: the operation.
        values: texts that replace the members' examples, by name.

    Raises:
        ValueError: when the body cannot be drafted in any of them.
    """
    content = document.resolved(operation.get("requestBody", {})).get("content", {})
    if not content:
        return Body()
    written = min(content, key=_rank)
    media_type = _media_type(written)
    holder = content[written]
    schema = holder.get("schema", {})
    found, value = value_given(document, holder)
    value = without_secrets(value, schema, document) if found else example(schema, document)
    value = {**value, **values} if isinstance(value, dict) else value
    if _is_json(media_type):
        return Body((f"json={literal(value)}",), None if media_type == _JSON else written)
    if media_type == _MULTIPART:
        return _multipart(document, value, document.resolved(schema), holder.get("encoding", {}))
    if media_type == FORM and isinstance(value, dict):
        pairs = [pair for name, each in value.items() for pair in _form_pairs(name, each, holder.get("encoding", {}))]
        return Body((f"data={'&'.join('='.join(pair) for pair in pairs)!r}",), FORM)
    if "*" in media_type:
        raise ValueError(f"its body may be {written}, and no example can be made of that")
    text = xml_of(value, schema, document) if media_type.endswith(("/xml", "+xml")) else text_of(value)
    return Body((f"data={text!r}",), written)


def literal(value: object) -> str:
    """Return a value as Python code."""
    return pprint.pformat(value, width=_WIDTH, sort_dicts=False).replace("\n", "\n            ")


def _media_type(written: str) -> str:
    plain = written.partition(";")[0].strip().lower()
    return _JSON if plain in _ANY else plain


def _is_json(media_type: str) -> bool:
    return media_type.endswith(("/json", "+json"))


def _rank(written: str) -> int:
    media_type = _media_type(written)
    return 0 if media_type == _JSON else 1 if _is_json(media_type) else 2 if media_type in (FORM, _MULTIPART) else 3


def value_given(document: OpenApiDocument, holder: Node) -> tuple[bool, Any]:
    """Return whether a parameter or media type has a value of its own, and the value; examples may be references.

    Raises:
        UsageError: when references are circular.
    """
    examples = holder.get("examples")
    if isinstance(examples, dict):
        holder = {**holder, "examples": {name: document.resolved(each) for name, each in examples.items()}}
    return given(holder)


def _form_pairs(name: str, value: Any, encoding: Node) -> list[tuple[str, str]]:
    own = encoding.get(name, {})
    if "style" not in own and (isinstance(value, dict) or str(own.get("contentType", "")).startswith(_JSON)):
        value = text_of(value)  # a form has no objects: as JSON, none of it is lost
    style = own.get("style", "form")
    return query_pairs(name, value, style, explode=own.get("explode", style == "form"))


def _multipart(document: OpenApiDocument, value: Any, schema: Node, encoding: Node) -> Body:
    """Return the fields of a multipart form as files, which makes the client choose the boundary."""
    if not isinstance(value, dict):
        raise ValueError(f"its body is {_MULTIPART}, and its schema is not an object")  # noqa: TRY004 - of a document
    fields: list[tuple[Any, ...]] = []
    for name, member in value.items():
        part = document.resolved(schema.get("properties", {}).get(name) or {})
        content_type = str(encoding.get(name, {}).get("contentType", "")).partition(",")[0]
        of_items = document.resolved(part["items"]) if isinstance(part.get("items"), dict) else part
        for each in member if isinstance(member, list) else [member]:
            if _is_file(of_items):
                fields.append((name, (f"{name}.bin", _FILE, content_type or "application/octet-stream")))
            else:
                usual = _JSON if isinstance(each, dict | list) else "text/plain"
                fields.append((name, (None, text_of(each), content_type or usual)))
    return Body((f"files={literal(fields)}",))


def _is_file(schema: Node) -> bool:
    return schema.get("format") == "binary" or "contentMediaType" in schema
