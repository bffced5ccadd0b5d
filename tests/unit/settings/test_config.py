"""Config: the sources of a setting, and the error for an invalid one."""

import os
from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode, UsageError
from loadtest.settings.config import STACK_REDIS_URL, Config, default_workers, setting_of, variable

NO_FILE = Path("/nonexistent/loadtest.env")


def load(options: dict[str, object] | None = None, *, environ: dict[str, str] | None = None, file: Path = NO_FILE):
    """Load a Config from a test's values only."""
    return Config.load(options, environ=environ or {}, file=file)


def test_command_line_wins_over_environment_over_file(tmp_path: Path) -> None:
    """Precedence is defaults < file < environment < command line."""
    file = tmp_path / "loadtest.env"
    file.write_text("# comment\n\nLOADTEST_USERS=1\nLOADTEST_PROFILE=medium\nLOADTEST_WORKERS=3\n")
    config = load(
        {"users": "3", "host": None}, environ={"LOADTEST_USERS": "2", "LOADTEST_PROFILE": "stress"}, file=file
    )
    assert (config.users, config.profile, config.workers, config.scenario) == (3, "stress", 3, "documents")


def test_a_redis_for_the_load_alone_is_refused_in_the_stack(tmp_path: Path) -> None:
    """The sample target does not read loadtest.env: it would use the stack's Redis, and the load another one."""
    file = tmp_path / "loadtest.env"
    file.write_text("REDIS_URL=redis://mine:6379/0\n")
    with pytest.raises(UsageError, match=r"does not reach the sample target of the Compose stack.*Next: move it there"):
        load(environ={"REDIS_URL": STACK_REDIS_URL}, file=file)
    assert load(environ={"REDIS_URL": "redis://else:6379/0"}, file=file).redis_url == "redis://else:6379/0"
    assert load(file=file).redis_url == "redis://mine:6379/0"


def test_empty_variable_counts_as_not_given() -> None:
    """`LOADTEST_USERS=` in an env file or in Compose means the default."""
    assert load(environ={"LOADTEST_USERS": "", "REDIS_URL": ""}).users is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("users", "-1"),
        ("users", "0"),
        ("users", "5000000"),
        ("users", "ten"),
        ("spawn_rate", "nan"),
        ("spawn_rate", "0"),
        ("run_time", "abc"),
        ("run_time", "0s"),
        ("run_time", "8000h"),
        ("workers", "0"),
        ("host", "localhost 5000"),
        ("host", "http://"),
        ("host", "http://a:99999"),
        ("redis_url", "http://a"),
        ("redis_url", "redis://a:port"),
        ("client", "curl"),
        ("web_port", "70000"),
        ("run_id", "../../etc"),
    ],
)
def test_wrong_value_is_explained(name: str, value: str) -> None:
    """The error has the setting, the value, its source, what is allowed and the next step."""
    with pytest.raises(UsageError) as caught:
        load({name: value})
    text = str(caught.value)
    expected = (
        f"{variable(name).removeprefix('LOADTEST_')}={value} (from --{name.replace('_', '-')} on the command line)"
    )
    assert text.startswith(expected)
    assert "Allowed: " in text
    assert "Next: " in text
    assert caught.value.exit_code == ExitCode.USAGE


def test_all_errors_are_reported_together() -> None:
    """Three mistakes are reported together."""
    with pytest.raises(UsageError) as caught:
        load({"users": "-1"}, environ={"LOADTEST_RUN_TIME": "abc", "LOADTEST_USRES": "1"})
    first_words = sorted(line.split("=")[0].split(" ")[0] for line in str(caught.value).splitlines())
    assert first_words == ["LOADTEST_USRES", "RUN_TIME", "USERS"]


def test_only_a_line_feed_ends_a_setting_of_the_file(tmp_path: Path) -> None:
    """A byte order mark is not part of a name, and other line separators are part of a value."""
    file = tmp_path / "loadtest.env"
    file.write_text("\ufeffLOADTEST_FEED=a\u2028b.csv\r\nLOADTEST_RUN_ID=night\r\n", newline="")
    config = Config.load(environ={}, file=file)
    assert (config.feed, config.run_id) == ("a\u2028b.csv", "night")


def test_malformed_file_names_its_line(tmp_path: Path) -> None:
    """A malformed line is refused with file and line number."""
    file = tmp_path / "loadtest.env"
    file.write_text("LOADTEST_USERS=1\nexport LOADTEST_WORKERS 2\n")
    with pytest.raises(UsageError, match=rf"{file}, line 2"):
        load(file=file)


def test_a_setting_without_its_prefix_is_refused_in_the_file(tmp_path: Path) -> None:
    """USERS=5 in the file would be ignored silently; unrelated names are accepted."""
    file = tmp_path / "loadtest.env"
    file.write_text("USERS=5\nGRAFANA_PORT=3001\n")
    with pytest.raises(UsageError, match=r"^USERS \(in .*\) is not read from there. Allowed: LOADTEST_USERS. Next: "):
        load(file=file)


def test_environment_carries_the_config_to_a_child() -> None:
    """A child process that reads the variables gets the same Config."""
    config = load({"users": 7, "run_time": "90s", "redis_url": "redis://127.0.0.1:1/0", "ui": True, "host": "http://a"})
    assert load(environ=config.environment()) == config


def test_variables_and_settings_are_inverse() -> None:
    """Every setting has one variable, which leads back to it."""
    assert [setting_of(variable(name)) for name in Config.model_fields] == list(Config.model_fields)


def test_foreign_variables_are_left_alone() -> None:
    """LOCUST_* and the rest of the environment are not settings of this product."""
    assert load(environ={"LOCUST_USERS": "9", "HOST": "laptop", "PATH": os.environ["PATH"]}) == load()


def test_default_workers_leave_a_core_for_the_rest() -> None:
    """If there are several cores, one is left for the master, the target and Redis."""
    assert default_workers() == max(1, (os.cpu_count() or 1) - 1)
