"""OpenAPI documents: read from files and URLs, in JSON and YAML, and refused with the reason."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from loadtest.authoring.openapi_document import OpenApiDocument
from loadtest.cli import main
from loadtest.exceptions import ExitCode, UsageError

MINIMAL = {"openapi": "3.1.0", "info": {"title": "A thing"}, "paths": {"/a": {"get": {}}}}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Serve the test's folder over HTTP, and yield its URL."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_all_files_of_a_document_are_bounded_together(
    tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time and total size are bounded: a document may name two hundred others, each of them slow or large."""
    paths = {f"/{name}": {"$ref": f"{name}.json"} for name in "bc"}
    (tmp_path / "a.json").write_text(json.dumps({**MINIMAL, "paths": paths}))
    for name in "bc":
        (tmp_path / f"{name}.json").write_text(json.dumps({"get": {"description": "x" * 600}}))
    assert OpenApiDocument.read(f"{site}/a.json").root["paths"].keys() == paths.keys()
    monkeypatch.setattr("loadtest.authoring.openapi_document.LARGEST_BYTES", 1_000)
    for source in (str(tmp_path / "a.json"), f"{site}/a.json"):
        with pytest.raises(UsageError, match=r"(larger|longer) than \d+ bytes"):
            OpenApiDocument.read(source)
    monkeypatch.setattr("loadtest.authoring.openapi_document._TIMEOUT_S", 0.0)
    with pytest.raises(UsageError, match="more than 0 s"):
        OpenApiDocument.read(f"{site}/a.json")


def test_json_and_yaml_are_read_from_files_and_urls(tmp_path: Path, site: str) -> None:
    """All four ways give the same document."""
    (tmp_path / "a.json").write_text(json.dumps(MINIMAL))
    (tmp_path / "a.yaml").write_text("openapi: 3.1.0\ninfo: {title: A thing}\npaths: {/a: {get: {}}}\n")
    sources = [str(tmp_path / "a.json"), str(tmp_path / "a.yaml"), f"{site}/a.json", f"{site}/a.yaml"]
    assert [OpenApiDocument.read(source).root for source in sources] == [MINIMAL] * 4


def test_yaml_is_read_as_json_would_say_it(tmp_path: Path) -> None:
    """Dates and country codes are texts; values that JSON cannot express are undefined."""
    (tmp_path / "a.yaml").write_text(
        "openapi: 3.1.0\n"
        "paths: {/a: {get: }, /b: }\n"
        "x:\n"
        "  example: {at: 2024-01-31, then: 2024-01-31T10:00:00Z, who: [NO, SE, yes, on], t: 12:30, n: 010, k: null}\n"
        "  numbers: [1, -2, +3, 0x10, 0o10, 1.5, 1e3, .5, 1_000]\n"
        "  truths: [true, False]\n"
        "  maximum: .inf\n"
        "  enum: [.nan, 1]\n"
        "  schema:\n"
        "  200: {1.5: a, true: b}\n"
    )
    assert OpenApiDocument.read(str(tmp_path / "a.yaml")).root == {
        "openapi": "3.1.0",
        "paths": {"/a": {}},
        "x": {
            "example": {
                "at": "2024-01-31",
                "then": "2024-01-31T10:00:00Z",
                "who": ["NO", "SE", "yes", "on"],
                "t": "12:30",
                "n": 10,
                "k": None,
            },
            "numbers": [1, -2, 3, 16, 8, 1.5, 1000.0, 0.5, "1_000"],
            "truths": [True, False],
            "enum": [1],
            "200": {"1.5": "a", "true": "b"},
        },
    }


def test_references_are_followed() -> None:
    """A pointer with escapes, through another reference, leads to its target."""
    root = MINIMAL | {"components": {"a/b": {"$ref": "#/components/c d"}, "c d": {"type": "string"}}}
    document = OpenApiDocument(root, "x")
    assert document.resolved({"$ref": "#/components/a~1b"}) == {"type": "string"}
    assert document.resolved({"$ref": "#/components/c%20d"}) == {"type": "string"}


