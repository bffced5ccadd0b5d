"""RunFolder: names and paths of runs."""

import re
import stat
from pathlib import Path

import pytest

from loadtest.exceptions import UsageError
from loadtest.run_folder import RunFolder, check_writable, new_run_id


def held(runs_dir: Path, name: str) -> None:
    """Make a folder that contains a run."""
    (runs_dir / name).mkdir(parents=True)
    (runs_dir / name / "record.stream").touch()


def test_a_new_run_is_named_by_time_and_what_it_runs() -> None:
    """The name is the UTC time to the second, then the parts, which may contain other letters than a RUN_ID."""
    assert re.fullmatch(r"\d{8}T\d{6}Z-documents-quick", new_run_id("documents", "quick"))
    assert re.fullmatch(r"\d{8}T\d{6}Z-my-shop-k-rve", new_run_id("my shop", "kürve"))
    assert re.fullmatch(r"\d{8}T\d{6}Z-shop", new_run_id("shop", "曲线"))
    assert re.fullmatch(r"\d{8}T\d{6}Z-shop-a{68}", new_run_id("shop", "a" * 200))


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    """This includes an empty folder: another process may be about to write to it."""
    folder = RunFolder.create(tmp_path / "runs", "night")
    assert folder.path.is_dir()
    with pytest.raises(UsageError, match="RUN_ID=night is taken"):
        RunFolder.create(tmp_path / "runs", "night")


def test_runs_that_begin_within_a_second_get_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generated names may be changed; other reasons why a folder cannot be made are still reported."""
    monkeypatch.setattr("loadtest.run_folder.new_run_id", lambda *parts: "-".join(("now", *parts)))
    names = [RunFolder.begin(tmp_path, None, "health", "quick").name for _ in range(3)]
    assert names == ["now-health-quick", "now-health-quick-2", "now-health-quick-3"]
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file"):
        RunFolder.begin(tmp_path / "file", None, "health")
    assert RunFolder.begin(tmp_path, "mine", "health").name == "mine"
    with pytest.raises(UsageError, match="RUN_ID=mine is taken"):
        RunFolder.begin(tmp_path, "mine", "health")


def test_the_results_of_a_run_are_its_accounts_alone(tmp_path: Path) -> None:
    """They may contain personal data from a service; anybody may have made the runs folder."""
    for folder in (RunFolder.create(tmp_path / "runs", "night"), RunFolder.create_next(tmp_path / "runs", "day")):
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_a_later_run_of_the_same_name_gets_a_number(tmp_path: Path) -> None:
    """A folder without a run is used; one with a run is left unchanged."""
    RunFolder.create(tmp_path, "night")
    assert RunFolder.create_next(tmp_path, "night").name == "night"
    held(tmp_path, "day")
    held(tmp_path, "day-2")
    assert RunFolder.create_next(tmp_path, "day").path == tmp_path / "day-3"


@pytest.mark.parametrize("create", [RunFolder.create, RunFolder.create_next])
def test_a_runs_folder_that_cannot_be_written_is_named(create: object) -> None:
    """The error has the reason and the setting with another place."""
    with pytest.raises(UsageError, match=r"RUNS_DIR=/proc/version cannot be written \(Not a directory\)"):
        create(Path("/proc/version"), "night")


@pytest.mark.parametrize("runs_dir", ["/proc/version", "/proc/version/runs", "/proc/runs", "/proc/self"])
def test_a_runs_folder_that_cannot_be_written_is_found_before_a_run(runs_dir: str) -> None:
    """These are a file, a path below a file, a folder that cannot be made, and one that not even root can write to."""
    with pytest.raises(UsageError, match=rf"RUNS_DIR={runs_dir} cannot be written \(.*Next: "):
        check_writable(Path(runs_dir))


def test_looking_whether_runs_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    """Neither the folder nor a file in it is left."""
    check_writable(tmp_path)
    check_writable(tmp_path / "runs" / "of today")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_somebody_else_in_the_runs_folder_is_refused() -> None:
    """A folder with the run's name exists, without a run, and is not writable."""
    with pytest.raises(UsageError, match=r"RUNS_DIR=/proc cannot be written"):
        RunFolder.create_next(Path("/proc"), "self")


def test_a_run_is_found_by_its_path_or_its_name(tmp_path: Path) -> None:
    """An existing path takes precedence; anything else is a name in the runs folder."""
    held(tmp_path, "night")
    assert RunFolder.find(str(tmp_path / "night"), Path("runs")) == RunFolder(tmp_path / "night")
    assert RunFolder.find("night", tmp_path) == RunFolder(tmp_path / "night")


def test_all_runs_are_listed_by_name(tmp_path: Path) -> None:
    """Files, and folders without a record, are not runs."""
    held(tmp_path, "b")
    held(tmp_path, "a")
    (tmp_path / "c").mkdir()
    (tmp_path / "baselines.json").touch()
    assert [folder.name for folder in RunFolder.all(tmp_path)] == ["a", "b"]
