"""The operations of a document are drafted in an order in which they succeed, with values that exist."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from werkzeug.serving import make_server

from loadtest import scenarios
from loadtest.authoring import code_text, openapi_scenario
from loadtest.authoring.openapi_document import OpenApiDocument
from target_app import create_app
from target_app.openapi import document as document_of_target
from target_app.settings import Settings
from tests.journeys import Request, run_each_task_once

TEXT = {"type": "string"}


def answers(schema: Any, status: str = "200") -> dict[str, Any]:
    """Return the responses of an operation."""
    return {"responses": {status: {"description": "", "content": {"application/json": {"schema": schema}}}}}


def has(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object."""
    return {"type": "object", "properties": properties, "required": [*properties]}


def takes(schema: Any, media_type: str = "application/json") -> dict[str, Any]:
    """Return the request body of an operation."""
    return {"requestBody": {"content": {media_type: {"schema": schema}}}}


def key(name: str, **schema: Any) -> dict[str, Any]:
    """Return the parameters of a path with one key."""
    return {"parameters": [{"in": "path", "name": name, "required": True, "schema": {"type": "string", **schema}}]}


@pytest.fixture
def service() -> Iterator[tuple[str, flask.Flask, list[str]]]:
    """A server without views, and the requests that it received."""
    app, seen = flask.Flask("service"), []

    @app.before_request
    def keep() -> None:
        seen.append(f"{flask.request.method} {flask.request.path}")

    running = make_server("127.0.0.1", 0, app)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", app, seen
    running.shutdown()
    running.server_close()


def drafted(tmp_path: Path, root: dict[str, Any], *notes: str) -> Any:
    """Return the User class of a document's draft."""
    draft = openapi_scenario.draft(OpenApiDocument(root, "x"), "own")
    assert draft.notes == [*notes]
    (tmp_path / "own.py").write_text(draft.text)
    return scenarios.load(str(tmp_path / "own.py")).user_classes[0]


def failed(requests: list[Request]) -> list[str]:
    """Return the failures."""
    return [f"{request.method} {request.name}: {request.error}" for request in requests if request.error]


def test_every_request_of_the_targets_own_document_succeeds_again_and_again(tmp_path: Path, target_url: str) -> None:
    """This includes a second user; only the coin queue needs a seeded user, and the draft says so."""
    root = document_of_target(create_app(Settings()))
    draft = openapi_scenario.draft(OpenApiDocument(root, "x"), "own")
    note = "GET /api/notifications/session: it opens another protocol; see WebSocketUser"
    assert draft.notes == [note]
    (check,) = draft.checks
    assert check.endswith(
        " must exist as data of the service: user_id of POST /api/quickie/user/coin-queue/pre-purchase"
    )
    user_class = drafted(tmp_path, root, note)
    requests = [request for _ in range(2) for request in run_each_task_once(user_class, target_url)]
    operations = {f"own/{operation['operationId']}" for item in root["paths"].values() for operation in item.values()}
    assert {request.name for request in requests} == operations - {"own/notifications_session"}
    assert {(request.method, request.name) for request in requests} == set(
        scenarios.load(f"{tmp_path}/own.py").requests
    )
    wrong = [(request.name, str(request.error)) for request in requests if request.error]
    assert {name for name, _ in wrong} <= {"own/coin_queue_pre_purchase"}, wrong
    assert {error for _, error in wrong} <= {"status 404", "status 409"}, wrong  # no such user, or the queue is closed


def test_a_resource_is_made_changed_read_and_deleted_by_the_key_of_its_answer(
    service: tuple[str, flask.Flask, list[str]], tmp_path: Path
) -> None:
    """This includes nested resources; the order of operations in the document does not matter."""
    url, app, seen = service
    app.add_url_rule("/shops", "a", lambda: {"data": {"id": 7}}, methods=["POST"])
    app.add_url_rule("/shops/7/items", "b", lambda: {"itemId": "x1"}, methods=["POST"])
    app.add_url_rule("/shops/7/items/x1", "c", dict, methods=["DELETE", "GET"])
    app.add_url_rule("/shops/7", "d", dict, methods=["DELETE", "PUT"])
    paths = {
        "/shops/{shopId}": key("shopId") | {"delete": answers({}), "put": answers({})},
        "/shops/{shopId}/items/{item_id}": {
            "parameters": key("shopId")["parameters"] + key("item_id")["parameters"],
            "delete": answers({}),
            "get": answers({}),
        },
        "/shops/{shopId}/items": key("shopId") | {"post": answers(has(itemId=TEXT))},
        "/shops": {"post": answers(has(data=has(id={"type": "integer"})), "201")},
    }
    user_class = drafted(tmp_path, {"openapi": "3.1.0", "paths": paths})
    assert failed(run_each_task_once(user_class, url)) == []
    assert seen == [
        "POST /shops",
        "POST /shops/7/items",
        "PUT /shops/7",
        "GET /shops/7/items/x1",
        "DELETE /shops/7/items/x1",
        "DELETE /shops/7",
    ]


