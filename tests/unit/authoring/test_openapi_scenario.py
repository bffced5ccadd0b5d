"""A scenario from an OpenAPI document: a task for each operation, and nothing of the document as code."""

import ast
from typing import Any

import pytest

from loadtest.authoring import openapi_scenario
from loadtest.authoring.openapi_document import OpenApiDocument


def source(paths: dict[str, Any], **more: Any) -> str:
    """Return the scenario of a document with these paths."""
    document = OpenApiDocument({"openapi": "3.0.3", "info": {"title": "Shop"}, "paths": paths, **more}, "x")
    return openapi_scenario.draft(document, "shop").text


def calls(text: str) -> list[ast.Call]:
    """Return the requests of a scenario's text."""
    return [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("self.client.")
    ]


def test_path_query_and_header_come_from_the_parameters() -> None:
    """Required parameters and those with an example are sent; an operation's own override its path's."""
    parameters = [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
        {"name": "q", "in": "query", "required": True, "schema": {"type": "string"}},
        {"name": "page", "in": "query", "schema": {"type": "integer"}},
        {"name": "sort", "in": "query", "schema": {"type": "string"}, "example": "by name"},
        {"name": "X-Shop", "in": "header", "required": True, "schema": {"enum": ["a"]}},
    ]
    own = [{"name": "id", "in": "path", "required": True, "example": "a/b"}]
    (call,) = calls(source({"/things/{id}": {"parameters": parameters, "get": {"parameters": own}}}))
    written = ast.unparse(call)
    assert "'/things/a%2Fb?q=example&sort=by%20name'" in written
    assert "headers={'X-Shop': 'a'}" in written


@pytest.mark.parametrize(
    ("media_type", "written"),
    [
        ("application/json", "json={'a': 'example'}"),
        ("application/merge-patch+json", "json={'a': 'example'}"),
        ("application/x-www-form-urlencoded", "data='a=example'"),
        ("text/csv", "headers={'Content-Type': 'text/csv'}"),
    ],
)
def test_bodies_are_sent_as_the_document_wants_them(media_type: str, written: str) -> None:
    """JSON, forms and other texts are each sent in their own way."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    body = {"content": {media_type: {"schema": schema}}}
    (call,) = calls(source({"/a": {"post": {"requestBody": body}}}))
    assert written in ast.unparse(call)


def test_operations_with_a_lock_send_the_token() -> None:
    """The document's own security applies to all operations that do not lift it."""
    paths = {"/a": {"get": {}}, "/b": {"get": {"security": []}}}
    locked, opened = calls(source(paths, security=[{"bearer": []}]))
    assert ("bearer_headers" in ast.unparse(locked), "bearer_headers" in ast.unparse(opened)) == (True, False)


def test_the_servers_path_comes_before_each_path() -> None:
    """The path of a server is part of each request; its host is a hint."""
    servers = [{"url": "https://{name}.example.com/v2/", "variables": {"name": {"default": "shop"}}}]
    document = OpenApiDocument({"openapi": "3.1.0", "paths": {"/a": {"get": {}}}, "servers": servers}, "x")
    assert "'/v2/a'" in openapi_scenario.draft(document, "shop").text
    assert openapi_scenario.host_of(document) == "https://shop.example.com"


def test_every_task_has_a_name_of_its_own() -> None:
    """Missing, equal, odd or reserved names become distinct and usable ones."""
    identifiers = ["run", "getThing", "get-thing", "class", "ü", "1"]
    paths = {f"/{number}": {"get": {"operationId": each}} for number, each in enumerate(identifiers)} | {
        "/x": {"put": {}}
    }
    tree = ast.parse(source(paths))
    tasks = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert len(set(tasks)) == len(paths)
    assert all(task.startswith("call_") for task in tasks)


def test_a_document_cannot_write_code() -> None:
    """The content of titles, summaries, paths, names and examples remains text."""
    attack = 'x"""\nimport os\nos.system("true")\n"""\u2028\r\x0c\\'
    paths = {
        f"/{attack}": {
            "get": {
                "operationId": attack,
                "summary": attack,
                "parameters": [{"name": attack, "in": "query", "required": True, "example": attack}],
            }
        }
    }
    tree = ast.parse(source(paths, info={"title": attack}))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    assert imported == []
    assert "os.system" not in [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
