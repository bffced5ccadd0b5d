"""The command line's part in profiles and thresholds: listing, and refusing before anything starts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from loadtest import cli
from loadtest.profiles.profile import read_profiles


def invoke(*arguments: str) -> Result:
    """Run `loadtest` with these arguments and no settings in the environment."""
    return CliRunner(env={"LOADTEST_EXPORTER_PORT": "0", "LOADTEST_TARGET_PORT": "0"}).invoke(cli.main, arguments)


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


@pytest.mark.parametrize("command", ["profiles", "run"])
def test_a_wrong_file_of_profiles_is_wrong_usage(command: str, tmp_path: Path) -> None:
    """Exit code 2 and the line of the mistake."""
    file = tmp_path / "mine.toml"
    file.write_text('[mine]\nrate_per_s = 0\nmax_users = 3\nrun_time = "5s"\n')
    result = invoke(command, "--profiles-file", str(file))
    assert (result.exit_code, "mine.toml, line 2: [mine] rate_per_s = 0 is not allowed." in result.stderr) == (2, True)


def test_everything_wrong_is_said_before_anything_starts() -> None:
    """Scenario's names, profile and both rules are lines of one error."""
    result = invoke(
        *("run", "--profile", "quik"),
        *("--threshold", "p99 < 50", "--threshold", 'error_ratio{name="health/liv"} < 1%', "--scenario", "health"),
    )
    lines = [line.removeprefix("error: ") for line in result.stderr.splitlines()]
    assert result.exit_code == 2
    starts = ("PROFILE=quik is not known.", "THRESHOLD: 'p99 < 50': 50 has no unit.", "THRESHOLD: 'error_ratio{name=")
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True] * 3, lines
    assert lines[2].endswith("did you mean health/live?")


def test_declared_requests_are_those_of_the_scenario() -> None:
    """A process of its own reads them, so that this one keeps the standard library's sockets."""
    assert set(cli.declared("health").requests) == {("GET", "health/live"), ("GET", "health/ready")}


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--feed", "none.json", "none.json cannot be read"),
        ("--feed", "ids.xml", "FEED=ids.xml has an unknown format"),
        ("--feed", "redis://hidden@127.0.0.1:1/0?key=", "FEED=redis://***@127.0.0.1:1/0?key=: "),
        ("--feed", "sqlite:///none.db?table=a", "there is no such file"),
        ("--feed", "postgres://hidden@127.0.0.1/x", "FEED=postgres://***@127.0.0.1/x: "),
        ("--feed", "mongodb://me:hidden@127.0.0.1/x", "--feed contains a password, which everyone on this machine"),
        ("--redis-url", "redis://:hidden@127.0.0.1:1/0", "set REDIS_URL there and omit --redis-url"),
        ("--feed-policy", "robin", "FEED_POLICY=robin is unknown"),
    ],
)
def test_wrong_test_data_is_said_before_anything_starts(option: str, value: str, words: str) -> None:
    """A file, a store or an order that cannot be used is named, and no password with it."""
    result = invoke("run", "--scenario", "coin_queue", option, value)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "hidden" not in result.stderr


def test_standard_input_cannot_feed_several_runs() -> None:
    """The second start of the web UI would find nothing."""
    result = invoke("run", "--scenario", "coin_queue", "--ui", "--feed", "-.csv")
    assert (result.exit_code, "FEED=-.csv does not work with UI=1" in result.stderr) == (2, True)


def test_the_command_line_does_without_locust() -> None:
    """Importing Locust would replace sockets and processes with gevent's, which the supervisor of a stack must not."""
    code = "import sys, loadtest.cli; print('locust' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_ctrl_c_while_the_command_line_is_imported_is_no_traceback() -> None:
    """It ends with the exit code of an interrupted run."""
    code = (
        "import sys, types\n"
        "class Raising(types.ModuleType):\n"
        "    def __getattr__(self, name): raise KeyboardInterrupt\n"
        "sys.modules['loadtest.cli'] = Raising('loadtest.cli')\n"
        "from loadtest.__main__ import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
