"""The documents room: every operation against a real RedisJSON."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from target_app import seed
from target_app.store import KEY_PREFIX

DOCUMENT = {"name": "mo", "visits": 3, "score": 1.5, "tags": ["a"], "address": {"city": "Kalum", "zip": None}}
URL = "/api/v1/documents/test:document"


@pytest.fixture(autouse=True)
def document(client: FlaskClient) -> None:
    """Write a fresh document before each test."""
    client.put(URL, json=DOCUMENT)
    client.delete("/api/v1/documents/test:unknown")


def test_a_whole_document_passes_through_as_the_bytes_that_redis_holds(client: FlaskClient, redis_url: str) -> None:
    """A client reads exactly the bytes that JSON.GET returns."""
    with redis.Redis.from_url(redis_url, protocol=2) as direct:
        held = direct.execute_command("JSON.GET", f"{KEY_PREFIX}document:type-large")
    response = client.get("/api/v1/documents/document:type-large")
    assert (response.status_code, response.mimetype, response.data) == (200, "application/json", held)


def test_whole_document_reads_do_not_parse(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read works without a JSON parser."""
    monkeypatch.setattr(orjson, "loads", None)
    assert client.get("/api/v1/documents/document:type-small").status_code == 200
    assert client.get("/api/v1/strings/string:type-small").status_code == 200
    assert client.get("/api/v1/hashes/hash:type-small").status_code == 200


@pytest.mark.parametrize("name", ["type-small", "type-large", "user-basic-0", "user-advanced-99"])
def test_document_hash_and_string_answer_alike(client: FlaskClient, name: str) -> None:
    """The three ways to keep a document return the same document."""
    answers = [
        client.get(f"/api/v1/{collection}/{kind}:{name}").json
        for collection, kind in (("documents", "document"), ("hashes", "hash"), ("strings", "string"))
    ]
    assert answers == [dict(seed.documents())[name]] * 3


def test_a_path_reads_the_array_of_its_matches(client: FlaskClient) -> None:
    """A JSONPath returns all values that it matches, nested ones too."""
    assert client.get(f"{URL}/value?path=$.address.city").json == ["Kalum"]
    assert client.get(f"{URL}/value?path=$['visits','score']").json == [3, 1.5]
    assert client.get(f"{URL}/value").json == [DOCUMENT]


def test_a_paths_null_is_a_value(client: FlaskClient) -> None:
    """A member that is null is found; only a missing one is a 404."""
    assert client.get(f"{URL}/value?path=$.address.zip").json == [None]


def test_object_keys_are_listed_per_match(client: FlaskClient) -> None:
    """Each object that the path matches returns its member names."""
    assert [sorted(names) for names in client.get(f"{URL}/keys").json] == [sorted(DOCUMENT)]
    assert client.get(f"{URL}/keys?path=$.address").json == [["city", "zip"]]


def test_an_update_replaces_only_what_is_there(client: FlaskClient) -> None:
    """A field is replaced by any JSON value; a missing field is a 404 and is not created."""
    assert client.put(f"{URL}/value?path=$.name", json={"first": "Ka"}).status_code == 204
    assert client.put(f"{URL}/value?path=$.nothing", json=1).status_code == 404
    assert client.get(URL).json == DOCUMENT | {"name": {"first": "Ka"}}


def test_numbers_are_incremented_and_multiplied(client: FlaskClient) -> None:
    """Both return the array of results."""
    assert client.post(f"{URL}/increment", json={"path": "$.visits", "by": 2}).json == [5]
    assert client.post(f"{URL}/multiply", json={"path": "$.score", "by": -2}).json == [-3.0]


def test_arrays_and_strings_grow(client: FlaskClient) -> None:
    """Both return the array of new lengths, and the values are kept as they were sent."""
    values = ["é", {"n": [1]}, None]
    assert client.post(f"{URL}/append-to-array", json={"path": "$.tags", "values": values}).json == [4]
    assert client.post(f"{URL}/append-to-string", json={"path": "$.name", "text": '"\\n'}).json == [5]
    changed = client.get(URL).json
    assert (changed["tags"], changed["name"]) == (["a", *values], 'mo"\\n')


