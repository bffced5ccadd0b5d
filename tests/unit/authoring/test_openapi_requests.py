"""The request that a server gets for each kind of body, parameter and security scheme of an OpenAPI document."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from werkzeug.serving import make_server

from loadtest import scenarios
from loadtest.authoring import openapi_scenario
from loadtest.authoring.openapi_document import OpenApiDocument
from loadtest.settings import credentials
from tests.journeys import run_each_task_once

OBJECT = {
    "type": "object",
    "properties": {
        "on": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}, "example": ["a", "b c"]},
        "at": {"type": "object", "properties": {"city": {"type": "string", "example": "Zürich"}}},
    },
}
VALUE = {"on": True, "tags": ["a", "b c"], "at": {"city": "Zürich"}}


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that keeps the parsed content of each request."""
    app, seen = flask.Flask("echo"), []

    @app.route("/<path:path>", methods=["GET", "POST"])
    def keep(path: str) -> str:
        request = flask.request
        seen.append(
            {
                "path": path,
                "query": request.args.to_dict(flat=False),
                "type": request.headers.get("Content-Type"),
                "headers": dict(request.headers),
                "cookies": dict(request.cookies),
                "form": request.form.to_dict(flat=False),
                "files": {name: (file.filename, file.read()) for name, file in request.files.items()},
                "body": request.get_data().decode(),
            }
        )
        return "ok"

    running = make_server("127.0.0.1", 0, app)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", seen
    running.shutdown()
    running.server_close()


