"""The table of messages: every kind that master and workers exchange, and the schema of each.

Locust accepts any MessagePack value and accesses its fields unchecked. A message that lacks one ends the greenlet that
receives, and the process never receives again. So each message is checked on arrival: its size, its nesting, its kind,
and the schema of its kind. Kinds that are not in the table are refused, unless they were registered with Locust's
`register_message`.
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
"""Bytes of the longest message. A worker's largest message, with thousands of request names and a minute of backlog, is
less than half of it."""
LONGEST_TEXT: Final = 10_000
"""Characters of an exception, or of a line of a log, that are sent and kept."""
MAX_VALUES: Final = 1_000_000
"""The maximum number of values in a master's message. The arrivals of the longest profile take two thirds of it."""
MAX_VALUES_OF_A_WORKER: Final = untrusted.SMALL_BYTES
"""The maximum number of values in a worker's message. Its measurements, the bulk of it, are packed columns of bytes."""
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
    """A worker's heartbeat."""

    state: Literal["ready", "spawning", "running", "cleanup", "stopping", "stopped", "missing"]
    current_cpu_usage: _Finite
    current_memory_usage: _Finite
    software: Software | None = None


class Users(BaseModel, extra="allow"):
    """The number of users of each class that a worker runs."""

    user_classes_count: _Users
    user_count: _Count


class UserError(BaseModel):
    """An exception raised in a scenario."""

    msg: _Text
    traceback: _Text


class Logs(BaseModel):
    """Lines of a worker's log."""

    worker_id: _Name
    logs: Annotated[list[_Text], Field(max_length=10_000)]


class Spawn(BaseModel, extra="allow"):
    """The number of users of each class that a worker is to run, and the run's options."""

    timestamp: _Finite
    user_classes_count: _Users
    host: _Text | None
    stop_timeout: _Finite | None
    parsed_options: dict[str, Any]


class RunOptions(NamedTuple):
    """The options of a run, sent with each spawn message."""

    run: str = ""
    """The run's id. `NO_RUN` once the run has been asked to end: no more users are started for it."""
    is_open: bool = False
    """Whether arrivals are started instead of users."""
    think_time_s: tuple[float, float] | None = None
    """The shortest and the longest think time between two iterations, in seconds; None keeps each scenario's own."""
    prepared_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of a worker's users for arrivals, 0 to 1, that is created before the first arrival."""
    keeps_evidence: bool = True
    """Whether failed requests are kept: see `loadtest.measuring.evidence`."""
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of requests that are traced, 0 to 1: see `loadtest.measuring.traces`."""

    def announce(self, environment: Environment) -> None:
        """Add these options to every spawn message that Locust's master sends."""
        vars(environment.parsed_options)[_RUN_OPTIONS] = list(self)

    @classmethod
    def of(cls, options: dict[str, Any]) -> RunOptions | None:
        """Read the options from a spawn message or an Environment; None if none were announced.

        Raises:
            ValueError: when the options are malformed.
        """
        found = options.get(_RUN_OPTIONS)
        if found is None:
            return None
        return _validated(_RUN_OPTIONS_SHAPE, found, "the run's options")


NO_RUN: Final = ""
_RUN_OPTIONS: Final = "loadtest_run"
_RUN_OPTIONS_SHAPE: Final = TypeAdapter(RunOptions)


class Report(NamedTuple):
    """What a worker sends each second, and earlier when a delta cannot wait."""

    now_s: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    """The worker's monotonic clock at the time of sending, in seconds."""
    deltas: Annotated[list[Annotated[bytes, Field(strict=True)]], Field(max_length=BATCH)]
    heartbeat: Heartbeat | None
    """Locust's heartbeat, every other second."""
    users: Users | None
    """The content of Locust's own report other than statistics, every third second."""


class ClockAnswer(NamedTuple):
    """The master's clock, in answer to a worker that asked at `sent_s` of its own clock."""

    sent_s: _Instant
    master_s: _Instant
    identity: _Name


_Number = Annotated[float, Field(ge=-1e18, le=1e18, allow_inf_nan=False)]


