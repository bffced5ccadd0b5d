"""The store's errors: each refusal by Redis becomes a problem with its own type."""

import pytest
import redis
from flask.testing import FlaskClient

from target_app import create_app
from target_app.settings import Settings
from tests.target_app.problems import URL, problem

pytestmark = pytest.mark.usefixtures("problem_document")


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
    """Every operation on a missing key is a 404 of its own type."""
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
    """The error says whether the key or the path is missing."""
    missing_key = client.open(f"/api/v1/documents/test:none/{operation}", method=method, json=body)
    missing_path = client.open(f"{URL}/{operation}", method=method, json=body)
    assert [problem(missing_key), problem(missing_path)] == [(404, "/#unknown-key"), (404, "/#unknown-path")]


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
    """An operation that does not fit the value's type conflicts with the document."""
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
    """A document is not a hash, and a hash is not a string; nothing is deleted by mistake."""
    assert problem(client.open(url, method=method)) == (409, "/#wrong-type")


def test_a_result_beyond_every_number_is_422(client: FlaskClient) -> None:
    """RedisJSON refuses a product that is not finite."""
    response = client.post(f"{URL}/multiply", json={"path": "$.big", "by": 1e10})
    assert problem(response) == (422, "/#bad-value")


def test_a_redis_without_json_is_503(redis_url: str) -> None:
    """Without permission to use RedisJSON the target cannot serve."""
    with redis.Redis.from_url(redis_url, protocol=2) as direct:
        direct.execute_command("ACL", "SETUSER", "nojson", "on", ">secret", "~*", "+@all", "-json.get")
        app = create_app(Settings(redis_url=redis_url.replace("redis://", "redis://nojson:secret@")))
        response = app.test_client().get("/healthz/ready")
        app.extensions["store"].close()
        direct.execute_command("ACL", "DELUSER", "nojson")
    assert problem(response) == (503, "/#unavailable")


def test_a_wrong_password_of_redis_is_503(redis_url: str) -> None:
    """Without access to Redis the target cannot serve; the password is not shown."""
    app = create_app(Settings(redis_url=redis_url.replace("redis://", "redis://nobody:secret@")))
    response = app.test_client().get("/healthz/ready")
    app.extensions["store"].close()
    assert problem(response) == (503, "/#unavailable")
    assert b"secret" not in response.data


def test_a_full_redis_is_503(client: FlaskClient, redis_url: str) -> None:
    """A Redis that is out of memory refuses writes but still serves reads."""
    with redis.Redis.from_url(redis_url, protocol=2) as direct:
        direct.config_set("maxmemory", "1")
        try:
            answers = client.put(URL, json={"a": 1}), client.get(URL)
        finally:
            direct.config_set("maxmemory", "0")
    assert problem(answers[0]) == (503, "/#unavailable")
    assert answers[1].status_code == 200
