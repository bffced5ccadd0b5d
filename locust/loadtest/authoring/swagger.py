"""Swagger: convert a Swagger 2.0 document, the format before OpenAPI 3, to OpenAPI 3.0.

Only the parts that requests need are converted: servers, parameters, bodies, security, and the schemas of responses.
https://spec.openapis.org/oas/v2.0 defines the names on the left side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Node = Mapping[str, Any]

_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_JSON: Final = "application/json"
_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_MOVED: Final = {
    "#/definitions/": "#/components/schemas/",
    "#/parameters/": "#/components/parameters/",
    "#/responses/": "#/components/responses/",
}
_STYLES: Final[dict[str, dict[str, Any]]] = {
    "csv": {"explode": False},
    "multi": {"style": "form", "explode": True},
    "ssv": {"style": "spaceDelimited", "explode": False},
    "pipes": {"style": "pipeDelimited", "explode": False},
    "tsv": {"style": "tabDelimited", "explode": False},
}
"""The serialisation of lists; OpenAPI 3 has none with tabs, so such a parameter cannot be drafted."""
_OF_PARAMETER: Final = ("name", "in", "description", "required", "allowEmptyValue")
_FLOWS: Final = {"accessCode": "authorizationCode", "application": "clientCredentials"}
_DATA: Final = frozenset({"example", "examples", "default", "enum", "x-example"})
_NAMED: Final = frozenset({"properties", "schemas", "parameters", "responses", "securitySchemes", "paths"})
_DEEPEST: Final = 64


def converted(root: Node) -> dict[str, Any]:
    """Convert a Swagger 2.0 document to OpenAPI 3.0; the result shares no parts with it.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: when it is malformed.
    """
    made: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": root.get("info", {}),
        "servers": _servers(root),
        "paths": {path: _path(root, item) for path, item in root.get("paths", {}).items()},
        "components": {
            "schemas": root.get("definitions", {}),
            "parameters": {
                name: _parameter(each)
                for name, each in root.get("parameters", {}).items()
                if each.get("in") not in ("body", "formData")
            },
            "responses": {name: _response(root, each, {}) for name, each in root.get("responses", {}).items()},
            "securitySchemes": {name: _scheme(each) for name, each in root.get("securityDefinitions", {}).items()},
        },
    }
    if "security" in root:
        made["security"] = root["security"]
    found: dict[str, Any] = _with_references(made, 0)
    return found


def _servers(root: Node) -> list[dict[str, str]]:
    base = str(root.get("basePath", "/")).rstrip("/")
    if not root.get("host"):
        return [{"url": base}] if base else []
    schemes = root.get("schemes") or ["https"]
    return [{"url": f"{scheme}://{root['host']}{base}"} for scheme in schemes if scheme in ("http", "https")]


def _path(root: Node, item: Node) -> dict[str, Any]:
    shared = item.get("parameters", [])
    made = {name: each for name, each in item.items() if name == "$ref" or str(name).startswith("x-")}
    return made | {method: _operation(root, item[method], shared) for method in _METHODS if method in item}


def _operation(root: Node, operation: Node, shared: list[Node]) -> dict[str, Any]:
    found = {(each.get("in"), each.get("name")): each for each in _resolved(root, shared)}
    found |= {(each.get("in"), each.get("name")): each for each in _resolved(root, operation.get("parameters", []))}
    kept = ("operationId", "summary", "description", "tags", "security", "deprecated")
    made = {name: operation[name] for name in kept if name in operation}
    made["parameters"] = [_parameter(each) for (place, _), each in found.items() if place not in ("body", "formData")]
    takes = operation.get("consumes", root.get("consumes", []))
    bodies = [each for (place, _), each in found.items() if place == "body"]
    fields = [each for (place, _), each in found.items() if place == "formData"]
    if bodies:
        content = {"schema": bodies[0].get("schema", {}), **_example(bodies[0])}
        made["requestBody"] = {"required": True, "content": dict.fromkeys(takes or [_JSON], content)}
    elif fields:
        made["requestBody"] = {"required": True, "content": _form(fields, takes)}
    gives = operation.get("produces", root.get("produces", []))
    made["responses"] = {
        status: each if "$ref" in each else _response(root, each, gives)
        for status, each in operation.get("responses", {}).items()
    }
    return made


def _resolved(root: Node, parameters: list[Node]) -> list[Node]:
    """Resolve parameters: a shared body parameter has no counterpart in OpenAPI 3, so all references are followed."""
    prefix = "#/parameters/"
    return [
        root["parameters"][each["$ref"].removeprefix(prefix)] if str(each.get("$ref")).startswith(prefix) else each
        for each in parameters
    ]


def _form(fields: list[Node], takes: list[str]) -> dict[str, Any]:
    has_file = any(each.get("type") == "file" for each in fields)
    media_types = [each for each in takes if each in (_FORM, _MULTIPART)] or [_MULTIPART if has_file else _FORM]
    schema = {
        "type": "object",
        "properties": {each["name"]: _schema(each) | _example(each) for each in fields},
        "required": [each["name"] for each in fields if each.get("required")],
    }
    encoding = {
        each["name"]: _STYLES[each.get("collectionFormat", "csv")] | {"style": "form"}
        for each in fields
        if each.get("type") == "array" and each.get("collectionFormat", "csv") in ("csv", "multi")
    }
    return {each: {"schema": schema, "encoding": encoding} for each in media_types}


def _parameter(parameter: Node) -> dict[str, Any]:
    if "$ref" in parameter:
        return dict(parameter)
    made = {name: parameter[name] for name in _OF_PARAMETER if name in parameter}
    if parameter.get("type") == "array":
        style = dict(_STYLES[parameter.get("collectionFormat", "csv")])
        if parameter.get("in") in ("path", "header"):  # these have commas only, as in the style simple
            style = {"explode": False} if style.get("style", "form") == "form" else style
        made |= style
    return {**made, "schema": _schema(parameter), **_example(parameter)}


def _schema(parameter: Node) -> dict[str, Any]:
    """Return the schema contained in a parameter."""
    if parameter.get("type") == "file":
        return {"type": "string", "format": "binary"}
    outside = (*_OF_PARAMETER, "collectionFormat", "x-example", "example")
    made = {name: each for name, each in parameter.items() if name not in outside}
    if isinstance(made.get("items"), Mapping):
        made["items"] = {name: each for name, each in made["items"].items() if name != "collectionFormat"}
    return made


def _example(holder: Node) -> dict[str, Any]:
    return next(({"example": holder[name]} for name in ("x-example", "example") if name in holder), {})


def _response(root: Node, response: Node, gives: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"description": str(response.get("description", ""))}
    if "schema" in response:
        media_types = gives or root.get("produces") or [_JSON]
        made["content"] = {each: {"schema": response["schema"]} for each in media_types}
    return made


def _scheme(scheme: Node) -> dict[str, Any]:
    if scheme.get("type") == "basic":
        return {"type": "http", "scheme": "basic"}
    if scheme.get("type") != "oauth2":
        return dict(scheme)
    names = ("authorizationUrl", "tokenUrl", "scopes")
    flow = {name: scheme[name] for name in names if name in scheme}
    kind = str(scheme.get("flow"))
    return {"type": "oauth2", "flows": {_FLOWS.get(kind, kind): flow}}


def _with_references(node: Any, depth: int, *, is_named: bool = False) -> Any:
    """Return a part of a document with its references changed to the locations in OpenAPI 3.

    Args:
        node: the part.
        depth: its depth in the document.
        is_named: whether its members are named by the service, so that a name does not mark its value as data.

    Raises:
        ValueError: when it is nested too deeply.
    """
    if depth > _DEEPEST:
        raise ValueError(f"it is nested over {_DEEPEST} times")
    if not isinstance(node, list | Mapping):
        return node
    if isinstance(node, list):
        return [_with_references(each, depth + 1) for each in node]
    made = {
        name: each if name in _DATA and not is_named else _with_references(each, depth + 1, is_named=name in _NAMED)
        for name, each in node.items()
    }
    reference = made.get("$ref")
    if isinstance(reference, str):
        for before, after in _MOVED.items():
            if reference.startswith(before):
                made["$ref"] = after + reference.removeprefix(before)
    return made
