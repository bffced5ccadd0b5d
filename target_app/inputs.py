"""Validation of client input. The response to an invalid input is 400, 415 or 422, and says what is allowed."""

import math
import re
from collections.abc import Iterable
from typing import Annotated, Any, NoReturn, TypeVar

import orjson
from flask import abort, request
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from target_app import json_path

Model = TypeVar("Model", bound=BaseModel)

_KEY = re.compile(r"[A-Za-z0-9:._-]{1,128}")
_PATTERN = re.compile(r"[A-Za-z0-9:._*?\[\]^-]{1,128}")
_FIELD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CURSOR = re.compile(r"[0-9]{1,20}")
_LONGEST_ARRAY = 1_000
_HIGHEST_CURSOR = 2**64 - 1
_DEEPEST = 127
"""The maximum nesting of arrays and objects: what RedisJSON accepts, and less than orjson can serialise."""

_KEY_SCHEMA = {"type": "string", "pattern": f"^{_KEY.pattern}$", "examples": ["scratch:example"]}
PATH_PARAMETERS = {
    "document": _KEY_SCHEMA,
    "hash_key": _KEY_SCHEMA,
    "string_key": _KEY_SCHEMA,
    "field": {"type": "string", "pattern": f"^{_FIELD.pattern}$", "examples": ["visits"]},
}
"""The schema of each variable of a route, for the OpenAPI document."""
PATH = {
    "type": "string",
    "pattern": "^[$]",
    "maxLength": json_path.LONGEST,
    "description": "a JSONPath; $ is the whole document",
    "examples": ["$.visits"],
}
USER_ID = {"type": ["string", "integer"], "pattern": f"^{_KEY.pattern}$", "examples": ["7"]}
PATTERN = {"type": "string", "pattern": f"^{_PATTERN.pattern}$", "default": "*", "description": "a glob pattern"}
CURSOR = {"type": "string", "pattern": "^[0-9]{1,19}$", "default": "0", "description": "the previous response's cursor"}

Email = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){1,4}$", examples=["ada@example.com"]
    ),
]
Password = Annotated[SecretStr, Field(min_length=8, max_length=128)]

_FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}
_NO_OBJECT = "The body must be a JSON object"


class Strict(BaseModel):
    """The base of the models of bodies and queries: no unknown fields, no lossy conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def key(text: str) -> str:
    """Return a key if it is made of letters, digits and `: . _ -`, at most 128 of them."""
    if not _KEY.fullmatch(text):
        abort(400, f"The key {text[:140]!r} is not allowed: 1 to 128 letters, digits and : . _ - make a key.")
    return text


def field(text: str) -> str:
    """Return a field's name if it is made of letters, digits, `_` and `-`, at most 64 of them."""
    if not _FIELD.fullmatch(text):
        abort(400, f"The field {text[:80]!r} is not allowed: 1 to 64 letters, digits, _ and - make a field.")
    return text


def user_id(value: object) -> str:
    """Return a user's id: a whole number, or a text that could be a key."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        abort(422, f'"user_id" is {_shown(value)} but must be 1 to 128 letters, digits and : . _ -')
    return value


def path(text: object, *, writing: bool = False) -> str:
    """Return a JSONPath that RedisJSON can be given; see `json_path`."""
    if not isinstance(text, str):
        abort(400, f"The path {_shown(text)} is not allowed: a JSONPath is a text, e.g. $.name.")
    try:
        json_path.check(text, writing=writing)
    except json_path.PathError as error:
        abort(400, f"The path {text[:80]!r} is not allowed, {error}.")
    return text


def query_path(*, writing: bool = False) -> str:
    """Return the JSONPath in the query's `path`, by default the whole document."""
    return path(request.args.get("path", "$"), writing=writing)


def pattern() -> str:
    """Return the glob pattern in the query's `match`, by default every key."""
    text = request.args.get("match", "*")
    if not _PATTERN.fullmatch(text):
        abort(400, f"The pattern {text[:140]!r} is not allowed: a key's characters and * ? [ ] ^ make a pattern.")
    return text


