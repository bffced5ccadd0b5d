"""Sources: where the items of a feed come from.

    user_ids.json      an array; its members are the items
    users.jsonl        a JSON value on each line
    users.csv          the column `id` or `user_id`, or the only one; the first line is the header row
    redis://…          the users that `loadtest seed users` wrote
    mongodb://…        likewise
    a list             the items
    a function         what it returns

An item of a file is a string or an integer; of a JSON object it is the member `id` or `user_id`. Empty lines are
skipped. Duplicates are left out and counted.
"""

from __future__ import annotations

import csv
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from loadtest import untrusted
from loadtest.exceptions import UsageError
from loadtest.seeding import stores
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Source = str | Sequence[Any] | Callable[[], Sequence[Any]]

logger = logging.getLogger(__name__)

_NAMES: Final = ("id", "user_id")
_SHOWN: Final = 60
_LONGEST_BYTES: Final = 1024 * 1024 * 1024


@dataclass(frozen=True)
class Data:
    """What a source holds.

    Attributes:
        items: each once, in the source's order.
        duplicates: how many were left out.
        origin: the source, for people.
    """

    items: list[Any]
    duplicates: int
    origin: str

    @property
    def sentence(self) -> str:
        """Say how many items there are."""
        again = f" ({self.duplicates:,} duplicates left out)" if self.duplicates else ""
        return f"{len(self.items):,} items from {self.origin}{again}"


def read(source: Source) -> Data:
    """Read a source; warn of duplicates.

    Raises:
        UsageError: a file that does not exist, is damaged, has an unknown format, or holds no item.
        StackError: a store that does not answer.
    """
    origin = without_credentials(source) if isinstance(source, str) else "the scenario"
    found = _found(source)
    items = list(dict.fromkeys(found))
    if not items:
        place = ", line 1, column 1" if isinstance(source, str) and "://" not in source else ""
        raise UsageError(
            f"{origin}{place}: no items. Allowed: at least one. Next: fill it, for example with `loadtest seed users`."
        )
    data = Data(items, len(found) - len(items), origin)
    if data.duplicates:
        logger.warning("%s: left out %d duplicates", origin, data.duplicates)
    return data


def _found(source: Source) -> Sequence[Any]:
    if callable(source):
        return source()
    if not isinstance(source, str):
        return source
    if urlsplit(source).scheme in stores.SCHEMES:
        with stores.open_store(source) as store:
            return store.ids()
    file = Path(source)
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise UsageError(
            f"FEED={source} has an unknown format. Allowed: a file that ends in {', '.join(_READERS)}, or a URL "
            "redis://… or mongodb://…. Next: rename or convert it."
        )
    try:
        text = untrusted.read_file(file, _LONGEST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 (byte {error.start}). Allowed: UTF-8. Next: convert it.") from error
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read ({error.strerror}). Allowed: a readable file. Next: make it with "
            f"`loadtest seed users --out {file}`, or correct FEED."
        ) from error
    return list(reader(file, text))


def _json(file: Path, text: str) -> Iterator[Any]:
    try:
        members = json.loads(text)
    except json.JSONDecodeError as error:
        raise _damaged(file, error.lineno, error.colno, f"not JSON ({error.msg})", "an array of ids") from error
    except RecursionError as error:
        raise _damaged(file, 1, 1, "nested too deeply", "an array of ids") from error
    if not isinstance(members, list):
        raise _damaged(file, 1, 1, f"not an array but {_shown(members)}", "an array of ids")
    for number, member in enumerate(members, 1):
        if (item := _item(member)) is None:
            line, column = _place(text, number - 1)
            raise _damaged(file, line, column, f"{_shown(member)} as item {number}", "a string or an integer")
        yield item


def _place(text: str, index: int) -> tuple[int, int]:
    """Return line and column of a member of a JSON array."""
    decoder, at = json.JSONDecoder(), text.index("[") + 1
    for step in range(index + 1):
        while text[at] in " \t\r\n,":
            at += 1
        if step < index:
            at = decoder.raw_decode(text, at)[1]
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _jsonl(file: Path, text: str) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            member = json.loads(line)
        except json.JSONDecodeError as error:
            raise _damaged(file, number, error.colno, f"not JSON ({error.msg})", "a JSON value on each line") from error
        except RecursionError as error:
            raise _damaged(file, number, 1, "nested too deeply", "a JSON value on each line") from error
        if (item := _item(member)) is None:
            raise _damaged(file, number, 1, _shown(member), "a string, an integer, or an object with an id")
        yield item


def _csv(file: Path, text: str) -> Iterator[Any]:
    rows = csv.reader(text.splitlines(), strict=True)
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        columns = [header.index(name) for name in _NAMES if name in header] or ([0] if len(header) == 1 else [])
        if not columns:
            raise _damaged(file, 1, 1, f"the columns {', '.join(header) or 'none'}", f"a column {' or '.join(_NAMES)}")
        for row in rows:
            if not row:
                continue
            item = row[columns[0]].strip() if len(row) > columns[0] else ""
            if not item:
                raise _damaged(file, rows.line_num, 1, "a row without an id", "an id in each row")
            yield item
    except csv.Error as error:
        raise _damaged(file, rows.line_num, 1, f"not CSV ({error})", "CSV with a header row") from error


def _item(member: Any) -> Any:
    """Return the item that a JSON value is, or None."""
    if isinstance(member, dict):
        member = next((member[name] for name in _NAMES if name in member), None)
    fits = isinstance(member, str | int) and not isinstance(member, bool) and member != ""
    return member if fits else None


def _damaged(file: Path, line: int, column: int, found: str, wanted: str) -> UsageError:
    return UsageError(f"{file}, line {line}, column {column}: {found}. Allowed: {wanted}. Next: correct it there.")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_READERS: Final[dict[str, Callable[[Path, str], Iterator[Any]]]] = {".json": _json, ".jsonl": _jsonl, ".csv": _csv}
