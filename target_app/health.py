"""Probes: is the process alive, and can it serve?"""

from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app

from target_app.openapi import described, json_object

if TYPE_CHECKING:
    from target_app.store import Store

blueprint = Blueprint("health", __name__, url_prefix="/healthz")

_STATUS = json_object(status={"type": "string"})


@blueprint.get("/live")
@described(answer=_STATUS)
def live() -> Response:
    """Say that the process answers; Redis is not asked."""
    return Response(b'{"status":"live"}', mimetype="application/json")


@blueprint.get("/ready")
@described(answer=_STATUS)
def ready() -> Response:
    """Say that Redis answers and knows RedisJSON; otherwise 503."""
    store: Store = current_app.extensions["store"]
    store.check()
    return Response(b'{"status":"ready"}', mimetype="application/json")
