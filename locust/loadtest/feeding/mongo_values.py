"""MongoDB's types in Extended JSON, in the shells' output, and as a worker gets them.

    mongoexport         {"_id": {"$oid": "507f1f77bcf86cd799439011"}}
    mongo, mongosh      { _id: ObjectId("507f1f77bcf86cd799439011") }
    a worker            {"_id": "507f1f77bcf86cd799439011"}

An ObjectId, a UUID and a decimal become text, a date becomes text by ISO 8601; numbers, truth values, texts, lists and
documents stay what they are; binary data becomes text by Base64.

Tested in tests/unit/feeding/test_sources.py.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import uuid
from typing import TYPE_CHECKING, Any, Final

import bson
from bson import json_util

from loadtest import untrusted

if TYPE_CHECKING:
    from collections.abc import Callable

_LEGACY_UUID: Final = 3
_UUID: Final = 4
_SPACE: Final = re.compile(r"\s*")
_STRING: Final = re.compile(r"""'((?:[^'\\\n]|\\.)*+)'|"((?:[^"\\\n]|\\.)*+)\"""")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORD: Final = re.compile(r"(?:new\s+)?[A-Za-z_$][\w$.]*")
_WORDS: Final = {"true": True, "false": False, "null": None, "undefined": None}
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def plain(value: Any) -> Any:  # noqa: PLR0911 - one for each type
    """Convert a MongoDB value to the form that a worker gets."""
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, bson.ObjectId | bson.Decimal128 | uuid.UUID):
        return str(value)
    if isinstance(value, dt.datetime):
        return f"{value.replace(tzinfo=None).isoformat()}Z"  # MongoDB's are all in UTC
    if isinstance(value, bytes):
        if getattr(value, "subtype", 0) in (_LEGACY_UUID, _UUID) and len(value) == 16:  # noqa: PLR2004 - a UUID's bytes
            return str(uuid.UUID(bytes=bytes(value)))
        return base64.b64encode(value).decode()
    return int(value) if isinstance(value, bson.Int64) else value


def from_extended_json(found: dict[str, Any]) -> Any:
    """Return the value of an object whose first name begins with a dollar sign.

    Raises:
        ValueError: the form of Extended JSON is not complete.
    """
    try:
        return plain(json_util.object_hook(found))
    except (*untrusted.WRONG_FORM, bson.errors.BSONError) as error:
        raise ValueError(f"not a MongoDB value ({error})") from error


def _object_id(text: str) -> str:
    return str(bson.ObjectId(text))


_CALLS: Final[dict[str, Callable[[Any], Any]]] = {
    "ObjectId": _object_id,
    "UUID": lambda text: str(uuid.UUID(text)),
    "ISODate": str,
    "Date": str,
    "NumberInt": int,
    "Int32": int,
    "NumberLong": int,
    "Long": int,
    "Long.fromString": int,
    "Double": float,
    "NumberDecimal": str,
    "Decimal128": str,
}
"""The calls that the shells print, and their values."""


class ShellValues:
    """Parses values as printed by MongoDB's shells.

    Args:
        text: the text with the values.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def read(self, at: int) -> tuple[Any, int]:
        """Return the value that begins at a place, and the place after it.

        Raises:
            json.JSONDecodeError: it is not a value, with the position.
            RecursionError: it is nested too deeply.
        """
        character = self._text[at : at + 1]
        if character == "{":
            return self._document(at + 1)
        if character == "[":
            return self._list(at + 1)
        if found := _STRING.match(self._text, at):
            return _unescaped(found), found.end()
        if found := _NUMBER.match(self._text, at):
            number = found.group()
            return (int(number) if number.lstrip("-").isdigit() else float(number)), found.end()
        found = _WORD.match(self._text, at)
        if found is None:
            raise self._error("a value is expected", at)
        if found.group() in _WORDS:
            return _WORDS[found.group()], found.end()
        return self._call(found.group().removeprefix("new").strip(), at, found.end())

    def _call(self, name: str, at: int, end: int) -> tuple[Any, int]:
        meaning = _CALLS.get(name)
        if meaning is None:
            raise self._error(f"unknown word {name[:20]!r}", at)
        value, end = self.read(self._after("(", self._skip(end)))
        end = self._after(")", self._skip(end))
        try:
            return meaning(value), end
        except (TypeError, ValueError, bson.errors.BSONError) as error:
            raise self._error(f"not a {name}", at) from error

    def _document(self, at: int) -> tuple[dict[str, Any], int]:
        document: dict[str, Any] = {}
        while (at := self._skip(at)) < len(self._text) and self._text[at] != "}":
            found = _STRING.match(self._text, at) or _WORD.match(self._text, at) or _NUMBER.match(self._text, at)
            if found is None:
                raise self._error("a name is expected", at)
            name = _unescaped(found) if found.re is _STRING else found.group()
            if name in document:
                raise self._error("a document has two members with the same name", at)
            document[name], at = self.read(self._after(":", self._skip(found.end())))
            at = self._next(at, "}")
        return document, self._after("}", at, skip=False)

    def _list(self, at: int) -> tuple[list[Any], int]:
        members = []
        while (at := self._skip(at)) < len(self._text) and self._text[at] != "]":
            member, at = self.read(at)
            members.append(member)
            at = self._next(at, "]")
        return members, self._after("]", at, skip=False)

    def _next(self, at: int, end: str) -> int:
        at = self._skip(at)
        return at if self._text[at : at + 1] == end else self._after(",", at)

    def _after(self, mark: str, at: int, *, skip: bool = True) -> int:
        if self._text[at : at + 1] != mark:
            raise self._error(f"{mark!r} is expected", at)
        return self._skip(at + 1) if skip and mark != ")" else at + 1

    def _skip(self, at: int) -> int:
        return _SPACE.match(self._text, at).end()  # type: ignore[union-attr]  # it matches everywhere

    def _error(self, reason: str, at: int) -> json.JSONDecodeError:
        return json.JSONDecodeError(reason, self._text, at)


def _unescaped(found: re.Match[str]) -> str:
    text = found.group(1) if found.group(1) is not None else found.group(2)

    def meaning(escape: re.Match[str]) -> str:
        letter = escape.group(1)
        return chr(int(letter[1:], 16)) if len(letter) > 1 else _ESCAPES.get(letter, letter)

    return _ESCAPE.sub(meaning, text)
