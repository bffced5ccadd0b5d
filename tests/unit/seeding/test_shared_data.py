"""Data of runs that share a Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.seeding.shared_data import SharedData
from loadtest.seeding.stores import RedisStore, made_key
from tests.redis_harness import PrivateRedis

KEYS = ["loadtest:a", "loadtest:b"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    """Run a separate Redis."""
    server = PrivateRedis("", tmp_path, ())
    yield server
    server.close()


def test_the_last_run_to_end_removes_what_the_runs_made(server: PrivateRedis) -> None:
    """The first run to end does not, since others read the data; keys that existed before stay."""
    server.admin.set("loadtest:a", "was there")
    with RedisStore(server.url) as store:
        first, second = (SharedData(store, "mine", user) for user in ("1", "2"))
        for run in (first, second, first):  # a run loads its data again if its Redis lost it
            run.claim(KEYS)
            server.admin.set("loadtest:b", "made")
        assert [first.release(), server.admin.exists(*KEYS)] == [0, 2]
        assert [second.release(), second.release()] == [1, 0]
    assert server.admin.keys() == [b"loadtest:a"]


def test_what_a_run_keeps_is_removed_by_no_other(server: PrivateRedis) -> None:
    """A run that keeps its data, or was killed, does not release it, so that it can be inspected."""
    with RedisStore(server.url) as store:
        SharedData(store, "mine", "kept").claim(KEYS)
        server.admin.mset(dict.fromkeys(KEYS, 1))
        later = SharedData(store, "mine", "later")
        later.claim(KEYS)
        assert later.release() == 0
        assert server.admin.exists(*KEYS) == 2
        assert store.remove_all() == 4
    assert server.admin.keys() == []


def test_data_of_which_no_run_was_told_is_nobodys_to_remove(server: PrivateRedis) -> None:
    """Without a claim, as after a failed load, nothing is removed."""
    server.admin.sadd(made_key("mine"), "loadtest:a")
    server.admin.set("loadtest:a", 1)
    with RedisStore(server.url) as store:
        assert SharedData(store, "mine").release() == 0
    assert server.admin.exists("loadtest:a") == 1
