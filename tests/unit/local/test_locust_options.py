"""Locust's options together with this product's."""

import pytest

from loadtest.exceptions import UsageError
from loadtest.local import locust_options
from loadtest.settings.config import Config

OWN = {"-u": True, "--users": True, "--headless": False, "-f": True}


@pytest.mark.parametrize(
    ("line", "mine", "theirs"),
    [
        ("-f a.py -u 5 --headless", "-f a.py -u 5 --headless", ""),
        ("-u5 --users=6 --csv out -s 3", "-u5 --users=6", "--csv out -s 3"),
        ("--tags a b -u 5 -L INFO", "-u 5", "--tags a b -L INFO"),
        ("--tags a b -u 5 Shopper --csv out", "-u 5", "--tags a b --csv out -- Shopper"),
        ("--headless Shopper Admin", "--headless", "-- Shopper Admin"),
        ("Shopper -u 5", "-u 5", "Shopper"),
        ("--usersx 5 -u", "-u", "--usersx 5"),
    ],
)
def test_a_command_line_is_split(line: str, mine: str, theirs: str) -> None:
    """A word after an option of ours is a User class, not another value of a preceding Locust option."""
    assert locust_options.split(line.split(), OWN) == (mine.split(), theirs.split())


@pytest.mark.parametrize("option", ["--master", "--worker", "--master-host=a", "--expect-workers"])
def test_what_connects_the_stacks_processes_is_refused(option: str) -> None:
    """`loadtest run` sets these options itself."""
    with pytest.raises(UsageError, match="is not an option of `loadtest run`"):
        locust_options.split([option], OWN)


def test_a_worker_writes_no_files() -> None:
    """The options that prevent them are added whatever was given, before the names of User classes."""
    given = ["--csv", "out", "--", "Shopper"]
    assert locust_options.for_worker(given) == [
        *("--csv", "out", "--csv", "", "--html", "", "--json-file", "", "--", "Shopper")
    ]


def test_what_became_a_setting_is_taken_out_of_the_environment() -> None:
    """The others stay for Locust."""
    environ = {"LOCUST_USERS": "5", "LOCUST_MODE_MASTER": "1", "LOCUST_TAGS": "a", "PATH": "/bin"}
    locust_options.take_out(environ)
    assert environ == {"LOCUST_TAGS": "a", "PATH": "/bin"}


def test_a_setting_that_a_file_gives_too_is_repeated() -> None:
    """Locust's processes read the file again, and their command line takes precedence."""
    config = Config(host="http://a", users=3, run_time="2.5s", workers=2, autostart=True, ui=True)
    found = ("host", "users", "spawn_rate", "run_time", "workers", "autostart", "ui")
    assert locust_options.repeated(found, config) == ["--users=3", "--run-time=3", "--processes=0"]
    assert locust_options.repeated((), config) == []


def test_a_host_is_on_no_command_line() -> None:
    """It may contain a password, which everybody on the machine could read there; the variable also overrides files."""
    config = Config(host="redis://:hunter2@127.0.0.1:6379/0")
    assert locust_options.repeated(("host",), config) == []
    assert locust_options.environment(config) == {"LOCUST_HOST": config.host}
    assert locust_options.environment(Config()) == {}