def _ascending(packed: bytes) -> bytes:
    starts = np.frombuffer(packed, "<f8")  # raises ValueError if the last value is incomplete
    if not np.isfinite(starts).all() or (np.diff(starts) < 0).any():
        raise ValueError("its instants are not in ascending order")
    return packed


class ArrivalsMessage(TypedDict):
    """The dictionary that `loadtest.pacing.arrivals.Arrivals.to_wire` returns."""

    segments: Annotated[list[tuple[_Number, _Number, _Number, _Number, bool]], Field(max_length=100_000)]
    spacing: Literal["even", "poisson"]
    seed: int
    starts: Annotated[bytes, AfterValidator(_ascending)]


_Parts = Annotated[int, Field(ge=1, le=10**15)]
AssignedPortion = tuple[ArrivalsMessage | None, _Instant, _Whole, _Parts, _Instant, float]
"""A share of arrivals. None in place of the arrivals stands for those of the worker's own portion."""


class AssignedArrivals(TypedDict):
    """The dictionary that `loadtest.pacing.assignment.Assignment.to_wire` returns."""

    number: _Whole
    from_s: _Instant
    own: AssignedPortion | None
    inherited: list[AssignedPortion]


def _complete(assigned: AssignedArrivals) -> AssignedArrivals:
    own = assigned["own"]
    if own is not None and own[0] is None:
        raise ValueError("the worker's own portion has no arrivals")
    if own is None and any(portion[0] is None for portion in assigned["inherited"]):
        raise ValueError("an inherited portion has no arrivals")
    return assigned


class AssignmentMessage(NamedTuple):
    """The arrivals that a worker is to start: see `loadtest.pacing.assignment`."""

    users: _Count
    """The number of users to create before they are needed."""
    assignment: Annotated[AssignedArrivals, AfterValidator(_complete)]


class BatchRequestMessage(NamedTuple):
    """A worker's account of the items that it holds: see `loadtest.feeding.allocator`."""

    feed: _Name
    request: tuple[_Whole, _Whole, _Whole, _Whole, _Whole, _Whole, bool]
    now_s: _Finite
    waits: tuple[_Whole, _Finite, _Finite]


class BatchMessage(NamedTuple):
    """The items sent in answer to a request."""

    feed: _Name
    batch: tuple[_Whole, _Whole, list[Any], bool]
    now_s: _Finite
    """`now_s` of the request that this answers, in seconds of the worker's clock."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[Payload]):
    """One kind of message.

    Attributes:
        name: the type field of the message.
        shape: the schema of its payload.
    """

    name: str
    shape: TypeAdapter[Payload]

    def read(self, data: Any) -> Payload:
        """Return the validated payload of a message of this kind.

        Raises:
            ValueError: when the payload does not match the schema.
        """
        return _validated(self.shape, data, f"a {self.name} message")

    def write(self, payload: Payload) -> Any:
        """Return a payload in the form in which a message of this kind carries it."""
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


def read(data: bytes, most_values: int = MAX_VALUES_OF_A_WORKER) -> Message:
    """Decode a message with a bounded number of values. Its payload is not validated yet.

    Raises:
        ValueError: when the bytes are not a message, or hold too many values.
    """
    if len(data) > LONGEST_BYTES:
        raise ValueError(f"it is longer than {LONGEST_BYTES} bytes")
    untrusted.check_msgpack(data, most_values)
    try:
        parts = msgpack.unpackb(data, raw=False, strict_map_key=False, object_hook=decode, max_ext_len=0)
    except Exception as error:  # untrusted bytes: whatever the decoder raises, this is not a message
        raise ValueError(f"it is not MessagePack ({type(error).__name__}: {error})") from error
    if not isinstance(parts, list) or len(parts) != _PARTS:
        raise ValueError("it is not a list of kind, data and sender")
    kind, _, sender = parts
    if not isinstance(kind, str) or not (sender is None or isinstance(sender, str)):
        raise ValueError("its kind or its sender is not text")
    return Message(*parts)  # type: ignore[no-untyped-call]


def shortened(message: Message) -> Message:
    """Return a worker's message with long texts cut: the master closes a connection that sends too long a message."""
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
