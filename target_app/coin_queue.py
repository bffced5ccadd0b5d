"""A queue for coins: a user's pre-purchase takes a place in it, once.

Users and the queue are RedisJSON documents. The queue's document holds its id, whether it is open, its capacity, and
the users in the order of their places; a user's holds which queue it stands in and where. One script reads and writes
both, and Redis runs scripts one after another: no place is given twice and no user gets two, even if many workers ask
at once. A place belongs to one queue, known by its id: when a new queue is opened, every user may ask again.
"""

import uuid
from typing import Any

import orjson
from flask import Blueprint, Response

from target_app import extensions, inputs, responses
from target_app.openapi import described, json_object
from target_app.store import Script
from target_app.store_errors import StoreError

QUEUE_KEY = "coin-queue"
"""The queue's key, without the store's prefix."""
_CAPACITY = 1_000_000

blueprint = Blueprint("coin_queue", __name__, url_prefix="/api/quickie/user/coin-queue")


class UnknownUserError(StoreError):
    """No such user."""


class QueueClosedError(StoreError):
    """No queue was opened, or it has been closed."""


class QueueFullError(StoreError):
    """Every place of the queue is taken."""


# KEYS: the queue, the user. ARGV: the user's id as JSON. First the queue takes the user, then the user takes the place:
# a script that stops between the two leaves a place empty, but gives none twice.
_TAKE_PLACE = Script("""
local user = redis.call('JSON.GET', KEYS[2], '$.coin_queue')
if not user then return {'unknown'} end
local queue = redis.call('JSON.GET', KEYS[1], '$.id', '$.open', '$.capacity')
if not queue then return {'closed'} end
queue = cjson.decode(queue)
local id = queue['$.id'][1]
local standing = cjson.decode(user)[1]
if type(standing) == 'table' and standing.queue == id then return {'in', standing.place} end
if not queue['$.open'][1] then return {'closed'} end
if redis.call('JSON.ARRLEN', KEYS[1], '$.users')[1] >= queue['$.capacity'][1] then return {'full'} end
local place = redis.call('JSON.ARRAPPEND', KEYS[1], '$.users', ARGV[1])[1]
redis.call('JSON.SET', KEYS[2], '$.coin_queue', cjson.encode({queue = id, place = place}))
return {'in', place}
""")


def user_key(user_id: str) -> str:
    """Return the key of a user's document, without the store's prefix."""
    return f"coin-queue:user:{user_id}"


def new_queue(capacity: int = _CAPACITY) -> dict[str, Any]:
    """Return the document of an open, empty queue with a new id."""
    return {"id": uuid.uuid4().hex, "open": True, "capacity": capacity, "users": []}


@blueprint.post("/pre-purchase")
@described(
    body=json_object(user_id=inputs.USER_ID),
    answer=json_object(user_id={"type": "string"}, place={"type": "integer", "minimum": 1}),
    problems=(404, 409),
)
def pre_purchase() -> Response:
    """Take a place in the queue for a user: `{"user_id": "…"}`; asked again, the user keeps the place."""
    user_id = inputs.user_id(inputs.json_object().get("user_id"))
    outcome, *standing = extensions.store().evaluate(_TAKE_PLACE, (QUEUE_KEY, user_key(user_id)), orjson.dumps(user_id))
    if outcome == b"unknown":
        raise UnknownUserError(f"There is no user {user_id!r}.")
    if outcome == b"closed":
        raise QueueClosedError("The queue is closed.")
    if outcome == b"full":
        raise QueueFullError("Every place of the queue is taken.")
    return responses.json({"user_id": user_id, "place": standing[0]})
