"""The table of messages: every kind that master and workers exchange, and what it must hold.

Locust reads whatever MessagePack holds and looks into it where it needs something; a message that lacks that ends the
greenlet that receives, and the process never hears another. So each message is checked when it arrives: its size, its
nesting, its kind, and what its kind must hold. Kinds that are not in the table are refused, unless somebody registered
them with Locust's `register_message`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, Literal, NamedTuple, TypeVar

import msgpack  # type: ignore[import-untyped]
import numpy as np
from locust.rpc import Message
from locust.rpc.protocol import decode
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic reads it on every Python that is supported

from loadtest import untrusted
from loadtest.measuring.delivery import BATCH, Acknowledgement
from loadtest.swarm.software import Software

if TYPE_CHECKING:
    from locust.env import Environment

Payload = TypeVar("Payload")

LONGEST_BYTES: Final = 16 * 1024 * 1024
"""The longest message. A worker's largest, with thousands of names and a minute to catch up on, is less than half."""
LONGEST_TEXT: Final = 10_000
"""Characters that are sent and kept of an exception, and of a line of a log."""
MOST_VALUES: Final = 1_000_000
"""The most values in a master's message: the arrivals of a profile with the most segments are two thirds of it."""
MOST_VALUES_OF_A_WORKER: Final = untrusted.SMALL_BYTES
"""The most values in a worker's message. What is many in it, its measurements, are columns of bytes."""
_PARTS: Final = 3
_TEXT: Final = 1024 * 1024
_Count = Annotated[int, Field(strict=True, ge=0, le=10_000_000)]
_Whole = Annotated[int, Field(strict=True, ge=0, le=10**15)]
_Text = Annotated[str, Field(strict=True, max_length=_TEXT)]
_Name = Annotated[str, Field(strict=True, max_length=1024)]
_Version = Annotated[str, Field(strict=True, pattern=r"^[\w.+-]{1,100}$")]
_Finite = Annotated[float, Field(ge=0, le=1e18, allow_inf_nan=False)]
_Instant = Annotated[float, Field(strict=True, ge=-1e18, le=1e18, allow_inf_nan=False)]
_Users = Annotated[dict[_Name, _Count], Field(max_length=1000)]


class Heartbeat(BaseModel, extra="allow"):
    """A worker lives."""

    state: Literal["ready", "spawning", "running", "cleanup", "stopping", "stopped", "missing"]
    current_cpu_usage: _Finite
    current_memory_usage: _Finite
    software: Software | None = None


class Users(BaseModel, extra="allow"):
    """How many users of each class a worker runs."""

    user_classes_count: _Users
    user_count: _Count


class UserError(BaseModel):
    """An exception in a scenario."""

    msg: _Text
    traceback: _Text


class Logs(BaseModel):
    """A worker's log."""

    worker_id: _Name
    logs: Annotated[list[_Text], Field(max_length=10_000)]


class Spawn(BaseModel, extra="allow"):
    """How many users of each class a worker is to run, and with which options."""

    timestamp: _Finite
    user_classes_count: _Users
    host: _Text | None
    stop_timeout: _Finite | None
    parsed_options: dict[str, Any]


class RunOptions(NamedTuple):
    """What each spawn message says of the run that its users belong to."""

    run: str = ""
    """The run's id; `NO_RUN` from the moment at which the run is asked to end: nobody starts users for it any more."""
    is_open: bool = False
    """Whether arrivals are started instead of users."""
    think_time_s: tuple[float, float] | None = None
    """The shortest and the longest wait between two iterations; None leaves each scenario its own."""
    prepared_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of the users that a worker may have for arrivals: the share that it makes before the first one."""
    keeps_evidence: bool = True
    """Whether failed requests are kept: see `loadtest.measuring.evidence`."""
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of the requests that is traced: see `loadtest.measuring.traces`."""

    def announce(self, environment: Environment) -> None:
        """Put these into what Locust's master sends with every spawn message."""
        vars(environment.parsed_options)[_RUN_OPTIONS] = list(self)

    @classmethod
    def of(cls, options: dict[str, Any]) -> RunOptions | None:
        """Read them from the options of a spawn message, or of an Environment; None where nobody announced any.

        Raises:
            ValueError: when they are something else.
        """
        found = options.get(_RUN_OPTIONS)
        if found is None:
            return None
        return _validated(_RUN_OPTIONS_SHAPE, found, "the run's options")


