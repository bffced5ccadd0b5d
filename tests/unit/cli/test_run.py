"""`loadtest run` refuses what is wrong before anything starts."""

from pathlib import Path

import pytest

from .invoking import invoke


@pytest.mark.parametrize("command", ["profiles", "run"])
def test_a_wrong_file_of_profiles_is_wrong_usage(command: str, tmp_path: Path) -> None:
    """The exit code is 2, and the error has the line of the mistake."""
    file = tmp_path / "mine.toml"
    file.write_text('[mine]\nrate_per_s = 0\nmax_users = 3\nrun_time = "5s"\n')
    result = invoke(command, "--profiles-file", str(file))
    assert (result.exit_code, "mine.toml, line 2: [mine] rate_per_s = 0 is not allowed." in result.stderr) == (2, True)


def test_a_setting_that_has_no_option_is_named_by_its_variable() -> None:
    """The nearest option would set another port."""
    result = invoke("run", "--exporter-port", "9999")
    assert (result.exit_code, "set LOADTEST_EXPORTER_PORT in the environment" in result.stderr) == (2, True)
    assert "did you mean --users?" in invoke("run", "--userz", "5").stderr


def test_everything_wrong_is_said_before_anything_starts() -> None:
    """Wrong names of scenarios, the profile and both rules are lines of one error."""
    result = invoke(
        *("run", "--profile", "quik"),
        *("--threshold", "p99 < 50", "--threshold", 'error_ratio{name="health/liv"} < 1%', "--scenario", "health"),
    )
    lines = [line.removeprefix("error: ") for line in result.stderr.splitlines()]
    assert result.exit_code == 2
    starts = ("PROFILE=quik is not known.", "THRESHOLD: 'p99 < 50': 50 has no unit.", "THRESHOLD: 'error_ratio{name=")
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True] * 3, lines
    assert lines[2].endswith("did you mean health/live?")


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
    """An unusable file, store or order is named, without its password."""
    result = invoke("run", "--scenario", "coin_queue", option, value)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "hidden" not in result.stderr


@pytest.mark.parametrize("missing", ["--baseline", "--run-time", "no UI"])
def test_a_run_that_ends_when_it_is_decided_needs_what_decides_it(missing: str) -> None:
    """It needs a baseline, a maximum time, and no web UI."""
    given = {"--baseline": ("--baseline", "old"), "--run-time": ("--run-time", "10m"), "no UI": ()}
    options = [part for name, parts in given.items() if name != missing for part in parts]
    ui = ["--ui"] if missing == "no UI" else []
    result = invoke("run", "--until-decided", *options, *ui, "--scenario", "health")
    assert (result.exit_code, "--until-decided needs --baseline with a run" in result.stderr) == (2, True), (
        result.output
    )


def test_standard_input_cannot_feed_several_runs() -> None:
    """The second start in the web UI would find it empty."""
    result = invoke("run", "--scenario", "coin_queue", "--ui", "--feed", "-.csv")
    assert (result.exit_code, "FEED=-.csv does not work with UI=1" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "a", "redis://:hidden@h \x1b]0;owned\x07"),
        ("duet", "--margin", "redis://:hidden@h\x1b[2J"),
        ("history", "--json=http://u:hidden@h\x9b2J"),
        ("redis://:hidden@h\x1b[2J",),
    ],
    ids=lambda given: given[0],
)
def test_what_is_no_option_is_quoted_without_secrets_and_commands(arguments: tuple[str, ...]) -> None:
    """The argument may be the name of a foreign file, expanded by a shell, and ends up in a build's log."""
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert [part for part in ("hidden", "\x1b", "\x07", "\x9b") if part in result.output] == []
