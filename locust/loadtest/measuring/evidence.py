"""Evidence: the request and the response of the first failures of each kind, without secrets.

The content of a service's responses is unknown, so secrets are removed by several rules at once. Of headers, only those
in `SHOWN_HEADERS` keep their values. Every value under a name that suggests a secret is masked, in JSON, forms and any
other text. So is anything that looks like a token, and every further occurrence, within the same exchange, of a value
that was masked. Evidence is made when a failure is recorded, never on the path of a success.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import zlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote_plus, unquote_plus

from loadtest import untrusted
from loadtest.settings.urls import MASK, without_credentials, without_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_log = logging.getLogger(__name__)

PER_KIND: Final = 3
"""The number of messages per request name and error class, in order of arrival, that get evidence."""
MAX_EVIDENCE: Final = 50
"""The number of messages that get evidence in all, per process and per run."""
LONGEST: Final = 2_000
"""Characters of a request or a response that are kept, headers included."""
_LONGEST_BODY: Final = 1_000
_LOOKED_AT: Final = 16_384
"""Bytes of a body that are examined."""
_LONGEST_KEY: Final = 80
_MAX_VALUES: Final = 2_000
_SHORTEST_SECRET: Final = 4
_MAX_SECRETS: Final = 500
SHOWN_HEADERS: Final = frozenset(
    {
        "accept", "accept-encoding", "accept-language", "allow", "cache-control", "connection", "content-encoding",
        "content-language", "content-length", "content-type", "date", "etag", "host", "retry-after", "server",
        "traceparent", "transfer-encoding", "user-agent", "vary", "via", "x-correlation-id", "x-request-id",
    }
)  # fmt: skip
"""The headers whose values are shown. Of all others only the name is shown."""
_SECRET: Final = re.compile(
    r"pass|pwd|secret|token|auth(?!or)|session|cookie|csrf|xsrf|api.?key|access.?key|private.?key|credential|signature"
    r"|bearer|jwt|card|iban|ssn|(?<![a-z])(?:otp|pin|sid|sig|cvc|cvv)(?![a-z])",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(
    rf"""(?P<before>(?:{_SECRET.pattern})[\w.-]{{0,40}}[\\"']{{0,4}}\s*[:=]\s*(?:(?:bearer|basic|digest)\s+)?\\{{0,2}})"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|\[[^\]]*\]?|\{[^}]*\}?|[^\s&;,<>"'{}\[\]]+)""",
    re.IGNORECASE,
)
_ELEMENT: Final = re.compile(
    rf"(?P<before><[\w.:-]{{0,40}}?(?:{_SECRET.pattern})[\w.-]{{0,40}}(?:\s[^<>]{{0,500}})?>\s*)(?P<value>[^<]+)",
    re.IGNORECASE,
)
"""An XML element."""
_FIELD: Final = re.compile(
    rf"""(?P<before>name=["'][^"'<>]{{0,40}}?(?:{_SECRET.pattern})[^<>]{{0,500}}?value=)(?P<value>"[^"]*"?|'[^']*'?)""",
    re.IGNORECASE,
)
"""A field of an HTML form."""
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_FORM: Final = re.compile(r"""[^\s=<>{}"']+=[^\s<>{}"']*""")
"""Text that looks like a form, when its content type is unknown."""
_PAIR_NAMES: Final = ("name", "key", "field", "header")
"""The names under which a JSON list of pairs stores the names of its values."""
_SECRET_COMMANDS: Final = frozenset({"AUTH", "HELLO", "ACL", "CONFIG", "MIGRATE"})
"""Redis commands whose arguments are, or may be, passwords."""
_TOKEN: Final = re.compile(
    r"(?<![\w+-])(?=[\w+-]*\d)(?=[\w+-]*[A-Za-z])[\w+-]{32,}(?:\.[\w+-]+)*=*|eyJ[\w-]{8,}[\w.-]*"
)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x9f]")


class Evidence(NamedTuple):
    """One failed exchange as text without secrets, each part at most `LONGEST` characters long."""

    request: str
    answer: str
    """Empty when no response arrived."""


class EvidenceQuota:
    """Decides which failures get evidence: the first `PER_KIND` messages of each kind, at most `MAX_EVIDENCE`."""

    def __init__(self) -> None:
        """Create a quota that has admitted nothing yet."""
        self._messages: dict[tuple[int, str], set[str]] = {}
        self._admitted = 0

    def holds(self, row: int, error_class: str, message: str) -> bool:
        """Whether this failure was admitted earlier."""
        return message in self._messages.get((row, error_class), ())

    def admits(self, row: int, error_class: str, message: str) -> bool:
        """Whether there is room for this failure; if so, it is admitted."""
        if self.holds(row, error_class, message):
            return True
        messages = self._messages.setdefault((row, error_class), set())
        if len(messages) >= PER_KIND or self._admitted >= MAX_EVIDENCE:
            return False
        messages.add(message)
        self._admitted += 1
        return True


