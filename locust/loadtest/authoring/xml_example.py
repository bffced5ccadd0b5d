"""XmlExample: write a value of a schema as an XML document, with the element names that the schema defines.

Tested in tests/unit/authoring/test_openapi_requests.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from loadtest.authoring.parameter_style import text_of

if TYPE_CHECKING:
    from loadtest.authoring.openapi_document import Node, OpenApiDocument


def xml_of(value: Any, schema: Node, document: OpenApiDocument) -> str:
    """Return the XML document; a string is taken to be one already."""
    if isinstance(value, str):
        return value
    reference = str(schema.get("$ref", "")).rpartition("/")[2]
    schema = document.resolved(schema)
    root = ET.Element(_name(schema, reference or "root"))
    if isinstance(value, list):
        for each in value:
            _add(root, "item", each, _part(schema, document), document)
    else:
        _fill(root, value, schema, document)
    return ET.tostring(root, encoding="unicode")


def _fill(element: ET.Element, value: Any, schema: Node, document: OpenApiDocument) -> None:
    if not isinstance(value, dict):
        element.text = text_of(value)
        return
    for name, member in value.items():
        part = document.resolved(schema.get("properties", {}).get(name) or {})
        if part.get("xml", {}).get("attribute"):
            element.set(_name(part, name), text_of(member))
        elif isinstance(member, list):
            is_wrapped = part.get("xml", {}).get("wrapped")
            parent = ET.SubElement(element, _name(part, name)) if is_wrapped else element
            for each in member:
                _add(parent, name if is_wrapped else _name(part, name), each, _part(part, document), document)
        else:
            _add(element, name, member, part, document)


def _add(parent: ET.Element, name: str, value: Any, schema: Node, document: OpenApiDocument) -> None:
    _fill(ET.SubElement(parent, _name(schema, name)), value, schema, document)


def _part(schema: Node, document: OpenApiDocument) -> Node:
    items = schema.get("items")
    return document.resolved(items) if isinstance(items, dict) else {}


def _name(schema: Node, name: str) -> str:
    return str(schema.get("xml", {}).get("name") or name)
