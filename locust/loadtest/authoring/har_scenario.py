"""HarScenario: a browser session as a scenario: its requests, its pauses, and values that it took from responses.

Only the pages and data of the service with the most of them are kept. If a later request sends a value from a response
(from JSON, a hidden field or a header) and no earlier request sent it, the draft takes it from the response. The client
handles cookies itself.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urljoin

import orjson

from loadtest.authoring import code_text
from loadtest.authoring.recorded_scenario import MAX_REQUESTS, Recorded
from loadtest.exceptions import UsageError
from loadtest.replaying import har

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadtest.replaying.har import Entry

_SHORTEST_TEXT: Final = 6
_LOWEST_NUMBER: Final = 100
_MAX_VALUES: Final = 20_000
_MAX_COMPARED: Final = 3_000_000
"""The maximum number of comparisons of a value with a text of a request, which take about ten seconds."""
_AT_ONCE: Final = 1_000
"""The number of characters that are searched in the time that it takes to start on another text."""
_WORD: Final = re.compile(r"[\w-]+")
_DEEPEST: Final = 8
_LONGEST_THINK_S: Final = 60.0
_REDIRECTS: Final = range(300, 400)
_HEADERS: Final = re.compile(r"authorization|x-.*|.*(token|csrf|xsrf|api-?key).*")
_OF_BROWSERS: Final = re.compile(r"x-(requested-with|client-data|forwarded-.*|real-ip|request-id)")
_FIELD: Final = re.compile(r"<(?:input|meta)\b[^<>]{0,2000}+>", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(r"""\b(name|value|content)=(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)


@dataclass(frozen=True)
class HarDraft:
    """The content of a HAR file.

    Attributes:
        requests: in order.
        host: the base URL of the service.
        notes: what was omitted.
    """

    requests: list[Recorded]
    host: str
    notes: list[str]


@dataclass(frozen=True)
class _Value:
    """A value from a response: its text, the expression that reads it, and its name."""

    text: str
    expression: str
    name: str


def draft(path: Path) -> HarDraft:
    """Read a HAR file.

    Raises:
        UsageError: when it cannot be read, or contains no requests.
    """
    entries = har.read(path)
    origins = Counter(entry.origin for entry in entries if entry.is_page and entry.request)
    if not origins:
        raise UsageError(
            f"--har {path} cannot be used: it has no requests of pages or data. Allowed: a HAR file with some. Next: "
            "record again, with the network tab open before the page is loaded."
        )
    (origin, _), *_ = origins.most_common(1)
    notes = [f"{count} requests to {other}" for other, count in origins.items() if other != origin]
    if assets := sum(not entry.is_page for entry in entries):
        notes.append(f"{assets} pictures, scripts, fonts and styles")
    chosen = [entry for entry in entries if entry.is_page and entry.request and entry.origin == origin]
    chosen.sort(key=lambda entry: entry.request.start_s if entry.request else 0.0)
    chosen = _without_followed(chosen)
    if len(chosen) > MAX_REQUESTS:
        raise UsageError(
            f"--har {path} holds {len(chosen):,} requests. Allowed: at most {MAX_REQUESTS:,}. Next: record less, or "
            "replay it: loadtest replay."
        )
    requests = [_recorded(entry) for entry in chosen]
    _add_pauses(chosen, requests)
    if not _keep_values(chosen, requests):
        notes.append("values of later answers that requests send again: there were too many to look for")
    return HarDraft(requests, origin, notes)


def _without_followed(entries: list[Entry]) -> list[Entry]:
    """Omit the targets of redirects, because the client follows redirects itself."""
    kept: list[Entry] = []
    before: Entry | None = None
    for entry in entries:
        led_to = ""
        if before and before.request and before.request.status in _REDIRECTS:
            with contextlib.suppress(ValueError):  # a service may redirect to an invalid URL
                led_to = urljoin(before.origin + before.request.target, before.location)
        if not (led_to and entry.request and led_to.partition("#")[0] == entry.origin + entry.request.target):
            kept.append(entry)
        before = entry
    return kept


def _recorded(entry: Entry) -> Recorded:
    request = entry.request
    if request is None:
        raise ValueError("it cannot be sent")
    headers = {
        name: value
        for name, value in entry.headers.items()
        if _HEADERS.fullmatch(name) and not _OF_BROWSERS.fullmatch(name) and value.isprintable()
    }
    found = Recorded(request.method, request.target, headers)
    if request.body:
        found.take_body(request.body, request.media_type)
    return found


def _add_pauses(entries: list[Entry], requests: list[Recorded]) -> None:
    """Wait as long as the browser did after the latest response."""
    ended_s = float("inf")
    for entry, request in zip(entries, requests, strict=True):
        start_s = entry.request.start_s if entry.request else 0.0
        request.think_s = min(_LONGEST_THINK_S, max(0.0, start_s - ended_s))
        ended_s = entry.ended_s if ended_s == float("inf") else max(ended_s, entry.ended_s)


