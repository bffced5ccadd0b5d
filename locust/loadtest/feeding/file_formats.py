"""File formats: read the items of a feed from files.

Tested in tests/unit/feeding/test_sources.py.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from loadtest import untrusted
from loadtest.exceptions import UsageError
from loadtest.feeding import parquet_pages
from loadtest.feeding.mongo_values import ShellValues, from_extended_json
from loadtest.feeding.python_values import plain_record
from loadtest.settings import json_values
from loadtest.settings.data_file import DataFile
from loadtest.settings.json_values import JsonValues

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Found = Generator[tuple[tuple[int, int], Any], None, None]
    """Each value after its line and column."""

ITEM: Final = "text, a whole number, or a record"
STANDARD_INPUT: Final = "-"
"""The name of a file, without its ending, that stands for standard input."""
_HEADER: Final = "a header row with a name for each column, separated by commas, semicolons, tabs or vertical bars"
_DATA: Final = re.compile(r"-?\d[\d.,]*|[0-9a-fA-F]{24}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\S+@\S+")
"""Values that cannot be column names: a number, an ObjectId, a UUID, or an address."""
_DIGIT: Final = re.compile(r"\d+")
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_LONG: Final = 8
_ROWS: Final = 1_000
_BUFFER_BYTES: Final = 64 * 1024
_PARQUET: Final = ".parquet"


class StandardInput(DataFile):
    """Standard input from another program; it can be read only once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "standard input")

    def _open(self) -> BinaryIO:
        if sys.stdin is None or sys.stdin.closed:
            raise self.unreadable("it is closed")
        if sys.stdin.isatty():
            raise self.unreadable("it is a terminal, not a file or a program")
        return cast("BinaryIO", io.BufferedReader(_Descriptor(sys.stdin.fileno())))


class _Descriptor(io.RawIOBase):
    """A file that is not closed by this; other greenlets run during its reads."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        from gevent.os import tp_read  # noqa: PLC0415 - the command line needs none

        data = tp_read(self._number, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def is_standard_input(source: str) -> bool:
    """Return whether a source is standard input."""
    return source.startswith(f"{STANDARD_INPUT}.")


def open_file(source: str) -> DataFile:
    """Return the file of a source without reading it.

    Raises:
        UsageError: for an unknown format.
    """
    path = Path(source)
    if _ending(path) not in (*_READERS, _PARQUET):
        raise UsageError(
            f"FEED={source} has an unknown format. Allowed: a file that ends in {', '.join(_READERS)}, each also with "
            f".gz, or in {_PARQUET}; standard input with -{' or -'.join(_READERS)}; or a redis://…, mongodb://… or "
            "SQLAlchemy URL. Next: rename or convert it."
        )
    return StandardInput(path) if is_standard_input(source) else DataFile(path)


def found_in(file: DataFile) -> Found:
    """Yield the values of a file.

    Raises:
        UsageError: when it cannot be read, or is damaged.
    """
    reader = _READERS.get(_ending(file.path), _parquet)
    return reader(file)


def _ending(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _table(file: DataFile) -> Found:
    rows = file.table(_HEADER)
    header, first = next(rows, None), next(rows, None)
    if header is None or first is None:
        return
    names = [name.strip() for name in header[1]]
    repeated = {name for name, count in Counter(names).items() if count > 1}
    for name, value in zip(names, first[1], strict=True):
        if reason := "is there twice" if name in repeated and name else _no_name(name, value.strip()):
            raise file.wrong(1, 1, f"in the header row, {name!r} {reason}", _HEADER)
    rows = itertools.chain([first], rows)
    if len(names) == 1:
        name = names[0]
        for line, (value,) in rows:
            yield (line, 1), {name: value.strip()}
    for line, row in rows:
        yield (line, 1), dict(zip(names, row, strict=True))


def _no_name(name: str, value: str) -> str:
    """Return why a text cannot be a column's name, if so, given the column's value in the first row."""
    if not name or not name.isprintable():
        return "is not a name"
    if _DATA.fullmatch(name):
        return "looks like data, not like a column name"
    is_alike = _shape(name) == _shape(value) or len(name) == len(value) >= _LONG
    if is_alike and _DIGIT.search(name) and _DIGIT.search(value):
        return f"looks like {value[:40]!r} in the row below, not like a column name"
    return ""


def _shape(text: str) -> str:
    """Return a text with each run of letters replaced by one letter, and each run of digits by one digit."""
    return _DIGIT.sub("0", _LETTERS.sub("a", text))


def _lines(file: DataFile) -> Found:
    for number, line in enumerate(file.lines(), 1):
        text = line.strip(" \t\r\n")
        if text:
            start = line.index(text[0])

            def wrong(at: int, reason: str, number: int = number, start: int = start) -> UsageError:
                return file.wrong(number, start + at + 1, reason, ITEM)

            value, end = json_values.read(_decode, text, 0, wrong)
            if end != len(text):
                raise wrong(end, "more than one value on a line")
            yield (number, start + 1), value


def _document(file: DataFile) -> Found:
    yield from JsonValues(file, _decode, ITEM)


def _parquet(file: DataFile) -> Found:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            f"{file.name} needs pyarrow, which is not installed. Allowed: {', '.join(_READERS)} without it. Next: "
            ".venv/bin/pip install pyarrow, or convert the file."
        ) from error
    with file.opened() as opened:
        try:
            pa.set_memory_pool(pa.system_memory_pool())  # which releases unneeded memory
            table = parquet.ParquetFile(opened, pre_buffer=False, buffer_size=_BUFFER_BYTES)
            _check_extent(file, table.metadata, opened)
            names = table.schema_arrow.names
            if len(set(names)) != len(names):
                raise file.wrong(1, 1, f"the columns are {', '.join(names)}", "columns of different names")
            batches = table.iter_batches(batch_size=_ROWS, use_threads=False)
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield (number, 1), plain_record(row)
        except (pa.ArrowException, ValueError) as error:
            raise file.unreadable(str(error).partition("\n")[0]) from error


def _check_extent(file: DataFile, found: Any, opened: BinaryIO) -> None:
    """Check what a file's end and its pages say that it holds: one value, there often, takes no more than itself."""
    held = sum(found.row_group(number).total_byte_size for number in range(found.num_row_groups))
    held = max(held, parquet_pages.VALUE_BYTES * found.num_rows * found.num_columns)
    held = max(held, parquet_pages.extent_bytes(opened, found))
    size = os.fstat(opened.fileno()).st_size
    if held > untrusted.inflated_bytes(size):
        raise file.unreadable(f"its {size:,} bytes stand for {found.num_rows:,} rows of {held:,} bytes")


def _decode(text: str, at: int) -> tuple[Any, int]:
    """Return the value at a place, as JSON or as MongoDB's shells print it, and the place after it.

    Raises:
        ValueError: when there is none.
    """
    try:
        return _JSON.raw_decode(text, at)
    except json.JSONDecodeError as error:
        try:
            return ShellValues(text).read(at)
        except json.JSONDecodeError as other:
            raise max(error, other, key=lambda each: each.pos) from error


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has two members with the same name")
    return from_extended_json(found) if pairs and pairs[0][0].startswith("$") else found


def _refused_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_JSON: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refused_constant)
_READERS: Final[dict[str, Callable[[DataFile], Found]]] = {
    ".json": _document,
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".csv": _table,
    ".tsv": _table,
}
