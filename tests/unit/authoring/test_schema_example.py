"""Examples of schemas: their own if they have one, and otherwise a value that fits."""

import time

import jsonschema
import pytest

from loadtest.authoring.openapi_document import OpenApiDocument
from loadtest.authoring.schema_example import example

TREE = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
    },
}
DOCUMENT = OpenApiDocument(
    {"openapi": "3.1.0", "paths": {"/": {}}, "components": {"schemas": {"Tree": TREE, "Id": {"type": "integer"}}}}, "x"
)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "example": "own"}, "own"),
        ({"type": "string", "examples": ["first", "second"]}, "first"),
        ({"enum": ["red", "blue"]}, "red"),
        ({"type": "integer", "default": 7}, 7),
        ({"const": None}, None),
        ({"$ref": "#/components/schemas/Id"}, 1),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]}, {"a": 1, "b": 2}),
        ({"properties": {"a": {"type": "string", "readOnly": True}, "b": {"type": "boolean"}}}, {"b": True}),
        ({"type": ["null", "string"]}, "example"),
        (True, None),
    ],
)
def test_what_a_schema_says_itself_is_taken(schema: object, value: object) -> None:
    """Its own example comes first, then keywords that allow only one value."""
    assert example(schema, DOCUMENT) == value


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 30},
        {"type": "string", "maxLength": 3},
        {"type": "string", "format": "uuid"},
        {"type": "integer", "minimum": 5, "multipleOf": 4},
        {"type": "integer", "maximum": -3},
        {"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
        {"type": "integer", "exclusiveMinimum": 1},
        {"type": "array", "minItems": 3, "items": {"type": "integer"}},
        {"oneOf": [{"type": "integer", "minimum": 9}, {"type": "string"}]},
        {"type": "object", "required": ["x"], "properties": {"y": {"type": "number"}}},
        {"type": "object", "minProperties": 3, "additionalProperties": {"type": "integer", "minimum": 4}},
        {"type": "array", "minItems": 4, "uniqueItems": True, "items": {"type": "string"}},
        {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
        {"type": "string", "pattern": "^x*$", "minLength": 4, "maxLength": 9},
        TREE | {"components": {"schemas": {"Tree": TREE}}},
    ],
)
def test_a_made_up_value_fits_its_schema(schema: dict[str, object]) -> None:
    """Limits and required members are respected; a recursive schema ends."""
    jsonschema.validate(example(schema, DOCUMENT), schema)


@pytest.mark.parametrize("pattern", [r"^\p{L}$", "^.{100000000}$", "^((x{900}){900}){900}$", "(", "^a$b"])
def test_a_pattern_for_which_there_is_no_text_is_said_in_little_time(pattern: str) -> None:
    """An optional member is then left out."""
    began_s = time.process_time()
    schema = {"type": "string", "pattern": pattern}
    with pytest.raises(ValueError, match="no text was found for the pattern"):
        example(schema, DOCUMENT)
    assert example({"properties": {"a": schema, "b": {"const": 1}}}, DOCUMENT) == {"b": 1}
    assert time.process_time() - began_s < 5.0


def test_the_limits_of_openapi_3_0_are_understood() -> None:
    """In that version, a separate keyword makes a limit exclusive."""
    assert example({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, DOCUMENT) == 2