def made(make: Callable[[], Evidence]) -> Evidence | None:
    """Make evidence, or return None if that fails: the failure must be counted in any case."""
    try:
        return make()
    except Exception:
        _log.exception("no sample of a failed request could be made")
        return None


def of_exchange(
    request: Any, status: tuple[int, str] | None, headers: Mapping[str, str], body: bytes | None, cookies: Iterable[str]
) -> Evidence:
    """Return the evidence of an HTTP request.

    Args:
        request: the request that was sent, with the attributes ``method``, ``url``, ``headers`` and ``body``.
        status: the response's status code and reason phrase; None when no response arrived.
        headers: the response's headers.
        body: the response's body, as far as it arrived.
        cookies: values that may have been sent in cookies.
    """
    secrets = _Secrets(cookies)
    sent = [f"{request.method} {without_credentials(str(request.url))}", *secrets.headers(request.headers or {})]
    got = [] if status is None else [f"{status[0]} {status[1]}".rstrip(), *secrets.headers(headers)]
    types = [str(value) for name, value in (request.headers or {}).items() if name.lower() == "content-type"]
    sent_body = secrets.body(request.body, "".join(types[:1]))
    got_body = secrets.body(body, str(headers.get("content-type", ""))) if got else ""
    return Evidence(secrets.text(sent, sent_body), secrets.text(got, got_body))


def of_response(response: Any) -> Evidence:
    """Return the evidence of a response of requests or geventhttpclient. A streamed body is not read."""
    parts = vars(response)
    body = parts.get("_content") or parts.get("_cached_content")
    status = (response.status_code, str(getattr(response, "reason", "") or "")) if response.status_code else None
    return of_exchange(response.request, status, response.headers or {}, body if isinstance(body, bytes) else None, ())


def of_command(data: bytes, error: str) -> Evidence:
    """Return the evidence of Redis commands, from the bytes sent (RESP) and the text of the error."""
    secrets = _Secrets(())
    lines = [" ".join(secrets.words(command)) for command in commands_in(data)]
    return Evidence(secrets.text([" \n ".join(lines)], ""), secrets.text([secrets.body(error.encode())], ""))


def commands_in(data: bytes) -> list[list[bytes]]:
    """Return the words of each Redis command at the beginning of some bytes (RESP)."""
    commands: list[list[bytes]] = []
    at, data = 0, data[:_LOOKED_AT]
    while at < len(data) and (end := data.find(b"\r\n", at)) >= 0:
        kind, size = data[at : at + 1], int(data[at + 1 : end])
        if kind == b"$":
            commands[-1].append(data[end + 2 : end + 2 + size])
            at = end + 4 + size
        else:  # another command
            commands.append([])
            at = end + 2
    return commands


def key_text(key: bytes) -> str:
    """Return a Redis key as text. Tokens in it are masked, in such a way that distinct keys keep distinct texts."""
    text = key.decode("utf-8", "replace")
    shown = _TOKEN.sub(MASK, text)
    shown = shown if len(shown) <= _LONGEST_KEY else f"{shown[:_LONGEST_KEY]}…"
    return text if shown == text else f"{shown} ({zlib.crc32(key):08x})"


