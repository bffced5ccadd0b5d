"""Liveness and readiness probes."""

from flask import Blueprint, Response

from target_app import extensions, responses
from target_app.openapi import described, json_object

blueprint = Blueprint("health", __name__, url_prefix="/healthz")

_STATUS = json_object(status={"type": "string"})


@blueprint.get("/live")
@described(answer=_STATUS)
def live() -> Response:
    """Answer that the process is alive, without asking Redis."""
    return responses.json({"status": "live"})


@blueprint.get("/ready")
@described(answer=_STATUS)
def ready() -> Response:
    """Answer that Redis is there and has RedisJSON; otherwise 503."""
    extensions.store().check()
    return responses.json({"status": "ready"})
