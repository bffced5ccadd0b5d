"""Responses: the one place where the target makes its answers; `target_app.errors` makes problems with it."""

import orjson
from flask import Response

_JSON = "application/json"


def raw(body: bytes | str, status: int = 200, content_type: str = _JSON) -> Response:
    """Answer with a body that is sent as it is."""
    return Response(body, status, content_type=content_type)


def json(content: object, status: int = 200, content_type: str = _JSON) -> Response:
    """Answer with content as JSON."""
    return Response(orjson.dumps(content), status, content_type=content_type)


def no_content() -> Response:
    """Answer 204, without a body."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response