class _Secrets:
    """The values that were masked in one exchange, and are masked wherever they occur again."""

    def __init__(self, known: Iterable[str]) -> None:
        self._values: set[str] = set()
        for value in known:
            self._hide(value)

    def headers(self, headers: Mapping[str, Any]) -> list[str]:
        """Return the lines of the headers, most of them without their values."""
        lines = []
        for name, value in headers.items():
            is_shown = name.lower() in SHOWN_HEADERS
            lines.append(f"{name}: {value if is_shown else MASK}")
            if not is_shown:
                self._hide_header(str(value))
        return lines

    def _hide_header(self, value: str) -> None:
        """Mask a header's value, and the scheme's credentials, cookies or name and password that it may contain."""
        scheme, _, rest = value.partition(" ")
        for part in (value, rest, *(pair.partition("=")[2] for pair in re.split(r"[;,]\s*", value))):
            self._hide(part)
        if scheme.lower() == "basic":
            try:
                self._hide(base64.b64decode(rest).decode().partition(":")[2])
            except ValueError:
                return  # not a pair: the value is masked as a whole

    def body(self, body: Any, content_type: str = "") -> str:
        """Return a body as text with values under secret names masked; a binary body as its size."""
        if not body:
            return ""
        raw = body.encode("utf-8", "replace") if isinstance(body, str) else body
        if not isinstance(raw, bytes):
            return "(a body that was sent in pieces)"
        if content_type.lower().startswith("multipart/"):
            return f"({len(raw):,} bytes of {content_type.partition(';')[0]})"
        text = raw[:_LOOKED_AT].decode("utf-8", "replace")
        if "\0" in text or text.count("\N{REPLACEMENT CHARACTER}") > len(text) // 10:
            return f"({len(raw):,} bytes)"
        if content_type.lower().startswith(_FORM_TYPE) or (not content_type and _FORM.fullmatch(text)):
            text = self._form(text)
        elif (parsed := _parsed(raw)) is not None:
            text = json.dumps(self._walked(parsed, is_secret=False), ensure_ascii=False)
        for named in (_NAMED, _ELEMENT, _FIELD):
            text = named.sub(self._masked, text)
        return _TOKEN.sub(self._masked_token, without_named(text))

    def _form(self, text: str) -> str:
        """Return a form with the values of secrets masked, also within a value that is itself JSON or a form."""
        pairs = []
        for name, equals, value in (pair.partition("=") for pair in text.split("&")):
            plain = unquote_plus(value)
            if _SECRET.search(unquote_plus(name)):
                self._hide(value)
                self._hide(plain)
                pairs.append(f"{name}{equals}{MASK}")
            else:
                masked = self.body(plain)
                pairs.append(f"{name}{equals}{value if masked == plain else masked}")
        return "&".join(pairs)

    def words(self, command: list[bytes]) -> list[str]:
        """Return the words of a Redis command, with passwords and values that follow the name of a secret masked."""
        texts = [word.decode("utf-8", "replace") for word in command]
        shown, is_secret = [], False
        for number, (text, word) in enumerate(zip(texts, command, strict=True)):
            if is_secret:
                self._hide(text.strip("\"'"))
            shown.append(MASK if is_secret else self.body(word))
            is_secret = texts[0].upper() in _SECRET_COMMANDS or (number > 0 and bool(_SECRET.search(text)))
        return shown

    def _walked(self, value: Any, *, is_secret: bool) -> Any:
        """Return a JSON value with every text and number under a secret's name masked."""
        if isinstance(value, dict):
            named = is_secret or any(_SECRET.search(str(value.get(name, ""))) for name in _PAIR_NAMES)
            return {
                name: self._walked(
                    inner, is_secret=(named if name == "value" else is_secret) or bool(_SECRET.search(name))
                )
                for name, inner in value.items()
            }
        if isinstance(value, list):
            return [self._walked(inner, is_secret=is_secret) for inner in value]
        if not is_secret or value is None or isinstance(value, bool):
            return value
        self._hide(str(value))
        return MASK

    def _masked(self, found: re.Match[str]) -> str:
        quote = found["value"][0] if found["value"][0] in "\"'" else ""
        self._hide(found["value"].strip("\"'"))
        return f"{found['before']}{quote}{MASK}{quote}"

    def _masked_token(self, found: re.Match[str]) -> str:
        if _UUID.fullmatch(found[0]):
            return found[0]
        self._hide(found[0])
        return MASK

    def _hide(self, value: str) -> None:
        value = value.strip()
        if len(value) >= _SHORTEST_SECRET and value != MASK:
            quoted = (json.dumps(value, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
            self._values |= {value, quote_plus(value), *quoted}

    def text(self, head: list[str], body: str) -> str:
        """Return head and body with every masked value replaced, and truncated to their limits."""
        first, *others = head or [""]
        if len(self._values) > _MAX_SECRETS:
            body = "(a body with many secrets)"
        hidden = sorted(self._values, key=len, reverse=True)
        first, body = (self._without(text, hidden) for text in (_TOKEN.sub(self._masked_token, first), body))
        if len(body) > _LONGEST_BODY:
            body = f"{body[:_LONGEST_BODY]} …"
        whole = "\n".join((first, *others)) + (f"\n\n{body}" if body else "")
        clean = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", whole)
        return clean if len(clean) <= LONGEST else f"{clean[: LONGEST - 2]} …"

    @staticmethod
    def _without(text: str, hidden: list[str]) -> str:
        for value in hidden:
            text = text.replace(value, MASK)
        return text


def _parsed(raw: bytes) -> Any:
    """Return the JSON object or list that is the whole text; None for anything else."""
    if len(raw) > _LOOKED_AT or raw[:1] not in (b"{", b"["):
        return None
    try:
        untrusted.check_json(raw, _MAX_VALUES)
        return json.loads(raw)
    except ValueError:
        return None
