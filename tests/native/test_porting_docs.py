"""The guides for users of other tools: their examples run, and their rules and options exist."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.cli import main
from loadtest.judging.threshold_parser import parse
from loadtest.profiles.profile import _ALLOWED
from tests.contracts.test_docs import ROOT, table
from tests.endings import ended_well

pytestmark = [pytest.mark.native, pytest.mark.timeout(200)]

GUIDE = (ROOT / "docs" / "porting.md").read_text()
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", GUIDE, re.DOTALL))
COMMANDS = re.findall(r"^\$ loadtest (.+)$", GUIDE, re.MULTILINE)
SHOWN_HOST = "https://staging.example.com"


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_guide_shows_works(command: str, tmp_path: Path, target_url: str) -> None:
    """Each command of the page, with the page's files, succeeds; so does each request."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOADTEST_", "LOCUST_"))}
    words = shlex.split(command.replace(SHOWN_HOST, target_url))
    done = subprocess.run(
        [Path(sys.executable).with_name("loadtest"), *words],
        cwd=tmp_path,
        env={**kept, "LOADTEST_EXPORTER_PORT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended_well(done.returncode, done.stdout), done.stdout + done.stderr
    assert re.search(r": all worked$" if words[0] == "check" else r"^ +all +\d+ +0 ", done.stdout, re.MULTILINE)


def test_every_file_and_kind_of_command_is_shown() -> None:
    """The page has a file and a run for Locust and for k6, and a check before the first run."""
    assert set(FILES) == {"shop.py", "visits.py"}
    assert [command.split()[0] for command in COMMANDS] == ["check", "run", "run"]


def test_the_words_beside_each_other_exist() -> None:
    """In this product's column, every rule, key of a profile and option exists."""
    cells = [row[-1] for name in ("From k6", "From JMeter and Gatling") for row in table("docs/porting.md", name)]
    codes = [code for cell in cells for code in re.findall(r"`([^`]+)`", cell)]
    rules = [code for code in codes if re.search(r" < \d", code)]
    assert [len(parse(rule, "the guide")) for rule in rules] == [1] * 4
    assert {"rate_per_s", "max_users", "pre_allocated_users"} <= set(_ALLOWED) & set(codes)
    options = {option for command in main.commands.values() for each in command.params for option in each.opts}
    named = {word for code in codes for word in re.findall(r"(?<!\S)--?[a-z][a-z-]*", code)}
    assert named - {"--scale"} <= options
