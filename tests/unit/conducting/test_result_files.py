"""The files of a run's folder, which may be moved or replaced during the run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest.conducting.result_files import ResultFiles
from loadtest.reporting import files
from loadtest.run_folder import RunFolder
from loadtest.settings.config import Config
from tests import reports


def removed(folder: Path, _: Path) -> None:
    """Remove the folder."""
    folder.rmdir()


def made_again(folder: Path, _: Path) -> None:
    """Remove the folder and make it again, possibly with the same inode."""
    folder.rmdir()
    folder.mkdir()


def replaced(folder: Path, _: Path) -> None:
    """Move the folder away, and create another in its place."""
    folder.rename(folder.with_name("moved"))
    folder.mkdir()


def linked(folder: Path, other: Path) -> None:
    """Move the folder away, and put a link to another folder in its place."""
    folder.rename(folder.with_name("moved"))
    folder.symlink_to(other)


@pytest.mark.parametrize("change", [removed, made_again, replaced, linked])
def test_nothing_is_written_into_what_took_the_place_of_the_folder(
    change: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    """One sentence reports it, the run does not pass, and its results are not uploaded."""
    (other := tmp_path / "other").mkdir()
    (other / "report.html").write_text("somebody's own")
    (url := tmp_path / "url").write_text("https://127.0.0.1:9/")
    folder = RunFolder.create(tmp_path / "runs", "night")
    change(folder.path, other)
    said: list[str] = []
    results = ResultFiles(folder, Config(results_url_file=url), lives_on=True, say=said.append)
    made = reports.run_document()
    (problem,) = results.write(made, files.of(made))
    results.send()
    assert problem.startswith(f"{folder.path} was removed or replaced while the run went on")
    assert (other / "report.html").read_text() == "somebody's own"
    assert [path.name for path in (tmp_path / "runs").rglob("*") if path.is_file()] == []
    assert said == []


def test_the_folder_may_be_moved_where_a_link_leads_back_to_it(tmp_path: Path) -> None:
    """The link leads to the same folder."""
    folder = RunFolder.create(tmp_path / "runs", "night")
    linked(folder.path, folder.path.with_name("moved"))
    made = reports.run_document()
    assert ResultFiles(folder, Config(), lives_on=False, say=str).write(made, files.of(made)) == []
    assert (tmp_path / "runs" / "moved" / "report.html").is_file()