@pytest.mark.parametrize("schema", [{}, {"format": "uuid"}, {"maxLength": 12}, {"pattern": "^[a-z0-9]+$"}])
def test_a_key_that_the_client_chooses_is_another_each_time(
    service: tuple[str, flask.Flask, list[str]], tmp_path: Path, schema: dict[str, Any]
) -> None:
    """Each key is allowed by its schema."""
    url, app, seen = service
    app.add_url_rule("/things/<id>", "a", lambda id: {}, methods=["PUT", "GET"])  # noqa: A006, ARG005
    paths = {"/things/{id}": key("id", **schema) | {"get": answers({}), "put": answers({})}}
    user_class = drafted(tmp_path, {"openapi": "3.1.0", "paths": paths})
    for _ in range(2):
        assert failed(run_each_task_once(user_class, url)) == []
    (first, first_read, second, _) = (each.partition(" ")[2] for each in seen)
    assert (first == first_read, first == second) == (True, False)


def test_a_task_ends_where_what_it_needs_was_not_made(
    service: tuple[str, flask.Flask, list[str]], tmp_path: Path
) -> None:
    """The failed creation is counted; requests for a key that does not exist would only repeat the failure."""
    url, app, seen = service
    app.add_url_rule("/shops", "a", lambda: ("full", 507), methods=["POST"])
    paths = {
        "/shops": {"post": answers(has(id=TEXT), "201")},
        "/shops/{id}": key("id") | {"get": answers({})},
    }
    requests = run_each_task_once(drafted(tmp_path, {"openapi": "3.1.0", "paths": paths}), url)
    assert failed(requests) == ["POST own/post_shops: status 507"]
    assert seen == ["POST /shops"]


def test_a_user_signs_up_and_in_for_its_token_and_renews_it_in_time(
    service: tuple[str, flask.Flask, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each user has a new name; the sign-in is a form where the document has one, as in OAuth 2."""
    monkeypatch.setattr(scenarios, "bearer_headers", dict)
    url, app, seen = service
    known: dict[str, str] = {}

    def sign_up() -> Any:
        body = flask.request.get_json()
        if body["email"] in known:
            return "taken", 409
        known[body["email"]] = body["password"]
        return {}, 201

    def sign_in() -> Any:
        form = flask.request.form
        return {"access_token": form["username"], "expires_in": 0.0} if known.get(form["username"]) else ("no", 401)

    def read() -> Any:
        return {} if flask.request.headers["Authorization"].removeprefix("Bearer ") in known else ("no", 401)

    app.add_url_rule("/users/signup", "a", sign_up, methods=["POST"])
    app.add_url_rule("/token", "b", sign_in, methods=["POST"])
    app.add_url_rule("/me", "c", read)
    form = has(username=TEXT, password=TEXT, grant_type={"type": "string", "enum": ["password"]})
    account = has(email={"type": "string", "format": "email"}, password={"type": "string", "minLength": 8})
    paths = {
        "/me": {"get": answers({}) | {"security": [{"token": []}]}},
        "/token": {
            "post": takes(form, "application/x-www-form-urlencoded")
            | answers(has(access_token=TEXT, expires_in={"type": "integer"}))
        },
        "/users/signup": {"post": takes(account) | answers(has(email=TEXT), "201")},
    }
    schemes = {"token": {"type": "oauth2", "flows": {"password": {"tokenUrl": "/token", "scopes": {}}}}}
    root = {"openapi": "3.1.0", "paths": paths, "components": {"securitySchemes": schemes}}
    assert failed(run_each_task_once(drafted(tmp_path, root), url)) == []
    pair = ["POST /users/signup", "POST /token"]
    assert seen == [*pair, *pair, *pair, "GET /me"]  # before the load, as a task of its own, and after it expired


def test_text_with_marks_becomes_an_f_string() -> None:
    """The text around the marks may be anything: quotes, braces, escapes and line feeds."""
    around = "a'b\"c{d}\\e\n'''\"\"\""
    source = code_text.filled(repr({"x": [around + code_text.mark("it") + around], "y": code_text.mark("self.it")}))
    it = "7"
    self = type("Self", (), {"it": 8})
    assert eval(source, {"it": it, "self": self}) == {"x": [f"{around}7{around}"], "y": 8}  # noqa: S307
