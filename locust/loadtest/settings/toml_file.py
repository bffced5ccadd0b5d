"""TomlFile: a TOML file that knows the line of each of its keys.

The standard library's parser reports no positions. It does the parsing; a second scan over the text, by then known to
be valid, only finds the lines.
"""

from __future__ import annotations

import bisect
import re
import tomllib
from typing import TYPE_CHECKING, Any

from loadtest import untrusted
from loadtest.exceptions import UsageError

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_BYTES = 256 * 1024
_MAX_TABLES = 1_000
_LONGEST_LINE = 2_000
"""Limits the parts of a key: a thousand parts take a thousand times as long as one."""
Location = tuple[str | int, ...]
"""The keys and list indexes that lead to a value."""

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_KEY_PART = re.compile(r"""[ \t]*(?:([A-Za-z0-9_-]+)|"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)')[ \t]*(\.?)""")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")|' + r"'''.*?'{3,5}(?!')|" + r'"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'", re.DOTALL
)
_PLAIN = re.compile(r"[^,\]}\n#]*")


class TomlFile:
    """A parsed TOML file.

    Args:
        file: the file to read.
        what: its name in messages, such as "profiles file".

    Raises:
        UsageError: when it cannot be read or is not TOML.
    """

    def __init__(self, file: Path, what: str) -> None:
        self.file = file
        try:
            text = untrusted.read_file(file, LONGEST_BYTES).decode().replace("\r\n", "\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise UsageError(
                f"the {what} {file} cannot be read ({reason}). Allowed: a TOML file. Next: correct the name."
            ) from error
        if (longest := max(map(len, text.splitlines()), default=0)) > _LONGEST_LINE:
            raise UsageError(
                f"a line of {file} has {longest} characters. Allowed: up to {_LONGEST_LINE}. Next: divide it."
            )
        try:
            self.tables: dict[str, Any] = tomllib.loads(text)
        except RecursionError as error:
            raise UsageError(f"{file} is nested too deeply. Allowed: lists in lists. Next: correct it.") from error
        except ValueError as error:  # also for numbers with thousands of digits
            raise UsageError(f"{file} is not TOML: {error}. Next: correct that line.") from error
        if len(self.tables) > _MAX_TABLES:
            raise UsageError(f"{file} has {len(self.tables)} tables. Allowed: up to {_MAX_TABLES}. Next: divide it.")
        self._lines = _Scan(text).lines

    def line_of(self, location: Location) -> int:
        """Return the line of a value, or of the nearest enclosing table in the file."""
        while location and location not in self._lines:
            location = location[:-1]
        return self._lines.get(location, 1)

    def where(self, location: Location) -> str:
        """Return file and line of a value for messages; see `line_of`."""
        return f"{self.file}, line {self.line_of(location)}"


class _Scan:
    """One pass over a text that is known to be valid TOML."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._position = 0
        self._list_lengths: dict[Location, int] = {}
        self.lines: dict[Location, int] = {}
        table: Location = ()
        while self._skip(_BLANK) < len(text):
            table = self._statement(table)

    def _statement(self, table: Location) -> Location:
        """Read a table's header or a key with its value; return the table that the next key belongs to."""
        brackets = 2 if self._text.startswith("[[", self._position) else int(self._peek() == "[")
        if not brackets:
            self._pair(table)
            return table
        self._position += brackets
        start = self._position
        location = self._elements(self._key())
        if brackets == 2:  # noqa: PLR2004 - [[an element of a list]]
            index = self._list_lengths.get(location, 0)
            self._list_lengths[location] = index + 1
            self._note(location, start)
            location = (*location, index)
        self._position += brackets
        self._note(location, start)
        return location

    def _elements(self, keys: Location) -> Location:
        """Return the location of a header's keys: a list stands for its last element so far."""
        location: Location = ()
        for key in keys[:-1]:
            location = (*location, key)
            if location in self._list_lengths:
                location = (*location, self._list_lengths[location] - 1)
        return (*location, keys[-1])

    def _pair(self, table: Location) -> None:
        start = self._position
        location = (*table, *self._key())
        for length in range(len(table) + 1, len(location) + 1):
            self._note(location[:length], start)
        self._position += 1  # the equals sign
        self._skip(_BLANK)
        self._value(location)

    def _key(self) -> Location:
        """Read a dotted key."""
        keys: list[str] = []
        dot = "."
        while dot and (match := _KEY_PART.match(self._text, self._position)):
            self._position = match.end()
            bare, quoted, literal, dot = match.groups()
            keys.append(bare or literal or (tomllib.loads(f'key = "{quoted}"')["key"] if quoted else ""))
        return tuple(keys)

    def _value(self, location: Location) -> None:
        opening = self._peek()
        if opening in {'"', "'"}:
            self._skip(_STRING)
        elif opening == "[":
            self._items("]", location)
        elif opening == "{":
            self._items("}", location)
        else:
            self._skip(_PLAIN)

    def _items(self, closing: str, location: Location) -> None:
        """Read a list's values or an inline table's pairs."""
        self._position += 1
        index = 0
        self._skip(_BLANK)
        while self._peek() != closing:
            if closing == "]":
                self._note((*location, index), self._position)
                self._value((*location, index))
                index += 1
            else:
                self._pair(location)
            self._skip(_BLANK)
            if self._peek() == ",":
                self._position += 1
                self._skip(_BLANK)
        self._position += 1

    def _note(self, location: Location, position: int) -> None:
        self.lines.setdefault(location, bisect.bisect_left(self._line_ends, position) + 1)

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._position)
        self._position = match.end() if match else self._position
        return self._position
