"""The data that a run reads: two large documents and Faker's users, each as document, hash and plain string.

The large documents have the shape of a Pokémon-type resource. Their words are generated from a seed, so that every
machine gets the same bytes. Users come from Faker, basic (flat) and advanced (nested), and are the same for the same
version of Faker.
"""

import random
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from typing import Any

import orjson
import redis
from faker import Faker

from target_app.store import KEY_PREFIX

TYPE_SIZES_BYTES = {"type-small": 15_000, "type-large": 55_000}
"""The large documents and the approximate length of their JSON text; the actual length is at most 1 % more."""

USERS = 100
"""The number of basic users, and of advanced users; their names end with 0 … USERS - 1."""

_KINDS = ("document", "hash", "string")
_BATCH = 50
_TIMEOUT_S = 10.0
_SYLLABLES = ("ba", "dor", "el", "fi", "gra", "ith", "jo", "ka", "lum", "mo", "oth", "pe", "quil", "sho", "tek", "um")
_BORN = (date(1940, 1, 1), date(2005, 12, 31))
_ORDERED = (date(2024, 1, 1), date(2025, 12, 31))
_LANGUAGES = ("en", "de", "fr", "es", "it", "ja", "ko")
_ROLES = ("admin", "editor", "reader")


def key(kind: str, name: str) -> str:
    """Return the key of a document, without the store's prefix; `kind` is document, hash or string."""
    return f"{kind}:{name}"


@cache
def type_document(name: str) -> dict[str, Any]:
    """Create one of the large documents in `TYPE_SIZES_BYTES`."""
    words = _Words(name)
    document: dict[str, Any] = {
        "id": words.number(1, 99),
        "name": words.word(),
        "damage_relations": {
            f"{strength}_damage_{direction}": words.resources("type", count)
            for direction in ("from", "to")
            for strength, count in (("double", 3), ("half", 4), ("no", 1))
        },
        "game_indices": [
            {"game_index": words.number(0, 20), "generation": words.resource("generation")} for _ in range(6)
        ],
        "generation": words.resource("generation"),
        "move_damage_class": words.resource("move-damage-class"),
        "names": [
            {"name": words.word().capitalize(), "language": {"name": language, "url": words.url("language")}}
            for language in _LANGUAGES
        ],
        "moves": [],
        "pokemon": [],
    }
    missing_bytes = TYPE_SIZES_BYTES[name] - len(orjson.dumps(document))
    while missing_bytes > 0:
        pokemon = {"pokemon": words.resource("pokemon"), "slot": words.number(1, 2)}
        move = words.resource("move")
        document["pokemon"].append(pokemon)
        document["moves"].append(move)
        missing_bytes -= len(orjson.dumps(pokemon)) + len(orjson.dumps(move)) + len(",,")
    return document


@cache
def basic_user(number: int) -> dict[str, Any]:
    """Create a flat user, the simple document."""
    fake = _fake()
    fake.seed_instance(number)
    return {
        "id": number,
        "username": fake.user_name(),
        "name": fake.name(),
        "email": fake.safe_email(),
        "phone": fake.numerify("+00 ### #######"),
        "city": fake.city(),
        "country": fake.country_code(),
        "born": fake.date_between_dates(*_BORN).isoformat(),
        "active": number % 2 == 0,
        "visits": fake.random_int(0, 1_000),
        "score": 1.5,
        "bio": fake.sentence(12),
    }


@cache
def advanced_user(number: int) -> dict[str, Any]:
    """Create a nested user, the complex document."""
    user = basic_user(number)
    fake = _fake()
    fake.seed_instance(USERS + number)
    return user | {
        "address": {
            "street": fake.street_address(),
            "city": fake.city(),
            "postcode": fake.postcode(),
            "position": {"latitude": float(fake.latitude()), "longitude": float(fake.longitude())},
        },
        "company": {"name": fake.company(), "slogan": fake.catch_phrase(), "roles": list(_ROLES[: number % 3 + 1])},
        "tags": fake.words(5),
        "orders": [
            {
                "id": fake.uuid4(),
                "placed": fake.date_between_dates(*_ORDERED).isoformat(),
                "items": [
                    {
                        "name": fake.word(),
                        "quantity": fake.random_int(1, 9),
                        "price": fake.random_int(100, 99_999) / 100,
                    }
                    for _ in range(3)
                ],
            }
            for _ in range(4)
        ],
        "preferences": {"language": fake.language_code(), "newsletter": fake.boolean(), "theme": "dark"},
    }


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the content of everything that is seeded."""
    for name in TYPE_SIZES_BYTES:
        yield name, type_document(name)
    for number in range(USERS):
        yield f"user-basic-{number}", basic_user(number)
        yield f"user-advanced-{number}", advanced_user(number)


def keys() -> list[str]:
    """Return the keys of everything that is seeded, without the store's prefix."""
    users = [f"user-{kind}-{number}" for kind in ("basic", "advanced") for number in range(USERS)]
    return [key(kind, name) for kind in _KINDS for name in (*TYPE_SIZES_BYTES, *users)]


def load(redis_url: str, progress: Callable[[int, int], None]) -> int:
    """Write everything to Redis, pipelined. Repeating it changes nothing.

    Args:
        redis_url: the URL of a single Redis server with RedisJSON.
        progress: called with the number of documents written so far, first 0, and the total.

    Returns:
        The number of documents, each written as document, hash and plain string.

    Raises:
        redis.RedisError: when Redis is unavailable or has no RedisJSON.
    """
    with redis.Redis.from_url(
        redis_url, protocol=2, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
    ) as client:
        return load_through(client, progress)


def load_through(client: "redis.Redis | redis.RedisCluster", progress: Callable[[int, int], None]) -> int:
    """Write everything as `load` does, through a redis-py client."""
    everything = list(documents())
    progress(0, len(everything))
    is_whole = isinstance(client, redis.Redis)  # a transaction cannot be executed across a cluster's slots
    for start in range(0, len(everything), _BATCH):
        batch = everything[start : start + _BATCH]
        with client.pipeline(transaction=is_whole) as pipeline:
            for name, document in batch:
                _write(pipeline, name, document)
            pipeline.execute()
        progress(start + len(batch), len(everything))
    return len(everything)


def _write(pipeline: Any, name: str, document: dict[str, Any]) -> None:
    text = orjson.dumps(document)
    as_document, as_hash, as_string = (KEY_PREFIX + key(kind, name) for kind in _KINDS)
    for one in (as_document, as_hash):
        pipeline.delete(one)  # of whatever type it is
    pipeline.execute_command("JSON.SET", as_document, "$", text)
    pipeline.hset(as_hash, mapping={member: orjson.dumps(value) for member, value in document.items()})
    pipeline.set(as_string, text)


@cache
def _fake() -> Faker:
    return Faker("en_US")


class _Words:
    """Generated words, numbers and references, the same for the same seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - test data

    def number(self, low: int, high: int) -> int:
        """Return a whole number from low to high."""
        return self._random.randint(low, high)

    def word(self) -> str:
        """Return a word of two to four syllables."""
        return "".join(self._random.choice(_SYLLABLES) for _ in range(self.number(2, 4)))

    def url(self, kind: str) -> str:
        """Return a reference to a resource of that kind."""
        return f"https://types.example/api/v2/{kind}/{self.number(1, 999)}/"

    def resource(self, kind: str) -> dict[str, str]:
        """Return a resource's name and reference."""
        return {"name": self.word(), "url": self.url(kind)}

    def resources(self, kind: str, count: int) -> list[dict[str, str]]:
        """Return several resources."""
        return [self.resource(kind) for _ in range(count)]
