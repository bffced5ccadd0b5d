"""Make passes values on as text, even untrusted ones such as a branch name."""

import os
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]

COMMANDS = {
    "for the shell": "x';touch${IFS}OWNED;'y",
    "within a word of the shell": "x`touch${IFS}OWNED`$(touch${IFS}OWNED)",
    "for Make": "$(shell>OWNED)x",
    "for Make, twice": "$$(shell>OWNED)x",
}


def make(*words: str, **variables: str) -> str:
    """Run `make`, and return its output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOADTEST_", "LOCUST_"))}
    command = ["make", *words]
    return subprocess.run(
        command, cwd=ROOT, env={**kept, **variables}, capture_output=True, text=True, check=False
    ).stderr


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_a_value_of_make_is_no_command(command: str, tmp_path: Path) -> None:
    """A revision, a setting on the command line, and one from the environment arrive unchanged."""
    value = command.replace("OWNED", str(tmp_path / "owned"))
    said = make("duet", f"BASE={value}"), make("loadtest", f"PROFILE={value}"), make("loadtest", PROFILE=value)
    assert f"--base {value} is not a version" in said[0], said[0]
    assert [f"PROFILE={value} is not known" in one for one in said[1:]] == [True, True], said
    assert list(tmp_path.iterdir()) == []
