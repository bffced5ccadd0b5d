"""RedisJSON documents, and for comparison the same operations on hashes and plain strings.

Values read from Redis are passed to the client byte for byte, without parsing.
"""

from flask import Blueprint, Response

from target_app import extensions, inputs, responses
from target_app.openapi import array_of, described, json_object

blueprint = Blueprint("documents", __name__, url_prefix="/api/v1")

_PATH = {"path": inputs.PATH}
_OBJECT = {"type": "object", "minProperties": 1, "examples": [{"visits": 1, "score": 1.5, "tags": ["a"], "bio": "b"}]}
_VALUE: dict[str, object] = {"examples": [2]}
_NAMES = array_of({"type": "string"})
_LENGTHS = array_of({"type": "integer"})
_NUMBERS = array_of({"type": ["number", "null"]})
_BY = json_object(path=inputs.PATH, by={"type": "number", "examples": [1]})
_VALUES = json_object(
    path={**inputs.PATH, "examples": ["$.tags"]}, values={"type": "array", "minItems": 1, "maxItems": 1000, "items": {}}
)
_TEXT = json_object(path={**inputs.PATH, "examples": ["$.bio"]}, text={"type": "string", "examples": [" more"]})
_NOT_FOUND = (404, 409)
_CHANGED = {"status": 204}


@blueprint.get("/documents")
@described(
    query={"match": inputs.PATTERN, "cursor": inputs.CURSOR}, answer=json_object(keys=_NAMES, cursor={"type": "string"})
)
def list_documents() -> Response:
    """List documents by a pattern (`match`), a bounded number at a time (`cursor`)."""
    keys, cursor = extensions.store().keys(inputs.pattern(), inputs.cursor())
    return responses.json({"keys": keys, "cursor": str(cursor)})


@blueprint.get("/documents/<document>")
@described(answer={"type": "object"}, problems=_NOT_FOUND)
def read_document(document: str) -> Response:
    """Read a whole document."""
    return responses.raw(extensions.store().read(inputs.key(document)))


@blueprint.put("/documents/<document>")
@described(body=_OBJECT, problems=(409,), **_CHANGED)
def write_document(document: str) -> Response:
    """Create or replace a whole document, simple or complex."""
    inputs.json_object()
    extensions.store().write(inputs.key(document), inputs.json_text())
    return responses.no_content()


@blueprint.delete("/documents/<document>")
@described(problems=_NOT_FOUND, **_CHANGED)
def delete_document(document: str) -> Response:
    """Delete a whole document."""
    extensions.store().delete(inputs.key(document))
    return responses.no_content()


@blueprint.get("/documents/<document>/value")
@described(query=_PATH, answer=array_of({}), problems=_NOT_FOUND)
def read_value(document: str) -> Response:
    """Read the array of values that a JSONPath (`path`) matches."""
    return responses.raw(extensions.store().read_path(inputs.key(document), inputs.query_path()))


@blueprint.put("/documents/<document>/value")
@described(query=_PATH, body=_VALUE, problems=_NOT_FOUND, **_CHANGED)
def update_value(document: str) -> Response:
    """Replace the values that a JSONPath (`path`) matches with the body."""
    extensions.store().update(inputs.key(document), inputs.query_path(writing=True), inputs.json_text())
    return responses.no_content()


@blueprint.delete("/documents/<document>/value")
@described(query=_PATH, answer=json_object(deleted={"type": "integer"}), problems=_NOT_FOUND)
def delete_value(document: str) -> Response:
    """Delete the values that a JSONPath (`path`) matches."""
    deleted = extensions.store().delete_path(inputs.key(document), inputs.query_path(writing=True))
    return responses.json({"deleted": deleted})


@blueprint.get("/documents/<document>/keys")
@described(query={"path": {**inputs.PATH, "examples": ["$"]}}, answer=array_of(_NAMES), problems=_NOT_FOUND)
def list_object_keys(document: str) -> Response:
    """List the member names of each object that a JSONPath (`path`) matches."""
    return responses.json(extensions.store().object_keys(inputs.key(document), inputs.query_path()))


@blueprint.post("/documents/<document>/increment")
@described(body=_BY, answer=_NUMBERS, problems=_NOT_FOUND)
def increment(document: str) -> Response:
    """Add a number to the numbers at a path: `{"path": "$.visits", "by": 1}`."""
    body = inputs.json_object()
    path, by = inputs.path(body.get("path"), writing=True), inputs.number(body.get("by"))
    return responses.raw(extensions.store().increment(inputs.key(document), path, by))


