"""Responses: every response of the target is created here; `target_app.errors` uses it for problems."""

import orjson
from flask import Response

_JSON = "application/json"


def raw(body: bytes | str, status: int = 200, content_type: str = _JSON) -> Response:
    """Return a response with a body that is sent unchanged."""
    return Response(body, status, content_type=content_type)


def json(content: object, status: int = 200, content_type: str = _JSON) -> Response:
    """Return a response with content as JSON."""
    return Response(orjson.dumps(content), status, content_type=content_type)


def no_content() -> Response:
    """Return a 204 response, without a body."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response
