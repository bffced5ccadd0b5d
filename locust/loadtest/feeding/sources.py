"""Sources: where the items of a feed come from.

    users.csv, .tsv    the rows under the header row, which says what separates the columns
    users.jsonl        a JSON value on each line
    users.json         an array, or values one after another, as mongoexport and MongoDB's shells write them
    users.parquet      the rows
    -.csv, -.jsonl …   standard input, in that format
    redis://…          the ids of the users that `loadtest seed users` wrote, or what other keys hold
    mongodb://…        the documents of a collection, or one field of them
    a URL of SQLAlchemy's    the rows of a table or a query
    a list             the items
    a function         what it returns

An item is a text, a whole number, or a record: a mapping of columns. Records with a single column are reduced to its
values. Files may be compressed (.gz). Empty lines are skipped; duplicates are dropped and counted.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from loadtest.exceptions import UsageError
from loadtest.feeding import file_formats
from loadtest.feeding.file_formats import ITEM
from loadtest.feeding.mongo_query import MongoQuery
from loadtest.feeding.packed_items import PackedItems
from loadtest.feeding.redis_query import RedisQuery
from loadtest.feeding.sql_query import SqlQuery
from loadtest.progress import listed
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Source = str | Sequence[Any] | Callable[[], Iterable[Any]]

logger = logging.getLogger(__name__)

ID_COLUMNS: Final = ("id", "user_id", "_id")
_SHOWN: Final = 60
_MAX_SHOWN: Final = 20
"""The maximum number of column names in a sentence."""


@dataclass(frozen=True)
class Data:
    """The contents of a source.

    Attributes:
        items: each once, in the source's order.
        duplicates: how many were dropped.
        origin: the source, for people.
    """

    items: PackedItems
    duplicates: int
    origin: str

    @property
    def sentence(self) -> str:
        """Return a sentence with the number of items and their columns."""
        columns = self.items.columns
        names = f" with the column{'s' * (len(columns) > 1)} {listed(columns, _MAX_SHOWN)}" if columns else ""
        again = f" ({self.duplicates:,} duplicates left out)" if self.duplicates else ""
        return f"{len(self.items):,} items from {self.origin}{names}{again}"


def read(source: Source, *, ids_only: bool = False) -> Data:
    """Read a source; warn of duplicates.

    Args:
        source: the source to read.
        ids_only: whether the item of a record is its id: its only column, or its column in `ID_COLUMNS`.

    Raises:
        UsageError: a file that cannot be read, is damaged, has an unknown format, contains items that cannot be sent to
            the workers, or contains none.
        StackError: a store that does not answer.
    """
    found = PackedItems()
    if not isinstance(source, str):
        origin = "the scenario"
        values = _made(source)
        _add(found, enumerate(values, 1), _wrong_in(origin), _id_of if ids_only else lambda value: value)
    elif (query := _query(source, ID_COLUMNS if ids_only else None)) is not None:
        origin = without_credentials(source)
        with contextlib.closing(query.values()) as values:
            _add(found, enumerate(values, 1), _wrong_in(origin), _checked_id_of if ids_only else _checked)
    else:
        file = file_formats.open_file(source)
        origin = file.name

        def wrong(place: tuple[int, int], reason: str) -> UsageError:
            return file.wrong(*place, reason, ITEM)

        with contextlib.closing(file_formats.found_in(file)) as values:
            _add(found, values, wrong, _checked_id_of if ids_only else _checked)
    items = found.without_duplicates()
    if not len(items):
        place = ", line 1, column 1" if isinstance(source, str) and "://" not in source else ""
        raise UsageError(
            f"{origin}{place}: no items. Allowed: at least one. Next: fill it, for example with `loadtest seed users`."
        )
    data = Data(items, len(found) - len(items), origin)
    if data.duplicates:
        logger.warning("%s: left out %d duplicates", origin, data.duplicates)
    return data


def check(source: str) -> None:
    """Check a source as far as possible without reading it.

    Raises:
        UsageError: for an unknown format, a URL that asks for nothing, or a file that cannot be opened.
    """
    if _query(source) is None:
        with file_formats.open_file(source).opened():
            """Check that it can be opened."""


def _made(source: Sequence[Any] | Callable[[], Iterable[Any]]) -> Iterable[Any]:
    values = source() if callable(source) else source
    if isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping):
        return values
    code = source.__code__ if isinstance(source, FunctionType) else None
    raise UsageError(
        f"{f'{code.co_filename}, line {code.co_firstlineno}' if code else 'the scenario'}: the feed is of the type "
        f"{type(values).__name__}. Allowed: a list, or a function that returns or yields items. Next: correct it there."
    )


def _query(source: str, fields: Sequence[str] | None = None) -> RedisQuery | MongoQuery | SqlQuery | None:
    scheme, separator, _ = source.partition("://")
    if not separator:
        return None
    if scheme in ("mongodb", "mongodb+srv"):
        return MongoQuery(source, fields)
    return RedisQuery(source) if scheme in ("redis", "rediss", "unix") else SqlQuery(source)


def _add(
    items: PackedItems,
    found: Iterable[tuple[Any, Any]],
    wrong: Callable[[Any, str], UsageError],
    item_of: Callable[[Any], Any],
) -> None:
    """Add values, each with its position."""
    for place, value in found:
        try:
            items.append(item_of(value))
        except ValueError as error:
            raise wrong(place, f"{_shown(value)}: {error}") from error


def _wrong_in(origin: str) -> Callable[[int, str], UsageError]:
    def wrong(number: int, reason: str) -> UsageError:
        return UsageError(f"{origin}, item {number}: {reason}. Allowed: {ITEM}. Next: correct it there.")

    return wrong


def _checked(value: Any) -> Any:
    """Return a value of a file or a store, if it is an item.

    Raises:
        ValueError: when it is none.
    """
    if type(value) is dict and len(value) > 1:
        return value
    only = next(iter(value.values())) if isinstance(value, dict) and len(value) == 1 else value
    if isinstance(only, bool) or not isinstance(only, str | int | dict) or only in ("", {}):
        raise ValueError("not an item")
    return value


def _checked_id_of(value: Any) -> Any:
    return _id_of(_checked(value))


def _id_of(value: Any) -> Any:
    """Return the id of a value.

    Raises:
        ValueError: when it has none.
    """
    if not isinstance(value, dict):
        return value
    lower = {str(name).lower(): name for name in reversed(value)}
    name = next(iter(value)) if len(value) == 1 else next((lower[name] for name in ID_COLUMNS if name in lower), None)
    if name is None:
        raise ValueError(f"a record without a column {', '.join(ID_COLUMNS[:-1])} or {ID_COLUMNS[-1]}")
    if isinstance(_checked(value[name]), dict):
        raise ValueError(f"its {name} is a mapping")  # noqa: TRY004 - an error in the user's data
    return value[name]


def _shown(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    except (RecursionError, ValueError, TypeError):
        text = type(value).__name__
    text = "".join(character if character.isprintable() else "?" for character in text[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_QUERIES: Final[dict[str, type[RedisQuery | MongoQuery]]] = {
    **dict.fromkeys(("redis", "rediss", "unix"), RedisQuery),
    **dict.fromkeys(("mongodb", "mongodb+srv"), MongoQuery),
}
