"""The wire format of a worker's numbered delta.

A delta is ``b"LD"``, the format's version, the CRC-32 of the rest, and a MessagePack list: run, sequence, start, end,
final, users, health, `PackedMeasurements`, and the requests in flight.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgpack  # type: ignore[import-untyped]

from loadtest.exceptions import RecordError
from loadtest.measuring.health import Health
from loadtest.measuring.in_flight import NONE_IN_FLIGHT, InFlight
from loadtest.measuring.packed import PackedMeasurements, check, read_msgpack

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAGIC: Final = b"LD"
_VERSION: Final = 7
_HEADER: Final = struct.Struct("<2sBI")

_HIGHEST_COUNT: Final = 2**53
_LONGEST_NAME: Final = 1000
_LONGEST_S: Final = 1e7
_FARTHEST_S: Final = 1e10
_NUMBERS: Final = frozenset((float, int))


class Delta(NamedTuple):
    """One worker's measurements from ``start_s`` to ``end_s`` of its own monotonic clock."""

    run: str
    """The id of the run that the samples belong to; empty for samples outside any run."""
    sequence: int
    """1, 2, 3 …, counted per worker and run."""
    start_s: float
    end_s: float
    final: bool
    """Whether this is the last delta: the worker has stopped its users."""
    users: Mapping[str, int]
    """Running users by scenario."""
    health: Health
    packed: PackedMeasurements
    in_flight: InFlight = NONE_IN_FLIGHT
    """The requests that waited for a response at the end of the interval."""

    def to_bytes(self) -> bytes:
        """The binary form."""
        state = (dict(self.users), self._packed_health(), self.packed, tuple(self.in_flight))
        body: bytes = msgpack.packb((*self[:5], *state))
        return _HEADER.pack(_MAGIC, _VERSION, zlib.crc32(body)) + body

    def _packed_health(self) -> list[Any]:
        """Return the health with whole numbers as integers: one byte instead of nine, and most figures are 0."""
        return [*(value or 0 for value in self.health.figures), self.health.late_s]

    @classmethod
    def from_bytes(cls, data: bytes) -> Delta:
        """Read the binary form, and check it.

        Raises:
            RecordError: when the data is damaged, or has a newer version.
        """
        delta = cls.decoded(data)
        delta.check()
        return delta

    @classmethod
    def decoded(cls, data: bytes) -> Delta:
        """Read the binary form. The numbers of its measurements are unchecked: see `check`, or `packed.check` for many.

        Raises:
            RecordError: when the data is damaged, or has a newer version.
        """
        body = _checked_body(data)
        try:
            run, sequence, start_s, end_s, final, users, health, wire, in_flight = read_msgpack(body)
            _check_interval(run, sequence, start_s, end_s, final)
            *figures, late_s = health
            _check_state(users, [*figures, *late_s])
            _check_in_flight(*in_flight)
            observed, packed = Health.of(figures, late_s), PackedMeasurements.from_wire(wire)
            return cls(run, sequence, start_s, end_s, final, users, observed, packed, InFlight(*in_flight))
        except (ValueError, TypeError, LookupError, AttributeError, msgpack.UnpackException) as error:
            raise RecordError(_damaged(f"a delta of {len(data)} bytes", str(error))) from error

    def check(self) -> None:
        """Check that the numbers of its measurements are within the range that can be summed.

        Raises:
            RecordError: when they are not.
        """
        try:
            check([self.packed])
        except ValueError as error:
            raise RecordError(_damaged(f"delta {self.sequence}", str(error))) from error


def _check_interval(run: object, sequence: object, start_s: Any, end_s: Any, final: object) -> None:
    if not (isinstance(run, str) and len(run) <= _LONGEST_NAME and isinstance(final, bool)):
        raise ValueError(f"its run must be text of at most {_LONGEST_NAME} characters, and its final mark a boolean")
    if type(sequence) is not int or not 1 <= sequence <= _HIGHEST_COUNT:
        raise ValueError("its sequence must be a positive integer")
    if not type(start_s) is type(end_s) is float or not (abs(start_s) < _FARTHEST_S and abs(end_s) < _FARTHEST_S):
        raise ValueError("its start and end must be seconds as floats")
    if not 0 <= end_s - start_s < _LONGEST_S:
        raise ValueError(f"it spans {end_s - start_s} s; allowed are 0 s to {_LONGEST_S:.0f} s")


def _check_state(users: Any, health: Any) -> None:
    for name, count in users.items():
        if not isinstance(name, str):
            raise TypeError("its users must be given by the scenario's name")
        if type(count) is not int or not 0 <= count <= _HIGHEST_COUNT:
            raise ValueError("its numbers of users must be integers from 0 to 2**53")
    if not _NUMBERS.issuperset(map(type, health)) or not all(map(math.isfinite, health)):
        raise ValueError("its health must consist of finite numbers")


def _check_in_flight(requests: object, oldest_s: object, connections: object) -> None:
    for count in (requests, connections):
        if type(count) is not int or not 0 <= count <= _HIGHEST_COUNT:
            raise ValueError("its requests in flight and its connections must be integers from 0 to 2**53")
    if type(oldest_s) is not float or not 0 <= oldest_s < _LONGEST_S:
        raise ValueError(f"the age of its oldest request in flight must be 0 s to {_LONGEST_S:.0f} s, as a float")


def _checked_body(data: bytes) -> bytes:
    if len(data) < _HEADER.size or data[:2] != _MAGIC:
        raise RecordError(_damaged(f"a delta of {len(data)} bytes", f"it must start with {_MAGIC!r}"))
    _, version, checksum = _HEADER.unpack_from(data)
    if version > _VERSION:
        raise RecordError(
            f"a delta has version {version}, this program reads up to {_VERSION}; run the same release on the master "
            "and on every worker"
        )
    body = data[_HEADER.size :]
    if zlib.crc32(body) != checksum:
        raise RecordError(_damaged(f"a delta of {len(data)} bytes", "its checksum does not match"))
    return body


def _damaged(what: str, why: str) -> str:
    return f"{what} is damaged: {why}; it is not counted, the sender sends it again"
