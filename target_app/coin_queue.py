"""A queue for coins: a pre-purchase gives the user one place in it.

Users and the queue are RedisJSON documents. The queue's document holds its id, whether it is open, its capacity, and
the users in order; a user's document holds the queue's id and the user's place. One transaction appends the user to the
queue and updates the user's document, provided that nothing has changed that document meanwhile. So no place is given
twice and no user gets two places, even under concurrent requests, and different users never block each other. A place
belongs to one queue, identified by its id: when a new queue is opened, every user may ask again.
"""

import uuid
from typing import Any

import orjson
from flask import Blueprint, Response

from target_app import extensions, inputs, responses
from target_app.openapi import described, json_object
from target_app.store_errors import StoreError, UnknownKeyError

QUEUE_KEY = "coin-queue"
"""The queue's key, without the store's prefix."""
_CAPACITY = 1_000_000
_END = 2**31
"""An index beyond the last place of any queue."""
_CLOSED = "The queue is closed."
_FULL = "Every place of the queue is taken."

blueprint = Blueprint("coin_queue", __name__, url_prefix="/api/quickie/user/coin-queue")


class UnknownUserError(StoreError):
    """No such user."""


class QueueClosedError(StoreError):
    """No queue was opened, or it has been closed."""


class QueueFullError(StoreError):
    """Every place of the queue is taken."""


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
    """Take a place in the queue for a user: `{"user_id": "…"}`. A repeated request returns the same place."""
    user_id = inputs.user_id(inputs.json_object().get("user_id"))
    return responses.json({"user_id": user_id, "place": _place(user_id)})


def _place(user_id: str) -> int:
    """Return the user's place in the queue: its existing place, or the next free one.

    Raises:
        UnknownUserError: when there is no such user.
        QueueClosedError: when there is no queue, or it is closed and the user has no place in it.
        QueueFullError: when other users have all places.
    """
    key, name = user_key(user_id), orjson.dumps(user_id)
    capacity = 0

    def take(queue_text: bytes, taken: list[int], user_text: bytes | None) -> list[tuple[Any, ...]]:
        nonlocal capacity
        if user_text is None:
            raise UnknownUserError(f"There is no user {user_id!r}.")
        queue = {path: found[0] for path, found in orjson.loads(queue_text).items()}
        capacity = queue["$.capacity"]
        (standing,) = orjson.loads(user_text) or [None]
        look = ("JSON.ARRINDEX", QUEUE_KEY, "$.users", name)
        if standing and standing["queue"] == queue["$.id"]:
            return [(*look, standing["after"], _END)]
        if not queue["$.open"]:
            raise QueueClosedError(_CLOSED)
        if taken[0] >= capacity:
            raise QueueFullError(_FULL)
        # Others may have appended since the length was read, so the place is at or shortly after that length.
        noted = orjson.dumps({"queue": queue["$.id"], "after": taken[0]})
        taking = ("JSON.ARRAPPEND", QUEUE_KEY, "$.users", name), ("JSON.SET", key, "$.coin_queue", noted)
        return [*taking, (*look, taken[0], _END)]

    reads = (
        ("JSON.GET", QUEUE_KEY, "$.id", "$.open", "$.capacity"),
        ("JSON.ARRLEN", QUEUE_KEY, "$.users"),
        ("JSON.GET", key, "$.coin_queue"),
    )
    try:
        *_, (index,) = extensions.store().change(key, reads, take)
    except UnknownKeyError:  # there is no queue
        raise QueueClosedError(_CLOSED) from None
    if index >= capacity:
        raise QueueFullError(_FULL)
    return int(index) + 1
