"""Sources: where the items of a feed come from.

    users.csv, .tsv    the rows under the header row, which says what separates the columns
    users.jsonl        a JSON value on each line
    users.json         an array, or values one after another, as mongoexport and MongoDB's shells write them
    redis://…          the ids of the users that `loadtest seed users` wrote
    mongodb://…        the documents of a collection, or one field of them
    a list             the items
    a function         what it returns

An item is a text, a whole number, or a record: a mapping of columns. Records of a single column are dealt as its
values. Files may be compressed (.gz). Empty lines are skipped; duplicates are left out and counted.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from loadtest.exceptions import UsageError
from loadtest.feeding.mongo_query import MongoQuery
from loadtest.feeding.mongo_values import ShellValues, from_extended_json
from loadtest.feeding.packed_items import PackedItems
from loadtest.seeding import stores
from loadtest.settings.data_file import DataFile
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Source = str | Sequence[Any] | Callable[[], Sequence[Any]]
    Found = Iterator[tuple[int, int, Any]]
    """Line, column and value."""

logger = logging.getLogger(__name__)

ID_COLUMNS: Final = ("id", "user_id", "_id")
_ITEM: Final = "text, a whole number, or a record"
_HEADER: Final = "a header row with a name for each column, separated by commas, semicolons, tabs or vertical bars"
_DATA: Final = re.compile(r"-?\d[\d.,]*|[0-9a-fA-F]{24}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\S+@\S+")
"""What no column is called: a number, an ObjectId, a UUID, or an address."""
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_SHOWN: Final = 60


@dataclass(frozen=True)
class Data:
    """What a source holds.

    Attributes:
        items: each once, in the source's order.
        duplicates: how many were left out.
        origin: the source, for people.
    """

    items: PackedItems
    duplicates: int
    origin: str

    @property
    def sentence(self) -> str:
        """Say how many items there are, and of which columns."""
        columns = self.items.columns
        names = f" with the column{'s' * (len(columns) > 1)} {', '.join(columns)}" if columns else ""
        again = f" ({self.duplicates:,} duplicates left out)" if self.duplicates else ""
        return f"{len(self.items):,} items from {self.origin}{names}{again}"


def read(source: Source, *, ids_only: bool = False) -> Data:
    """Read a source; warn of duplicates.

    Args:
        source: what to read.
        ids_only: whether the item of a record is its id: its only column, or the one of `ID_COLUMNS` that it has.

    Raises:
        UsageError: a file that cannot be read, is damaged, has an unknown format, holds what cannot be carried to the
            workers, or holds no item.
        StackError: a store that does not answer.
    """
    origin = without_credentials(source) if isinstance(source, str) else "the scenario"
    found = PackedItems()
    if isinstance(source, str) and urlsplit(source).scheme not in stores.SCHEMES:
        _add_file(found, source, ids_only=ids_only)
    else:
        _add_values(found, origin, _values(source, ids_only=ids_only), ids_only=ids_only)
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


def _values(source: Source, *, ids_only: bool) -> Iterable[Any]:
    if callable(source):
        return source()
    if not isinstance(source, str):
        return source
    if MongoQuery.is_meant(source):
        return _checked(MongoQuery(source).values(ID_COLUMNS if ids_only else None))
    with stores.open_store(source) as store:
        return store.ids()


def _checked(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        try:
            _check(value)
        except ValueError as error:
            raise UsageError(
                f"a document has {_shown(value)}: {error}. Allowed: {_ITEM}. Next: choose another field, or filter."
            ) from error
        yield value


def _add_values(items: PackedItems, origin: str, values: Iterable[Any], *, ids_only: bool) -> None:
    for number, value in enumerate(values, 1):
        try:
            items.append(_id_of(value) if ids_only else value)
        except ValueError as error:
            raise UsageError(
                f"{origin}, item {number}: {_shown(value)}: {error}. Allowed: {_ITEM}. Next: correct it there."
            ) from error


def _add_file(items: PackedItems, source: str, *, ids_only: bool) -> None:
    path = Path(source)
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    reader = _READERS.get(ending)
    if reader is None:
        raise UsageError(
            f"FEED={source} has an unknown format. Allowed: a file that ends in {', '.join(_READERS)}, each also with "
            ".gz, or a URL redis://… or mongodb://…. Next: rename or convert it."
        )
    file = DataFile(path)
    for line, column, value in reader(file):
        try:
            _check(value)
            items.append(_id_of(value) if ids_only else value)
        except ValueError as error:
            raise file.wrong(line, column, f"{_shown(value)}: {error}", _ITEM) from error


def _check(value: Any) -> None:
    """Check what a value of a file is.

    Raises:
        ValueError: when it is not an item.
    """
    if isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    if isinstance(value, bool) or not isinstance(value, str | int | dict) or value in ("", {}):
        raise ValueError("not an item")


def _id_of(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        return next(iter(value.values()))
    lower = {str(name).lower(): name for name in reversed(value)}
    name = next((lower[name] for name in ID_COLUMNS if name in lower), None)
    if name is None:
        raise ValueError(f"a record without a column {', '.join(ID_COLUMNS[:-1])} or {ID_COLUMNS[-1]}")
    _check(value[name])
    if isinstance(value[name], dict):
        raise ValueError(f"its {name} is a mapping")  # noqa: TRY004 - of what a person wrote
    return value[name]


def _table(file: DataFile) -> Found:
    rows = file.table(_HEADER)
    _, header = next(rows, (1, [""]))
    names = [name.strip() for name in header]
    for name in names:
        if not name or names.count(name) > 1 or _DATA.fullmatch(name):
            reason = "is there twice" if names.count(name) > 1 else "looks like data and not like a column's name"
            if not name:
                reason = "is not a name"
            raise file.wrong(1, 1, f"in the header row, {name!r} {reason}", _HEADER)
    if len(names) == 1:
        name = names[0]
        for line, (value,) in rows:
            yield line, 1, {name: value.strip()}
    for line, row in rows:
        yield line, 1, dict(zip(names, row, strict=True))


def _lines(file: DataFile) -> Found:
    decode = _Values(file, "").decode
    for number, line in enumerate(file.lines(), 1):
        text = line.strip(" \t\r\n")
        if text:
            start = line.index(text[0])
            value, end = decode(text, 0, number, start)
            if end != len(text):
                raise file.wrong(number, start + end + 1, "more than one value", "a JSON value on each line")
            yield number, start + 1, value


def _document(file: DataFile) -> Found:
    return iter(_Values(file, file.text()))


class _Values:
    """The values of a JSON text: the members of its array, or those that follow one another."""

    def __init__(self, file: DataFile, text: str) -> None:
        self._file = file
        self._text = text
        self._decoder = json.JSONDecoder(object_hook=from_extended_json, parse_constant=_refused_constant)

    def __iter__(self) -> Found:
        text = self._text
        at = self._after_space(0)
        is_array = text[at : at + 1] == "["
        at = self._after_space(at + 1) if is_array else at
        line, counted = 1, 0
        for number in itertools.count():
            if at == len(text) or (is_array and text[at] == "]"):
                break
            line, counted = line + text.count("\n", counted, at), at
            column = at - text.rfind("\n", 0, at)
            value, at = self.decode(text, at, line, column - 1 - at)
            if not is_array and number == 0 and self._after_space(at) == len(text) and not isinstance(value, str):
                raise self._wrong(0, f"not an array but {_shown(value)}")
            yield line, column, value
            at = self._after_space(at)
            if is_array and text[at : at + 1] != "]":
                if text[at : at + 1] != ",":
                    raise self._wrong(at, "not JSON (Expecting ',' delimiter)")
                at = self._after_space(at + 1)
        if is_array and (text[at : at + 1] != "]" or self._after_space(at + 1) != len(text)):
            raise self._wrong(at, "not JSON (the array does not end there)")

    def decode(self, text: str, at: int, line: int, shift: int) -> tuple[Any, int]:
        """Return the value at a place, and the place after it.

        Args:
            text: what holds it.
            at: the place.
            line: the place's line.
            shift: what to add to a place in that line to get its column, less 1.
        """
        try:
            return self._decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            try:
                return ShellValues(text).read(at)
            except json.JSONDecodeError as other:
                furthest = max(error, other, key=lambda each: each.pos)
                first = text.rfind("\n", 0, furthest.pos) + 1
                column = furthest.pos - first + 1 if first > at else furthest.pos + shift + 1
                line += text.count("\n", at, furthest.pos)
                raise self._file.wrong(line, column, f"not JSON ({furthest.msg})", "JSON") from error
            except (RecursionError, ValueError) as other:
                raise self._undecodable(other, line, at + shift + 1) from error
        except (RecursionError, ValueError) as error:
            raise self._undecodable(error, line, at + shift + 1) from error

    def _undecodable(self, error: Exception, line: int, column: int) -> UsageError:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        reason = "a number of too many digits" if "integer string conversion" in reason else reason
        return self._file.wrong(line, column, reason, _ITEM)

    def _after_space(self, at: int) -> int:
        return _SPACE.match(self._text, at).end()  # type: ignore[union-attr]  # it matches everywhere

    def _wrong(self, at: int, found: str) -> UsageError:
        line = self._text.count("\n", 0, at) + 1
        return self._file.wrong(line, at - self._text.rfind("\n", 0, at), found, "an array, or values on lines")


def _refused_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _shown(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    except (RecursionError, ValueError, TypeError):
        text = type(value).__name__
    text = "".join(character if character.isprintable() else "?" for character in text[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_READERS: Final[dict[str, Callable[[DataFile], Found]]] = {
    ".json": _document,
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".csv": _table,
    ".tsv": _table,
}