NO_RUN: Final = ""
_RUN_OPTIONS: Final = "loadtest_run"
_RUN_OPTIONS_SHAPE: Final = TypeAdapter(RunOptions)


class Report(NamedTuple):
    """What a worker sends each second, and whenever a delta cannot wait."""

    now_s: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    """The worker's monotonic clock when it was sent."""
    deltas: Annotated[list[Annotated[bytes, Field(strict=True)]], Field(max_length=BATCH)]
    heartbeat: Heartbeat | None
    """Locust's heartbeat, every other second."""
    users: Users | None
    """What Locust's own report says besides statistics, every third second."""


class ClockAnswer(NamedTuple):
    """The master's clock, for a worker that asked at `sent_s` of its own."""

    sent_s: _Instant
    master_s: _Instant
    identity: _Name


_Number = Annotated[float, Field(ge=-1e18, le=1e18, allow_inf_nan=False)]


def _ascending(packed: bytes) -> bytes:
    starts = np.frombuffer(packed, "<f8")  # raises ValueError when it holds half a number
    if not np.isfinite(starts).all() or (np.diff(starts) < 0).any():
        raise ValueError("its instants are not in ascending order")
    return packed


class ArrivalsMessage(TypedDict):
    """What `loadtest.pacing.arrivals.Arrivals.to_wire` returns."""

    segments: Annotated[list[tuple[_Number, _Number, _Number, _Number, bool]], Field(max_length=100_000)]
    spacing: Literal["even", "poisson"]
    seed: int
    starts: Annotated[bytes, AfterValidator(_ascending)]


_Parts = Annotated[int, Field(ge=1, le=10**15)]
AssignedStretch = tuple[ArrivalsMessage | None, _Instant, _Whole, _Parts, _Instant, float]
"""A share of arrivals; without them, of those of the worker's own stretch."""


class AssignedArrivals(TypedDict):
    """What `loadtest.pacing.assignment.Assignment.to_wire` returns."""

    number: _Whole
    from_s: _Instant
    own: AssignedStretch | None
    inherited: list[AssignedStretch]


def _complete(assigned: AssignedArrivals) -> AssignedArrivals:
    own = assigned["own"]
    if own is not None and own[0] is None:
        raise ValueError("the worker's own stretch has no arrivals")
    if own is None and any(stretch[0] is None for stretch in assigned["inherited"]):
        raise ValueError("an inherited stretch has no arrivals")
    return assigned


class AssignmentMessage(NamedTuple):
    """The arrivals that a worker starts: see `loadtest.pacing.assignment`."""

    users: _Count
    """How many users to make before they are needed."""
    assignment: Annotated[AssignedArrivals, AfterValidator(_complete)]


class BatchRequestMessage(NamedTuple):
    """What a worker says of the items that it holds: see `loadtest.feeding.allocator`."""

    feed: _Name
    request: tuple[_Whole, _Whole, _Whole, _Whole, _Whole, _Whole, bool]
    now_s: _Finite
    waits: tuple[_Whole, _Finite, _Finite]


