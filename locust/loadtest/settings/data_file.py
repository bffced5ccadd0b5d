"""DataFile: reads user-supplied data, and reports every error with line and column.

Only a line feed ends a line. `str.splitlines` also splits at U+2028 and at seven other characters that may occur within
a value, and would make several values of one.

Tested in tests/unit/feeding/test_sources.py and tests/unit/settings/test_credentials.py.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import os
import re
import stat
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from loadtest import untrusted
from loadtest.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""The possible column separators, with their names."""
LONGEST_LINE: Final = 16 * 1024 * 1024
"""In characters."""
LARGEST_BYTES: Final = 2 * 1024 * 1024 * 1024
_PIECE_BYTES: Final = 1024 * 1024
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')


class DataFile:
    """A UTF-8 file, with or without a byte order mark; it is decompressed if its name ends in ``.gz``.

    Args:
        path: its path.
        name: its name in errors; by default the path.
        most_bytes: its largest size.
    """

    def __init__(self, path: Path, name: str | None = None, most_bytes: int = LARGEST_BYTES) -> None:
        self._most_bytes = most_bytes
        self.path = path
        self.name = name or str(path)

    def wrong(self, line: int, column: int, found: str, allowed: str) -> UsageError:
        """Return the error for something at a line and a column, both counted from 1."""
        return UsageError(
            f"{self.name}, line {line}, column {column}: {found}. Allowed: {allowed}. Next: correct it there."
        )

    def text(self) -> str:
        """Return the whole text.

        Raises:
            UsageError: when the file cannot be read, is too large, or is not UTF-8.
        """
        return "".join(self.pieces())

    def pieces(self) -> Iterator[str]:
        """Yield the text in pieces of at most `_PIECE_BYTES`.

        Raises:
            UsageError: when the file cannot be read, is too large, or is not UTF-8.
        """
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        line, column, size = 1, 1, 0
        with self.opened() as file:
            packed_bytes = os.fstat(file.fileno()).st_size if isinstance(file, gzip.GzipFile) else 0
            most_inflated = untrusted.inflated_bytes(packed_bytes) if packed_bytes else self._most_bytes
            while True:
                data = file.read(_PIECE_BYTES)
                size += len(data)
                if size > self._most_bytes:
                    raise self.unreadable(f"it is larger than {self._most_bytes:,} bytes")
                if size > most_inflated:
                    raise self.unreadable(f"its {packed_bytes:,} bytes hold more than {most_inflated:,}: decompress it")
                try:
                    text = decoder.decode(data, final=not data)
                except UnicodeDecodeError as error:
                    line, column = _after(error.object[: error.start].decode("utf-8-sig"), line, column)
                    byte = f"byte 0x{error.object[error.start]:02x} is not UTF-8"
                    raise self.wrong(line, column, byte, "UTF-8") from error
                if text:
                    yield text
                if not data:
                    return
                line, column = _after(text, line, column)

    def lines(self) -> Iterator[str]:
        r"""Yield the lines, each with its ``\n``.

        Raises:
            UsageError: when the file cannot be read, holds a line of more than `LONGEST_LINE`, or is not UTF-8.
        """
        begun, number = "", 1
        for piece in self.pieces():
            text = begun + piece
            end = text.rfind("\n") + 1
            yield from io.StringIO(text[:end], newline="\n")
            begun, number = text[end:], number + text.count("\n")
            if len(begun) > LONGEST_LINE:
                found = f"a line of more than {LONGEST_LINE:,} characters"
                raise self.wrong(number, 1, found, f"at most {LONGEST_LINE:,}")
        if begun:
            yield begun

    def table(self, allowed: str) -> Iterator[tuple[int, list[str]]]:
        """Yield the rows of a CSV file, the header row first, each with the line in which it begins.

        The header row determines the separator. Empty lines are skipped; quoted values may contain line feeds.

        Args:
            allowed: a description of allowed header rows, for errors.

        Raises:
            UsageError: as above; or the separator is ambiguous, or a row has a different number of values from the
                header row.
        """
        lines = self.lines()
        header = next(lines, "")
        delimiter = self._delimiter(header, allowed)
        rest = lines if delimiter else self._undivided(lines)
        rows = csv.reader(itertools.chain([header], rest), delimiter=delimiter or ",", strict=True)
        width, line = 0, 1
        try:
            for row in rows:
                if row:
                    width = width or len(row)
                    if len(row) != width:
                        raise self.wrong(line, 1, f"{len(row)} values", f"{width} in each row, as in the header row")
                    yield line, row
                line = rows.line_num + 1
        except csv.Error as error:
            is_return = "new-line character" in str(error)
            reason = "a carriage return without a line feed" if is_return else str(error)
            raise self.wrong(line, 1, f"not CSV ({reason})", "CSV with a header row") from error

    def _delimiter(self, header: str, allowed: str) -> str:
        """Return the column separator; empty if there is only one column."""
        if self.path.name.lower().removesuffix(".gz").endswith(".tsv"):
            return "\t"
        plain = _QUOTED.sub("", header)
        found = [delimiter for delimiter in DELIMITERS if delimiter in plain]
        if len(found) > 1:
            names = " and ".join(DELIMITERS[delimiter] for delimiter in found)
            raise self.wrong(1, 1, f"{names} in the header row, so the separator of the columns is not clear", allowed)
        return found[0] if found else ""

    def _undivided(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield the lines of a one-column table, if none contains an unquoted separator."""
        for number, line in enumerate(lines, 2):
            if '"' not in line and any(delimiter in line for delimiter in DELIMITERS):
                raise self.wrong(number, 1, "several values in the only column", "1 in each row, as in the header row")
            yield line

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Keep the file open.

        Raises:
            UsageError: it cannot be read, or another program writes to it in the meantime.
        """
        try:
            with self._open() as file:
                before = os.fstat(file.fileno())
                yield cast("BinaryIO", gzip.GzipFile(fileobj=file)) if self.path.suffix.lower() == ".gz" else file
                after = os.fstat(file.fileno())
                is_same = (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
                if stat.S_ISREG(before.st_mode) and not is_same:
                    raise self.unreadable("it changed while it was read")
        except (OSError, EOFError, zlib.error) as error:
            raise self.unreadable(getattr(error, "strerror", None) or str(error)) from error

    def unreadable(self, reason: str) -> UsageError:
        """Return the error for a file that cannot be read at all."""
        return UsageError(
            f"{self.name} cannot be read ({reason}). Allowed: a readable file that nobody writes to. Next: correct its "
            "path, or what is wrong with it."
        )

    def _open(self) -> BinaryIO:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            raise self.unreadable("it is a directory" if stat.S_ISDIR(mode) else "it is not a regular file")
        return open(descriptor, "rb")  # noqa: PTH123 - of a descriptor, and closed by the caller


def _after(text: str, line: int, column: int) -> tuple[int, int]:
    """Return the line and column where a text ends that begins at the given ones."""
    last = text.rfind("\n")
    return line + text.count("\n"), len(text) - last if last >= 0 else column + len(text)
