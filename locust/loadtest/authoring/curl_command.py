"""CurlCommand: read a curl command, as browsers copy it and documentation shows it, as a request."""

from __future__ import annotations

import base64
import re
import shlex
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import quote, quote_plus, urlsplit

from loadtest import untrusted
from loadtest.authoring.recorded_scenario import FORM, Recorded
from loadtest.exceptions import UsageError

_LONGEST: Final = 1024 * 1024
_LARGEST_FILE_BYTES: Final = 8 * 1024 * 1024
_ANSI_QUOTED: Final = re.compile(r"(?<![^\s=])\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_CONTINUED: Final = re.compile(r"\\\r?\n")
_ALONE: Final = frozenset(
    (
        *("-k", "--insecure", "-L", "--location", "-s", "--silent", "-S", "--show-error", "-i", "--include", "-v"),
        *("--verbose", "--compressed", "-f", "--fail", "-g", "--globoff", "--http1.1", "--http2", "-N", "--no-buffer"),
        *("-4", "-6", "--fail-with-body", "-#", "--progress-bar", "-O", "--remote-name"),
    )
)
_IGNORED: Final = frozenset(
    (
        *("-o", "--output", "-m", "--max-time", "--connect-timeout", "-w", "--write-out", "--retry", "-A"),
        *("--user-agent", "-e", "--referer", "-x", "--proxy", "--cacert", "-b", "--cookie", "-c", "--cookie-jar"),
        *("--resolve", "-D", "--dump-header"),
    )
)
_TAKEN: Final = {
    **dict.fromkeys(("-X", "--request"), "method"),
    **dict.fromkeys(("-H", "--header"), "header"),
    **dict.fromkeys(("-d", "--data", "--data-ascii"), "data"),
    **dict.fromkeys(("--data-raw",), "raw"),
    **dict.fromkeys(("--data-binary",), "binary"),
    **dict.fromkeys(("--data-urlencode",), "urlencode"),
    **dict.fromkeys(("-F", "--form"), "form"),
    **dict.fromkeys(("--form-string",), "form"),
    **dict.fromkeys(("-u", "--user"), "user"),
    **dict.fromkeys(("--json",), "json"),
    **dict.fromkeys(("--url",), "url"),
    **dict.fromkeys(("--oauth2-bearer",), "bearer"),
}
_FLAGS: Final = {"-G": "get", "--get": "get", "-I": "head", "--head": "head"}
_OF_BROWSERS: Final = re.compile(
    r"(accept-.*|cache-control|connection|content-length|content-type|cookie|dnt|host|origin|pragma|priority|referer"
    r"|sec-.*|te|upgrade-insecure-requests|user-agent)"
)
_SAFE: Final = "!$%&'()*+,/:;=?@[]~"


def request_of(text: str) -> tuple[Recorded, str]:
    """Return the request of a curl command, and the base URL to which it is sent.

    Raises:
        UsageError: when it is not a curl command, or contains something that cannot be drafted; it names the column.
    """
    return _Command(text).request()


class _Command:
    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            _refuse(1, f"it is longer than {_LONGEST:,} characters")
        self._text = text
        self._found: list[tuple[str, str]] = []
        plain = _ANSI_QUOTED.sub(lambda found: shlex.quote(_unescaped(found[1])), _CONTINUED.sub(" ", text))
        try:
            words = shlex.split(plain)
        except ValueError as error:
            _refuse(1, f"it is cut off ({error})")
        if not words or words[0].rpartition("/")[2] != "curl":
            _refuse(1, "it does not begin with curl")
        self._read(words[1:])

    def _read(self, words: list[str]) -> None:
        waiting = iter(words)
        for word in waiting:
            name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
            if not word.startswith("-") or word == "-":
                self._found.append(("url", word))
            elif name in _FLAGS:
                self._found.append((_FLAGS[name], ""))
            elif name in _TAKEN or name in _IGNORED:
                value = value if equals else self._next(waiting, name)
                self._found += [(_TAKEN[name], value)] if name in _TAKEN else []
            elif name[:2] in _TAKEN and not word.startswith("--"):
                self._found.append((_TAKEN[name[:2]], word[2:]))
            elif name not in _ALONE and not all(f"-{letter}" in _ALONE for letter in word[1:]):
                _refuse(self._column(word), f"the option {word[:40]!r} has no draft")

    def _next(self, waiting: object, name: str) -> str:
        value = next(waiting, None)  # type: ignore[call-overload]
        if value is None:
            _refuse(self._column(name), f"the option {name!r} has no value")
        return str(value)

    def _column(self, word: str) -> int:
        return max(0, self._text.rfind(word[:20])) + 1

    def _all(self, *kinds: str) -> list[str]:
        return [value for kind, value in self._found if kind in kinds]

    def request(self) -> tuple[Recorded, str]:
        urls = self._all("url")
        if len(urls) != 1:
            _refuse(1, f"it has {len(urls)} URLs")
        url = urls[0] if "://" in urls[0] else f"http://{urls[0]}"
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https"):
            _refuse(self._column(urls[0]), f"{urls[0][:60]!r} is not an http or https URL")
        data = self._data()
        fields = [_field(each) for each in self._all("form")]
        is_get, query = bool(self._all("get")), parts.query
        if is_get and data is not None:
            query = "&".join(filter(None, (query, data)))
        method = next(iter(self._all("method")[-1:]), "")
        method = method or ("HEAD" if self._all("head") else "POST" if (data or fields) and not is_get else "GET")
        if not re.fullmatch(r"[A-Za-z-]{1,30}", method):
            _refuse(self._column(method), f"{method[:40]!r} is not a method")
        target = quote((parts.path or "/") + (f"?{query}" if query else ""), safe=_SAFE)
        request = Recorded(method.upper(), target, self._headers(), fields=fields)
        if data is not None and not is_get:
            kind = next((value for name, value in self._pairs() if name.lower() == "content-type"), "")
            request.take_body(data, kind or ("application/json" if self._all("json") else FORM))
        return request, f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def _pairs(self) -> list[tuple[str, str]]:
        return [
            (name.strip(), value.strip()) for name, _, value in (each.partition(":") for each in self._all("header"))
        ]

    def _headers(self) -> dict[str, str]:
        found = {name: value for name, value in self._pairs() if name and not _OF_BROWSERS.fullmatch(name.lower())}
        for name, value in found.items():
            if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII) or not value.isprintable():
                _refuse(self._column(name), f"{name[:40]!r} is not a header")
        if self._all("user"):
            found["Authorization"] = "Basic " + base64.b64encode(b"of ACCOUNTS_FILE").decode()
        if self._all("bearer"):
            found["Authorization"] = "Bearer of TOKEN_FILE"
        return found

    def _data(self) -> str | None:
        parts = [
            _data(kind, value) for kind, value in self._found if kind in ("data", "raw", "binary", "urlencode", "json")
        ]
        return None if not parts else "&".join(parts)


