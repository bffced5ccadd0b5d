"""Every error is JSON problem details with the right status."""

import logging

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from loadtest.local.process import free_port
from target_app import create_app
from target_app.settings import Settings

URL = "/api/v1/documents/test:problem"


def problem(response: TestResponse) -> tuple[int, str]:
    """Require problem details, and return their status and type."""
    body = response.get_json(force=True)
    assert response.mimetype == "application/problem+json"
    assert set(body) == {"type", "title", "status", "detail", "instance"}
    assert (body["status"], body["instance"]) == (response.status_code, response.request.path)
    assert body["title"]
    assert body["detail"]
    return body["status"], body["type"]


@pytest.fixture(autouse=True)
def document(client: FlaskClient) -> None:
    """Write a fresh document before each test."""
    client.put(URL, json={"text": "x", "number": 1, "list": [], "big": 1e308, "object": {}})


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "/api/v1/documents/test:none"),
        ("GET", "/api/v1/documents/test:none/value?path=$.a"),
        ("GET", "/api/v1/documents/test:none/keys"),
        ("DELETE", "/api/v1/documents/test:none"),
        ("DELETE", "/api/v1/documents/test:none/value?path=$.a"),
        ("GET", "/api/v1/hashes/test:none"),
        ("GET", "/api/v1/hashes/test:none/fields/a"),
        ("DELETE", "/api/v1/hashes/test:none"),
        ("GET", "/api/v1/strings/test:none"),
        ("GET", "/api/v1/strings/test:none/fields/a"),
        ("DELETE", "/api/v1/strings/test:none"),
    ],
)
def test_an_unknown_key_is_404(client: FlaskClient, method: str, url: str) -> None:
    """Every operation on a key that is not there says so."""
    assert problem(client.open(url, method=method)) == (404, "/#unknown-key")


@pytest.mark.parametrize(
    ("method", "operation", "body"),
    [
        ("PUT", "value?path=$.a", 1),
        ("POST", "increment", {"path": "$.a", "by": 1}),
        ("POST", "multiply", {"path": "$.a", "by": 1}),
        ("POST", "append-to-array", {"path": "$.a", "values": [1]}),
        ("POST", "append-to-string", {"path": "$.a", "text": "x"}),
    ],
)
def test_a_change_of_an_unknown_key_or_path_is_404(
    client: FlaskClient, method: str, operation: str, body: object
) -> None:
    """Every change says whether the key or the path is what is missing."""
    missing_key = client.open(f"/api/v1/documents/test:none/{operation}", method=method, json=body)
    missing_path = client.open(f"{URL}/{operation}", method=method, json=body)
    assert [problem(missing_key), problem(missing_path)] == [(404, "/#unknown-key"), (404, "/#unknown-path")]


@pytest.mark.parametrize("path", ["$[", "$.", "$..", "name", "", "$.a\n", "$" + "a" * 512])
def test_a_bad_path_is_400(client: FlaskClient, path: str) -> None:
    """A path that is not a JSONPath, too long or not printable is refused."""
    assert problem(client.get(f"{URL}/value", query_string={"path": path}))[0] == 400


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("increment", {"path": "$.text", "by": 1}),
        ("multiply", {"path": "$.list", "by": 1}),
        ("append-to-array", {"path": "$.text", "values": [1]}),
        ("append-to-string", {"path": "$.number", "text": "x"}),
    ],
)
def test_a_value_of_another_type_is_409(client: FlaskClient, operation: str, body: object) -> None:
    """An operation on a value that it does not fit conflicts with the document."""
    assert problem(client.post(f"{URL}/{operation}", json=body)) == (409, "/#wrong-type")


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", f"{URL}/keys?path=$.number"),
        ("GET", "/api/v1/documents/hash:type-small"),
        ("DELETE", "/api/v1/documents/string:type-small"),
        ("GET", "/api/v1/hashes/document:type-small"),
        ("DELETE", "/api/v1/hashes/document:type-small"),
        ("GET", "/api/v1/strings/hash:type-small"),
        ("DELETE", "/api/v1/strings/hash:type-small"),
    ],
)
def test_a_key_of_another_type_is_409(client: FlaskClient, method: str, url: str) -> None:
    """A document is no hash and a hash no string; nothing is deleted by mistake."""
    assert problem(client.open(url, method=method)) == (409, "/#wrong-type")


def test_a_result_beyond_every_number_is_422(client: FlaskClient) -> None:
    """RedisJSON refuses a product that is not finite."""
    response = client.post(f"{URL}/multiply", json={"path": "$.big", "by": 1e10})
    assert problem(response) == (422, "/#bad-value")


def test_a_document_that_is_too_deep_is_422(client: FlaskClient) -> None:
    """What RedisJSON cannot parse is the client's mistake, not the target's."""
    text = '{"a":' + "[" * 200 + "]" * 200 + "}"
    assert problem(client.put(URL, data=text, content_type="application/json")) == (422, "/#bad-value")


@pytest.mark.parametrize("key", ["a b", "a/b*", "é", "x" * 129, "%00"])
def test_a_key_outside_the_charset_is_refused(client: FlaskClient, key: str) -> None:
    """Keys are bounded in characters and length."""
    assert problem(client.get(f"/api/v1/documents/{key}"))[0] in {400, 404}
    assert problem(client.put(f"/api/v1/documents/{key}", json={"a": 1}))[0] in {400, 404}


