"""Har: read the entries of a HAR file, as browsers write it (http://www.softwareishard.com/blog/har-12-spec/).

Tested in tests/unit/replaying/test_access_log.py.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus

import orjson

from loadtest import untrusted
from loadtest.exceptions import UsageError
from loadtest.profiles.curve_file import time_s
from loadtest.replaying.logged_request import LONGEST_BODY_BYTES, LoggedRequest, made

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST_BYTES: Final = 512 * 1024 * 1024
_MAX_VALUES: Final = 20_000_000
_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+(;[\x20-\x7e]*)?", re.ASCII)
_ALLOWED: Final = "a HAR file as a browser saves it, with log.entries"


@dataclass(slots=True)
class Entry:
    """A request and its response.

    Attributes:
        request: the request; None if it cannot be sent, such as one that is not HTTP.
        origin: scheme, host and port to which it was sent.
        headers: the request's headers, by lower-case name.
        ended_s: when the response was complete, as Unix time.
        answer: the response's text; empty if it is not text.
        answer_headers: the response's headers, by lower-case name.
        location: the target of its redirect; may be empty.
        is_page: whether it is a document or data, and not an image, a script, a font or a style sheet.
    """

    request: LoggedRequest | None
    origin: str
    headers: dict[str, str]
    ended_s: float
    answer: str
    answer_headers: dict[str, str]
    location: str
    is_page: bool


def read(path: Path) -> list[Entry]:
    """Read a HAR file.

    Raises:
        UsageError: when it cannot be read, or has another format; the message names the line and column of invalid
            JSON, or otherwise the number of the entry.
    """
    try:
        text = untrusted.read_file(path, _LARGEST_BYTES).removeprefix(b"\xef\xbb\xbf")
        untrusted.check_json(text, _MAX_VALUES)
        root = orjson.loads(text)
    except json.JSONDecodeError as error:
        raise _refusal(path, f"line {error.lineno}, column {error.colno}: not JSON ({error.msg})") from error
    except OSError as error:
        raise _refusal(path, f"it cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _refusal(path, str(error)) from error
    log = root.get("log") if isinstance(root, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list):
        raise _refusal(path, "line 1, column 1: it has no log.entries")
    found = []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(_entry(entry))
        except untrusted.WRONG_FORM as error:
            what = error if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            raise _refusal(path, f"entry {number} is not that of a request ({what})") from error
    return found


def media_type(text: str) -> str:
    """Return a media type that is safe to send in a header."""
    return text if _MEDIA_TYPE.fullmatch(text) else "application/octet-stream"


def _refusal(path: Path, reason: str) -> UsageError:
    return UsageError(f"{path} cannot be used: {reason}. Allowed: {_ALLOWED}. Next: correct it, or save it again.")


def _entry(entry: dict[str, Any]) -> Entry:
    asked, answered = entry["request"], entry.get("response") or {}
    start_s = time_s(str(entry["startedDateTime"]))
    url = str(asked["url"])
    request = made(start_s, str(asked["method"]), url, "", int(answered.get("status") or 0))
    posted = asked.get("postData") or {}
    if request is not None and posted:
        request.body, request.media_type = _body(posted), media_type(str(posted.get("mimeType") or "text/plain"))
    content = answered.get("content") or {}
    scheme, _, rest = url.partition("://")
    return Entry(
        request,
        f"{scheme}://{re.split('[/?#]', rest, maxsplit=1)[0].rpartition('@')[2]}",
        _headers(asked),
        start_s + max(0.0, float(entry.get("time") or 0.0)) / 1e3,
        "" if content.get("encoding") else str(content.get("text") or ""),
        _headers(answered),
        str(answered.get("redirectURL") or ""),
        _is_page(entry, str(content.get("mimeType") or "")),
    )


def _headers(message: dict[str, Any]) -> dict[str, str]:
    return {str(each["name"]).lower(): str(each["value"]) for each in message.get("headers") or []}


def _is_page(entry: dict[str, Any], kind: str) -> bool:
    resource = entry.get("_resourceType")
    if resource is not None:
        return resource in ("document", "xhr", "fetch")
    return not re.match(r"image/|font/|audio/|video/|text/css|.*javascript|application/(font|wasm)", kind)


def _body(posted: dict[str, Any]) -> bytes:
    text = posted.get("text")
    if text is None:
        pairs = [(str(each["name"]), str(each.get("value") or "")) for each in posted.get("params") or []]
        text = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
    try:
        body = (
            base64.b64decode(text, validate=True)
            if posted.get("encoding") == "base64"
            else str(text).encode("utf-8", "surrogatepass")
        )
    except binascii.Error as error:
        raise ValueError("its body is not base64") from error
    if len(body) > LONGEST_BODY_BYTES:
        raise ValueError(f"its body is longer than {LONGEST_BODY_BYTES:,} bytes")
    return body
