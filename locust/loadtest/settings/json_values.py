"""JsonValues: yields the values of a JSON file one by one, without the whole file in memory.

A file is an array of values, or a sequence of values.

Tested in tests/unit/feeding/test_sources.py and tests/unit/settings/test_credentials.py.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadtest.exceptions import UsageError
    from loadtest.settings.data_file import DataFile

    Decode = Callable[[str, int], tuple[Any, int]]
    """Returns the value at a position, and the position after it; raises ValueError or RecursionError if there is
    none."""

LONGEST: Final = 1024 * 1024
"""The longest value, in characters."""
_SPACE: Final = re.compile(r"[ \t\r\n]*")


class JsonValues:
    """The values of a file, each with the line and the column at which it begins.

    Args:
        file: the file.
        decode: parses a value.
        allowed: a description of allowed values, for errors.
    """

    def __init__(self, file: DataFile, decode: Decode, allowed: str) -> None:
        self._file = file
        self._decode = decode
        self._allowed = allowed
        self._pieces = file.pieces()
        self._text = ""
        self._at = 0
        self._is_whole = False  # whether the text contains the end of the file
        self._line = 1
        self._line_start = 0  # may be before the text
        self._counted = 0

    def __iter__(self) -> Iterator[tuple[tuple[int, int], Any]]:
        """Yield each value with its line and column.

        Raises:
            UsageError: it is not such a file.
        """
        is_array = self._next() == "["
        if is_array:
            self._at += 1
        for number in itertools.count():
            if self._next() == ("]" if is_array else ""):
                break
            place = self._place(self._at)
            value = self._value()
            mark = self._next()
            if not is_array and number == 0 and not mark and not isinstance(value, str):
                raise self._file.wrong(*place, "not an array", "an array, or values on lines")
            yield place, value
            if is_array and mark != "]":
                self._expect(",", mark)
        if is_array:
            end = self._place(self._at)
            self._expect("]", self._next())
            if self._next():
                raise self._file.wrong(*end, "not JSON (the array does not end there)", "an array")

    def _value(self) -> Any:
        value, self._at = read(self._decode, self._text, self._at, self._wrong)
        return value

    def _expect(self, mark: str, found: str) -> None:
        if found != mark:
            raise self._wrong(self._at, f"not JSON ({mark!r} is expected)")
        self._at += 1

    def _wrong(self, at: int, reason: str) -> UsageError:
        return self._file.wrong(*self._place(at), reason, f"{self._allowed}, of at most {LONGEST:,} characters")

    def _next(self) -> str:
        """Move to the next non-space character, with the characters of a whole value after it; return it."""
        while True:
            text = self._text
            at = self._at = _SPACE.match(text, self._at).end()  # type: ignore[union-attr]  # it matches everywhere
            if self._is_whole or len(text) - at >= LONGEST:
                return text[at : at + 1]
            self._place(self._at)
            piece = next(self._pieces, "")
            self._is_whole = not piece
            self._text = self._text[self._at :] + piece
            self._line_start -= self._at
            self._at = self._counted = 0

    def _place(self, at: int) -> tuple[int, int]:
        """Return line and column of a position; positions must not decrease from call to call."""
        self._line += self._text.count("\n", self._counted, at)
        last = self._text.rfind("\n", self._counted, at)
        self._line_start = last + 1 if last >= 0 else self._line_start
        self._counted = at
        return self._line, at - self._line_start + 1


def read(decode: Decode, text: str, at: int, wrong: Callable[[int, str], UsageError]) -> tuple[Any, int]:
    """Return the value at a position of a text, and the position after it.

    Args:
        decode: parses the value.
        text: the text with the value.
        at: where it begins.
        wrong: returns the error for a position and a reason.

    Raises:
        UsageError: when there is none.
    """
    try:
        return decode(text, at)
    except json.JSONDecodeError as error:
        found = wrong(error.pos, f"not JSON ({error.msg})")
    except RecursionError:
        found = wrong(at, "it is nested too deep")
    except ValueError as error:
        is_long = "integer string conversion" in str(error)
        found = wrong(at, "a number of too many digits" if is_long else str(error))
    raise found from None  # the cause may contain data of the file