class BatchMessage(NamedTuple):
    """The items that answer a request."""

    feed: _Name
    batch: tuple[_Whole, _Whole, list[Any], bool]
    now_s: _Finite
    """The request's."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[Payload]):
    """One kind of message.

    Attributes:
        name: as it stands in the message.
        shape: what its payload must be.
    """

    name: str
    shape: TypeAdapter[Payload]

    def read(self, data: Any) -> Payload:
        """Return the payload of a message of this kind.

        Raises:
            ValueError: when it is something else.
        """
        return _validated(self.shape, data, f"a {self.name} message")

    def write(self, payload: Payload) -> Any:
        """Return what a message of this kind carries."""
        return self.shape.dump_python(payload)


REPORT: Final = Kind("loadtest_report", TypeAdapter(Report))
TIME_REQUEST: Final = Kind("pacing_clock", TypeAdapter(_Instant))
READY: Final = Kind("pacing_ready", TypeAdapter(None))
LEAVING: Final = Kind("pacing_leaving", TypeAdapter(_Instant))
DONE: Final = Kind("pacing_done", TypeAdapter(_Whole))
BATCH_REQUEST: Final = Kind("feeding_request", TypeAdapter(BatchRequestMessage))

ACKNOWLEDGEMENT: Final = Kind("loadtest_acknowledgement", TypeAdapter(Acknowledgement | None))
DRAIN: Final = Kind("loadtest_drain", TypeAdapter(_Name))
PROBE: Final = Kind("loadtest_probe", TypeAdapter(None))
JOIN: Final = Kind("pacing_join", TypeAdapter(None))
TIME: Final = Kind("pacing_time", TypeAdapter(ClockAnswer))
ASSIGNMENT: Final = Kind("pacing_assignment", TypeAdapter(AssignmentMessage))
OPEN: Final = Kind("feeding_open", TypeAdapter(None))
BATCH_ALLOCATED: Final = Kind("feeding_batch", TypeAdapter(BatchMessage))

_NOTHING: Final = TypeAdapter(None)
_ANY: Final = TypeAdapter(Any)


def _table(*kinds: Kind[Any]) -> dict[str, Kind[Any]]:
    return {kind.name: kind for kind in kinds}


FROM_WORKERS: Final = _table(
    # Locust's
    Kind("client_ready", TypeAdapter(_Version | Literal[-1])),
    Kind("client_stopped", _NOTHING),
    Kind("spawning", _NOTHING),
    Kind("spawning_complete", TypeAdapter(Users)),
    Kind("heartbeat", TypeAdapter(Heartbeat)),
    Kind("stats", TypeAdapter(Users)),
    Kind("exception", TypeAdapter(UserError)),
    Kind("logs", TypeAdapter(Logs)),
    Kind("locustfile", _ANY),
    Kind("quit", _NOTHING),
    # ours
    REPORT,
    TIME_REQUEST,
    READY,
    LEAVING,
    DONE,
    BATCH_REQUEST,
)
FROM_MASTER: Final = _table(
    # Locust's
    Kind("ack", TypeAdapter(dict[str, Any] | None)),
    Kind("spawn", TypeAdapter(Spawn)),
    Kind("spawning_complete", TypeAdapter(dict[str, Any])),
    Kind("heartbeat", _NOTHING),
    Kind("update_user_class", _ANY),
    Kind("locustfile", _ANY),
    Kind("reconnect", _NOTHING),
    Kind("stop", _NOTHING),
    Kind("quit", _NOTHING),
    # ours
    ACKNOWLEDGEMENT,
    DRAIN,
    PROBE,
    JOIN,
    TIME,
    ASSIGNMENT,
    OPEN,
    BATCH_ALLOCATED,
)


def read(data: bytes, most_values: int = MOST_VALUES_OF_A_WORKER) -> Message:
    """Read a message of a bounded number of values; its content is still to be checked.

    Raises:
        ValueError: when it is none.
    """
    if len(data) > LONGEST_BYTES:
        raise ValueError(f"it is longer than {LONGEST_BYTES} bytes")
    untrusted.check_msgpack(data, most_values)
    try:
        parts = msgpack.unpackb(data, raw=False, strict_map_key=False, object_hook=decode, max_ext_len=0)
    except Exception as error:  # a reader of foreign bytes: whatever it raises, they are no message
        raise ValueError(f"it is not MessagePack ({type(error).__name__}: {error})") from error
    if not isinstance(parts, list) or len(parts) != _PARTS:
        raise ValueError("it is not a list of kind, data and sender")
    kind, _, sender = parts
    if not isinstance(kind, str) or not (sender is None or isinstance(sender, str)):
        raise ValueError("its kind or its sender is not text")
    return Message(*parts)  # type: ignore[no-untyped-call]


def shortened(message: Message) -> Message:
    """Return a worker's message with its long texts cut: over one that is too long the master ends the connection."""
    if message.type == "exception":
        message.data = {name: str(text)[:LONGEST_TEXT] for name, text in message.data.items()}
    elif message.type == "logs":
        message.data = {**message.data, "logs": [line[:LONGEST_TEXT] for line in message.data["logs"]]}
    return message


def _validated(shape: TypeAdapter[Payload], data: Any, what: str) -> Payload:
    try:
        return shape.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise ValueError(f"of {what} {place[:100]} is wrong ({first['msg']})") from error
