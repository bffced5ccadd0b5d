"""Secrets in the examples of an OpenAPI document are left out of drafts, like those in recordings."""

from typing import Any

import pytest

from loadtest.authoring import openapi_scenario
from loadtest.authoring.openapi_document import OpenApiDocument

SECRET = "h0rse-battery"  # noqa: S105
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"  # noqa: S105
TEXT = {"type": "string"}


def drafted(**operation: Any) -> str:
    """Return the draft of a document with one operation."""
    root = {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "paths": {"/a": {"post": operation}}}
    return openapi_scenario.draft(OpenApiDocument(root, "x.json"), "x").text


def body(media_type: str = "application/json", **holder: Any) -> dict[str, Any]:
    """Return an operation's body."""
    return {"requestBody": {"content": {media_type: holder}}}


def parameter(name: str, place: str, **more: Any) -> dict[str, Any]:
    """Return an operation with a parameter."""
    return {"parameters": [{"name": name, "in": place, "schema": TEXT, **more}]}


def of(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object."""
    return {"type": "object", "properties": properties}


HELD = {
    "a member's example": body(schema=of(password={**TEXT, "example": SECRET})),
    "a member's examples": body(schema=of(client_secret={**TEXT, "examples": [SECRET]})),
    "a member's default": body(schema=of(apiKey={**TEXT, "default": SECRET})),
    "a member of one of several schemas": body(schema=of(password={"anyOf": [{**TEXT, "example": SECRET}]})),
    "a member of all of several schemas": body(schema={"allOf": [of(passwd={"allOf": [{**TEXT, "example": SECRET}]})]}),
    "an object's example": body(schema={"type": "object", "example": {"user": {"password": SECRET}}}),
    "a body's example": body(schema=of(password=TEXT), example={"name": "Ada", "password": SECRET}),
    "a body's named example": body(schema=of(pin=TEXT), examples={"one": {"value": {"pin": SECRET}}}),
    "a list": body(schema={"type": "array", "example": [{"password": SECRET}]}),
    "a list of passwords": body(schema=of(passwords={"type": "array", "items": TEXT, "example": [SECRET]})),
    "a form": body("application/x-www-form-urlencoded", schema=of(password={**TEXT, "example": SECRET})),
    "several parts": body("multipart/form-data", schema=of(password={**TEXT, "example": SECRET})),
    "text": body("text/plain", schema=TEXT, example=f"password={SECRET}"),
    "XML": body("application/xml", schema=TEXT, example=f"<login><password>{SECRET}</password></login>"),
    "a header": parameter("X-Auth-Key", "header", example=SECRET),
    "a header's schema": parameter("X-Token", "header", schema={**TEXT, "example": SECRET}),
    "a parameter": parameter("access_token", "query", example=SECRET),
    "a parameter's named example": parameter("sig", "query", examples={"one": {"value": SECRET}}),
    "a cookie": parameter("session", "cookie", example=SECRET),
    "a web token under any name": body(schema=of(state={**TEXT, "example": TOKEN})),
    "a web token in a text": body("text/plain", schema=TEXT, example=f"I am {TOKEN}"),
}


@pytest.mark.parametrize("operation", HELD.values(), ids=HELD)
def test_no_secret_of_an_example_is_drafted(operation: dict[str, Any]) -> None:
    """Wherever a secret is, a value that the schema allows replaces it."""
    text = drafted(**operation)
    compile(text, "x.py", "exec")
    assert "call_" in text
    assert SECRET not in text
    assert TOKEN not in text


def test_what_takes_its_place_is_what_the_schema_allows() -> None:
    """A password has the right length, a token the right format; a value that the API lists is not a secret."""
    parts = of(
        password={**TEXT, "minLength": 12, "example": SECRET},
        token={**TEXT, "pattern": "^[a-f]{8}$", "example": "deadbeef"},
        token_kind={**TEXT, "enum": ["bearer"]},
        name={**TEXT, "example": "Ada"},
    )
    text = drafted(**body(schema=parts))
    assert "'password': 'example-exam'" in text
    assert "'name': 'Ada'" in text
    assert "'token_kind': 'bearer'" in text
    assert "deadbeef" not in text


def test_an_example_without_a_schema_keeps_its_types() -> None:
    """A number stays a number, and values that are not secrets are unchanged."""
    text = drafted(**body(example={"pin": 9431, "tokens": 20, "ok": True, "password": SECRET}))
    assert "json={'pin': 1, 'tokens': 20, 'ok': True, 'password': 'example'}" in text
