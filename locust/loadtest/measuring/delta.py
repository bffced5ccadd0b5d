"""A numbered delta: what one worker measured in one interval, and its form on the wire.

The binary form, version 1, is ``b"LD"``, the version, the CRC-32 of the rest, and a MessagePack list whose last item
is `loadtest.measuring.packed`'s. Only series that counted something travel.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgpack  # type: ignore[import-untyped]

from loadtest.exceptions import RecordError
from loadtest.measuring.health import Health
from loadtest.measuring.packed import PackedMeasurements, check

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAGIC: Final = b"LD"
_VERSION: Final = 1
_HIGHEST: Final = 2**53
_LONGEST_NAME: Final = 1000
_LONGEST_S: Final = 1e7
_FARTHEST_S: Final = 1e10
_FIGURES: Final = frozenset((float, int))
_HEAD: Final = struct.Struct("<2sBI")


class Delta(NamedTuple):
    """What one worker measured from ``start_s`` to ``end_s`` of its own monotonic clock."""

    run: str
    """The run that the samples belong to; empty for samples outside any run."""
    sequence: int
    """1, 2, 3 … within the worker and the run."""
    start_s: float
    end_s: float
    final: bool
    """Nothing follows: the worker stopped its users."""
    users: Mapping[str, int]
    """Running users by scenario."""
    health: Health
    packed: PackedMeasurements

    def to_bytes(self) -> bytes:
        """The binary form."""
        body: bytes = msgpack.packb(
            (
                self.run,
                self.sequence,
                self.start_s,
                self.end_s,
                self.final,
                dict(self.users),
                tuple(self.health),
                self.packed,
            )
        )
        return _HEAD.pack(_MAGIC, _VERSION, zlib.crc32(body)) + body

    @classmethod
    def from_bytes(cls, data: bytes) -> Delta:
        """Read the binary form back.

        Raises:
            RecordError: when the data is damaged or of a newer version.
        """
        delta = cls.decoded(data)
        delta.check()
        return delta

    @classmethod
    def decoded(cls, data: bytes) -> Delta:
        """Read the binary form back; what it counted is yet to be checked, by `check` or with many others'.

        Raises:
            RecordError: when the data is damaged or of a newer version.
        """
        body = _checked(data)
        try:
            run, sequence, start_s, end_s, final, users, health, wire = msgpack.unpackb(body)
            _check_head(run, sequence, start_s, end_s, final)
            _check_figures(users, health)
            return cls(run, sequence, start_s, end_s, final, users, Health(*health), PackedMeasurements.from_wire(wire))
        except (ValueError, TypeError, LookupError, AttributeError, msgpack.UnpackException) as error:
            raise RecordError(_damaged(f"a delta of {len(data)} bytes", str(error))) from error

    def check(self) -> None:
        """Whether the numbers that it counted can be counted on.

        Raises:
            RecordError: when not.
        """
        try:
            check([self.packed])
        except ValueError as error:
            raise RecordError(_damaged(f"delta {self.sequence}", str(error))) from error


def _check_head(run: object, sequence: object, start_s: Any, end_s: Any, final: object) -> None:
    if not (isinstance(run, str) and len(run) <= _LONGEST_NAME and isinstance(final, bool)):
        raise ValueError("its run or its end has another type")
    if type(sequence) is not int or not 1 <= sequence <= _HIGHEST:
        raise ValueError("its number is none")
    if not type(start_s) is type(end_s) is float or not (abs(start_s) < _FARTHEST_S and abs(end_s) < _FARTHEST_S):
        raise ValueError("its times are none")
    if not 0 <= end_s - start_s < _LONGEST_S:
        raise ValueError(f"it lasted {end_s - start_s} s")


def _check_figures(users: Any, health: Any) -> None:
    for name, count in users.items():
        if not isinstance(name, str):
            raise TypeError("its users are of no scenario")
        if type(count) is not int or not 0 <= count <= _HIGHEST:
            raise ValueError("its users are no counts")
    if not _FIGURES.issuperset(map(type, health)) or not all(map(math.isfinite, health)):
        raise ValueError("its health is no figures")


def _checked(data: bytes) -> bytes:
    if len(data) < _HEAD.size or data[:2] != _MAGIC:
        raise RecordError(_damaged(f"a delta of {len(data)} bytes", f"it must start with {_MAGIC!r}"))
    _, version, checksum = _HEAD.unpack_from(data)
    if version > _VERSION:
        raise RecordError(
            f"a delta has version {version}, this program reads up to {_VERSION}; run the same release on the master "
            "and on every worker"
        )
    body = data[_HEAD.size :]
    if zlib.crc32(body) != checksum:
        raise RecordError(_damaged(f"a delta of {len(data)} bytes", "its checksum does not match"))
    return body


def _damaged(what: str, why: str) -> str:
    return f"{what} is damaged: {why}; it is not counted, the sender sends it again"
