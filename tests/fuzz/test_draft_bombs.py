"""Documents, recordings and commands of a few bytes whose drafts would take hours, or gigabytes."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from loadtest.authoring import commands
from loadtest.cli import main

LONGEST_S = 25.0
"""Of processor time, on a slow machine."""
DEEP = "[" * 900 + "1" + "]" * 900
TOKEN = {"type": "object", "properties": {"access_token": {"type": "string"}}}
ACCOUNT = {"type": "object", "properties": {"email": {"type": "string"}, "password": {"type": "string"}}}
EVERY_METHOD: dict[str, Any] = {"get": {}, "put": {}, "post": {}, "delete": {}}


def api(paths: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return an OpenAPI document."""
    return {"openapi": "3.0.3", "paths": paths or {"/": {"get": {}}}, **more}


def body(schema: Any, **more: Any) -> dict[str, Any]:
    """Return the operations of a path whose body has this schema."""
    return {"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}, **more}}


def member(**schema: Any) -> dict[str, Any]:
    """Return a document whose only body has one member, of this schema."""
    return api({"/": body({"type": "object", "required": ["a"], "properties": {"a": schema}})})


def collection(*requests: Any) -> dict[str, Any]:
    """Return a Postman collection."""
    return {"item": [{"request": {"method": "POST", "url": "http://a.example/", **one}} for one in requests]}


def recording(*changes: dict[str, Any], **request: Any) -> dict[str, Any]:
    """Return a HAR file with one entry per change of a usual entry."""
    usual = {"startedDateTime": "2026-01-31T12:00:00Z", "request": {"method": "POST", "url": "http://a/", **request}}
    return {"log": {"entries": [{**usual, **change} for change in changes]}}


def as_json(text: str) -> dict[str, Any]:
    """Return a body of JSON, as a HAR file has it."""
    return {"mimeType": "application/json", "text": text}


def page(text: str) -> dict[str, Any]:
    """Return a response of a HAR file that holds a text."""
    return {"response": {"content": {"text": text}}}


TEXTS_OF_ANSWER = json.dumps([f"word-{number}" for number in range(5_000)])
TEXTS_OF_REQUEST = json.dumps([f"word {number}" for number in range(90_000)])
DRAFTS: dict[str, tuple[str, Any]] = {
    "curl, nested deeply": ("curl", f"curl http://a.example/ -H 'content-type: application/json' -d '{DEEP}'"),
    "Postman, nested deeply": (
        "postman",
        collection({"body": {"mode": "raw", "raw": DEEP, "options": {"raw": {"language": "json"}}}}),
    ),
    "HAR, nested deeply": ("har", recording({}, {}, postData=as_json(DEEP))),
    "HAR of many values in a body": ("har", recording({}, postData=as_json(f"[{'1,' * 1_000_000}1]"))),
    "HAR that redirects to no URL": ("har", recording({"response": {"status": 302, "redirectURL": "http://["}}, {})),
    "HAR of fields without an end": ("har", recording(page("<input" * 1_000_000))),
    "HAR of many texts": (
        "har",
        recording(page(TEXTS_OF_ANSWER), page(TEXTS_OF_ANSWER), postData=as_json(TEXTS_OF_REQUEST)),
    ),
    "Postman of path variables in path variables": (
        "postman",
        collection({"url": {"raw": "http://a.example/:a", "variable": [{"key": "a", "value": ":a/:a"}] * 60}}),
    ),
    "Postman of many path variables": (
        "postman",
        collection(
            {
                "url": {
                    "raw": "http://a.example" + "/:a" * 20_000,
                    "variable": [{"key": f"b{number}", "value": "x"} for number in range(20_000)],
                }
            }
        ),
    ),
    "server of variables in variables": (
        "openapi",
        api(
            servers=[
                {
                    "url": "http://{a0}.example",
                    "variables": {f"a{n}": {"default": f"{{a{n + 1}}}" * 2} for n in range(60)},
                }
            ]
        ),
    ),
    "a long name above many": (
        "openapi",
        api(**{"x-" + "n" * 100_000: {str(number): {} for number in range(100_000)}}),
    ),
    "many members, all required": (
        "openapi",
        api(
            {
                "/": body(
                    {
                        "type": "object",
                        "required": [f"r{number}" for number in range(40_000)],
                        "properties": {f"p{number}": {"readOnly": True} for number in range(40_000)},
                    }
                )
            }
        ),
    ),
    "many sign-ins": (
        "openapi",
        api(
            {
                f"/sign-up/{number}": body(
                    ACCOUNT, responses={"200": {"content": {"application/json": {"schema": TOKEN}}}}
                )
                for number in range(500)
            }
        ),
    ),
}
REFUSED: dict[str, tuple[str, Any]] = {
    "steps too small for a number": ("openapi", member(type="number", multipleOf=1e-320, minimum=2)),
    "operations by reference": (
        "openapi",
        api({f"/{number}": {"$ref": "#/x-a"} for number in range(50_000)}, **{"x-a": EVERY_METHOD}),
    ),
    "more repetitions than are counted": ("openapi", member(pattern="a{99999999999}")),
    "stars in stars": ("openapi", member(pattern="(((((((b*)*)*)*)*)*)*)*c")),
    "a pattern that goes back": ("openapi", member(pattern=r"^(\w|\w|-)*!$", minLength=5_000)),
    "a path that is filled often": (
        "openapi",
        api(
            {
                "/" + "{a}" * 100_000: {
                    "get": {"parameters": [{"in": "path", "name": "a", "example": "x" * 100_000, "schema": {}}]}
                }
            }
        ),
    ),
}


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse anything that takes more than two seconds, to save time."""
    monkeypatch.setattr(commands, "_LONGEST_CPU_S", 2.0)
    monkeypatch.setattr(commands, "_MAX_MEMORY_BYTES", 1024**3)


def drafted(folder: Path, kind: str, content: Any, ending: str = "json") -> tuple[int, str]:
    """Run `loadtest init`, and return its exit code and all its output."""
    source = content
    if kind != "curl":
        (folder / f"source.{ending}").write_text(content if isinstance(content, str) else json.dumps(content))
        source = f"source.{ending}"
    began_s = time.process_time()
    with contextlib.chdir(folder):
        done = CliRunner().invoke(main, ["init", "draft", f"--{kind}", source])
    assert time.process_time() - began_s < LONGEST_S
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert len(done.output) < 100_000
    return done.exit_code, done.output


@pytest.mark.parametrize("given", DRAFTS.values(), ids=list(DRAFTS))
def test_what_could_multiply_is_drafted(tmp_path: Path, given: tuple[str, Any]) -> None:
    """The draft is not much larger than its source, and is valid Python."""
    code, said = drafted(tmp_path, *given)
    assert code == 0, said
    text = (tmp_path / "draft.py").read_text()
    compile(text, "draft.py", "exec")
    assert len(text) < 8_000_000


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("given", REFUSED.values(), ids=list(REFUSED))
def test_what_takes_too_much_is_refused(tmp_path: Path, given: tuple[str, Any]) -> None:
    """It is refused by a bound of its own, or by that of processor time and memory, with a message."""
    code, said = drafted(tmp_path, *given)
    assert (code, said.startswith("error: "), (tmp_path / "draft.py").exists()) == (2, True, False), said


@pytest.mark.parametrize(
    "value",
    ['!!float ""', f'!!float "{":".join("1" * 400)}"', "!!bool x", "!!timestamp x", '!!int ""', "!!set [a]", "1" * 400],
    ids=lambda value: value[:20],
)
def test_tags_of_yaml(tmp_path: Path, value: str) -> None:
    """A value that does not match its tag, and a number that fits no float, are refused or left out."""
    head = "openapi: 3.0.3\npaths: {/: {post: {requestBody: {content: {application/json: {schema: {type: number, "
    code, said = drafted(tmp_path, "openapi", f"{head}minimum: {value}}}}}}}}}}}}}}}\n", "yaml")
    assert (code, said.startswith("error: ")) == (2, True), said


def test_of_many_notes_some_are_shown(tmp_path: Path) -> None:
    """Each is short enough to read, and the number of the others is given."""
    code, said = drafted(tmp_path, "postman", collection({}, *[{"body": {"mode": "m" * 5_000}}] * 1_000))
    assert (code, said.count("not drafted"), "900 more" in said) == (0, 101, True)
