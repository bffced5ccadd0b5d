"""AtomicFile: a file is complete or absent."""

from pathlib import Path

import pytest

from loadtest import atomic_file


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new content replaces the old one, and no other file is left."""
    path = tmp_path / "a.json"
    for content in (b"a long old text", b"new"):
        atomic_file.replace(path, content)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A folder in place of the file is an error, and the partial file is removed."""
    path = tmp_path / "a.json"
    path.mkdir()
    with pytest.raises(OSError, match=r"a\.json"):
        atomic_file.replace(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_a_folder_from_elsewhere_leads_to_no_other_file(tmp_path: Path) -> None:
    """Links in the folder, under whatever name, leave their targets unchanged."""
    mine, folder = tmp_path / "mine", tmp_path / "folder"
    mine.write_bytes(b"mine")
    folder.mkdir()
    for name in ("report.html", "report.html.part", ".report.html.part"):
        (folder / name).symlink_to(mine)
    atomic_file.replace(folder / "report.html", b"new")
    assert (mine.read_bytes(), (folder / "report.html").is_symlink()) == (b"mine", False)


def test_the_part_has_a_name_of_its_own_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An existing file of that name is not overwritten."""
    monkeypatch.setattr(atomic_file.secrets, "token_hex", lambda _bytes: "guessed")
    (tmp_path / ".a.guessed.part").symlink_to(tmp_path / "other")
    with pytest.raises(FileExistsError):
        atomic_file.replace(tmp_path / "a", b"new")
    assert not (tmp_path / "other").exists()
