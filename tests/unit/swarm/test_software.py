"""The software of a process, and whether another one runs the same."""

from pathlib import Path

import pytest
from locust.env import Environment

from loadtest.session import Session
from loadtest.swarm import software
from loadtest.swarm.software import Software

OWN = Software("0.1.0 aa", "mine bb")


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (OWN, ""),
        (OWN._replace(package="0.1.0 ab"), "another version of loadtest"),
        (None, "another version of loadtest"),
        (OWN._replace(scenario="mine bc"), "another scenario, or other files of it,"),
        (OWN._replace(scenario="yours bb"), "another scenario, or other files of it,"),
    ],
)
def test_what_differs_is_named(other: Software | None, expected: str) -> None:
    """A worker that does not name its software is older."""
    assert OWN.differs_by(other) == expected


def test_files_are_known_by_name_and_content_wherever_they_are(tmp_path: Path) -> None:
    """Each process may have them in another folder; a change in one of them is noticed."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "mine.py").write_text("import helper")
        (folder / "helper.py").write_text("PAUSE_S = 1")

    def of(folder: Path) -> Software:
        return Software.of("mine", [folder / "mine.py", folder / "helper.py"])

    assert of(here) == of(there) == Software.of("mine", [there / "helper.py", there / "mine.py"])
    (there / "helper.py").write_text("PAUSE_S = 2")
    assert of(here).differs_by(of(there)) == "another scenario, or other files of it,"
    assert of(here).package == of(there).package


def test_a_process_says_what_it_runs_by_its_environment() -> None:
    """Its end of the link finds the software there."""
    environment = Environment()
    software.note(environment, "health", ())
    assert Session.of(environment).find(Software) == Software.of("health", ())
