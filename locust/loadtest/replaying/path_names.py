"""PathNames: derives request names from paths, with `:id` in place of identifiers."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from loadtest.replaying.logged_request import LONGEST_TARGET

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_SIBLINGS: Final = 40
"""The maximum number of different path segments at one position; more are values of one kind, such as article names."""
_DEEPEST: Final = 20
_LONGEST_PART: Final = 60
_LONGEST_ID: Final = 500
_ID: Final = re.compile(
    r"\d[\d.,:;_-]*"  # a number, a date, a version of a thing
    r"|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"  # a UUID
    r"|(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}"  # a hash, an ObjectId
    r"|(?=\D*\d)[A-Za-z0-9_=-]{16,}"  # a token, a ULID
    r"|eyJ[\w-]{8,}(?:\.[\w-]*)*"  # a JSON web token
    r"|[^@]+@[^@]+\.[^@]+"  # an e-mail address
    r"|(?:[A-Za-z]{1,8}[-_])\d+"  # order-17
    r"|.*%[0-9A-Fa-f]{2}.*"  # free text
)
_ENDING: Final = re.compile(r"(.+?)(\.[A-Za-z][A-Za-z0-9]{0,4})?")


def names_of(targets: Iterable[str]) -> dict[str, str]:
    """Return a name for the path of each target; the query is ignored."""
    paths = {target: target[:LONGEST_TARGET].partition("?")[0] for target in targets}
    parts = {path: [_plain(part) for part in path.split("/", _DEEPEST)] for path in dict.fromkeys(paths.values())}
    for depth in range(1, _DEEPEST + 1):
        siblings: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
        for each in parts.values():
            if len(each) > depth:
                siblings[tuple(each[:depth])].add(each[depth])
        crowded = {before for before, found in siblings.items() if len(found) > MAX_SIBLINGS}
        for each in parts.values():
            if len(each) > depth and crowded and tuple(each[:depth]) in crowded:
                each[depth] = ":any"
    return {target: "/".join(parts[path]) for target, path in paths.items()}


def _plain(part: str) -> str:
    if len(part) > _LONGEST_ID:
        return ":id"
    found = _ENDING.fullmatch(part)
    if found and _ID.fullmatch(found[1]):
        return f":id{found[2] or ''}"
    return ":id" if _ID.fullmatch(part) else part[:_LONGEST_PART]