BAD = {
    "missing reference": (MINIMAL | {"x": {"$ref": "#/no/such"}}, "#/x refers to '#/no/such', which is not in it"),
    "missing document": (MINIMAL | {"x": [{"$ref": "b.json#/a"}]}, "b.json cannot be used: it cannot be read"),
    "elsewhere": (MINIMAL | {"x": [{"$ref": "file:///b.json#/a"}]}, "#/x/0 refers to 'file:///b.json#/a'"),
    "an absolute path": (MINIMAL | {"x": [{"$ref": "/etc/hosts"}]}, "#/x/0 refers to '/etc/hosts'"),
    "old version": ({"swagger": "1.2", "paths": {"/a": {"get": {}}}}, "its swagger version is 1.2"),
    "no version": ({"paths": {"/a": {"get": {}}}}, "its openapi version is missing"),
    "future version": (MINIMAL | {"openapi": "4.0"}, "its openapi version is 4.0"),
    "no paths": (MINIMAL | {"paths": {}}, "it has no paths"),
    "no object": ([], "it is not an object"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_document_that_cannot_be_used_says_why(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the problem, the allowed values and the next step, and nothing is written."""
    content, words = BAD[case]
    (tmp_path / "bad.json").write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["init", "mine", "--openapi", "bad.json"])
    assert done.exit_code == ExitCode.USAGE
    assert [part for part in (words, "Allowed: ", "Next: ", "Nothing was written") if part not in done.output] == []
    assert [path.name for path in tmp_path.iterdir()] == ["bad.json"]


def test_several_missing_references_are_all_named() -> None:
    """All are named at once, so that a person can fix them together."""
    with pytest.raises(UsageError, match=r"#/x refers to '#/a'; #/y refers to '#/b'"):
        OpenApiDocument(MINIMAL | {"x": {"$ref": "#/a"}, "y": {"$ref": "#/b"}}, "x")


def test_a_circle_of_references_is_named() -> None:
    """The error names the circle."""
    document = OpenApiDocument(MINIMAL | {"a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}}, "x")
    with pytest.raises(UsageError, match="is circular"):
        document.resolved({"$ref": "#/a"})


def test_what_an_example_refers_to_is_data() -> None:
    """Text that looks like a reference in an example is not one."""
    OpenApiDocument(MINIMAL | {"x": {"example": {"$ref": "#/nowhere"}}}, "x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"a": ', "it is not valid JSON"),
        (b"a: [1", "neither JSON nor YAML"),
        (b"a: !!python/object:os.system 1", "neither JSON nor YAML"),
        (b"openapi: 3.1.0\npaths: {/a: {}}\na: &a [*a]", "nested"),
        (b"openapi: 3.1.0\npaths: {/a: {}}\nexample: &a [*a]", "recursion"),
        (
            b"openapi: 3.1.0\npaths: {/a: {}}\nexample:\n  - &a0 [x,x,x,x,x,x,x,x,x,x]\n"
            + b"".join(b"  - &a%d [%s]\n" % (n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 9)),
            "more than 1,000,000 values",
        ),
        (b"\xff\xfe\x00", "neither JSON nor YAML"),
    ],
)
def test_text_that_is_neither_is_refused(tmp_path: Path, text: bytes, words: str) -> None:
    """The error contains the parser's reason."""
    (tmp_path / "a").write_bytes(text)
    with pytest.raises(UsageError, match=words):
        OpenApiDocument.read(str(tmp_path / "a"))


def test_what_cannot_be_had_is_refused(site: str) -> None:
    """A missing file, a missing page and an unreachable server are each named."""
    for source, words in (
        ("/no/such/file.json", "No such file"),
        (f"{site}/none.json", "its server answers with status 404"),
        ("http://127.0.0.1:1/openapi.json", "cannot be fetched"),
        ("http://[/", "cannot be fetched"),
    ):
        with pytest.raises(UsageError, match=words):
            OpenApiDocument.read(source)
