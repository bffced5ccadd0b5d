"""The OpenAPI document of the target, at `/openapi.json`, from each view's description and route.

A room describes a view next to its definition:

    @blueprint.post("/documents/<document>/increment")
    @described(body=Increment, answer=NUMBERS, problems=(404, 409))
    def increment(document: str) -> Response:

The path and its parameters come from the route, the summary from the docstring. Problems that follow from the
description itself (a body that is not JSON, a missing token, Redis unavailable, …) need not be listed.

Tested in tests/contracts/test_openapi.py.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
from flask import Flask, Response
from pydantic import BaseModel
from werkzeug.routing import Rule

from target_app import inputs, responses

Schema = Mapping[str, Any]
View = TypeVar("View", bound=Callable[..., Response])

_ATTRIBUTE = "openapi_description"
_JSON = "application/json"
_OF_PATH = (400,)
_OF_BODY = (400, 413, 415, 422)
_OF_FIELDS = (422,)
_OF_BEARER = (401,)
_OF_TARGET = (500, 503)
_COMPONENTS = "#/components/schemas/"
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
    },
}


@dataclass(frozen=True)
class Description:
    """The description of a view, in addition to its route and its docstring.

    Attributes:
        answer: the schema of the response's JSON; None for a response without content.
        status: the response's status.
        body: the request's body, a schema or a model; None for no body.
        body_types: the media types that the body may have.
        query: the schema of each query parameter, or a model of all of them.
        problems: error statuses, in addition to those that follow from the rest.
        signed_in: whether an access token is required.
        media_type: of the response.
    """

    answer: Schema | None = None
    status: int = 200
    body: Schema | type[BaseModel] | None = None
    body_types: tuple[str, ...] = (_JSON,)
    query: Mapping[str, Schema] | type[BaseModel] = field(default_factory=dict)
    problems: tuple[int, ...] = ()
    signed_in: bool = False
    media_type: str = _JSON


def described(**parts: Any) -> Callable[[View], View]:
    """Describe a view; the arguments are the attributes of `Description`."""
    description = Description(**parts)

    def describe(view: View) -> View:
        setattr(view, _ATTRIBUTE, description)
        return view

    return describe


def description_of(view: Callable[..., Any]) -> Description | None:
    """Return the description of a view; None if it has none."""
    description: Description | None = getattr(view, _ATTRIBUTE, None)
    return description


def json_object(**properties: Schema) -> Schema:
    """Return the schema of an object in which all these members are required."""
    return {"type": "object", "required": list(properties), "properties": properties}


def array_of(items: Schema) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items}


def install(app: Flask) -> None:
    """Serve the document at `/openapi.json`."""

    @cache
    def text() -> bytes:
        return orjson.dumps(document(app))

    @described(answer={"type": "object"})
    def openapi() -> Response:
        """Serve this API's OpenAPI document."""
        return responses.raw(text())

    app.add_url_rule("/openapi.json", "openapi", openapi)


def document(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of the application's routes, sorted by path.

    Raises:
        LookupError: when a view has no description.
    """
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    paths: dict[str, dict[str, Any]] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            path = re.sub(r"<(\w+)>", r"{\1}", rule.rule)
            paths.setdefault(path, {})[method.lower()] = _operation(app, rule, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sample target",
            "version": "1",
            "description": "A small API over RedisJSON, for load tests.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(app: Flask, rule: Rule, schemas: dict[str, Any]) -> dict[str, Any]:
    view = app.view_functions[rule.endpoint]
    description = description_of(view)
    if description is None:
        raise LookupError(f"the view {rule.endpoint} is not described: decorate it with @described")
    room, _, name = rule.endpoint.rpartition(".")
    operation: dict[str, Any] = {
        "operationId": f"{room}_{name}" if room else name,
        "summary": (inspect.getdoc(view) or "").partition("\n")[0],
        "tags": [room or "target"],
        "responses": _responses(description, rule),
    }
    if parameters := _parameters(description, rule):
        operation["parameters"] = parameters
    if description.body is not None:
        content = {media_type: {"schema": _schema(description.body, schemas)} for media_type in description.body_types}
        operation["requestBody"] = {"required": True, "content": content}
    if description.signed_in:
        operation["security"] = [{"bearer": []}]
    return operation


def _parameters(description: Description, rule: Rule) -> list[dict[str, Any]]:
    of_path = [
        {"name": name, "in": "path", "required": True, "schema": inputs.PATH_PARAMETERS[name]}
        for name in sorted(rule.arguments)
    ]
    query: Mapping[str, Schema]
    if isinstance(description.query, type):
        model = description.query.model_json_schema()
        query, required = model["properties"], model.get("required", [])
    else:
        query, required = description.query, []
    of_query = [
        {"name": name, "in": "query", "required": name in required, "schema": schema} for name, schema in query.items()
    ]
    return of_path + of_query


def _responses(description: Description, rule: Rule) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(description.status).phrase}
    if description.answer is not None:
        answer["content"] = {description.media_type: {"schema": description.answer}}
    problems = set(description.problems)
    of_model = isinstance(description.query, type)
    problems |= set(_OF_PATH if rule.arguments or (description.query and not of_model) else ())
    problems |= set(_OF_FIELDS if of_model else ())
    problems |= set(_OF_BODY if description.body is not None else ())
    problems |= set(_OF_BEARER if description.signed_in else ())
    if rule.endpoint.rpartition(".")[0]:  # a room; other routes do not use Redis
        problems |= set(_OF_TARGET)
    content = {"application/problem+json": {"schema": {"$ref": f"{_COMPONENTS}Problem"}}}
    return {str(description.status): answer} | {
        str(status): {"description": HTTPStatus(status).phrase, "content": content} for status in sorted(problems)
    }


def _schema(body: Schema | type[BaseModel], schemas: dict[str, Any]) -> Schema:
    """Return the body's schema; a model's schema is added to the components, and a reference to it is returned."""
    if not isinstance(body, type):
        return body
    schema = body.model_json_schema(ref_template=f"{_COMPONENTS}{{model}}")
    schemas.update(schema.pop("$defs", {}))
    schemas[body.__name__] = schema
    return {"$ref": f"{_COMPONENTS}{body.__name__}"}
