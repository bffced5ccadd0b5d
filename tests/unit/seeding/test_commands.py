"""Generated users, in Redis and in MongoDB, and the file of their ids."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click.testing
import pytest
from bson import ObjectId

from loadtest.cli import main
from loadtest.feeding import sources
from loadtest.seeding.commands import write_ids
from loadtest.seeding.stores import MongoStore, open_store
from loadtest.seeding.users import BLOCK, Users
from tests.mongo_harness import mongo_server
from tests.redis_harness import PrivateRedis, private_redis


@pytest.fixture(scope="module")
def private(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """A Redis without any other users."""
    with private_redis(redis_url, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of MongoDB's wire protocol."""
    with mongo_server(tmp_path_factory.mktemp("mongo")) as url:
        yield url


@pytest.fixture(params=["redis", "mongodb"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Each kind of store."""
    return request.getfixturevalue("private").url if request.param == "redis" else request.getfixturevalue("mongo_url")


def seed(*arguments: str) -> tuple[int, str]:
    """Run `loadtest seed users`; return its exit code and output."""
    result = click.testing.CliRunner().invoke(main, ["seed", "users", *arguments])
    return result.exit_code, result.output


def remove(*arguments: str) -> tuple[int, str]:
    """Run `loadtest seed remove`; return its exit code and output."""
    result = click.testing.CliRunner().invoke(main, ["seed", "remove", *arguments])
    return result.exit_code, result.output


def test_the_same_seed_gives_the_same_users() -> None:
    """Users do not depend on how many are made; another seed gives others."""
    few = [user for batch in Users(42).batches(10) for user in batch]
    many = [user for batch in Users(42).batches(2 * BLOCK + 5) for user in batch]
    assert many[:10] == few
    assert 2 * BLOCK + 5 == len(many) == len({user["id"] for user in many}) == len({user["email"] for user in many})
    assert Users(42).ids(len(many)) == [user["id"] for user in many]
    assert not {user["id"] for user in many} & set(Users(43).ids(100))


def test_users_look_real() -> None:
    """A user has a name, an address at a reserved domain, and a place to live."""
    user = next(Users(42).batches(1))[0]
    assert set(user) == {
        "id",
        "name",
        "email",
        "phone",
        "born",
        "address",
        "company",
        "signed_up",
        "coins",
        "coin_queue",
    }
    assert user["email"].startswith(user["name"].lower().replace(" ", "."))
    assert user["email"].endswith(".example")


def test_seeding_writes_users_and_the_file_of_their_ids(store_url: str, tmp_path: Path) -> None:
    """The file is a JSON array of the ids in the store, which a feed can read back from either."""
    out = tmp_path / "user_ids.json"
    code, output = seed("--count", "1200", "--seed", "7", "--store", store_url, "--out", str(out))
    assert (code, "1,200 written" in output) == (0, True), output
    ids = json.loads(out.read_text())
    assert Users(7).ids(1200) == ids == list(sources.read(str(out)).items)
    with open_store(store_url) as store:
        assert set(ids) <= set(store.ids())
    assert set(ids) <= set(sources.read(store_url, ids_only=True).items)


def test_seeding_again_completes_without_duplicates(store_url: str, tmp_path: Path) -> None:
    """After an interruption, the same command writes the missing users and leaves the others unchanged."""
    out = tmp_path / "ids.json"
    with open_store(store_url) as store:
        before = len(store.ids())
        first = next(Users(8).batches(700))
        assert store.write(first) == 700
        assert store.write(first) == 0
    code, output = seed("--count", "1500", "--seed", "8", "--store", store_url, "--out", str(out))
    assert (code, "800 written" in output, "700 existed already" in output) == (0, True, True), output
    with open_store(store_url) as store:
        assert len(store.ids()) == before + 1500


def test_what_was_seeded_is_removed_and_nothing_else(store_url: str, tmp_path: Path) -> None:
    """Count and seed identify the users; those of another seed stay, and a second removal finds none."""
    for number in ("11", "12"):
        assert seed("--count", "1200", "--seed", number, "--store", store_url, "--out", str(tmp_path / "ids"))[0] == 0
    outputs = [remove("--count", "1200", "--seed", "11", "--store", store_url) for _ in range(2)]
    assert [code for code, _ in outputs] == [0, 0]
    assert ["1,200 users" in outputs[0][1], "removed      0 users" in outputs[1][1]] == [True, True], outputs
    with open_store(store_url) as store:
        left = set(store.ids())
    assert (left & set(Users(11).ids(1200)), set(Users(12).ids(1200)) - left) == (set(), set())


def test_users_are_seeded_into_a_collection_with_its_own_kind_of_ids(mongo_url: str, tmp_path: Path) -> None:
    """They have ObjectIds; the file and a feed have these as texts, and `seed remove` finds them."""
    out = tmp_path / "ids.json"
    options = ("--count", "30", "--store", mongo_url, "--collection", "customers", "--object-ids")
    assert [seed(*options, "--out", str(out))[0] for _ in range(2)] == [0, 0]
    with MongoStore(mongo_url, "customers") as store:
        kinds = {type(document["_id"]) for document in store.find({}, None)}
        assert (len(store.ids()), kinds) == (30, {ObjectId})
    assert sorted(json.loads(out.read_text())) == sorted(
        sources.read(f"{mongo_url}?collection=customers", ids_only=True).items
    )
    code, output = remove(*options)
    assert (code, "30 users" in output) == (0, True), output


def test_what_only_a_mongodb_has_is_refused_elsewhere(private: PrivateRedis, mongo_url: str, tmp_path: Path) -> None:
    """So is a collection in the store's URL, which its client would ignore."""
    out = str(tmp_path / "ids")
    refused = [
        seed("--store", private.url, "--object-ids", "--out", out),
        seed("--store", f"{mongo_url}?collection=customers", "--out", out),
    ]
    assert [(code, "--collection" in output) for code, output in refused] == [(2, True), (2, True)]


def test_everything_of_the_product_is_removed_from_redis(private: PrivateRedis, tmp_path: Path, mongo_url: str) -> None:
    """Only keys under its prefix are removed; in a MongoDB it is unknown what else there is."""
    private.admin.set("somebody:else", "1")
    assert seed("--count", "20", "--store", private.url, "--out", str(tmp_path / "ids"))[0] == 0
    code, output = remove("--all", "--store", private.url)
    assert (code, private.admin.keys("*")) == (0, [b"somebody:else"]), output
    private.admin.delete("somebody:else")
    code, output = remove("--all", "--store", mongo_url)
    assert (code, "give --count and --seed" in output) == (2, True), output


def test_a_killed_seeding_leaves_no_half_file(private: PrivateRedis, tmp_path: Path) -> None:
    """Interrupted halfway there is no file; the next seeding continues where it stopped."""
    out = tmp_path / "ids.json"
    command = [Path(sys.executable).with_name("loadtest"), "seed", "users", "--count", "400000", "--seed", "9"]
    child = subprocess.Popen(
        [*command, "--store", private.url, "--out", out], env={**os.environ, "COLUMNS": "80"}, stdout=subprocess.DEVNULL
    )
    until_s = time.monotonic() + 30
    while private.admin.dbsize() < 5_000 and time.monotonic() < until_s:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert list(tmp_path.iterdir()) == []
    code, output = seed("--count", "3000", "--seed", "9", "--store", private.url, "--out", str(out))
    assert (code, "existed already" in output) == (0, True), output
    assert len(json.loads(out.read_text())) == 3000


def test_a_queue_is_opened_once(private: PrivateRedis, tmp_path: Path) -> None:
    """Seeding opens a queue if there is none, and leaves an open one unchanged."""
    queues = []
    for _ in range(2):
        seed("--count", "1", "--store", private.url, "--out", str(tmp_path / "ids.json"))
        queues.append(private.admin.execute_command("JSON.GET", "loadtest:coin-queue"))
    assert queues[1] == queues[0]
    assert json.loads(queues[0])["open"]


@pytest.mark.parametrize("count", ["0", "-1", "1.5", "many", "", "10000001"])
def test_a_wrong_count_is_refused(count: str, tmp_path: Path) -> None:
    """The error has the value and what is allowed; nothing is written."""
    code, output = seed(f"--count={count}", "--out", str(tmp_path / "ids.json"))
    assert code == 2
    assert f"--count={count} is not allowed. Allowed: a whole number from 1 to" in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("store", "code", "words"),
    [
        ("mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=200", 1, "the MongoDB at mongodb://127.0.0.1:1/x"),
        ("redis://127.0.0.1:1/0", 1, "the Redis at redis://127.0.0.1:1/0 cannot be used"),
        ("mongodb://", 2, "is not a MongoDB URL"),
        ("postgres://127.0.0.1/x", 2, "is not a store"),
        ("redis://127.0.0.1:x/0", 2, "is not a store"),
        ("redis://:hidden@127.0.0.1:1/0", 2, "everyone on this machine can read"),
    ],
)
def test_a_store_that_cannot_be_used_is_named(tmp_path: Path, store: str, code: int, words: str) -> None:
    """The exit code tells a usage error from an unreachable store; no file is written, and no password shown."""
    ended, output = seed("--count", "10", "--store", store, "--out", str(tmp_path / "ids.json"))
    assert (ended, words in output) == (code, True), output
    assert "hidden" not in output
    assert list(tmp_path.iterdir()) == []


def test_a_password_in_the_environment_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting may hold one; errors do not."""
    for url in ("redis://me:hidden@127.0.0.1:1/0", "mongodb://me:hidden@127.0.0.1:1/x?serverSelectionTimeoutMS=200"):
        monkeypatch.setenv("LOADTEST_STORE", url)
        ended, output = seed("--count", "10", "--out", str(tmp_path / "ids.json"))
        assert (ended, "***@127.0.0.1:1" in output, "hidden" in output) == (1, True, False), output


@pytest.mark.parametrize(
    "url",
    [
        *("redis://me:hidden/x@127.0.0.1:1/0", "redis://me:hidden℀@127.0.0.1:1/0", "redis://me:[hidden@127.0.0.1:1/0"),
        *("mongodb://me:hidden/x@127.0.0.1:1/x", "mongodb://me:[hidden@127.0.0.1:1/x"),
    ],
)
def test_a_password_that_is_not_quoted_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Text that cannot be parsed as a URL gives an error that quotes no part of it."""
    monkeypatch.setenv("LOADTEST_STORE", url)
    ended, output = seed("--count", "10", "--out", str(tmp_path / "ids.json"))
    assert (ended in {1, 2}, output.startswith("error: "), "hidden" in output) == (True, True, False), output


def test_a_file_that_cannot_be_written_is_reported_first(tmp_path: Path) -> None:
    """The place of the result is checked before anything is seeded."""
    for out in (tmp_path, tmp_path / "none" / "ids.json"):
        ended, output = seed("--count", "10", "--store", "redis://127.0.0.1:1/0", "--out", str(out))
        assert (ended, f"OUT={out} cannot be written" in output) == (2, True), output


def test_a_failing_write_leaves_the_old_file(tmp_path: Path) -> None:
    """A file is replaced only once the new one is complete."""
    out = tmp_path / "ids.json"
    write_ids(out, ["a"])
    with pytest.raises(TypeError):
        write_ids(out, ["b", object()])
    assert ["".join(out.read_text().split()), [file.name for file in tmp_path.iterdir()]] == ['["a"]', ["ids.json"]]
