"""Responses: their status, media type and body."""

from flask import Flask

from target_app import responses


def test_json_and_raw_bodies_have_status_and_media_type(app: Flask) -> None:
    """JSON is encoded, a raw body is sent as it is; both are JSON unless another type is given."""
    with app.app_context():
        made = [
            responses.json({"a": [1]}, 201),
            responses.raw(b'{"a": [1]}'),
            responses.raw("<p>", content_type="text/html; charset=utf-8"),
        ]
    assert [(each.status_code, each.content_type, each.data) for each in made] == [
        (201, "application/json", b'{"a":[1]}'),
        (200, "application/json", b'{"a": [1]}'),
        (200, "text/html; charset=utf-8", b"<p>"),
    ]


def test_an_answer_without_content_has_no_content_type() -> None:
    """A 204 has no body, so it has no type."""
    response = responses.no_content()
    assert (response.status_code, response.data, response.headers.get("Content-Type")) == (204, b"", None)
