"""The reference tables say what the code says."""

import re
from pathlib import Path

from loadtest import scenarios
from loadtest.exceptions import ExitCode
from loadtest.settings.config import Config, variable

ROOT = Path(__file__).parents[2]


def table(file: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table under a heading, without its head."""
    section = (ROOT / file).read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_every_setting_is_documented() -> None:
    """The settings table lists each setting with its variable, default, limits and meaning."""
    expected = [
        [f"`{variable(name)}`", _default(field.default), _extra(field, "allowed"), field.description]
        for name, field in Config.model_fields.items()
    ]
    assert table("docs/reference/settings.md", "Settings") == expected


def test_every_exit_code_is_documented() -> None:
    """The table of exit codes lists each code once, by number and name."""
    rows = [row[:2] for row in table("docs/reference/exit_codes.md", "Exit codes")]
    assert rows == [[str(int(code)), code.name.lower().replace("_", " ")] for code in ExitCode]


def test_every_scenario_is_documented() -> None:
    """docs/scenarios.md lists the scenarios that come along."""
    rows = [row[0].strip("`") for row in table("docs/scenarios.md", "What comes along")]
    assert sorted(rows) == scenarios.names()


def test_help_lists_every_exit_code() -> None:
    """`loadtest --help` names the same codes."""
    text = (ROOT / "locust" / "loadtest" / "cli.py").read_text()
    numbers = re.findall(r"\b(\d+) ", text.split('EXIT_CODES = """', 1)[1].split('"""', 1)[0])
    assert numbers == [str(int(code)) for code in ExitCode]


def _default(value: object) -> str:
    return "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)


def _extra(field, key: str) -> str:
    return str(field.json_schema_extra[key])
