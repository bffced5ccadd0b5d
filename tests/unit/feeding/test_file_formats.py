"""How the items of a feed are read from files: in pieces, from Parquet, and from standard input."""

import datetime as dt
import decimal
import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

import gevent
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from loadtest.exceptions import UsageError
from loadtest.feeding import sources
from loadtest.settings import data_file, json_values

VALUES = st.lists(
    st.one_of(
        st.text("aé€😀\u2028", min_size=1, max_size=9),
        st.integers(-(2**63), 2**64 - 1),
        st.fixed_dictionaries({"a": st.floats(allow_nan=False, allow_infinity=False), "b": st.none()}),
    ),
    min_size=1,
    max_size=40,
    unique_by=repr,
)


@given(VALUES, st.sampled_from([None, 0, 3]), st.booleans(), st.integers(1, 60))
def test_pieces_do_not_show(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], indent: int | None, is_ascii: bool, piece: int
) -> None:
    """However a JSON file is split while it is read, its values and the place of an error are the same."""
    path = tmp_path_factory.mktemp("cut") / "a.json"
    text = json.dumps(values, indent=indent, ensure_ascii=is_ascii)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_file, "_PIECE_BYTES", piece)
        patch.setattr(json_values, "LONGEST", 200)
        path.write_text(text, encoding="utf-8")
        assert list(sources.read(str(path)).items) == values
        path.write_text(f"{text[:-1]}, nul]", encoding="utf-8")
        line = text.count("\n") + 1
        column = len(text[:-1].rpartition("\n")[2]) + 3
        with pytest.raises(UsageError, match=f"line {line}, column {column}: not JSON "):
            sources.read(str(path))


def test_the_rows_of_a_parquet_file_are_records(tmp_path: Path) -> None:
    """Numbers stay numbers; dates, times and decimals become text; lists and mappings stay."""
    day = dt.datetime(2001, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    columns = {
        "id": [1, 2**40],
        "name": ["Ada", None],
        "born": [day.date(), None],
        "seen": [day, None],
        "coins": [decimal.Decimal("1.10"), None],
        "key": [b"\x00\xff", None],
        "tags": [["a", "b"], []],
        "at": [{"city": "Rome"}, {"city": None}],
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=1)
    assert list(sources.read(str(tmp_path / "a.parquet")).items) == [
        {
            "id": 1,
            "name": "Ada",
            "born": "2001-02-03",
            "seen": "2001-02-03T04:05:06+00:00",
            "coins": "1.10",
            "key": "AP8=",
            "tags": ["a", "b"],
            "at": {"city": "Rome"},
        },
        dict(zip(columns, (2**40, None, None, None, None, None, [], {"city": None}), strict=True)),
    ]
    parquet.write_table(pa.table({"id": ["a", "b"]}), tmp_path / "a.parquet")
    assert list(sources.read(str(tmp_path / "a.parquet")).items) == ["a", "b"]


def test_a_parquet_file_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors are a damaged file, two columns of one name, no values at all, and a missing pyarrow."""
    path = tmp_path / "a.parquet"
    table = pa.table({"id": [1, None]})
    for write, words in (
        (lambda: path.write_bytes(b""), r"cannot be read \("),
        (lambda: path.write_bytes(b"PAR1" + bytes(100)), r"cannot be read \("),
        (lambda: parquet.write_table(table, path), 'line 2, column 1: {"id": null}: not an item'),
        (lambda: parquet.write_table(pa.table([[1], [2]], ["a", "a"]), path), "the columns are a, a"),
        (lambda: monkeypatch.setitem(sys.modules, "pyarrow", None), "needs pyarrow"),
    ):
        write()
        with pytest.raises(UsageError, match=rf"a\.parquet.*{words}.*Next: "):
            sources.read(str(path))


@pytest.mark.parametrize(
    ("source", "pieces", "expected"),
    [
        ("-.csv", [b"id;name\n1;Ada\n"], [{"id": "1", "name": "Ada"}]),
        ("-.jsonl.gz", [gzip.compress(b"1\n2\n")], [1, 2]),
        ("-.json", [b"[1,", b"2]"], [1, 2]),
        ("-.json", [b"[1,\n2"], "standard input, line 2, column 2: not JSON"),
        ("-.csv", [], "standard input, line 1, column 1: no items"),
        ("-.parquet", [b"PAR1"], "standard input cannot be read"),
    ],
)
def test_standard_input_is_read_in_any_format(
    monkeypatch: pytest.MonkeyPatch, source: str, pieces: list[bytes], expected: Any
) -> None:
    """Other greenlets run while a slow pipe fills."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            for piece in pieces:
                gevent.sleep(0.05)
                pipe.write(piece)

    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        gevent.spawn(write)
        if isinstance(expected, str):
            with pytest.raises(UsageError, match=expected):
                sources.read(source)
        else:
            assert list(sources.read(source).items) == expected


def test_standard_input_that_nothing_comes_from_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it is closed, or a person's terminal, a run does not wait."""
    controlling, terminal = os.openpty()
    with os.fdopen(controlling), os.fdopen(terminal) as stdin:
        for given, reason in ((None, "it is closed"), (stdin, "it is a terminal")):
            monkeypatch.setattr(sys, "stdin", given)
            with pytest.raises(UsageError, match=rf"standard input cannot be read \({reason}"):
                sources.read("-.csv")