@blueprint.post("/documents/<document>/multiply")
@described(body=_BY, answer=_NUMBERS, problems=_NOT_FOUND)
def multiply(document: str) -> Response:
    """Multiply the numbers at a path: `{"path": "$.score", "by": 2}`."""
    body = inputs.json_object()
    path, by = inputs.path(body.get("path"), writing=True), inputs.number(body.get("by"))
    return responses.raw(extensions.store().multiply(inputs.key(document), path, by))


@blueprint.post("/documents/<document>/append-to-array")
@described(body=_VALUES, answer=_LENGTHS, problems=_NOT_FOUND)
def append_to_array(document: str) -> Response:
    """Append to the arrays at a path: `{"path": "$.tags", "values": ["new"]}`."""
    body = inputs.json_object()
    path, values = inputs.path(body.get("path"), writing=True), inputs.array(body.get("values"))
    return responses.json(extensions.store().append_to_array(inputs.key(document), path, values))


@blueprint.post("/documents/<document>/append-to-string")
@described(body=_TEXT, answer=_LENGTHS, problems=_NOT_FOUND)
def append_to_string(document: str) -> Response:
    """Append to the strings at a path: `{"path": "$.bio", "text": " more"}`."""
    body = inputs.json_object()
    path, text = inputs.path(body.get("path"), writing=True), inputs.text(body.get("text"))
    return responses.json(extensions.store().append_to_string(inputs.key(document), path, text))


@blueprint.get("/hashes/<hash_key>")
@described(answer={"type": "object"}, problems=_NOT_FOUND)
def read_hash(hash_key: str) -> Response:
    """Read a whole hash as a JSON object."""
    return responses.raw(extensions.store().hash_read(inputs.key(hash_key)))


@blueprint.put("/hashes/<hash_key>")
@described(body=_OBJECT, problems=(409,), **_CHANGED)
def write_hash(hash_key: str) -> Response:
    """Create or replace a whole hash, one field for each member of the body."""
    extensions.store().hash_write(inputs.key(hash_key), inputs.json_object())
    return responses.no_content()


@blueprint.delete("/hashes/<hash_key>")
@described(problems=_NOT_FOUND, **_CHANGED)
def delete_hash(hash_key: str) -> Response:
    """Delete a whole hash."""
    extensions.store().hash_delete(inputs.key(hash_key))
    return responses.no_content()


@blueprint.get("/hashes/<hash_key>/fields/<field>")
@described(answer=_VALUE, problems=_NOT_FOUND)
def read_hash_field(hash_key: str, field: str) -> Response:
    """Read one field of a hash."""
    return responses.raw(extensions.store().hash_read_field(inputs.key(hash_key), inputs.field(field)))


@blueprint.put("/hashes/<hash_key>/fields/<field>")
@described(body=_VALUE, problems=(409,), **_CHANGED)
def update_hash_field(hash_key: str, field: str) -> Response:
    """Set one field of a hash to the body."""
    extensions.store().hash_update(inputs.key(hash_key), inputs.field(field), inputs.json_text())
    return responses.no_content()


@blueprint.get("/strings/<string_key>")
@described(answer={"type": "object"}, problems=_NOT_FOUND)
def read_string(string_key: str) -> Response:
    """Read a whole plain string."""
    return responses.raw(extensions.store().string_read(inputs.key(string_key)))


@blueprint.put("/strings/<string_key>")
@described(body=_OBJECT, **_CHANGED)
def write_string(string_key: str) -> Response:
    """Create or replace a whole plain string."""
    inputs.json_object()
    extensions.store().string_write(inputs.key(string_key), inputs.json_text())
    return responses.no_content()


@blueprint.delete("/strings/<string_key>")
@described(problems=_NOT_FOUND, **_CHANGED)
def delete_string(string_key: str) -> Response:
    """Delete a whole plain string."""
    extensions.store().string_delete(inputs.key(string_key))
    return responses.no_content()


@blueprint.get("/strings/<string_key>/fields/<field>")
@described(answer=_VALUE, problems=_NOT_FOUND)
def read_string_field(string_key: str, field: str) -> Response:
    """Read one member of a plain string, by fetching and parsing all of it."""
    return responses.raw(extensions.store().string_read_field(inputs.key(string_key), inputs.field(field)))


@blueprint.put("/strings/<string_key>/fields/<field>")
@described(body=_VALUE, problems=_NOT_FOUND, **_CHANGED)
def update_string_field(string_key: str, field: str) -> Response:
    """Set one member of a plain string to the body, by rewriting all of it."""
    extensions.store().string_update(inputs.key(string_key), inputs.field(field), inputs.json_value())
    return responses.no_content()
