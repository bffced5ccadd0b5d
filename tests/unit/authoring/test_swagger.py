"""A Swagger 2.0 document becomes the equivalent OpenAPI 3.0 document."""

from typing import Any

import pytest

from loadtest.authoring import openapi_scenario
from loadtest.authoring.openapi_document import OpenApiDocument
from loadtest.authoring.swagger import converted
from loadtest.exceptions import UsageError


def operation(method: str = "post", /, **parts: Any) -> dict[str, Any]:
    """Return the converted operation of a document with one."""
    shared = {"limit": {"in": "query", "name": "limit", "type": "integer", "required": True, "minimum": 5}}
    root = {"swagger": "2.0", "paths": {"/a": {method: parts}}, "parameters": shared, "consumes": ["application/json"]}
    return converted(root)["paths"]["/a"][method]


def parameter(**parts: Any) -> dict[str, Any]:
    """Return a converted parameter."""
    (found,) = operation(parameters=[{"name": "p", "in": "query", **parts}])["parameters"]
    return found


def test_where_the_service_is() -> None:
    """Host, base path and schemes become servers."""
    root = {"swagger": "2.0", "paths": {}, "host": "shop.example.com", "basePath": "/v2", "schemes": ["http", "wss"]}
    assert converted(root)["servers"] == [{"url": "http://shop.example.com/v2"}]
    assert converted({**root, "host": None, "basePath": "/v2"})["servers"] == [{"url": "/v2"}]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("csv", {"explode": False}),
        ("multi", {"style": "form", "explode": True}),
        ("ssv", {"style": "spaceDelimited", "explode": False}),
        ("pipes", {"style": "pipeDelimited", "explode": False}),
    ],
)
def test_how_lists_are_written(written: str, expected: dict[str, Any]) -> None:
    """Each collection format becomes a style."""
    found = parameter(type="array", items={"type": "string"}, collectionFormat=written)
    schema = {"type": "array", "items": {"type": "string"}}
    assert found == {"name": "p", "in": "query", "schema": schema, **expected}


def test_what_cannot_be_written_is_listed() -> None:
    """OpenAPI 3 has no tab-separated lists."""
    tabs = {"in": "query", "name": "t", "required": True, "type": "array", "items": {}, "collectionFormat": "tsv"}
    paths = {"/a": {"get": {"parameters": [tabs]}}, "/b": {"get": {}}}
    draft = openapi_scenario.draft(OpenApiDocument({"swagger": "2.0", "paths": paths}, "x"), "x")
    assert draft.notes == ["GET /a: a query has no style tabDelimited"]


def test_bodies_and_forms() -> None:
    """A body parameter gets the media types that the operation consumes; form fields become one object."""
    body = {"in": "body", "name": "it", "schema": {"$ref": "#/definitions/It"}}
    content = {"schema": {"$ref": "#/components/schemas/It"}}
    assert operation(parameters=[body])["requestBody"]["content"] == {"application/json": content}
    assert operation(parameters=[body], consumes=["text/xml"])["requestBody"]["content"] == {"text/xml": content}
    fields = [{"in": "formData", "name": "on", "type": "boolean", "required": True}]
    form = operation(parameters=fields)["requestBody"]["content"]
    schema = {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}
    assert form == {"application/x-www-form-urlencoded": {"schema": schema, "encoding": {}}}
    fields.append({"in": "formData", "name": "photo", "type": "file"})
    (media_type,) = operation(parameters=fields)["requestBody"]["content"]
    assert media_type == "multipart/form-data"


def test_references_to_shared_parameters() -> None:
    """This includes references to the body, which is no longer a parameter."""
    (found,) = operation("get", parameters=[{"$ref": "#/parameters/limit"}])["parameters"]
    assert found["schema"] == {"type": "integer", "minimum": 5}


def test_data_stays_as_it_is() -> None:
    """Text that looks like a reference in an example is not one, and a member may be named example."""
    example = {"$ref": "#/definitions/a"}
    root = {
        "swagger": "2.0",
        "paths": {},
        "definitions": {"A": {"example": example, "properties": {"example": {"$ref": "#/definitions/A"}}}},
    }
    made = converted(root)["components"]["schemas"]["A"]
    assert made == {"example": example, "properties": {"example": {"$ref": "#/components/schemas/A"}}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"type": "basic"}, {"type": "http", "scheme": "basic"}),
        ({"type": "apiKey", "in": "header", "name": "K"}, {"type": "apiKey", "in": "header", "name": "K"}),
        (
            {"type": "oauth2", "flow": "application", "tokenUrl": "/t", "scopes": {}},
            {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "/t", "scopes": {}}}},
        ),
    ],
)
def test_security(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Each kind of scheme is converted."""
    root = {"swagger": "2.0", "paths": {}, "securityDefinitions": {"it": before}}
    assert converted(root)["components"]["securitySchemes"] == {"it": after}


@pytest.mark.parametrize("paths", [[], {"/a": 7}, {"/a": {"get": {"parameters": 7}}}, {"/a": {"get": []}}])
def test_a_wrong_form_is_refused(paths: Any) -> None:
    """The error is one sentence."""
    with pytest.raises(UsageError, match=r"cannot be used: its form is not that of Swagger 2\.0|no operation|no paths"):
        openapi_scenario.draft(OpenApiDocument({"swagger": "2.0", "paths": paths}, "x"), "x")
