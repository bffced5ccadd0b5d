"""Random requests and paths, to a target with its own Redis: every response is the target's, and Redis stays up."""

import json
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from loadtest.local import redis_server
from target_app import create_app, extensions
from target_app.settings import Settings
from tests.fuzz.cases import fuzz, json_values

DOCUMENT = {
    "a": [1, 2.5, None, {"a": ["x", {"b": 1}]}],
    "b": {"a": {"a": 1e308}, "c d": "text"},
    "c": True,
    "n": -(2**63),
}
INTEGERS = st.one_of(st.integers(-3, 5), st.integers(-(10**22), 10**22)).map(str)
NAMES = st.one_of(st.sampled_from(["a", "b", "c", "n", "*", "-", "9", "ü"]), st.text(max_size=4))
QUOTED = NAMES.map('"{}"'.format) | NAMES.map("'{}'".format)
SLICES = st.lists(INTEGERS | st.just(""), min_size=2, max_size=3).map(":".join)
OPERANDS = st.one_of(
    INTEGERS, QUOTED, NAMES.map("@.{}".format), st.sampled_from(["@", "$", "$.a", "1e99", "null", "true"])
)
COMPARISONS = st.one_of(
    OPERANDS, st.builds("{} {} {}".format, OPERANDS, st.sampled_from(["==", "!=", "<", ">=", "=~", "+"]), OPERANDS)
)
FILTERS = st.recursive(
    COMPARISONS,
    lambda inner: (
        st.builds("({}{}{})".format, inner, st.sampled_from(["&&", " || ", "!"]), inner) | inner.map("({})".format)
    ),
    max_leaves=12,
).map("?({})".format)
LISTS = st.lists(INTEGERS | QUOTED, max_size=5).map(",".join)
BRACKETS = st.one_of(INTEGERS, QUOTED, SLICES, LISTS, FILTERS, st.just("*"), st.text(max_size=5)).map("[{}]".format)
SEGMENTS = st.one_of(NAMES.map(".{}".format), NAMES.map("..{}".format), BRACKETS, BRACKETS.map("..{}".format))
PATHS = st.lists(SEGMENTS, max_size=6).map("".join).map("${}".format)
URL = "/api/v1/documents/scratch:fuzz"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """A client of the target, over a Redis that may crash."""
    with redis_server.running(tmp_path_factory.mktemp("redis") / "redis.log", lambda _message: None) as url:
        app = create_app(Settings(redis_url=url, password_cost=10))
        yield app.test_client()
        app.extensions["store"].close()


@fuzz
@given(path=PATHS, value=st.sampled_from([1, "x", None, [], {"a": {"a": [1]}}]))
def test_no_path_ends_redis(client: FlaskClient, path: str, value: object) -> None:
    """Each operation with a path ends in success or a client error."""
    client.put(URL, json=DOCUMENT)
    answers = [
        client.get(f"{URL}/value", query_string={"path": path}),
        client.get(f"{URL}/keys", query_string={"path": path}),
        client.post(f"{URL}/increment", json={"path": path, "by": 1}),
        client.post(f"{URL}/multiply", json={"path": path, "by": 2}),
        client.post(f"{URL}/append-to-array", json={"path": path, "values": [value]}),
        client.post(f"{URL}/append-to-string", json={"path": path, "text": "x"}),
        client.put(f"{URL}/value", query_string={"path": path}, json=value),
        client.delete(f"{URL}/value", query_string={"path": path}),
    ]
    assert [answer.status_code for answer in answers if answer.status_code >= 500] == []
    with client.application.app_context():
        assert extensions.store().keys("scratch:*", 0) is not None


TEXTS = st.one_of(
    st.sampled_from(["scratch:fuzz", "1", "0", "-1", "9" * 30, "a b", "%00", "..", "*", "a@b.example", "password1"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
FIELDS = st.one_of(
    st.sampled_from(
        [
            *("path", "by", "values", "text", "match", "cursor", "user_id", "email", "password", "phone", "name", "q"),
            *("page", "subject", "title", "items", "message", "thread", "question", "seed", "tokens", "refresh"),
        ]
    ),
    TEXTS,
)
JSON = json_values(FIELDS, TEXTS)
BODIES = st.one_of(JSON.map(json.dumps).map(str.encode), st.binary(max_size=40), st.just(b"[" * 100_000))
KINDS = st.sampled_from(["application/json", "application/json", "application/x-www-form-urlencoded", "text/plain"])


@fuzz
@given(
    route=st.tuples(st.integers(0, 1_000), TEXTS, TEXTS),
    query=st.dictionaries(FIELDS, TEXTS, max_size=3),
    body=BODIES,
    kind=KINDS,
)
def test_requests_to_the_sample_target(
    client: FlaskClient, route: tuple[int, str, str], query: dict[str, str], body: bytes, kind: str
) -> None:
    """Any request to any route ends in success or a client error."""
    number, *texts = route
    rules = [rule for rule in client.application.url_map.iter_rules() if not rule.websocket]
    rule = rules[number % len(rules)]
    path = re.sub("<[^>]+>", lambda _: quote(texts.pop(), safe=""), rule.rule)
    bearer = {"Authorization": f"Bearer {quote(route[1])}"}
    for method in sorted(rule.methods or ()):
        answer = client.open(path, method=method, query_string=query, data=body, content_type=kind, headers=bearer)
        assert answer.status_code < 500, (method, path, answer.text)
        answer.close()
