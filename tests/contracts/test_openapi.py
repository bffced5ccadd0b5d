"""The OpenAPI document describes the target: Schemathesis tests every operation, over HTTP."""

import hypothesis
import jsonschema
import pytest
import schemathesis
from flask import Flask
from schemathesis import APIOperation, Case, GenerationMode

from target_app import create_app, openapi
from target_app.openapi import document
from target_app.settings import Settings

EXAMPLES = 6
"""Requests that are made up for each operation, besides those of its examples."""

SCHEMA = schemathesis.openapi.from_dict(document(create_app(Settings())))
# Valid JSON is refused if it is not a JSONPath, out of range, or nested too deep: a schema cannot express these.
SCHEMA.config.checks.positive_data_acceptance.enabled = False


OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]
WITH_INPUT = [each for each in OPERATIONS if each.body or each.query or each.path_parameters]
ASKED = [(each, GenerationMode.POSITIVE) for each in OPERATIONS] + [
    (each, GenerationMode.NEGATIVE) for each in WITH_INPUT
]


@pytest.mark.parametrize(
    ("operation", "mode"), ASKED, ids=[f"{operation.label} {mode.value}" for operation, mode in ASKED]
)
def test_every_operation_answers_as_the_document_says(
    operation: APIOperation, mode: GenerationMode, target_url: str
) -> None:
    """Valid and invalid requests get a documented status, media type and body, and never a 500."""

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        case.call_and_validate(base_url=target_url)

    ask()


def test_the_document_has_every_route_and_no_other() -> None:
    """The document has exactly the paths and methods of the application."""
    app = create_app(Settings())
    served = {
        (method.lower(), rule.rule.replace("<", "{").replace(">", "}"))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(method, path) for path, methods in document(app)["paths"].items() for method in methods} == served


def test_the_document_is_served() -> None:
    """`/openapi.json` is that document, and each operation has its own identifier."""
    app = create_app(Settings())
    served = app.test_client().get("/openapi.json")
    assert (served.status_code, served.json) == (200, document(app))
    identifiers = [operation["operationId"] for path in served.json["paths"].values() for operation in path.values()]
    assert sorted(identifiers) == sorted(set(identifiers))


def test_every_example_fits_its_schema() -> None:
    """Each example in the document is valid by its schema."""
    whole = document(create_app(Settings()))
    found = list(_schemas_with_examples(whole))
    assert len(found) > 20
    for schema in found:
        for example in schema["examples"]:
            jsonschema.validate(example, {**schema, "components": whole["components"]})


def test_a_view_without_a_description_is_named() -> None:
    """A route without a description is an error that names the route."""
    app = Flask("x", static_folder=None)
    app.add_url_rule("/thing", "room.thing", lambda: "")
    openapi.install(app)
    with pytest.raises(LookupError, match=r"room\.thing is not described"):
        document(app)


def _schemas_with_examples(node: object):
    if isinstance(node, dict):
        if isinstance(node.get("examples"), list):
            yield node
        for child in node.values():
            yield from _schemas_with_examples(child)
    elif isinstance(node, list):
        for child in node:
            yield from _schemas_with_examples(child)
