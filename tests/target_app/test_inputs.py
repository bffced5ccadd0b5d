"""Input from clients: invalid input is refused before it reaches Redis."""

import pytest
from flask.testing import FlaskClient

from target_app import create_app
from target_app.settings import Settings
from tests.target_app.problems import URL, problem

pytestmark = pytest.mark.usefixtures("problem_document")


@pytest.mark.parametrize("path", ["$[", "$.", "$..", "name", "", "$.a\n", "$" + "a" * 512])
def test_a_bad_path_is_400(client: FlaskClient, path: str) -> None:
    """A path that is not a JSONPath, too long or not printable is refused."""
    assert problem(client.get(f"{URL}/value", query_string={"path": path}))[0] == 400


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
    """Bodies are parsed strictly; NaN and infinity are not JSON."""
    assert problem(client.put(URL, data=body, content_type="application/json")) == (400, "about:blank")


DEEP = [b"[" * deep + b"]" * deep for deep in (127, 128, 300, 900)] + [b"[" * 100_000, b'{"a":' * 100_000]


@pytest.mark.parametrize("body", DEEP[1:], ids=len)
def test_a_body_that_is_nested_too_deeply_is_400(client: FlaskClient, body: bytes) -> None:
    """This holds for each place in the document: a value that can be parsed may still be too deep to be serialized."""
    assert client.put(URL, json={"list": []}).status_code == 204
    sent = {"data": b'{"a":%b,"b":1}' % body, "content_type": "application/json"}
    for collection in ("documents", "hashes", "strings"):
        assert problem(client.put(f"/api/v1/{collection}/test:deep", **sent)) == (400, "about:blank")
    sent["data"] = b'{"path":"$.list","values":[%b]}' % body
    assert problem(client.post(f"{URL}/append-to-array", **sent)) == (400, "about:blank")


def test_a_body_that_is_as_deep_as_redisjson_takes_is_written(client: FlaskClient) -> None:
    """All three forms accept it; brackets within a text do not count."""
    body = b'{"a":%b,"b":"%b"}' % (DEEP[0][1:-1], b"[" * 500)
    for collection in ("documents", "hashes", "strings"):
        address = f"/api/v1/{collection}/test:{collection}:deep"
        assert client.put(address, data=body, content_type="application/json").status_code == 204
        assert client.get(address).data.count(b"[") >= 126 + 500


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_another_content_type_is_415(client: FlaskClient, content_type: str) -> None:
    """Only JSON is accepted."""
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
    """A JSON body that lacks a part the operation needs is refused, with the reason."""
    assert problem(client.post(f"{URL}/{operation}", json=body)) == (422, "about:blank")


@pytest.mark.parametrize("collection", ["documents", "hashes", "strings"])
def test_a_whole_write_takes_an_object_only(client: FlaskClient, collection: str) -> None:
    """In all three forms a document is an object."""
    assert [client.put(f"/api/v1/{collection}/test:shape", json=body).status_code for body in ([1], {})] == [422, 422]


def test_a_body_beyond_the_limit_is_413(redis_url: str) -> None:
    """The maximum size of a body is a setting."""
    app = create_app(Settings(redis_url=redis_url, max_body_bytes=1_024))
    response = app.test_client().put(URL, json={"a": "x" * 1_024})
    app.extensions["store"].close()
    assert problem(response) == (413, "about:blank")
