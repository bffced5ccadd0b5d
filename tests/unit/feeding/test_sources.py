"""Where the items of a feed come from."""

import logging
from pathlib import Path

import pytest

from loadtest.exceptions import LoadtestError, UsageError
from loadtest.feeding import sources


def written(folder: Path, name: str, text: str) -> str:
    """Write a file and return its path."""
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


@pytest.mark.parametrize(
    ("name", "text", "items"),
    [
        ("ids.json", '["a", "b"]', ["a", "b"]),
        ("ids.json", "\ufeff[1, 2]\n", [1, 2]),
        ("ids.json", '[{"id": "a", "name": "x"}, {"user_id": 2}]', ["a", 2]),
        ("ids.jsonl", '"a"\n\n2\n{"id": "c"}\n', ["a", 2, "c"]),
        ("ids.csv", "name,id\nx,a\n\ny,b\n", ["a", "b"]),
        ("ids.csv", '"User_ID"\r\n"a,1"\r\nb', ["a,1", "b"]),
        ("ids.CSV", "anything\na\nb\n", ["a", "b"]),
    ],
)
def test_a_file_is_read_by_its_ending(tmp_path: Path, name: str, text: str, items: list) -> None:
    """JSON, JSONL and CSV give strings and integers in their order."""
    assert sources.read(written(tmp_path, name, text)).items == items


@pytest.mark.parametrize(
    ("name", "text", "line", "column"),
    [
        ("ids.json", "", 1, 1),
        ("ids.json", "[]", 1, 1),
        ("ids.json", '["a",\n "b"\n "c"]', 3, 2),
        ("ids.json", '["a"', 1, 5),
        ("ids.json", '{"id": "a"}', 1, 1),
        ("ids.json", '["a",\n   1.5]', 2, 4),
        ("ids.json", '[\n  {"id": "a"},\n  {"name": "b"}]', 3, 3),
        ("ids.json", '["a", true]', 1, 7),
        ("ids.json", '["a", ""]', 1, 7),
        ("ids.jsonl", '"a"\n{"id": }', 2, 8),
        ("ids.jsonl", '"a"\nnull', 2, 1),
        ("ids.jsonl", "\n", 1, 1),
        ("ids.csv", "", 1, 1),
        ("ids.csv", "name,mail\nx,y\n", 1, 1),
        ("ids.csv", "id\n", 1, 1),
        ("ids.csv", "name,id\nx,a\ny\n", 3, 1),
        ("ids.csv", 'id\n"a"b\n', 2, 1),
    ],
)
def test_a_damaged_or_empty_file_is_named_with_line_and_column(
    tmp_path: Path, name: str, text: str, line: int, column: int
) -> None:
    """The error leads to the place in the file."""
    with pytest.raises(UsageError, match=rf"{name}, line {line}, column {column}: .*Allowed: .*Next: "):
        sources.read(written(tmp_path, name, text))


def test_duplicates_are_counted_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An id that comes again is taken once, and a warning says how many did."""
    with caplog.at_level(logging.WARNING):
        data = sources.read(written(tmp_path, "ids.json", '["a", "b", "a", "a"]'))
    assert (data.items, data.duplicates) == (["a", "b"], 2)
    assert "2 duplicates left out" in data.sentence
    assert "2 duplicates" in caplog.text


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    """A file that is not there, not UTF-8 or of an unknown format is named with what to do."""
    (tmp_path / "ids.json").write_bytes(b'["\xff"]')
    for name, words in (("none.json", "cannot be read"), ("ids.json", "not UTF-8"), ("ids.xml", "unknown format")):
        with pytest.raises(UsageError, match=rf"{name} .*{words}.*Next: "):
            sources.read(str(tmp_path / name))


def test_lists_and_functions_are_sources() -> None:
    """A scenario may hold its items, or make them."""
    assert ["a"] == sources.read(["a", "a"]).items == sources.read(lambda: ["a"]).items


@pytest.mark.parametrize("url", ["redis://user:secret@127.0.0.1:1/0", "redis://:secret@127.0.0.1:x/0"])
def test_an_unreachable_store_is_an_error_without_its_password(url: str) -> None:
    """Nothing secret is in what people see."""
    with pytest.raises(LoadtestError) as raised:
        sources.read(url)
    assert "secret" not in str(raised.value)
    assert "127.0.0.1" in str(raised.value)
