"""The generated data is the same everywhere, with the stated sizes and shapes."""

import hashlib
import subprocess
import sys

import orjson
import pytest
import redis

from target_app import seed
from target_app.store import KEY_PREFIX


def fingerprint() -> str:
    """Return a hash of everything that is generated."""
    return hashlib.sha256(orjson.dumps(dict(seed.documents()))).hexdigest()


def test_the_generator_is_deterministic() -> None:
    """Another process generates the same bytes, whatever its hash seed."""
    code = "import hashlib, orjson; from target_app import seed; "
    code += "print(hashlib.sha256(orjson.dumps(dict(seed.documents()))).hexdigest())"
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == fingerprint()


@pytest.mark.parametrize(("name", "size_bytes"), [("type-small", 15_000), ("type-large", 55_000)])
def test_large_documents_have_their_size(name: str, size_bytes: int) -> None:
    """The two large documents are within 10 % of 15 kB and 55 kB."""
    assert size_bytes == pytest.approx(len(orjson.dumps(seed.type_document(name))), rel=0.1)


@pytest.mark.parametrize("name", sorted(seed.TYPE_SIZES_BYTES))
def test_large_documents_have_a_types_shape(name: str) -> None:
    """Damage relations, generation, moves, localised names and a list of pokémon with slots exist."""
    document = seed.type_document(name)
    assert set(document) == {
        "id", "name", "damage_relations", "game_indices", "generation", "move_damage_class", "names", "moves", "pokemon"
    }  # fmt: skip
    assert len(document["damage_relations"]) == 6
    assert {"name", "url"} == set(document["generation"]) == set(document["moves"][0])
    assert set(document["names"][0]) == {"name", "language"}
    assert {pokemon["slot"] for pokemon in document["pokemon"]} == {1, 2}


def test_the_two_large_documents_differ() -> None:
    """The large document is not just a longer small one."""
    small, large = (seed.type_document(name) for name in ("type-small", "type-large"))
    assert large["names"] != small["names"]


def test_basic_users_are_flat_and_advanced_ones_nested() -> None:
    """A basic user holds plain values only; an advanced one holds objects in arrays in objects."""
    assert [value for value in seed.basic_user(3).values() if isinstance(value, dict | list)] == []
    assert isinstance(seed.advanced_user(3)["orders"][0]["items"][0]["price"], float)


def test_loading_twice_changes_nothing_and_reports_progress(redis_url: str) -> None:
    """Loading is idempotent and reports its progress, from 0 to all."""
    seen: list[tuple[int, int]] = []
    with redis.Redis.from_url(redis_url, protocol=2) as direct:

        def dump() -> dict[bytes, object]:
            kinds = ("document", "hash", "string")
            scans = (direct.scan_iter(f"{KEY_PREFIX}{seed.key(kind, 'user-*')}", 1_000) for kind in kinds)
            return {key: direct.dump(key) for scan in scans for key in scan}

        before = dump()
        seed.load(redis_url, lambda done, total: seen.append((done, total)))
        assert dump() == before
    total = 2 + 2 * seed.USERS
    assert len(before) == 3 * 2 * seed.USERS
    assert (seen[0], seen[-1]) == ((0, total), (total, total))
    assert seen == sorted(seen)


def test_loading_repairs_what_a_run_has_changed(redis_url: str) -> None:
    """A key with another type or content gets its own content again."""
    names = [KEY_PREFIX + seed.key(kind, "user-basic-0") for kind in ("document", "hash", "string")]
    with redis.Redis.from_url(redis_url, protocol=2) as direct:
        direct.set(names[0], "no document")
        direct.delete(names[1])
        direct.sadd(names[1], "no hash")
        direct.execute_command("DEL", names[2])
        direct.hset(names[2], "no", "string")
        seed.load(redis_url, lambda _done, _total: None)
        assert [direct.type(name) for name in names] == [b"ReJSON-RL", b"hash", b"string"]
        assert orjson.loads(direct.execute_command("JSON.GET", names[0])) == seed.basic_user(0)
