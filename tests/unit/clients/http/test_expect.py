"""The expectations of a call, checked against real responses."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from loadtest.clients.http import Expect
from loadtest.clients.http.errors import InvalidRequestError
from loadtest.exceptions import UsageError
from tests.http_harness import ScriptedServer, always, counts, error_classes, ok, running_user

CART = {"status": "ok", "items": [{"id": 7}, {"id": None}]}
ANSWER = ok(json.dumps(CART).encode(), "Content-Type: application/json", "X-Cache: hit, far")


class Item(BaseModel):
    """An item of a cart."""

    id: int


class Cart(BaseModel):
    """A cart whose items have ids."""

    items: list[Item]


MET = {
    "status": Expect(status=200),
    "one of several": Expect(status=(200, 404)),
    "header": Expect(header={"x-cache": "hit"}),
    "text": Expect(text='"status"'),
    "json": Expect(json={"status": "ok", "items.0.id": 7, "$.items.1": ..., "items": CART["items"]}),
    "schema": Expect(schema=dict[str, Any]),
    "size": Expect(size=(10, 100)),
}
UNMET = {
    "status": (Expect(status=201), "status 200, expected 201"),
    "header": (Expect(header={"X-Cache": "miss"}), "header X-Cache without 'miss'"),
    "no header": (Expect(header={"ETag": "1"}), "header ETag without '1'"),
    "text": (Expect(text="error"), "body without 'error'"),
    "json": (Expect(json={"status": "error"}), "json status is 'ok', expected 'error'"),
    "no key": (Expect(json={"items.0.name": ...}), "json has no items.0.name"),
    "no index": (Expect(json={"items.2.id": ...}), "json has no items.2.id"),
    "not an index": (Expect(json={"items.first": ...}), "json has no items.first"),
    "into text": (Expect(json={"status.x": ...}), "json has no status.x"),
    "schema": (Expect(schema=Cart), "json items.1.id: Input should be a valid integer"),
    "small": (Expect(size=(1_000, 2_000)), "body of fewer than 1,000 bytes"),
    "large": (Expect(size=(0, 5)), "body of more than 5 bytes"),
}


@pytest.mark.parametrize("case", MET)
def test_an_answer_as_expected_counts_as_a_success(case: str) -> None:
    """This holds on a new connection and on a kept one."""
    with ScriptedServer(always(ANSWER)) as server, running_user(server.url) as user:
        for _ in range(2):
            assert user.client.get("/cart", expect=MET[case]).error is None
        assert counts(user) == (2, 0)


@pytest.mark.parametrize("case", UNMET)
def test_another_answer_counts_as_failed_with_the_class_check(case: str) -> None:
    """The message has the found and the expected value; the response is returned with it."""
    expect, message = UNMET[case]
    with ScriptedServer(always(ANSWER)) as server, running_user(server.url) as user:
        for _ in range(2):
            response = user.client.post("/cart", json={}, expect=expect)
            assert (str(response.error), response.ok, response.status_code) == (message, False, 200)
        assert error_classes(user) == {"check": 2}


@pytest.mark.parametrize(
    "body", [b"<html>", b"[" * 100_000, b"[" * 100_000 + b"1" * 19], ids=["page", "deep", "digits"]
)
def test_what_is_no_json_is_said(body: bytes) -> None:
    """An error page instead of a document is a failed check, not an exception; so is any unparsable body."""
    with ScriptedServer(always(ok(body))) as server, running_user(server.url) as user:
        assert str(user.client.get("/", expect=Expect(json={"a": 1})).error) == "body is not JSON"


def test_an_error_status_fails_by_itself_unless_it_is_expected() -> None:
    """Without a status in expect, the class of the failure is that of the status."""
    missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"
    with ScriptedServer(always(missing)) as server, running_user(server.url) as user:
        assert user.client.get("/", expect=Expect(status=404, text="gone")).error is None
        user.client.get("/", expect=Expect(text="gone"))
        assert error_classes(user) == {"status_4xx": 1}


def test_a_with_block_has_the_last_word() -> None:
    """With catch_response the request is counted once, at the end of the block."""
    with ScriptedServer(always(ANSWER)) as server, running_user(server.url) as user:
        for decides in (False, True):
            for _ in range(2):
                with user.client.get("/", expect=Expect(text="error"), catch_response=True) as response:
                    assert str(response.error) == "body without 'error'"
                    if decides:
                        response.success()
        assert counts(user) == (4, 2)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "nothing"),
        ({"status": "200"}, "status='200'"),
        ({"status": 99}, "status=99"),
        ({"json": ["a"]}, r"json=\['a'\]"),
        ({"size": (5, 2)}, r"size=\(5, 2\)"),
        ({"text": b"x"}, "text=b'x'"),
        ({"header": "x"}, "header='x'"),
        ({"header": {"Age": 1}}, "header={'Age': 1}"),
        ({"schema": object.__init__}, "schema=.*"),
    ],
)
def test_what_cannot_be_checked_is_refused_where_it_is_made(wrong: dict[str, Any], words: str) -> None:
    """The error has the value, the allowed values and an example."""
    with pytest.raises(UsageError, match=rf"Expect\(.*{words}.*\) cannot be checked.* Allowed: .* Next: "):
        Expect(**wrong)


def test_a_stream_is_not_looked_at() -> None:
    """Its body would have to be read first."""
    with ScriptedServer(always(ANSWER)) as server, running_user(server.url) as user:
        with pytest.raises(InvalidRequestError, match="expect checks whole responses"):
            user.client.get("/", expect=Expect(text="x"), stream=True)
        assert counts(user) == (1, 1)
