"""Documents, recordings, commands and logs with random parts: they are drafted or read, or refused cleanly.

The draft of any accepted input is Python that can be compiled.
"""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.authoring import curl_command, har_scenario, openapi_scenario, recorded_scenario
from loadtest.authoring.openapi_document import OpenApiDocument
from loadtest.authoring.postman_collection import PostmanCollection
from loadtest.exceptions import UsageError
from loadtest.profiles.curve_file import CurveFile
from loadtest.replaying.monitor_log import MonitorLog
from loadtest.replaying.replay import Replay, Selection
from tests.fuzz.cases import fuzz

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WORDS = st.sampled_from(
    [
        *("", "$ref", "#/components/schemas/A", "#", "string", "object", "array", "path", "query", "body", "formData"),
        *(
            "http://a.example/{x}",
            "//evil/",
            "{{x}}",
            "application/json",
            "multipart/form-data",
            "\n",
            '"""',
            "\\",
            "{a}",
        ),
        *("2026-01-31T12:00:00Z", "GET", "apiKey", "oauth2", "csv", "deepObject", "raw", "null"),
    ]
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), WORDS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.one_of(WORDS, TEXTS), inner, max_size=2)),
    max_leaves=4,
)
CHANGES = st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["put", "drop", "rename"]), VALUES), max_size=3)
ID = {"name": "id", "in": "path", "required": True}
THING = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "string", "format": "uuid"}, "n": {"enum": [1]}},
}
BODY = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}}
OPENAPI = {
    "openapi": "3.1.0",
    "info": {"title": "x"},
    "servers": [{"url": "http://a.example/v1"}],
    "paths": {
        "/a": {
            "post": {"requestBody": BODY, "responses": {"200": {"description": "", **BODY}}, "security": [{"k": []}]}
        },
        "/a/{id}": {"parameters": [{**ID, "schema": {"type": "string"}}], "get": {"tags": ["t"]}, "delete": {}},
    },
    "components": {"schemas": {"A": THING}, "securitySchemes": {"k": {"type": "apiKey", "in": "cookie", "name": "k"}}},
}
SWAGGER = {
    "swagger": "2.0",
    "host": "a.example",
    "paths": {
        "/a": {"post": {"parameters": [{"in": "body", "name": "b", "schema": {"$ref": "#/definitions/A"}}]}},
        "/a/{id}": {"get": {"parameters": [{**ID, "type": "array", "items": {"type": "string"}}], "responses": {}}},
        "/f": {
            "put": {
                "parameters": [{"in": "formData", "name": "f", "type": "file"}],
                "consumes": ["multipart/form-data"],
            }
        },
    },
    "definitions": {"A": THING},
    "securityDefinitions": {"o": {"type": "oauth2", "flow": "password", "tokenUrl": "/t", "scopes": {}}},
}
ENTRY = {
    "startedDateTime": "2026-01-31T12:00:00Z",
    "time": 5,
    "request": {
        "method": "POST",
        "url": "http://a.example/things/value-1?x=value-2",
        "headers": [{"name": "X-Token", "value": "value-2"}],
        "postData": {"mimeType": "application/json", "text": '{"password": "x", "a": ["value-1"]}'},
    },
    "response": {
        "status": 200,
        "content": {"mimeType": "application/json", "text": '{"a": "value-1", "b": "value-2"}'},
    },
}
FIRST = {**ENTRY, "request": {"method": "GET", "url": "http://a.example/"}}
HAR = {"log": {"entries": [FIRST, ENTRY]}}
POSTMAN = {
    "info": {"name": "x"},
    "variable": [{"key": "v", "value": "{{w}}"}],
    "item": [
        {
            "name": "a",
            "event": [{"listen": "test", "script": {"exec": ['pm.globals.set("w", pm.response.json().a[0])']}}],
            "request": {
                "method": "POST",
                "url": {"raw": "http://a.example/:id", "variable": [{"key": "id", "value": "1"}]},
                "header": [{"key": "K", "value": "{{v}}"}],
                "body": {"mode": "urlencoded", "urlencoded": [{"key": "a", "value": "{{w}}"}]},
                "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{w}}"}]},
            },
        }
    ],
}
RATES = {
    "status": "success",
    "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "2"], [2, "3"]]}]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder shared by all cases."""
    return tmp_path_factory.mktemp("drafts")


def openapi(path: Path) -> str:
    """Draft from an OpenAPI or Swagger document."""
    return openapi_scenario.draft(OpenApiDocument.read(str(path)), "x").text


def har(path: Path) -> str:
    """Draft from a recording, and read it for a replay."""
    Replay.of(path.replace(path.with_suffix(".har")), Selection(hosts=("a.example",)))
    return recorded_scenario.written("x", "x", har_scenario.draft(path.with_suffix(".har")).requests)


def postman(path: Path) -> str:
    """Draft from a collection."""
    collection = PostmanCollection(path)
    return recorded_scenario.written("x", collection.title, collection.requests)


def rates(path: Path) -> str:
    """Read a curve."""
    assert all(stage.duration_s > 0 <= stage.level for stage in CurveFile(path).stages)
    return ""


def changed(root: Any, changes: list[tuple[int, str, Any]]) -> Any:
    """Return a document in which some values or names are replaced or removed."""
    root = copy.deepcopy(root)
    for number, how, value in changes:
        places = list(_places(root))
        if not places:
            break
        holder, name = places[number % len(places)]
        if how == "put":
            holder[name] = value
        elif how == "drop":
            del holder[name]
        elif isinstance(holder, dict):
            holder[str(value)] = holder.pop(name)
    return root


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    for name in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, name
        yield from _places(node[name])


READERS = [(OPENAPI, openapi), (SWAGGER, openapi), (HAR, har), (POSTMAN, postman), (RATES, rates)]


@fuzz
@given(reader=st.sampled_from(READERS), changes=CHANGES)
def test_documents(
    folder: Path,
    reader: tuple[Any, Callable[[Path], str]],
    changes: list[tuple[int, str, Any]],
) -> None:
    """A document with anything in any place is drafted around, or refused."""
    path = folder / "a.json"
    path.write_text(json.dumps(changed(reader[0], changes)))
    try:
        compile(reader[1](path), "x.py", "exec")
    except UsageError as error:
        assert 10 < len(str(error)) < 20_000


CLF = '1.2.3.4 - - [31/Jan/2026:12:00:00 +0000] "GET /a HTTP/1.1" 200 5 "-" "x"'
ALB = 'http 2026-01-31T12:00:00Z a b c 0 0 0 200 200 0 0 "GET http://a.example:80/ HTTP/1.1" "x" - - a b'
LINES = st.one_of(
    st.sampled_from(
        [CLF, ALB, '{"time": 1, "method": "GET", "uri": "/", "body": {}}', "start", "t,r", "1,2", "3", "1e400"]
    ),
    TEXTS,
    VALUES.map(json.dumps),
    st.dictionaries(st.sampled_from(["time", "method", "uri", "request", "status", "body", "host"]), VALUES).map(
        json.dumps
    ),
)


@fuzz
@given(
    words=st.lists(st.lists(st.binary(max_size=9), min_size=1, max_size=4), min_size=1, max_size=4),
    db=st.integers(0, 10**9),
    cut=st.integers(1, 60),
    word=st.one_of(WORDS, TEXTS),
)
def test_monitor_logs(folder: Path, words: list[list[bytes]], db: int, cut: int, word: str) -> None:
    """Commands as Redis prints them are read; truncated or other text is refused or read."""
    path = folder / "monitor.log"
    lines = [f"{at}.000001 [{db} 127.0.0.1:1] {' '.join(map(_as_redis_prints, one))}\n" for at, one in enumerate(words)]
    path.write_text("OK\n" + "".join(lines))
    assert [(one.start_s, one.db, list(one.words)) for one in MonitorLog(path).commands] == [
        (at + 1e-6, db, one) for at, one in enumerate(words)
    ]
    text = path.read_text()
    path.write_text(text[:-cut])
    if not text[:-cut].endswith("\n"):
        with pytest.raises(UsageError, match=r"monitor.log, line \d+, column 1: "):
            MonitorLog(path)
    path.write_text(text[:cut] + word + text[cut:])
    try:
        MonitorLog(path)
    except UsageError as error:
        assert f"{path}, line " in str(error)


def _as_redis_prints(word: bytes) -> str:
    """Like `sdscatrepr` of Redis."""
    known = {34: '\\"', 92: "\\\\", 10: "\\n", 13: "\\r", 9: "\\t", 7: "\\a", 8: "\\b"}
    return '"' + "".join(known.get(b) or (chr(b) if 32 <= b < 127 else f"\\x{b:02x}") for b in word) + '"'


@fuzz
@given(lines=st.lists(LINES, max_size=4), cut=st.integers(0, 60), word=st.one_of(WORDS, TEXTS))
def test_logs_curves_and_commands(folder: Path, lines: list[str], cut: int, word: str) -> None:
    """Any lines are a log, a curve or a command, or refused."""
    path = folder / "a.csv"
    text = "\n".join(lines)
    path.write_bytes(text.encode()[cut:] if cut % 3 == 0 else (text[:cut] + word + text[cut:]).encode())
    for read in (
        lambda: Replay.of(path, Selection()),
        lambda: CurveFile(path),
        lambda: curl_command.request_of(f"curl {text[:cut]} http://a/{word} {text[cut:]}"),
        lambda: curl_command.request_of(f"curl 'http://a.example/' -H 'a: {word}' -d '{word}' {word}"),
    ):
        try:
            read()
        except UsageError as error:
            assert 10 < len(str(error)) < 20_000