def test_values_and_documents_are_deleted_once(client: FlaskClient) -> None:
    """The first deletion works, the second is a 404."""
    assert client.delete(f"{URL}/value?path=$.tags").json == {"deleted": 1}
    assert client.delete(f"{URL}/value?path=$.tags").status_code == 404
    assert [
        client.delete(URL).status_code,
        client.delete(URL).status_code,
        client.get(URL).status_code,
    ] == [204, 404, 404]


def test_keys_are_listed_by_pattern_without_the_prefix(client: FlaskClient) -> None:
    """Only matching documents under the prefix are listed, and following the cursor returns all of them."""
    found: list[str] = []
    cursor = "0"
    while True:
        answer = client.get(f"/api/v1/documents?match=document:user-*&cursor={cursor}").json
        found += answer["keys"]
        cursor = answer["cursor"]
        if cursor == "0":
            break
    expected = [f"document:user-{kind}-{n}" for kind in ("basic", "advanced") for n in range(seed.USERS)]
    assert sorted(found) == sorted(expected)


def test_listing_is_bounded(client: FlaskClient, redis_url: str) -> None:
    """One response scans about ten thousand keys, not all of a large Redis."""
    others = [f"other:{number}" for number in range(15_000)]
    with redis.Redis.from_url(redis_url, protocol=2) as direct:
        direct.mset(dict.fromkeys(others, ""))
        try:
            answer = client.get("/api/v1/documents?match=nothing*").json
        finally:
            direct.delete(*others)
    assert answer["keys"] == []
    assert answer["cursor"] != "0"


def test_hashes_are_written_read_updated_and_deleted(client: FlaskClient) -> None:
    """A hash keeps each member's JSON text in a field of its own, and a rewrite leaves no old field."""
    url = "/api/v1/hashes/test:hash"
    assert client.put(url, json=DOCUMENT | {"old": 1}).status_code == 204
    assert client.put(url, json=DOCUMENT).status_code == 204
    assert client.get(url).json == DOCUMENT
    assert client.put(f"{url}/fields/tags", json=["b"]).status_code == 204
    assert client.get(f"{url}/fields/tags").json == ["b"]
    assert [
        client.delete(url).status_code,
        client.delete(url).status_code,
        client.get(url).status_code,
    ] == [204, 404, 404]


def test_strings_are_written_read_updated_and_deleted(client: FlaskClient) -> None:
    """A plain string keeps the whole text; a single member is read and changed by rewriting all of it."""
    url = "/api/v1/strings/test:string"
    assert client.put(url, data=b'{"a": 1, "b":[2]}', content_type="application/json").status_code == 204
    assert client.get(url).data == b'{"a": 1, "b":[2]}'
    assert client.put(f"{url}/fields/a", json={"c": 3}).status_code == 204
    assert client.get(f"{url}/fields/a").json == {"c": 3}
    assert client.get(url).json == {"a": {"c": 3}, "b": [2]}
    assert [
        client.delete(url).status_code,
        client.delete(url).status_code,
        client.get(url).status_code,
    ] == [204, 404, 404]


def test_no_update_of_a_string_is_lost(app: Flask, client: FlaskClient) -> None:
    """Each of several concurrent updates of one string is kept, or refused with a 503 so that it can be retried."""
    url = "/api/v1/strings/test:string"
    client.put(url, json={"start": 0})

    def update(field: str) -> tuple[str, int]:
        return field, app.test_client().put(f"{url}/fields/{field}", json=1).status_code

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(update, [f"f{number}" for number in range(60)]))
    assert {status for _, status in answers} <= {204, 503}
    kept = {field for field, status in answers if status == 204}
    assert kept
    assert set(client.get(url).json) == {"start", *kept}


def test_every_endpoint_is_in_the_reference(app: Flask) -> None:
    """docs/reference/target_app.md lists exactly the endpoints that the application has."""
    page = (Path(__file__).parents[2] / "docs/reference/target_app.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([A-Z]+)` \| `(/[^`]*)` \|", page, re.MULTILINE))
    routes = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert documented == routes