def _keep_values(entries: list[Entry], requests: list[Recorded]) -> bool:
    """Take values from responses, in the order of the responses; return whether all values were examined."""
    words = {word for each in requests for place in _places(each) for word in _WORD.findall(place)}
    left, texts = _MAX_COMPARED, sum(1 + len(place) // _AT_ONCE for each in requests for place in _places(each))
    taken: Counter[str] = Counter()
    known: set[str] = set()
    for index, entry in enumerate(entries):
        for value in _values(entry):
            first = _WORD.search(value.text)  # a whole word in any text that contains the value, see `_pattern`
            if first is None or first[0] not in words:
                continue
            left -= texts
            if left < 0:
                return False
            if value.text in known or any(_holds(each, value.text) for each in requests[: index + 1]):
                continue
            later = [each for each in requests[index + 1 :] if _holds(each, value.text)]
            if not later:
                continue
            known.add(value.text)
            taken[value.name] += 1
            variable = f"{value.name}_{taken[value.name]}" if taken[value.name] > 1 else value.name
            requests[index].kept[variable] = value.expression
            for request in later:
                _replace(request, value.text, code_text.mark(variable))
    return True


def _values(entry: Entry) -> Iterator[_Value]:
    """Yield the values of a response that are too long to match by chance."""
    if entry.answer.lstrip()[:1] in ("{", "["):
        try:
            yield from _of_json(orjson.loads(entry.answer), "answer.json()", "value", [0])
        except orjson.JSONDecodeError:
            return
    else:
        for tag in _FIELD.findall(entry.answer):
            found = {name.lower(): first or second for name, first, second in _ATTRIBUTE.findall(tag)}
            text = unescape(found.get("value") or found.get("content") or "")
            name = found.get("name", "")
            if name and len(text) >= _SHORTEST_TEXT:
                yield _Value(text, f"re.search({_place(tag, name)!r}, answer.text)[1]", _name(name))
    for name, text in entry.answer_headers.items():
        if len(text) >= _SHORTEST_TEXT and _HEADERS.fullmatch(name):
            yield _Value(text, f"answer.headers[{name!r}]", _name(name))


def _place(tag: str, name: str) -> str:
    """Return the pattern that finds a field's value, whichever of its two attributes comes first."""
    named, value = rf"""name=["']{re.escape(name)}["']""", r"""(?:value|content)=["']([^"']*)["']"""
    is_first = re.search(named, tag) and re.search(rf"{named}[^>]*?{value}", tag)
    return rf"{named}[^>]*?{value}" if is_first else rf"{value}[^>]*?{named}"


def _of_json(node: Any, expression: str, name: str, count: list[int], depth: int = 0) -> Iterator[_Value]:
    count[0] += 1
    if count[0] > _MAX_VALUES or depth > _DEEPEST:
        return
    if isinstance(node, dict):
        for key, each in node.items():
            yield from _of_json(each, f"{expression}[{key!r}]", _name(key), count, depth + 1)
    elif isinstance(node, list):
        for index, each in enumerate(node):
            yield from _of_json(each, f"{expression}[{index}]", name, count, depth + 1)
    elif isinstance(node, str) and len(node) >= _SHORTEST_TEXT and node.isprintable():
        yield _Value(node, expression, name)
    elif isinstance(node, int) and not isinstance(node, bool) and node >= _LOWEST_NUMBER:
        yield _Value(str(node), expression, name)


def _name(text: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()
    return f"the_{re.sub(r'[^a-z0-9]+', '_', words).strip('_')[:40] or 'value'}"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(text)}(?![\w-])")


def _holds(request: Recorded, text: str) -> bool:
    is_plain = quote(text, safe="") == text
    places = (place for place in _places(request) if is_plain or place is not request.target)
    return any(text in place and _pattern(text).search(place) for place in places)


def _places(request: Recorded) -> Iterator[str]:
    yield from request.headers.values()
    yield from _texts(request.body)
    yield request.target


def _texts(body: Any) -> Iterator[str]:
    if isinstance(body, dict | list):
        for each in body.values() if isinstance(body, dict) else body:
            yield from _texts(each)
    elif isinstance(body, str) or (isinstance(body, int) and not isinstance(body, bool)):
        yield str(body)


def _replace(request: Recorded, text: str, mark: str) -> None:
    pattern = _pattern(text)
    request.headers = {name: pattern.sub(mark, value) for name, value in request.headers.items()}
    request.body = _replaced(request.body, pattern, mark)
    if quote(text, safe="") == text:
        request.target = pattern.sub(mark, request.target)


def _replaced(body: Any, pattern: re.Pattern[str], mark: str) -> Any:
    if isinstance(body, dict):
        return {name: _replaced(each, pattern, mark) for name, each in body.items()}
    if isinstance(body, list):
        return [_replaced(each, pattern, mark) for each in body]
    if isinstance(body, int) and not isinstance(body, bool):
        return mark if pattern.fullmatch(str(body)) else body
    return pattern.sub(mark, body) if isinstance(body, str) else body
