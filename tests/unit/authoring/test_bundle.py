"""OpenAPI documents in several files."""

import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from loadtest.authoring import openapi_scenario
from loadtest.authoring.openapi_document import OpenApiDocument
from loadtest.exceptions import UsageError

FILES = {
    "api.yaml": """
openapi: 3.1.0
info: {title: Shop}
paths:
  /items: {$ref: paths/items.yaml}
components:
  schemas:
    Price: {type: integer, example: 7}
""",
    "paths/items.yaml": """
post:
  operationId: addItem
  requestBody:
    content: {application/json: {schema: {$ref: "../schemas.json#/Item"}}}
  responses: {200: {description: made}}
""",
    "schemas.json": json.dumps(
        {
            "Item": {"type": "object", "required": ["value"], "properties": {"value": {"$ref": "#/Value"}}},
            "Value": {
                "type": "object",
                "required": ["price"],
                "properties": {"price": {"$ref": "./api.yaml#/components/schemas/Price"}},
            },
        }
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the files."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def site(folder: Path) -> Iterator[str]:
    """Serve the files over HTTP, and yield the URL."""
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_references_to_other_files_are_followed(folder: Path, site: str) -> None:
    """References next to the document, into folders and back to the first file work, from files and from a server."""
    drafts = [
        openapi_scenario.draft(OpenApiDocument.read(source), "shop")
        for source in (f"{folder}/api.yaml", f"{folder}/paths/../api.yaml", f"{site}/api.yaml")
    ]
    assert [draft.notes for draft in drafts] == [[], [], []]
    assert ["{'value': {'price': 7}}" in draft.text for draft in drafts] == [True] * 3


def test_a_server_leads_to_no_other(folder: Path, site: str) -> None:
    """References lead neither to another server nor to a local file."""
    for other in ("http://127.0.0.1:1/b.yaml", f"file://{folder}/schemas.json"):
        (folder / "api.yaml").write_text(FILES["api.yaml"].replace("paths/items.yaml", f'"{other}"'))
        with pytest.raises(UsageError, match=f"refers to '{other}'"):
            OpenApiDocument.read(f"{site}/api.yaml")


def test_files_that_name_one_another_without_end_are_refused(folder: Path) -> None:
    """A folder of very many files is refused, too."""
    for number in range(300):
        (folder / f"{number}.yaml").write_text(f"a: {{$ref: {number + 1}.yaml}}")
    (folder / "api.yaml").write_text(FILES["api.yaml"] + "x: {$ref: 0.yaml}\n")
    with pytest.raises(UsageError, match="more than 200 other documents"):
        OpenApiDocument.read(f"{folder}/api.yaml")