@pytest.fixture
def received(server: tuple[str, list], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Draft a document's only operation, send it, and return the server's request."""
    (tmp_path / "token").write_text("t0k")
    (tmp_path / "accounts.csv").write_text("login,password\nada,pa:ss\n")
    monkeypatch.setenv("LOADTEST_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("LOADTEST_ACCOUNTS_FILE", str(tmp_path / "accounts.csv"))
    cached = (
        credentials.accounts,
        credentials.bearer_headers,
        credentials.api_key,
        credentials.api_key_cookie,
        credentials.basic_headers,
    )

    def send(operation: dict[str, Any], path: str = "/a", **more: Any) -> dict[str, Any]:
        root = {"openapi": "3.1.0", "info": {"title": "x"}, "paths": {path: {"post": operation}}} | more
        drafted = openapi_scenario.draft(OpenApiDocument(root, "x"), "x")
        assert drafted.notes == []
        (tmp_path / "x.py").write_text(drafted.text)
        (request,) = run_each_task_once(scenarios.load(str(tmp_path / "x.py")).user_classes[0], server[0])
        assert request.error is None
        return server[1].pop()

    for each in cached:
        each.cache_clear()
    yield send
    for each in cached:
        each.cache_clear()


def body(media_type: str, schema: Any = OBJECT, **more: Any) -> dict[str, Any]:
    """Return an operation with a body."""
    return {"requestBody": {"content": {media_type: {"schema": schema} | more}}}


@pytest.mark.parametrize("media_type", ["application/json", "application/vnd.x+json; charset=utf-8", "*/*"])
def test_a_body_of_json(received: Any, media_type: str) -> None:
    """A body with any schema is sent as JSON."""
    got = received(body(media_type))
    assert json.loads(got["body"]) == VALUE
    assert got["type"] == ("application/json" if media_type == "*/*" else media_type)


def test_a_body_of_a_form(received: Any) -> None:
    """A list has one field per item; an object is JSON, unless the document specifies an encoding."""
    got = received(body("application/x-www-form-urlencoded"))
    assert got["form"] == {"on": ["true"], "tags": ["a", "b c"], "at": ['{"city":"Zürich"}']}
    encoding = {"at": {"style": "deepObject"}, "tags": {"explode": False}}
    got = received(body("application/x-www-form-urlencoded", encoding=encoding))
    assert got["form"] == {"on": ["true"], "tags": ["a,b c"], "at[city]": ["Zürich"]}


def test_a_body_of_several_parts(received: Any) -> None:
    """The header has the boundary, and files have names."""
    schema = {**OBJECT, "properties": {**OBJECT["properties"], "photo": {"type": "string", "format": "binary"}}}
    got = received(body("multipart/form-data", schema))
    assert "boundary=" in got["type"]
    assert got["form"] == {"on": ["true"], "tags": ["a", "b c"], "at": ['{"city":"Zürich"}']}
    assert got["files"] == {"photo": ("photo.bin", b"example")}


def test_a_body_of_xml(received: Any) -> None:
    """Names, attributes and wrapped lists are those of the schema."""
    got = received(body("application/xml"))
    assert got["body"] == "<root><on>true</on><tags>a</tags><tags>b c</tags><at><city>Zürich</city></at></root>"
    schema = {
        "type": "object",
        "xml": {"name": "pet"},
        "properties": {
            "id": {"type": "integer", "xml": {"attribute": True}},
            "tags": {"type": "array", "xml": {"wrapped": True}, "items": {"type": "string", "xml": {"name": "tag"}}},
            "name": {"type": "string", "example": "a<b"},
        },
    }
    got = received(body("application/xml", schema))
    assert got["body"] == '<pet id="1"><tags><tag>example</tag></tags><name>a&lt;b</name></pet>'
    assert got["type"] == "application/xml"


def test_a_body_of_text_or_bytes(received: Any) -> None:
    """An example is sent as it is; a value that is not text is sent as JSON, not as Python's repr."""
    assert received(body("text/plain", {"type": "string"}))["body"] == "example"
    assert received(body("text/csv", {}, example="a,b\n1,2\n"))["body"] == "a,b\n1,2\n"
    assert received(body("text/plain", {"type": "boolean"}))["body"] == "true"
    got = received(body("image/png", {"type": "string", "format": "binary"}))
    assert (got["body"], got["type"]) == ("example", "image/png")


def test_a_named_example_may_be_a_reference(received: Any) -> None:
    """Documents with many examples use references."""
    examples = {"one": {"$ref": "#/components/examples/one"}}
    got = received(
        body("application/json", {}, examples=examples), components={"examples": {"one": {"value": {"a": None}}}}
    )
    assert json.loads(got["body"]) == {"a": None}
    asked = {"parameters": [{"in": "query", "name": "q", "examples": examples, "schema": {}}]}
    got = received(asked, components={"examples": {"one": {"value": "shoes"}}})
    assert got["query"] == {"q": ["shoes"]}


def parameter(place: str, name: str, schema: Any, **more: Any) -> dict[str, Any]:
    """Return a required parameter."""
    return {"in": place, "name": name, "required": True, "schema": schema} | more


def test_parameters_arrive_as_they_were_meant(received: Any) -> None:
    """Booleans, lists, nested objects, cookies and JSON arrive in their places."""
    tags = OBJECT["properties"]["tags"]
    operation = {
        "parameters": [
            parameter("path", "on", {"type": "boolean"}),
            parameter("path", "id", {"type": "string", "example": "a/ü"}),
            parameter("query", "on", {"type": "boolean"}),
            parameter("query", "tags", tags, explode=False),
            parameter("query", "at", OBJECT, style="deepObject"),
            {"in": "query", "name": "json", "required": True, "content": {"application/json": {"schema": OBJECT}}},
            parameter("header", "X-On", {"type": "boolean"}),
            parameter("header", "Accept", {"type": "string"}),
            parameter("cookie", "on", {"type": "boolean"}),
            parameter("cookie", "id", {"type": "integer"}),
        ]
    }
    got = received(operation, path="/x/{on}/{id}")
    assert got["path"] == "x/true/a/ü"
    assert json.loads(got["query"].pop("json")[0]) == VALUE
    assert got["query"] == {
        "on": ["true"],
        "tags": ["a,b c"],
        "at[on]": ["true"],
        "at[tags]": ["a", "b c"],
        "at[at][city]": ["Zürich"],
    }
    assert got["headers"]["X-On"] == "true"
    assert got["cookies"] == {"on": "true", "id": "1"}


@pytest.mark.parametrize(
    ("scheme", "place", "expected"),
    [
        ({"type": "apiKey", "in": "header", "name": "X-Key"}, "headers", ("X-Key", "t0k")),
        ({"type": "apiKey", "in": "query", "name": "key"}, "query", ("key", ["t0k"])),
        ({"type": "apiKey", "in": "cookie", "name": "sid"}, "cookies", ("sid", "t0k")),
        ({"type": "http", "scheme": "Basic"}, "headers", ("Authorization", "Basic YWRhOnBhOnNz")),
        ({"type": "http", "scheme": "bearer"}, "headers", ("Authorization", "Bearer t0k")),
        ({"type": "oauth2", "flows": {}}, "headers", ("Authorization", "Bearer t0k")),
        ({"type": "openIdConnect", "openIdConnectUrl": "x"}, "headers", ("Authorization", "Bearer t0k")),
    ],
)
def test_each_security_scheme_lets_the_request_in(received: Any, scheme: dict, place: str, expected: tuple) -> None:
    """The token is that of TOKEN_FILE or the first account in ACCOUNTS_FILE; other cookies and parameters are kept."""
    operation = {
        "security": [{"mine": []}],
        "parameters": [
            parameter("cookie", "other", {"type": "integer"}),
            parameter("query", "other", {"type": "integer"}),
        ],
    }
    got = received(operation, components={"securitySchemes": {"mine": scheme}})
    assert got[place][expected[0]] == expected[1]
    assert (got["cookies"]["other"], got["query"]["other"]) == ("1", ["1"])


def test_a_path_has_servers_of_its_own(received: Any) -> None:
    """The servers of an operation take precedence over those of the path, and these over those of the document."""
    got = received({"servers": [{"url": "/v2"}]}, servers=[{"url": "/v1"}])
    assert got["path"] == "v2/a"


def test_what_cannot_be_drafted_is_listed_and_the_rest_is_drafted() -> None:
    """Each is listed with operation and reason."""
    paths = {
        "/a": {"get": {}},
        "/b/{id}": {"get": {}},
        "/c": {"post": body("image/*")},
        "/d": {"get": 7},
        "/e": None,
        "/f": {"get": {"parameters": [{"in": "query", "required": True}]}},
        "/g": {"get": {"security": [{"mine": []}]}},
        "/h": {"get": {"parameters": None, "requestBody": None, "servers": None, "summary": None}},
        "/i": {"get": {"servers": [{"url": "https://other.example.com/"}]}},
        "/j": {"post": body("multipart/form-data", {"type": "string"})},
        "/k": {"post": body("application/json", {"type": "string", "pattern": r"^\p{L}+$"})},
    }
    components = {"securitySchemes": {"mine": {"type": "mutualTLS"}}}
    root = {"openapi": "3.1.0", "paths": paths, "components": components}
    drafted = openapi_scenario.draft(OpenApiDocument(root, "x"), "x")
    assert drafted.notes == [
        "GET /d: it is malformed (not an object)",
        "GET /b/{id}: no parameter declares {id} in its path",
        "POST /c: its body may be image/*, and no example can be made of that",
        "GET /f: it is malformed (KeyError)",
        "GET /g: it is drafted without authentication: the security scheme mutualTLS is not supported",
        "GET /i: it is drafted for HOST, but its own server is other.example.com",
        "POST /j: its body is multipart/form-data, and its schema is not an object",
        r"POST /k: no text was found for the pattern ^\p{L}+$",
    ]
    assert [name for name in ("get_a", "get_g", "get_h", "get_i") if f"call_{name}" not in drafted.text] == []
