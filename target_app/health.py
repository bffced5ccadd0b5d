"""Probes: is the process alive, and can it serve?"""

from flask import Blueprint, Response

from target_app import extensions, responses
from target_app.openapi import described, json_object

blueprint = Blueprint("health", __name__, url_prefix="/healthz")

_STATUS = json_object(status={"type": "string"})


@blueprint.get("/live")
@described(answer=_STATUS)
def live() -> Response:
    """Say that the process answers; Redis is not asked."""
    return responses.json({"status": "live"})


@blueprint.get("/ready")
@described(answer=_STATUS)
def ready() -> Response:
    """Say that Redis answers and knows RedisJSON; otherwise 503."""
    extensions.store().check()
    return responses.json({"status": "ready"})