def _data(kind: str, value: str) -> str:
    if kind == "urlencode":
        name, equals, text = value.partition("=")
        return f"{name}{equals if name else ''}{quote_plus(text)}" if equals else quote_plus(name)
    if not value.startswith("@") or kind == "raw":
        return value
    try:
        text = untrusted.read_file(Path(value[1:]), _LARGEST_FILE_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        _refuse(1, f"the file {value[1:]} cannot be read ({getattr(error, 'strerror', None) or 'it is not UTF-8'})")
    return text if kind == "binary" else text.replace("\r", "").replace("\n", "")


def _field(text: str) -> tuple[str, str | None, str, str]:
    """Return a field of a form; a file is sent as a few bytes under its own name."""
    name, _, value = text.partition("=")
    value, _, rest = value.partition(";")
    kind = next((part.partition("=")[2] for part in rest.split(";") if part.strip().startswith("type=")), "")
    if value.startswith("@"):
        return name, Path(value[1:]).name or "file", "example", kind or "application/octet-stream"
    return name, None, value, kind or "text/plain"


def _unescaped(text: str) -> str:
    r"""Decode the content of bash's `$'…'`, with escapes such as `\u0027` or `\n`."""
    simple = {"n": "\n", "t": "\t", "r": "\r"}

    def one(found: re.Match[str]) -> str:
        code = found[1]
        return chr(int(code[1:], 16)) if len(code) > 1 else simple.get(code, code)

    return re.sub(r"\\(u[0-9A-Fa-f]{1,4}|x[0-9A-Fa-f]{1,2}|.)", one, text, flags=re.DOTALL)


def _refuse(column: int, found: str) -> NoReturn:
    raise UsageError(
        f"--curl, column {column}: {found}. Allowed: a curl command with one http or https URL. Next: correct it "
        "there, or leave it out."
    )
