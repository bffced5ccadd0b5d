"""Thresholds: the file of rules, the setting, and names that a scenario does not declare."""

from pathlib import Path

import pytest

from loadtest.exceptions import UsageError
from loadtest.judging import thresholds
from loadtest.judging.threshold_parser import parse
from loadtest.settings.config import Config


def requests() -> thresholds.Requests:
    """The requests that the scenario declares."""
    return [("GET", "documents/get"), ("PUT", "documents/put")]


def config(file: Path, text: str = "thresholds = []", **options: object) -> Config:
    """Return a Config whose thresholds file has that text."""
    file.write_text(text)
    return Config.load({"thresholds_file": file, **options}, environ={}, file=Path("/nonexistent"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of the test's thresholds file."""
    return tmp_path / "thresholds.toml"


def problems_of(settings: Config) -> list[str]:
    """Return the lines of the error, with the file's name alone."""
    with pytest.raises(UsageError) as caught:
        thresholds.of(settings, requests)
    return str(caught.value).replace(f"{settings.thresholds_file.parent}/", "").splitlines()


def test_the_setting_adds_rules_to_those_of_the_file(file: Path) -> None:
    """Rules of the file come first, and a rule in both counts once."""
    settings = config(file, "thresholds = ['p99 < 1s', 'max < 2s, min > 1us']", threshold="max < 2s, error_ratio < 5%")
    expected = ["p99(response_time) < 1s", "max(response_time) < 2s", "min(response_time) > 1us", "error_ratio < 5%"]
    assert [str(rule) for rule in thresholds.of(settings)] == expected


def test_a_warm_up_is_the_default_of_every_rule_about_load(file: Path) -> None:
    """A rule's own warm-up stays, and set-up has none."""
    rules = """thresholds = ['max < 2s', 'p50 < 1s warm_up=1s', 'max{phase="setup"} < 3s']"""
    assert [rule.warm_up_s for rule in thresholds.of(config(file, rules, warm_up="20s"))] == [20.0, 1.0, 0.0]


def test_the_shipped_file_holds_for_every_scenario() -> None:
    """Each run must meet it: at most 1 % of errors, and responses of the sample scenario within 1 s."""
    of_any = parse("error_ratio < 1%", "here")
    of_documents = parse('p95(response_time){scenario="documents"} < 1s', "here")
    for scenario, expected in {"health": of_any, "documents": [*of_any, *of_documents]}.items():
        settings = Config.load({"scenario": scenario}, environ={}, file=Path("/nonexistent"))
        assert list(thresholds.of(settings, requests)) == expected


def test_a_rule_of_the_file_about_another_scenario_is_left_out(file: Path) -> None:
    """One file serves several scenarios; on the command line such a rule is an error."""
    text = """thresholds = ['max{scenario="health", name="x"} < 1s', 'max{scenario="documents"} < 1s']"""
    assert [str(rule) for rule in thresholds.of(config(file, text), requests)] == [
        'max(response_time){scenario="documents"} < 1s'
    ]
    (problem,) = problems_of(config(file, threshold='max{scenario="health"} < 1s'))
    assert "the scenario documents has no scenario 'health'. Allowed: documents." in problem


def test_names_that_the_scenario_never_declares_are_refused_with_the_nearest(file: Path) -> None:
    """A misspelt name, an unknown method and a nonexistent pair are three lines with suggestions."""
    text = """
thresholds = [
  'p99{name="documents/gte"} < 1s',
  'p99{method="DELETE"} < 1s',  # nothing is near
  'p99{method="PUT", name="documents/get"} < 1s',
  'p99{method="GET", name="documents/get"} < 1s',
]"""
    lines = problems_of(config(file, text))
    assert [line.split(": ")[0] for line in lines] == [
        "thresholds.toml, line 3",
        "thresholds.toml, line 4",
        "thresholds.toml, line 5",
    ]
    assert (
        "has no name 'documents/gte'. Allowed: documents/get, documents/put. Next: did you mean documents/get?"
        in (lines[0])
    )
    assert "has no method 'DELETE'. Allowed: GET, PUT. Next: use one of them." in lines[1]
    assert "'documents/get' is not requested by method 'PUT'. Allowed: GET." in lines[2]


def test_names_are_not_checked_without_declarations(file: Path) -> None:
    """If the requests are not declared, every name is accepted."""
    assert len(thresholds.of(config(file, threshold='p99{name="x"} < 1s'))) == 1


def test_everything_wrong_is_reported_together(file: Path) -> None:
    """Wrong keys, rules and names in file and setting are lines of one error."""
    settings = config(
        file,
        "threshold = 1\nthresholds = [\n  'p99 < 50',\n  5,\n  'p99{name=\"x\"} < 1s',\n]",
        threshold="p99, max < 2",
    )
    expected = [
        "thresholds.toml, line 1: threshold is not a key of this file.",
        "thresholds.toml, line 3: 'p99 < 50': 50 has no unit.",
        "thresholds.toml, line 4: 5 is not a rule.",
        "thresholds.toml, line 5: 'p99(response_time){name=\"x\"} < 1s': the scenario documents has no name 'x'.",
        "THRESHOLD: 'p99': expected a comparison, not the end.",
        "THRESHOLD: 'max < 2': 2 has no unit.",
    ]
    assert [line.split(" Allowed: ")[0] for line in problems_of(settings)] == expected


@pytest.mark.parametrize("text", ["thresholds = 'p99 < 1s'", "thresholds = {}"])
def test_the_file_holds_a_list(file: Path, text: str) -> None:
    """Anything but a list is refused, with its line."""
    (problem,) = problems_of(config(file, text))
    assert problem.startswith("thresholds.toml, line 1: thresholds = ")
    assert "Allowed: a list of rules." in problem


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A configured file that is missing is an error, not an empty list."""
    settings = Config.load({"thresholds_file": tmp_path / "none.toml"}, environ={}, file=Path("/nonexistent"))
    (problem,) = problems_of(settings)
    assert "none.toml cannot be read (No such file or directory)" in problem


def test_the_scenarios_of_rules_that_are_left_out_are_known(file: Path) -> None:
    """A misspelt scenario must not silently leave a rule out."""
    rules = """thresholds = ['max{scenario="documnets"} < 2s', 'max{scenario="documents"} < 1s', 'max < 2s']"""
    assert thresholds.others(config(file, rules, scenario="documents")) == ("documnets",)
