"""AtomicFile: a file is whole or not there."""

from pathlib import Path

import pytest

from loadtest import atomic_file


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new content takes the place of the old, and no other file is left."""
    path = tmp_path / "a.json"
    for content in (b"a long old text", b"new"):
        atomic_file.replace(path, content)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A folder in the way of the file is an error, and the part that was written is removed."""
    path = tmp_path / "a.json"
    path.mkdir()
    with pytest.raises(OSError, match=r"a\.json"):
        atomic_file.replace(path, b"new")
    assert list(tmp_path.iterdir()) == [path]
