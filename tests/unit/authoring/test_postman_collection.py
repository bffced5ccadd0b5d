"""A Postman collection is read as requests in their order."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadtest.authoring import code_text, recorded_scenario
from loadtest.authoring.postman_collection import PostmanCollection
from loadtest.exceptions import UsageError


def read(tmp_path: Path, *items: Any, **more: Any) -> PostmanCollection:
    """Return a collection of these items."""
    root = {"info": {"name": "Shop", "schema": "…/v2.1.0/collection.json"}, "item": items} | more
    (tmp_path / "a.json").write_text(json.dumps(root))
    return PostmanCollection(tmp_path / "a.json")


def item(url: Any = "http://a.example/x", method: str = "POST", **request: Any) -> dict[str, Any]:
    """Return an item."""
    return {"name": "it", "request": {"method": method, "url": url} | request}


def test_requests_of_folders_in_their_order(tmp_path: Path) -> None:
    """Variables are filled in, also in the path, and disabled items are left out."""
    url = {"raw": "{{base}}/users/:id/{{part}}?a={{n}}", "variable": [{"key": "id", "value": "7"}]}
    headers = [{"key": "X-A", "value": "{{n}}"}, {"key": "X-B", "value": "b", "disabled": True}]
    variables = [{"key": "base", "value": "https://{{host}}/v1"}, {"key": "host", "value": "a.example"}]
    variables += [{"key": "n", "value": "5"}, {"key": "part", "value": "orders"}]
    made = read(tmp_path, {"item": [item(url, "GET", header=headers)]}, item("{{base}}/b"), variable=variables)
    assert [(each.method, each.target, each.headers) for each in made.requests] == [
        ("GET", "/v1/users/7/orders?a=5", {"X-A": "5"}),
        ("POST", "/v1/b", {}),
    ]
    assert (made.title, made.host, made.notes) == ("Shop", "https://a.example", [])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"mode": "raw", "raw": '{"a": 1}', "options": {"raw": {"language": "json"}}},
            ({"a": 1}, "application/json", []),
        ),
        ({"mode": "raw", "raw": "x"}, ("x", "text/plain", [])),
        (
            {"mode": "urlencoded", "urlencoded": [{"key": "a", "value": "x y"}, {"key": "b", "disabled": True}]},
            ([["a", "x y"]], "application/x-www-form-urlencoded", []),
        ),
        (
            {
                "mode": "formdata",
                "formdata": [{"key": "f", "type": "file", "src": "/x/me.png"}, {"key": "n", "value": "1"}],
            },
            (None, "", [("f", "me.png", "example", "application/octet-stream"), ("n", None, "1", "text/plain")]),
        ),
        (
            {"mode": "graphql", "graphql": {"query": "{a}", "variables": '{"n": 1}'}},
            ({"query": "{a}", "variables": {"n": 1}}, "application/json", []),
        ),
    ],
)
def test_bodies(tmp_path: Path, body: Any, expected: tuple[Any, ...]) -> None:
    """Each mode is supported."""
    (request,) = read(tmp_path, item(body=body)).requests
    assert (request.body, request.media_type, request.fields) == expected


def test_what_a_script_takes_from_an_answer_later_requests_send(tmp_path: Path) -> None:
    """Scripts work as in Postman; a token that is only in an environment becomes that of TOKEN_FILE."""
    script = ["const body = pm.response.json();", 'pm.environment.set("token", body.data.access);']
    login = item("http://a.example/login") | {"event": [{"listen": "test", "script": {"exec": script}}]}
    auth = {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}"}]}
    made = read(tmp_path, login, item("http://a.example/me", "GET"), auth=auth)
    assert made.requests[0].kept == {"the_token": "answer.json()['data']['access']"}
    assert code_text.sample(made.requests[1].headers["Authorization"], "T") == "Bearer T"
    text = recorded_scenario.written("x", "x", made.requests)
    assert ("headers=bearer_headers()" in text, "f'Bearer {the_token}'" in text) == (True, True)


def test_what_cannot_be_drafted_is_listed(tmp_path: Path) -> None:
    """Each is listed with the reason; the rest is drafted."""
    made = read(
        tmp_path,
        item(),
        item("http://a.example/{{what}}"),
        item("http://other.example/"),
        item(auth={"type": "hawk"}),
        item(body={"mode": "file"}),
        item(7),
        {"name": "broken", "request": {"method": "GET"}},
    )
    assert len(made.requests) == 1
    assert made.notes == [
        "it: the variable what has no value",
        "it: it goes to http://other.example, and the others to http://a.example",
        "it: its security, hawk, has no draft",
        "it: its body, file, has no draft",
        "it: it is malformed (TypeError)",
        "broken: it is malformed (KeyError)",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1, column 1: not JSON"),
        ('{"item":\n [}', "line 2, column 3: not JSON"),
        ("[]", "it has no items"),
        ('{"item": []}', "none of its requests can be drafted"),
        ("[" * 1000, "nested more than 64 times"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, words: str) -> None:
    """One sentence, with the allowed values and the next step."""
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UsageError, match=words):
        PostmanCollection(tmp_path / "a.json")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, str], ids=["folder", "pipe", "missing"])
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """The command does not wait for it."""
    make(tmp_path / "a.json")
    with pytest.raises(UsageError, match="cannot be read"):
        PostmanCollection(tmp_path / "a.json")
