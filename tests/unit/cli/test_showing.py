"""The commands that only show something: the profiles."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadtest.profiles.profile import read_profiles
from tests.redis_harness import scripted_server

from .invoking import invoke

LONG = "n" * 10_000


def test_profiles_are_listed_as_plain_lines() -> None:
    """Without a terminal there is one line for each profile."""
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
    """Python says it by an exception, where it says of other paths that nothing is there."""
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
