"""JSONPath, checked before it is passed to RedisJSON, which runs inside Redis: some paths crash the whole server.

The grammar is a subset of RedisJSON's: members, indexes, slices, ``*``, ``..`` and filters with comparisons. Regular
expressions and computed indexes are rejected. Numbers, names, lists and nesting are limited.
"""

import re
from typing import Final, NoReturn

LONGEST: Final = 512
"""Characters of a path."""
MAX_SEGMENTS: Final = 32
MAX_IN_LIST: Final = 64
"""The maximum number of names or indexes in a pair of brackets, and of comparisons in a filter."""
MAX_COPIES: Final = 64
"""The maximum number of combinations of a path's lists: 20 lists of two would block Redis for seconds."""
DEEPEST_FILTER: Final = 8
"""The maximum nesting of parentheses."""

_NAME = re.compile(r"[\w-]{1,128}")
_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_INDEX = re.compile(r"-?\d{1,9}")
_SLICE = re.compile(r"(?:-?\d{1,9})?:(?:-?\d{1,9})?(?::(?:0*[1-9]\d{0,8})?)?")
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?")
_WORD = re.compile(r"true|false|null")
_COMPARISON = re.compile(r"==|!=|<=|>=|<|>")
_LOGIC = re.compile(r"&&|\|\|")
_SPACE = re.compile(r" *")


class PathError(ValueError):
    """A text is not a JSONPath, or exceeds a limit; the message says where, and what is allowed."""


def check(path: str, *, writing: bool = False) -> None:
    """Check a path.

    Args:
        path: the text.
        writing: whether values are changed; then ``..`` is rejected, because it matches what is being replaced.

    Raises:
        PathError: when it is rejected, with the position of the character.
    """
    if len(path) > LONGEST:
        raise PathError(f"it has {len(path)} characters; at most {LONGEST} are allowed")
    for position, character in enumerate(path, start=1):
        if not character.isprintable():
            raise PathError(f"at character {position}: {character!r} is not printable")
    _Scanner(path, writing).path()


class _Scanner:
    """Reads a path from left to right."""

    def __init__(self, text: str, writing: bool) -> None:
        self._text = text
        self._writing = writing
        self._at = 0
        self._copies = 1
        self._descents = 0

    def path(self) -> None:
        self._expect("$", "a path begins with $")
        self._segments()
        if self._at < len(self._text):
            self._refuse("expected '.', '..' or '['")

    def _segments(self) -> None:
        count = 0
        while self._text.startswith((".", "["), self._at):
            count += 1
            if count > MAX_SEGMENTS:
                self._refuse(f"at most {MAX_SEGMENTS} segments are allowed")
            self._segment()

    def _segment(self) -> None:
        if self._text.startswith("..", self._at) and self._writing:
            self._refuse("'..' is not allowed when values are changed")
        self._descents += self._text.startswith("..", self._at)
        if self._descents > 1:
            self._refuse("only one '..' is allowed: each reaches the same values again")
        dots = self._takes("..") or self._takes(".")
        if dots and not self._text.startswith("..[", self._at - 2):
            self._member()
        else:
            self._expect("[", "expected '['")
            self._selector()

    def _member(self) -> None:
        if not (self._takes("*") or self._matches(_NAME)):
            self._refuse('expected a name of at most 128 letters, digits, _ and -, or *; put other names in ["…"]')

    def _selector(self) -> None:
        self._matches(_SPACE)
        if self._takes("?"):
            self._expect("(", "expected '(' after '?'")
            self._filter(1)
        elif not self._takes("*") and not self._matches(_SLICE):
            self._list()
        self._matches(_SPACE)
        self._expect("]", "expected ']'; an index has at most 9 digits, and a step is at least 1")

    def _list(self) -> None:
        for length in range(1, MAX_IN_LIST + 1):
            self._matches(_SPACE)
            if not (self._matches(_TEXT) or self._matches(_INDEX)):
                self._refuse("expected a name in quotes, an index of at most 9 digits, a slice, * or ?(…)")
            self._matches(_SPACE)
            if not self._takes(","):
                self._copies *= length
                if self._copies > MAX_COPIES:
                    self._refuse(f"the lists of a path may have at most {MAX_COPIES} combinations")
                return
        self._refuse(f"at most {MAX_IN_LIST} are allowed in a pair of brackets")

    def _filter(self, depth: int) -> None:
        """Read the content after an opening parenthesis, and the closing one."""
        if depth > DEEPEST_FILTER:
            self._refuse(f"at most {DEEPEST_FILTER} levels of parentheses are allowed")
        for _ in range(MAX_IN_LIST):
            self._matches(_SPACE)
            if self._takes("("):
                self._filter(depth + 1)
            else:
                self._comparison()
            self._matches(_SPACE)
            if not self._matches(_LOGIC):
                self._expect(")", "expected a comparison (== != < <= > >=), &&, || or ')'")
                return
        self._refuse(f"at most {MAX_IN_LIST} comparisons are allowed")

    def _comparison(self) -> None:
        self._operand()
        self._matches(_SPACE)
        if self._matches(_COMPARISON):
            self._matches(_SPACE)
            self._operand()

    def _operand(self) -> None:
        if self._takes("@") or self._takes("$"):
            while self._takes("."):
                self._member()
        elif not (self._matches(_TEXT) or self._matches(_NUMBER) or self._matches(_WORD)):
            self._refuse("expected @ or $ with names, a number, a text in quotes, true, false or null")

    def _takes(self, token: str) -> bool:
        found = self._text.startswith(token, self._at)
        self._at += len(token) if found else 0
        return found

    def _matches(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return bool(found)

    def _expect(self, token: str, message: str) -> None:
        if not self._takes(token):
            self._refuse(message)

    def _refuse(self, message: str) -> NoReturn:
        raise PathError(f"at character {self._at + 1}: {message}")