def cursor() -> int:
    """Return the query's `cursor`, taken from the previous response; 0 to begin."""
    text = request.args.get("cursor", "0")
    if not _CURSOR.fullmatch(text) or int(text) > _HIGHEST_CURSOR:
        abort(400, f"The cursor {text[:40]!r} is not allowed: use 0 or the cursor of the previous response.")
    return int(text)


def json_text() -> bytes:
    """Return the body as it was sent, after checking that it is JSON with finite numbers."""
    _parsed()
    return request.get_data()


def json_value() -> Any:
    """Return the parsed body."""
    return _parsed()


def json_object() -> dict[str, Any]:
    """Return the parsed body if it is an object with at least one member."""
    value = _parsed()
    if not isinstance(value, dict) or not value:
        abort(422, "The body must be a JSON object with at least one member.")
    return value


def body(model: type[Model]) -> Model:
    """Return the JSON body as a model; an invalid field causes a 422 that names it."""
    return _validated(model, _parsed())


def form_or_json(model: type[Model]) -> Model:
    """Return the body, a form or JSON, as a model; an invalid field causes a 422 that names it."""
    return _validated(model, request.form.to_dict() if request.mimetype in _FORMS else _parsed())


def query(model: type[Model]) -> Model:
    """Return the query as a model; an invalid parameter causes a 422 that names it."""
    return _validated(model, request.args.to_dict())


def number(value: object) -> float:
    """Return a member that must be a finite number, not a boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        abort(422, f'"by" is {_shown(value)} but must be a finite number.')
    return value


def text(value: object) -> str:
    """Return a member that must be a string."""
    if not isinstance(value, str):
        abort(422, f'"text" is {_shown(value)} but must be a string.')
    return value


def array(value: object) -> list[Any]:
    """Return a member that must be an array of 1 to 1,000 values."""
    if not isinstance(value, list) or not 1 <= len(value) <= _LONGEST_ARRAY:
        abort(422, f'"values" is {_shown(value)} but must be an array of 1 to {_LONGEST_ARRAY} values.')
    return value


def _validated(model: type[Model], given: object) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        abort(422, "; ".join(_mistake(model, dict(item)) for item in error.errors(include_url=False)) + ".")


def _mistake(model: type[BaseModel], item: dict[str, Any]) -> str:
    """Name a field and what is wrong with it, with its value unless that is a secret."""
    if not item["loc"]:
        return str(item["msg"]).removeprefix("Value error, ") if item["type"] == "value_error" else _NO_OBJECT
    name = ".".join(map(str, item["loc"]))
    if item["type"] == "missing":
        return f'"{name}" is missing'
    if item["type"] == "extra_forbidden":
        return f'"{name}" is not known; allowed: {", ".join(model.model_fields)}'
    field = model.model_fields.get(str(item["loc"][0]))
    secret = field is not None and field.annotation is SecretStr
    return f'"{name}" is {"not allowed" if secret else _shown(item["input"])}: {item["msg"]}'


def _parsed() -> Any:
    if not request.is_json:
        abort(415, f"The content type {request.mimetype!r} is not supported: send application/json.")
    body = request.get_data()
    if request.content_length is None and len(body) == request.max_content_length:
        abort(413)  # Werkzeug truncates a chunked body at the limit
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        _not_json(error)
    if body.count(b"[") + body.count(b"{") > _DEEPEST and _is_deeper(value, _DEEPEST):  # few bodies need the full check
        abort(400, f"The body is nested more than {_DEEPEST} levels deep.")
    return value


def _is_deeper(value: object, most: int) -> bool:
    """Return whether arrays and objects are nested more than `most` levels deep."""
    level = [value]
    for _ in range(most):
        level = [inner for one in level for inner in _members(one)]
    return any(isinstance(one, dict | list) for one in level)


def _members(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _not_json(error: orjson.JSONDecodeError) -> NoReturn:
    abort(400, f"The body is not JSON: {error}.")


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)[:80]
