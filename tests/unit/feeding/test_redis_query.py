"""The query of a Redis URL."""

from collections.abc import Iterator

import pytest

from loadtest.exceptions import UsageError
from loadtest.feeding import sources
from tests.redis_harness import private_redis


@pytest.fixture(scope="module")
def url(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis with keys of each kind."""
    with private_redis(redis_url, tmp_path_factory.mktemp("redis")) as server:
        server.admin.rpush("list", *(f"{number % 2_400}" for number in range(2_500)))
        server.admin.sadd("set", "b", "a", "ä")
        server.admin.zadd("ranks", {"a": 2, "b": 1})
        server.admin.hset("customer:2", mapping={"name": "Eve", "city": "Bern"})
        server.admin.hset("customer:1", mapping={"name": "Ada", "city": "Rome"})
        server.admin.execute_command("JSON.SET", "document:1", "$", '{"name": "Ada", "coins": [1, 2.5, null]}')
        server.admin.execute_command("JSON.SET", "array", "$", '[{"id": 1}, {"id": 2}]')
        server.admin.set("token:1", "abc")
        server.admin.set("binary", b"\xff")
        server.admin.xadd("stream:1", {"a": 1})
        yield server.url


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?key=list", [f"{number}" for number in range(2_400)]),
        ("?key=set", ["a", "b", "ä"]),
        ("?key=ranks", ["b", "a"]),
        ("?key=array", [1, 2]),
        ("?pattern=customer:*", [{"name": "Ada", "city": "Rome"}, {"name": "Eve", "city": "Bern"}]),
        ("?pattern=document:*", [{"name": "Ada", "coins": [1, 2.5, None]}]),
        ("?pattern=token:*", ["abc"]),
    ],
)
def test_a_key_or_a_pattern_chooses(url: str, query: str, expected: list) -> None:
    """It gives the members of one key in their order, or the values of many keys in the order of their names."""
    assert list(sources.read(url + query).items) == expected


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?key=none", "none is missing"),
        ("?key=token:1", "token:1 is a string"),
        ("?key=document:1", "the document of document:1 is not an array"),
        ("?pattern=none:*", "no items"),
        ("?pattern=stream:*", "stream:1 is a stream"),
        ("?pattern=binary", "is not UTF-8"),
        ("?key=a&pattern=b", "key and pattern exclude each other"),
        ("?pattern=", "one of them is empty, or given twice"),
    ],
)
def test_a_wrong_query_is_said(url: str, query: str, words: str) -> None:
    """The error comes before the run begins."""
    with pytest.raises(UsageError, match=words):
        sources.read(url + query)
