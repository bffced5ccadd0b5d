"""Liveness and readiness probes."""

from flask import Blueprint, Response

from target_app import extensions, responses
from target_app.openapi import described, json_object

blueprint = Blueprint("health", __name__, url_prefix="/healthz")

_STATUS = json_object(status={"type": "string"})


@blueprint.get("/live")
@described(answer=_STATUS)
def live() -> Response:
    """Report that the process is alive, without checking Redis."""
    return responses.json({"status": "live"})


@blueprint.get("/ready")
@described(answer=_STATUS)
def ready() -> Response:
    """Report that Redis is available and has RedisJSON; otherwise respond with 503."""
    extensions.store().check()
    return responses.json({"status": "ready"})
