"""Every request of a draft is accepted by a server that validates by the same document.

The documents are small twins of those that public packages have: each body type, parameter style and security scheme is
in one of them.
"""

import copy
import json
import re
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from openapi_core import Config, OpenAPI
from openapi_core.contrib.werkzeug import WerkzeugOpenAPIRequest
from openapi_core.deserializing.styles import style_deserializers
from openapi_core.deserializing.styles.util import delimited_loads
from werkzeug import Request, Response
from werkzeug.serving import make_server

from loadtest import scenarios
from loadtest.authoring import openapi_scenario, yaml_text
from loadtest.authoring.openapi_document import OpenApiDocument
from loadtest.authoring.schema_example import example
from loadtest.settings import credentials
from tests.journeys import run_each_task_once

DOCUMENTS = Path(__file__).parent / "documents"
NAMES = sorted(path.name for path in DOCUMENTS.iterdir() if path.name != "rides.yaml")
CACHED = (
    credentials.accounts,
    credentials.bearer_headers,
    credentials.api_key,
    credentials.api_key_cookie,
    credentials.basic_headers,
)


def _parsed_xml(text: bytes) -> Any:
    """Return XML as JSON, as far as the documents here need it; openapi-core does not support it."""

    def value(element: ET.Element) -> Any:
        if not len(element):
            return int(element.text) if (element.text or "").isdecimal() else element.text
        if all(element.tag == f"{child.tag}s" for child in element):
            return [value(child) for child in element]
        return {child.tag: value(child) for child in element}

    return value(ET.fromstring(text))  # noqa: S314 - of our own draft


JSON_TOO = ("application/merge-patch+json", "application/json-patch+json", "*/*")
CONFIG = Config(
    spec_validator_cls=None,  # the marks of RFC 6570 are its own
    extra_media_type_deserializers={**dict.fromkeys(JSON_TOO, json.loads), "application/xml": _parsed_xml},
)


LABELS = {"l": r"^\.\d+$", "la": r"^(\.\d+){2,}$", "lo": r"^\.a=\d+\.b=\w+$"}
"""What the parameters of the style label must look like: openapi-core finds no path that has them."""


def _templates(root: dict[str, Any]) -> dict[str, Any]:
    """Return the paths with the RFC 6570 marks and patterns that openapi-core needs for the styles matrix and label."""
    found = {}
    for path, item in copy.deepcopy(root["paths"]).items():
        marked = path
        methods = [method for method in item.values() if isinstance(method, dict)]
        for parameter in (each for method in methods for each in method.get("parameters", [])):
            if parameter.get("style") == "label":
                parameter |= {"style": "simple", "schema": {"type": "string", "pattern": LABELS[parameter["name"]]}}
            elif parameter.get("style") == "matrix":
                end = "*" if parameter.get("explode") else ""
                marked = marked.replace(f"{{{parameter['name']}}}", f"{{;{parameter['name']}{end}}}")
        found[marked] = item
    return found


class Service:
    """Serves a document: it refuses requests that do not match the document, and returns examples of it."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.refused: list[str] = []
        self.accepted: set[str] = set()
        self._server = make_server("127.0.0.1", 0, Request.application(self._answer), threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._base = re.sub(r"^https?://[^/]*|/$", "", root.get("servers", [{"url": "/"}])[0]["url"])
        servers = {"servers": [{"url": self.url + self._base}]}
        self._validator = OpenAPI.from_dict({**root, **servers, "paths": _templates(root)}, config=CONFIG)
        self._document = OpenApiDocument(root, "x")
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: Request) -> Response:
        errors = list(self._validator.iter_request_errors(WerkzeugOpenAPIRequest(request)))
        if errors:
            causes = [(str(error), getattr(error.__cause__, "schema_errors", error.__cause__)) for error in errors]
            self.refused.append(f"{request.method} {request.full_path} {request.get_data()!r}: {causes}")
            return Response("refused", 422)
        path = next(path for path in self._paths() if self._pattern(path).fullmatch(request.path))
        self.accepted.add(f"{request.method} {path}")
        operation = self._document.root["paths"][path][request.method.lower()]
        if self._needs_token(operation) and "Authorization" not in request.headers:
            self.refused.append(f"{request.method} {request.full_path}: no token")
        content = next(iter(operation["responses"].values())).get("content", {}).get("application/json")
        return Response(json.dumps(example(content["schema"], self._document) if content else None))

    def _needs_token(self, operation: dict[str, Any]) -> bool:
        """Return whether an operation needs a token: openapi-core does not check these schemes."""
        alternatives = operation.get("security", self._document.root.get("security")) or [{}]
        schemes = self._document.root.get("components", {}).get("securitySchemes", {})
        return all(any(schemes[name]["type"] in ("oauth2", "openIdConnect") for name in each) for each in alternatives)

    def _paths(self) -> list[str]:
        return sorted(self._document.root["paths"], key=lambda path: path.count("{"))

    def _pattern(self, path: str) -> re.Pattern[str]:
        return re.compile(re.escape(self._base) + re.sub(r"\\{.*?\\}", "[^/]+", re.escape(path)))


@pytest.fixture
def credentials_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files with a token and an account."""
    (tmp_path / "token").write_text("t0k")
    (tmp_path / "accounts.csv").write_text("login,password\nada,pa:ss\n")
    monkeypatch.setenv("LOADTEST_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("LOADTEST_ACCOUNTS_FILE", str(tmp_path / "accounts.csv"))
    for each in CACHED:
        each.cache_clear()
    yield
    for each in CACHED:
        each.cache_clear()


@pytest.mark.filterwarnings("ignore:Unsupported scheme type")
@pytest.mark.usefixtures("credentials_files")
@pytest.mark.parametrize("name", NAMES)
def test_every_request_of_a_draft_is_accepted(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operation of the document is drafted, too."""
    # openapi-core looks for %20 in a query that is decoded already.
    monkeypatch.setitem(style_deserializers, "spaceDelimited", partial(delimited_loads, delimiter=" "))
    root = yaml_text.parsed((DOCUMENTS / name.replace(".swagger", "")).read_bytes())
    draft = openapi_scenario.draft(OpenApiDocument.read(str(DOCUMENTS / name)), "x")
    (tmp_path / "x.py").write_text(draft.text)
    service = Service(root)
    requests = run_each_task_once(scenarios.load(str(tmp_path / "x.py")).user_classes[0], service.url)
    service.close()
    assert service.refused == []
    assert [f"{each.method} {each.name}: {each.error}" for each in requests if each.error] == []
    operations = {
        f"{method.upper()} {path}" for path, item in root["paths"].items() for method in item if method != "parameters"
    }
    assert (service.accepted, draft.notes) == (operations, [])


def test_the_server_refuses_what_is_not_as_its_document_says(tmp_path: Path) -> None:
    """Otherwise it would accept any draft."""
    root = yaml_text.parsed((DOCUMENTS / "formats.yaml").read_bytes())
    text = openapi_scenario.draft(OpenApiDocument(root, "x"), "x").text
    (tmp_path / "x.py").write_text(text.replace("'kind': 'circle'", "'kind': 'round'").replace("'/tuple'", "'/tuples'"))
    service = Service(root)
    requests = run_each_task_once(scenarios.load(str(tmp_path / "x.py")).user_classes[0], service.url)
    service.close()
    assert sorted(each.name for each in requests if each.error) == ["x/post_shape", "x/post_tuple"]
