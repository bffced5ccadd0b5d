"""The users of the Compose stack's Redis: each service has its commands under its prefix, and no more."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from loadtest.local import redisjson_module
from loadtest.scenarios import _sample_accounts, documents
from target_app import seed
from tests.redis_harness import PrivateRedis, client_of

CONF = Path(__file__).parents[3] / "docker" / "redis" / "redis.conf"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """A Redis with the users of the stack's configuration."""
    folder = tmp_path_factory.mktemp("redis")
    users = folder / "users.conf"
    users.write_text("".join(line for line in CONF.read_text().splitlines(True) if line.startswith("user ")))
    module = redisjson_module.fetched(lambda _text: None)
    server = PrivateRedis(str(module), folder, ("--include", str(users)))
    yield server
    server.close()


def as_user(server: PrivateRedis, user: str) -> redis.Redis:
    """Return a client logged in as this user."""
    return redis.Redis.from_url(f"redis://{user}@127.0.0.1:{server.port}/0", protocol=2)


ALLOWED = {
    "target_app": (
        "JSON.SET loadtest:a $ {}",
        "JSON.GET loadtest:",
        "HSET loadtest:h a 1",
        "SCAN 0 COUNT 500 TYPE ReJSON-RL",
        "MULTI",
    ),
    "locust": (
        "JSON.SET loadtest:b $ {}",
        "JSON.MGET loadtest:a loadtest:b $",
        "SET loadtest:c 1 EX 10",
        "DEL loadtest:c",
        "INFO server",
        "INFO modules",
        "DBSIZE",
    ),
    "redis_exporter": ("INFO ALL", "CONFIG GET *", "SLOWLOG LEN", "LATENCY LATEST"),
    "health": ("JSON.TYPE healthcheck",),
}
ADMINISTRATION = (
    "FLUSHALL",
    "FLUSHDB",
    "CONFIG SET maxmemory 1",
    "CONFIG REWRITE",
    "SHUTDOWN NOSAVE",
    "DEBUG SLEEP 0",
    "MODULE LIST",
    "ACL LIST",
    "ACL SETUSER me on nopass +@all",
    "REPLICAOF 127.0.0.1 1",
    "MONITOR",
    "SAVE",
    "CLIENT KILL ID 1",
    "SCRIPT FLUSH",
    "FUNCTION FLUSH",
    "KEYS *",
    "SWAPDB 0 1",
    "MIGRATE 127.0.0.1 1 loadtest:a 0 1",
)
OTHERS_KEYS = (
    "GET other",
    "SET other 1",
    "JSON.SET other $ {}",
    "JSON.GET other",
    "RENAME loadtest:a other",
    "COPY loadtest:a other",
)
WITHOUT_END = (
    "EVAL while(true)do(1)end 0",
    "EVALSHA 0 0",
    "EVAL_RO return(1) 0",
    "FCALL f 0",
    "FCALL_RO f 0",
    "FUNCTION LOAD #!lua",
    "SCRIPT LOAD return",
    "LCS loadtest:a loadtest:b",
    "SORT loadtest:a",
)
"""What could keep Redis busy for ever, or hold it for longer than a command should."""
REFUSED = {
    "target_app": (),
    "locust": (),
    "redis_exporter": ("GET loadtest:a",),
    "health": ("JSON.GET healthcheck", "INFO"),
}
NO = re.compile(r"no permissions|NOPERM|can't run|can't access|not allowed from script")


@pytest.mark.parametrize("user", ALLOWED)
def test_a_service_may_do_its_work(server: PrivateRedis, user: str) -> None:
    """Every command that a service sends succeeds."""
    with as_user(server, user) as connection:
        for command in ALLOWED[user]:
            connection.execute_command(*command.split(" "))


@pytest.mark.parametrize("user", REFUSED)
def test_a_service_may_do_nothing_else(server: PrivateRedis, user: str) -> None:
    """Redis refuses administration, scripts, other keys, and commands that never end or take very long."""
    with as_user(server, user) as connection:
        for command in (*ADMINISTRATION, *OTHERS_KEYS, *WITHOUT_END, *REFUSED[user]):
            with pytest.raises(redis.ResponseError, match=NO):
                connection.execute_command(*command.split(" "))


@pytest.mark.parametrize("user", ["", "default@"])
def test_nobody_without_a_name_may_do_anything(server: PrivateRedis, user: str) -> None:
    """The default user is disabled."""
    connection = redis.Redis.from_url(f"redis://{user}127.0.0.1:{server.port}/0", protocol=2)
    with connection, pytest.raises(redis.AuthenticationError, match=r"required|invalid username"):
        connection.get("loadtest:a")


def test_the_load_and_its_data_need_no_more(server: PrivateRedis) -> None:
    """A user without a password may write, read and remove the data of a run, using this product's client."""
    url = f"redis://locust@127.0.0.1:{server.port}/0"
    documents.load_data(url, lambda _done, _total: None)
    with client_of(url) as client:
        assert client.json().get("loadtest:document:type-small", "$.id")
    assert documents.remove_data(url, "mine") == len(seed.keys())
    assert _sample_accounts.remove(url, "education", "mine") == 0
