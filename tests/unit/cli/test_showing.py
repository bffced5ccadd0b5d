"""The commands that only show something, such as the profiles."""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest

from loadtest.exceptions import StackError
from loadtest.local import redis_server
from loadtest.profiles.profile import read_profiles
from tests.redis_harness import scripted_server

from .invoking import invoke

LONG = "n" * 10_000


def test_profiles_are_listed_as_plain_lines() -> None:
    """Without a terminal there is one line per profile."""
    lines = invoke("profiles").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(read_profiles())


def test_profiles_of_ones_own_file_are_listed_too(tmp_path: Path) -> None:
    """--profiles-file adds profiles, and --json gives every number."""
    file = tmp_path / "mine.toml"
    file.write_text('[mine]\nrate_per_s = 7\nmax_users = 3\nrun_time = "5s"\n')
    *_, mine = json.loads(invoke("profiles", "--profiles-file", str(file), "--json").stdout)
    assert (
        mine["name"],
        mine["model"],
        mine["run_time_s"],
        mine["stages"][0]["level"],
    ) == ("mine", "open", 5.0, 7.0)


@pytest.mark.parametrize(
    "arguments",
    [
        *(("profiles", "--profiles-file", LONG), ("report", LONG), ("compare", LONG, LONG), ("plan", LONG)),
        *(("baseline", "set", LONG), ("check", LONG), ("seed", "users", "--count", "1", "--out", LONG)),
    ],
    ids=lambda given: given[0],
)
def test_a_path_that_is_too_long_is_one_sentence(arguments: tuple[str, ...]) -> None:
    """Python raises an exception for it, whereas other missing paths simply do not exist."""
    done = invoke(*arguments)
    assert (type(done.exception), done.exit_code in {1, 2}, "error: " in done.stderr) == (SystemExit, True, True)


@pytest.mark.parametrize("more", [(), ("--json",)], ids=str)
def test_what_a_redis_says_commands_no_terminal(more: tuple[str, ...]) -> None:
    """Its errors are quoted."""

    def answer(connection: Any) -> None:
        while asked := connection.recv(4096):
            connection.sendall("-ERR \x1b]0;title\x07 \u202e \x9b31m\r\n".encode() * asked.count(b"*"))

    with scripted_server(answer) as url:
        shown = invoke("doctor", "--redis-url", f"{url}/0", *more).stdout
    assert ("0;title" in shown, [one for one in "\x1b\x07\u202e\x9b" if one in shown]) == (True, [])


def answering(reply: bytes) -> Callable[[Any], None]:
    """Return a server that sends this reply to everything."""

    def answer(connection: Any) -> None:
        while asked := connection.recv(4096):
            connection.sendall(reply * asked.count(b"*"))

    return answer


def test_what_a_redis_says_is_cut() -> None:
    """A megabyte of an error becomes one sentence."""
    with scripted_server(answering(b"-ERR " + b"x" * 1_000_000 + b"\r\n")) as url:
        done = invoke("doctor", "--redis-url", f"{url}/0")
    assert ("offers no RedisJSON (x" in done.stdout, len(done.output) < 5_000) == (True, True)


def test_a_redis_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It announces two thousand million values and sends one now and then: no single value is late."""
    monkeypatch.setattr(redis_server, "_LONGEST_PROBE_S", 1.5)

    def answer(connection: Any) -> None:
        connection.recv(4096)
        connection.sendall(b"*2147483647\r\n")
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b":1\r\n")
                gevent.sleep(0.2)

    began_s = time.monotonic()
    with scripted_server(answer) as url, pytest.raises(StackError, match=r"the whole answer takes more than 1\.5 s"):
        redis_server.check_given(f"{url}/0")
    assert time.monotonic() - began_s < 30.0


def test_an_answer_of_a_redis_that_does_not_fit_into_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser allocates room for all announced values; a machine of 16 GB has none for 2**31."""

    def probe(_: str) -> None:
        raise MemoryError

    monkeypatch.setattr(redis_server, "_probe", probe)
    with pytest.raises(StackError, match="does not fit into memory"):
        redis_server.check_given("redis://127.0.0.1:1/0")


@pytest.mark.parametrize(
    "reply",
    [
        b":1\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"+OK\r\n",
        b"*2\r\n:1\r\n:2\r\n",
        b"*1\r\n*1\r\n$3\r\nset\r\n",
        b"*1\r\n" * 100_000,
    ],
    ids=lambda reply: repr(reply[:12]),
)
def test_an_answer_that_is_no_list_of_commands_is_one_sentence(tmp_path: Path, reply: bytes) -> None:
    """The server speaks the protocol, but is not a Redis."""
    (tmp_path / "monitor.log").write_text('1764174000.123456 [0 127.0.0.1:52114] "SET" "a" "b"\n')
    with scripted_server(answering(reply)) as url:
        done = invoke("replay", "--from-monitor", str(tmp_path / "monitor.log"), "--redis-url", f"{url}/0")
    assert (type(done.exception), done.exit_code, "does not list its commands" in done.stderr) == (SystemExit, 1, True)


@pytest.mark.parametrize("reply", [b":1\r\n", b"*1\r\n*1\r\n$3\r\nset\r\n", b"+OK\r\n", b"*0\r\n"], ids=repr)
def test_an_odd_list_of_modules_is_not_listable(reply: bytes) -> None:
    """Each reply is taken as that of a Redis with RedisJSON, but without a list of modules."""
    with scripted_server(answering(reply)) as url:
        assert redis_server.modules(f"{url}/0") == []
