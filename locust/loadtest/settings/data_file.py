"""DataFile: a file of people's data, read so that every error leads to a line and a column.

A line ends at a line feed only. `str.splitlines` also splits at U+2028 and at seven other characters that may stand
within a value, and so makes new values out of a part of one.

Tested in tests/unit/feeding/test_sources.py and tests/unit/settings/test_credentials.py.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import os
import re
import stat
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from loadtest.exceptions import UsageError

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Sequence
    from pathlib import Path

DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""What may separate the columns of a table, and its name."""
LONGEST_LINE_BYTES: Final = 16 * 1024 * 1024
LARGEST_BYTES: Final = 2 * 1024 * 1024 * 1024
_BOM: Final = "\ufeff"
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')


class DataFile:
    """A file in UTF-8, with or without a byte order mark; it is decompressed if its name ends in ``.gz``.

    Args:
        path: its path.
        name: what errors call it; by default the path.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        self.name = name or str(path)
        self._line = ""

    def wrong(self, line: int, column: int, found: str, allowed: str) -> UsageError:
        """Return the error for something at a line and a column, both counted from 1."""
        return UsageError(
            f"{self.name}, line {line}, column {column}: {found}. Allowed: {allowed}. Next: correct it there."
        )

    def text(self, most_bytes: int = LARGEST_BYTES) -> str:
        """Return the whole text.

        Raises:
            UsageError: when the file cannot be read, is larger than this, or is not UTF-8.
        """
        with self._opened() as file:
            data = file.read(most_bytes + 1)
        if len(data) > most_bytes:
            raise self._unreadable(f"it is larger than {most_bytes:,} bytes")
        try:
            return data.decode().removeprefix(_BOM)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise self._not_utf8(line, data[data.rfind(b"\n", 0, error.start) + 1 :], error) from error

    def lines(self) -> Iterator[str]:
        r"""Yield the lines, each with its ``\n``.

        Raises:
            UsageError: when the file cannot be read, holds a line of more than `LONGEST_LINE_BYTES`, or is not UTF-8.
        """
        with self._opened() as file:
            for number in itertools.count(1):
                data = file.readline(LONGEST_LINE_BYTES + 1)
                if not data:
                    return
                if len(data) > LONGEST_LINE_BYTES:
                    allowed = f"at most {LONGEST_LINE_BYTES:,} bytes"
                    raise self.wrong(number, 1, f"a line of more than {LONGEST_LINE_BYTES:,} bytes", allowed)
                try:
                    self._line = data.decode()
                except UnicodeDecodeError as error:
                    raise self._not_utf8(number, data, error) from error
                if number == 1:
                    self._line = self._line.removeprefix(_BOM)
                yield self._line

    def table(self, allowed: str) -> Iterator[tuple[int, list[str]]]:
        """Yield the rows of a CSV file, the header row first, each with the line in which it begins.

        The header row says what separates the columns. Empty lines are left out; quoted values may hold line feeds.

        Args:
            allowed: what the header row may be, for errors.

        Raises:
            UsageError: also when the header row leaves open what separates the columns, or a row has fewer or more
                values than that.
        """
        lines = self.lines()
        first = next(lines, "")
        self._line = first
        rows = csv.reader(itertools.chain([first], lines), delimiter=self._delimiter(first, allowed), strict=True)
        width, line = 0, 1
        try:
            for row in rows:
                if row:
                    width = width or len(row)
                    if len(row) != width or (width == 1 and line > 1 and self._is_divided(row)):
                        raise self.wrong(line, 1, _found(row, width), f"{width} in each row, as in the header row")
                    yield line, row
                line = rows.line_num + 1
        except csv.Error as error:
            raise self.wrong(line, 1, f"not CSV ({error})", "CSV with a header row") from error

    def _delimiter(self, header: str, allowed: str) -> str:
        if self.path.name.lower().removesuffix(".gz").endswith(".tsv"):
            return "\t"
        plain = _QUOTED.sub("", header)
        found = [delimiter for delimiter in DELIMITERS if delimiter in plain]
        if len(found) > 1:
            names = " and ".join(DELIMITERS[delimiter] for delimiter in found)
            raise self.wrong(1, 1, f"{names} in the header row, so it is open what separates the columns", allowed)
        return found[0] if found else ","

    def _is_divided(self, row: Sequence[str]) -> bool:
        """Return whether the one value of a row is several, separated by something that the header row lacks."""
        return '"' not in self._line and any(delimiter in row[0] for delimiter in DELIMITERS)

    @contextmanager
    def _opened(self) -> Iterator[io.BufferedIOBase]:
        try:
            with open(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123 - of a descriptor
                before = os.fstat(file.fileno())
                if not stat.S_ISREG(before.st_mode):
                    raise self._unreadable("it is not a regular file")
                yield gzip.GzipFile(fileobj=file) if self.path.suffix.lower() == ".gz" else file
                if os.fstat(file.fileno()).st_size != before.st_size:
                    raise self._unreadable("its size changed while it was read")
        except (OSError, EOFError, zlib.error) as error:
            raise self._unreadable(getattr(error, "strerror", None) or str(error)) from error

    def _unreadable(self, reason: str) -> UsageError:
        return UsageError(
            f"{self.name} cannot be read ({reason}). Allowed: a readable file that nobody writes to. Next: correct its "
            "path, or what is wrong with it."
        )

    def _not_utf8(self, number: int, data: bytes, error: UnicodeDecodeError) -> UsageError:
        line_start = error.object.rfind(b"\n", 0, error.start) + 1
        column = len(error.object[line_start : error.start].decode().removeprefix(_BOM)) + 1
        return self.wrong(number, column, f"byte 0x{data[error.start - line_start]:02x} is not UTF-8", "UTF-8")


def _found(row: Sequence[str], width: int) -> str:
    return "several values in the only column" if len(row) == width else f"{len(row)} values"
