"""Secrets in drafts: find the secrets in a document, a recording or a command, so that no draft contains them.

Tested in tests/unit/authoring/test_har_scenario.py and tests/unit/authoring/test_openapi_secrets.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from loadtest.settings.urls import is_secret

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD: Final = re.compile(r"pass(word|wd|phrase)?|pwd", re.IGNORECASE)
WEB_TOKEN: Final = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
"""A JSON web token, a secret recognised by its form under any name."""
_HEADER: Final = re.compile(r"token|key|secret|auth|session", re.IGNORECASE)
_IN_TEXT: Final = (
    re.compile(  # <a:Password>x</a:Password>
        r"(?P<before><(?:[\w.-]{1,60}:)?(?P<name>[\w.-]{1,60})(?:\s[^<>]{0,500})?>\s*)(?P<value>[^\s<>][^<>]*)(?=</)"
    ),
    re.compile(  # a part of a multipart form
        r'(?P<before>\bname="(?P<name>[^"\r\n]{1,60})"[^\r\n]{0,200}\r?\n(?:[^\r\n]{1,200}\r?\n){0,3}\r?\n)'
        r"(?P<value>[^\r\n]+)"
    ),
    re.compile(  # password=x, password: "x", "password": "x", Authorization: Bearer x
        r"(?P<before>\b(?P<name>[A-Za-z][\w-]{0,60})\\?[\"']?\s{0,4}[:=]\s{0,4}(?:(?:bearer|basic|token)\s+)?\\?[\"']?)"
        r"(?P<value>[^\s\"'&,;(){}<>\\]+)",
        re.IGNORECASE,
    ),
)
"""A name and its value within a text: XML, a form that is not a list of pairs, or a query language."""
_SHORT: Final = frozenset({"otp", "pin", "sig"})


def is_named(name: str) -> bool:
    """Return whether the last word of a name, as in user[api_token], names a secret other than a password."""
    word = re.split(r"[^\w-]+", name.rstrip("] "))[-1]
    return is_secret(word) or word.lower() in _SHORT


def is_field(name: str) -> bool:
    """Return whether the name of a parameter or member is that of a secret or password."""
    return bool(PASSWORD.search(name)) or is_named(name)


def is_named_header(name: str) -> bool:
    """Return whether a header's name is that of a secret."""
    return bool(_HEADER.search(name)) or is_secret(name)


def replaced(text: str, of_name: Callable[[str, str], str], token: str) -> str:
    """Replace the secrets in a text.

    Args:
        text: such as XML, a form or a query.
        of_name: returns the replacement of a value, given its name and the value.
        token: the replacement of a JSON web token.
    """

    def one(found: re.Match[str]) -> str:
        name, value = found["name"], found["value"]
        return found["before"] + (of_name(name, value) if is_field(name) else value)

    for pattern in _IN_TEXT:
        text = pattern.sub(one, text)
    return WEB_TOKEN.sub(token, text)