@pytest.mark.parametrize("query", ["match=a b", "match=", "cursor=-1", "cursor=x", "cursor=" + "9" * 20, "cursor=٣"])
def test_a_bad_listing_is_400(client: FlaskClient, query: str) -> None:
    """Patterns and cursors are checked before Redis sees them."""
    assert problem(client.get(f"/api/v1/documents?{query}")) == (400, "about:blank")


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":NaN}', b'{"a":1e999}', b'"\xff"', b'{"a":1}x'])
def test_a_body_that_is_not_json_is_400(client: FlaskClient, body: bytes) -> None:
    """Bodies are parsed strictly; NaN and infinity are no JSON."""
    assert problem(client.put(URL, data=body, content_type="application/json")) == (400, "about:blank")


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_another_content_type_is_415(client: FlaskClient, content_type: str) -> None:
    """Only JSON is taken."""
    assert problem(client.put(URL, data=b"{}", content_type=content_type)) == (415, "about:blank")


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("increment", {"path": "$.number"}),
        ("increment", {"path": "$.number", "by": True}),
        ("increment", {"path": "$.number", "by": "1"}),
        ("increment", [1]),
        ("increment", {}),
        ("append-to-array", {"path": "$.list", "values": []}),
        ("append-to-array", {"path": "$.list", "values": "x"}),
        ("append-to-array", {"path": "$.list", "values": [0] * 1_001}),
        ("append-to-string", {"path": "$.text", "text": 1}),
    ],
)
def test_a_body_of_the_wrong_shape_is_422(client: FlaskClient, operation: str, body: object) -> None:
    """JSON that does not say what the operation needs is refused, with the reason."""
    assert problem(client.post(f"{URL}/{operation}", json=body)) == (422, "about:blank")


@pytest.mark.parametrize("collection", ["documents", "hashes", "strings"])
def test_a_whole_write_takes_an_object_only(client: FlaskClient, collection: str) -> None:
    """Documents are objects in all three forms."""
    assert [client.put(f"/api/v1/{collection}/test:shape", json=body).status_code for body in ([1], {})] == [422, 422]


def test_an_unknown_route_is_404(client: FlaskClient) -> None:
    """HTTP's own errors are problem details too."""
    assert problem(client.get("/nothing/here")) == (404, "about:blank")


def test_a_wrong_method_is_405_and_says_what_is_allowed(client: FlaskClient) -> None:
    """The Allow header survives."""
    response = client.patch(URL)
    assert problem(response) == (405, "about:blank")
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}


def test_a_body_beyond_the_limit_is_413(redis_url: str) -> None:
    """The limit of a body is a setting."""
    app = create_app(Settings(redis_url=redis_url, max_body_bytes=1_024))
    response = app.test_client().put(URL, json={"a": "x" * 1_024})
    app.extensions["store"].close()
    assert problem(response) == (413, "about:blank")


def test_an_unhandled_exception_is_500_and_leaks_nothing(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer does not show the reason; the log does."""

    def broken(_key: str) -> bytes:
        raise RuntimeError("secret detail")

    app.extensions["store"].read = broken
    with caplog.at_level(logging.ERROR):
        response = client.get(URL)
    assert problem(response) == (500, "about:blank")
    assert b"secret" not in response.data
    assert "secret detail" in caplog.text


def test_redis_away_is_503_with_retry_after() -> None:
    """Readiness and data say that Redis does not serve; liveness does not ask it."""
    app = create_app(Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    client = app.test_client()
    answers = [client.get("/healthz/ready"), client.get(URL), client.put(URL, json={"a": 1})]
    assert [problem(answer) for answer in answers] == [(503, "/#unavailable")] * 3
    assert [answer.headers["Retry-After"] for answer in answers] == ["1"] * 3
    assert client.get("/healthz/live").status_code == 200


def test_a_redis_without_json_is_503(redis_url: str) -> None:
    """A Redis that does not let us use RedisJSON cannot serve."""
    with redis.Redis.from_url(redis_url, protocol=2) as direct:
        direct.execute_command("ACL", "SETUSER", "nojson", "on", ">secret", "~*", "+@all", "-json.get")
        app = create_app(Settings(redis_url=redis_url.replace("redis://", "redis://nojson:secret@")))
        response = app.test_client().get("/healthz/ready")
        app.extensions["store"].close()
        direct.execute_command("ACL", "DELUSER", "nojson")
    assert problem(response) == (503, "/#unavailable")


def test_a_wrong_password_of_redis_is_503(redis_url: str) -> None:
    """A Redis that refuses us cannot serve; the password is not shown."""
    app = create_app(Settings(redis_url=redis_url.replace("redis://", "redis://nobody:secret@")))
    response = app.test_client().get("/healthz/ready")
    app.extensions["store"].close()
    assert problem(response) == (503, "/#unavailable")
    assert b"secret" not in response.data


def test_a_full_redis_is_503(client: FlaskClient, redis_url: str) -> None:
    """A Redis out of memory refuses writes and goes on serving reads."""
    with redis.Redis.from_url(redis_url, protocol=2) as direct:
        direct.config_set("maxmemory", "1")
        try:
            answers = client.put(URL, json={"a": 1}), client.get(URL)
        finally:
            direct.config_set("maxmemory", "0")
    assert problem(answers[0]) == (503, "/#unavailable")
    assert answers[1].status_code == 200
