"""Random messages of workers: merged, or refused and counted, without an exception in the master."""

import math
import zlib
from typing import Any

import msgpack
from hypothesis import example, given
from hypothesis import strategies as st

from loadtest.exceptions import RecordError
from loadtest.measuring import record_dict
from loadtest.measuring.collector import Collector
from loadtest.measuring.health import Health
from loadtest.measuring.packed import PackedMeasurements
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.wire import _HEADER, _MAGIC, _VERSION, Delta
from loadtest.swarm import messages
from tests.fuzz.cases import fuzz

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=40),
)
KEYS = st.text(max_size=9) | st.integers(0, 9)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
TYPES = (*messages.FROM_WORKERS, *messages.FROM_MASTER)


@fuzz
@given(
    st.one_of(
        st.binary(max_size=100),
        st.tuples(st.one_of(st.sampled_from(TYPES), ANYTHING), ANYTHING, ANYTHING).map(msgpack.packb),
        ANYTHING.map(msgpack.packb),
    )
)
def test_messages(data: bytes) -> None:
    """Any bytes are a valid message of their kind, or a ValueError, which is counted."""
    for table in (messages.FROM_WORKERS, messages.FROM_MASTER):
        try:
            message = messages.read(data)
            assert isinstance(message.type, str)
            if message.type in table:
                table[message.type].read(message.data)
        except ValueError:
            continue
        if message.type == "heartbeat" and table is messages.FROM_WORKERS:
            assert math.isfinite(message.data["current_cpu_usage"])


def _valid() -> list[Any]:
    recorder = Recorder()
    for number in range(3):
        recorder.series("shop", "GET", f"n{number}").success(1.0, 1.0, 1.5, 10)
    recorder.series("shop", "GET", "n0").failure(1.0, 1.0, 1.5, 10, "timeout", "too slow")
    recorder.begun("shop")[_valid] += 3
    recorder.on_user_error(None, KeyError("x"))
    packed = PackedMeasurements.of(recorder.take())
    delta = Delta("r1", 1, 0.0, 1.0, False, {"shop": 2}, Health(), packed)
    body: list[Any] = msgpack.unpackb(delta.to_bytes()[_HEADER.size :])
    return body


VALID = _valid()


def _places(value: Any, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    inside = value if isinstance(value, list) else []
    deeper = [place for number, item in enumerate(inside) for place in _places(item, (*path, number))]
    return [path] * bool(path) + deeper


PLACES = _places(VALID)


def _changed(value: Any, path: tuple[int, ...], new: Any) -> Any:
    if not path:
        if isinstance(value, bytes) and isinstance(new, bytes):
            return new + value[len(new) :]
        return new
    return [_changed(item, path[1:], new) if i == path[0] else item for i, item in enumerate(value)]


@fuzz
@given(st.lists(st.tuples(st.sampled_from(PLACES), ANYTHING), max_size=3), st.floats(-1e6, 1e6))
@example(changes=[((7, 4, 0, 0), 0.0)], offset_s=0.0)
@example(changes=[((7, 1), b"\x00" * 4 + b"\xff" * 12)], offset_s=0.0)
@example(changes=[((7, 1), "as long as it was" * 9)], offset_s=0.0)
@example(changes=[((7, 2, 0), b"\xff" * 60)], offset_s=0.0)
@example(changes=[((2,), 1e300), ((3,), 1e300)], offset_s=0.0)
def test_deltas(changes: list[tuple[tuple[int, ...], Any]], offset_s: float) -> None:
    """A delta with a valid checksum and any content is merged or refused, and totals stay sums of counts."""
    body: Any = VALID
    for path, new in changes:
        try:
            body = _changed(body, path, new)
        except (TypeError, KeyError):
            continue
    packed: bytes = msgpack.packb(body)
    data = _HEADER.pack(_MAGIC, _VERSION, zlib.crc32(packed)) + packed
    collector = Collector()
    collector.join("w", "running", 0.0)
    collector.begin(RunRecord("r1", 0.0), 0.0)
    collector.take("w", data, offset_s)
    collector.take("w", data, offset_s)
    collector.flush(1.0)
    collector.end()
    assert collector.record is not None
    record_dict.as_dict(collector.record)
    collector.users()
    assert collector.record.requests >= collector.record.failures >= 0
    try:
        Delta.from_bytes(data)
    except RecordError as error:
        assert "not counted" in str(error)
