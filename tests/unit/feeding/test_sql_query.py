"""The query of an SQLAlchemy URL."""

import sqlite3
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from loadtest.exceptions import StackError, UsageError
from loadtest.feeding import sources


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database with customers."""
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE customers (id INTEGER, name TEXT, at TEXT, key BLOB)")
        rows = [(1, "Ada", "12:30 %", b"\x00"), (2, "Eve", None, None), (2, "Eve", None, None)]
        database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", rows)
    database.close()
    return f"sqlite:///{tmp_path}/shop.db"


def test_the_rows_of_a_table_are_records(url: str) -> None:
    """Values keep their types; equal rows are merged."""
    data = sources.read(f"{url}?table=customers")
    assert list(data.items) == [
        {"id": 1, "name": "Ada", "at": "12:30 %", "key": "AA=="},
        {"id": 2, "name": "Eve", "at": None, "key": None},
    ]
    assert data.duplicates == 1
    assert list(sources.read(f"{url}?table=customers", ids_only=True).items) == [1, 2]


def test_a_query_chooses(url: str) -> None:
    """Colons and per cent signs in it are taken literally."""
    query = quote("SELECT id FROM customers WHERE at LIKE '12:30 %' ORDER BY id")
    assert list(sources.read(f"{url}?query={query}").items) == [1]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "neither table nor query"),
        ("?table=a&query=b", "neither table nor query, or both"),
        ("?table=", "one of them is empty"),
        ("?table=none", "no such table: none"),
        ("?query=SELECT%20id,id%20FROM%20customers", "the columns are id, id"),
        ("?query=DELETE%20FROM%20customers", "the columns are none"),
        ("?query=SELEC", "syntax error"),
        ("?query=SELECT%20*%20FROM%20customers%20WHERE%20id%3D9", "no items"),
        ("?query=SELECT%20at%20FROM%20customers", r'item 2: {"at": null}: not an item'),
    ],
)
def test_a_wrong_query_is_said(url: str, query: str, words: str) -> None:
    """The error comes before the run begins, and the database is unchanged."""
    with pytest.raises(UsageError, match=words):
        sources.read(url + query)
    assert len(sources.read(f"{url}?table=customers").items) == 2


def test_what_cannot_be_reached_is_said_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is created; an unknown dialect, a missing driver and a missing SQLAlchemy are named."""
    for url, words in (
        (f"sqlite:///{tmp_path}/none.db?table=a", "there is no such file"),
        ("sqlite://?table=a", "there is no such file"),
        ("nosuchdb://me:secret@127.0.0.1/x?table=a", "nosuchdb"),
        ("oracle://me:secret@127.0.0.1/x?table=a", "No module named"),
    ):
        with pytest.raises((UsageError, StackError), match=words) as raised:
            sources.check(url)
        assert "secret" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(UsageError, match=r"needs SQLAlchemy.*Next: .*pip install sqlalchemy"):
        sources.check("sqlite:///a.db?table=a")
