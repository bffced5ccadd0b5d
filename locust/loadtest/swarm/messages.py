"""Messages of the link, read within bounds.

Locust reads whatever MessagePack holds and looks into it where it needs something; a message that lacks that ends the
greenlet that listens, and the master is deaf from then on. Here a message is checked first: its size, its nesting, and
what its kind must have.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgpack  # type: ignore[import-untyped]
from locust.rpc import Message
from locust.rpc.protocol import decode
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from loadtest.measuring.delivery import BATCH
from loadtest.measuring.swarm.messages import REPORT

LONGEST_BYTES: Final = 64 * 1024 * 1024
"""The longest message; a worker's largest, with thousands of names and a minute to catch up on, is a tenth of it."""
_PARTS: Final = 3
_TEXT: Final = 1024 * 1024
_Count = Annotated[int, Field(strict=True, ge=0, le=10_000_000)]
_Whole = Annotated[int, Field(strict=True, ge=0, le=10**15)]
_Text = Annotated[str, Field(strict=True, max_length=_TEXT)]
_Name = Annotated[str, Field(strict=True, max_length=1024)]
_Finite = Annotated[float, Field(ge=0, le=1e18, allow_inf_nan=False)]
_Users = Annotated[dict[_Name, _Count], Field(max_length=1000)]


class Heartbeat(BaseModel, extra="allow"):
    """A worker lives."""

    state: Literal["ready", "spawning", "running", "cleanup", "stopping", "stopped", "missing"]
    current_cpu_usage: _Finite
    current_memory_usage: _Finite


class Users(BaseModel, extra="allow"):
    """How many users of each class a worker runs."""

    user_classes_count: _Users
    user_count: _Count


class Fault(BaseModel):
    """An exception in a scenario."""

    msg: _Text
    traceback: _Text


class Logs(BaseModel):
    """A worker's log."""

    worker_id: _Name
    logs: Annotated[list[_Text], Field(max_length=10_000)]


class FeedingAsk(BaseModel):
    """What a worker says of the items that it holds."""

    feed: _Name
    ask: tuple[_Whole, _Whole, _Whole, _Whole, _Whole, _Whole, bool]
    now_s: _Finite
    waits: tuple[_Whole, _Finite, _Finite]


_Report = tuple[
    Annotated[float, Field(strict=True, allow_inf_nan=False)],
    Annotated[list[Annotated[bytes, Field(strict=True)]], Field(max_length=BATCH)],
    Heartbeat | None,
    Users | None,
]

_SHAPES: Final[dict[str, TypeAdapter[Any]]] = {
    "client_ready": TypeAdapter(_Name | Literal[-1]),
    "heartbeat": TypeAdapter(Heartbeat),
    "stats": TypeAdapter(Users),
    "spawning_complete": TypeAdapter(Users),
    "exception": TypeAdapter(Fault),
    "logs": TypeAdapter(Logs),
    REPORT: TypeAdapter(_Report),
    "feeding_ask": TypeAdapter(FeedingAsk),
}


def read(data: bytes) -> Message:
    """Read a message.

    Raises:
        ValueError: when it is none.
    """
    try:
        parts = msgpack.unpackb(data, raw=False, strict_map_key=False, object_hook=decode, max_ext_len=0)
    except Exception as error:  # a reader of foreign bytes: whatever it raises, they are no message
        raise ValueError(f"it is no MessagePack ({type(error).__name__}: {error})") from error
    if not isinstance(parts, list) or len(parts) != _PARTS:
        raise ValueError("it is no list of kind, data and sender")
    kind, _, sender = parts
    if not isinstance(kind, str) or not (sender is None or isinstance(sender, str)):
        raise ValueError("its kind or its sender is no text")
    return Message(*parts)  # type: ignore[no-untyped-call]


def check(message: Message) -> None:
    """Check that a worker's message has what its kind must have.

    Raises:
        ValueError: when it has not.
    """
    shape = _SHAPES.get(message.type)
    if shape is None:
        return
    try:
        shape.validate_python(message.data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise ValueError(f"of a {message.type} message {place[:100]} is wrong ({first['msg']})") from error
