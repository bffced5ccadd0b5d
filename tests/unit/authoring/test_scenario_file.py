"""Scenario files are short, run at once, are written whole, and never overwrite another."""

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from loadtest import scenarios
from loadtest.authoring import scenario_file
from loadtest.cli import main
from loadtest.exceptions import ExitCode, UsageError
from tests.journeys import run_each_task_once


def init(*arguments: str) -> tuple[int, str]:
    """Run `loadtest init`, and return its exit code and output."""
    done = CliRunner().invoke(main, ["init", *arguments])
    return done.exit_code, done.output


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a temporary folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_drafted_scenario_is_short_and_runs_at_once(folder: Path, target_url: str) -> None:
    """The scenario has fewer than forty lines, and every declared request succeeds against the sample target."""
    code, output = init("my-scenario")
    assert code == 0, output
    assert "loadtest run --scenario" in output
    assert len((folder / "my-scenario.py").read_text().splitlines()) < 40
    scenario = scenarios.load("my-scenario.py")
    requests = run_each_task_once(scenario.user_classes[0], target_url)
    assert [(request.method, request.name) for request in requests] == list(scenario.requests)
    assert [request.error for request in requests] == [None, None]


def test_a_file_that_exists_is_left_alone(folder: Path) -> None:
    """The second call is refused, and changes nothing."""
    (folder / "mine.py").write_text("my work")
    code, output = init("mine")
    assert (
        code,
        (folder / "mine.py").read_text(),
        [path.name for path in folder.iterdir()],
    ) == (ExitCode.USAGE, "my work", ["mine.py"])
    assert "mine.py already exists" in output


@pytest.mark.parametrize("name", ["My", "1st", "a/b", "../x", "a.py", "", "x" * 61, "é"])
def test_a_name_that_is_none_is_refused(folder: Path, name: str) -> None:
    """Names are short and safe; with any other name nothing is written."""
    code, output = init(name)
    assert code == ExitCode.USAGE
    assert "Allowed: " in output
    assert list(folder.iterdir()) == []


def test_nothing_at_all_is_refused() -> None:
    """Without a name and a document there is nothing to write."""
    code, output = init()
    assert (code, "NAME is missing" in output) == (ExitCode.USAGE, True)


def test_a_folder_that_cannot_be_written_is_named() -> None:
    """The error names the reason and the next step."""
    with pytest.raises(UsageError, match=r"/proc/mine.py cannot be written .*Next: "):
        scenario_file.write("mine", "", Path("/proc"))


@pytest.mark.parametrize(
    ("title", "name"),
    [("Pet Store (v2)", "pet-store-v2"), ("42 Things!", "things"), ("API", "api"), ("", "my-scenario")],
)
def test_a_title_becomes_a_name(title: str, name: str) -> None:
    """Every title gives a valid name."""
    assert scenario_file.checked_name(scenario_file.name_from(title)) == name


def test_the_next_command_is_quoted(folder: Path) -> None:
    """A document cannot put commands of its own into the command that a person is told to run."""
    server = {"url": "http://ann:hunter2@x;touch${IFS}owned"}
    document = {"openapi": "3.0.3", "info": {"title": "T"}, "servers": [server], "paths": {"/a": {"get": {}}}}
    (folder / "api.json").write_text(json.dumps(document))
    code, output = init("own", "--openapi", "api.json")
    words = shlex.split(output.partition("next         ")[2].splitlines()[0])
    assert (code, words[:3], words[-1]) == (0, ["loadtest", "run", "--scenario"], "http://x;touch${IFS}owned")
