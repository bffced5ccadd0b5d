"""A numbered delta: what one worker measured in one interval, and its form on the wire.

The binary form, version 1, is ``b"LD"``, the version, the CRC-32 of the rest, and a MessagePack list. Arrays travel as
bytes of the smallest unsigned type that holds them; an array of zeros travels as no bytes. Only series that counted
something travel.
"""

from __future__ import annotations

import functools
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgpack  # type: ignore[import-untyped]
import numpy as np

from loadtest.exceptions import RecordError
from loadtest.health import Health
from loadtest.histogram import BINS
from loadtest.measurements import ErrorCount, Measurements, SeriesKey
from loadtest.tally import MIN, SparseHistograms

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

_MAGIC: Final = b"LD"
_VERSION: Final = 1
_HEAD: Final = struct.Struct("<2sBI")
_UNSIGNED: Final = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}
_MOMENTS: Final = 6


@dataclass(frozen=True, slots=True)
class Delta:
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
    measurements: Measurements

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
                _packed(self.measurements),
            )
        )
        return _HEAD.pack(_MAGIC, _VERSION, zlib.crc32(body)) + body

    @classmethod
    def from_bytes(cls, data: bytes) -> Delta:
        """Read the binary form back.

        Raises:
            RecordError: when the data is damaged or of a newer version.
        """
        body = _checked(data)
        try:
            run, sequence, start_s, end_s, final, users, health, packed = msgpack.unpackb(body)
            return cls(run, sequence, start_s, end_s, final, users, Health(*health), _unpacked(packed))
        except (ValueError, TypeError, LookupError, msgpack.UnpackException) as error:
            raise RecordError(_damaged(data, str(error))) from error


def _checked(data: bytes) -> bytes:
    if len(data) < _HEAD.size or data[:2] != _MAGIC:
        raise RecordError(_damaged(data, f"it must start with {_MAGIC!r}"))
    _, version, checksum = _HEAD.unpack_from(data)
    if version > _VERSION:
        raise RecordError(
            f"a delta has version {version}, this program reads up to {_VERSION}; run the same release on the master "
            "and on every worker"
        )
    body = data[_HEAD.size :]
    if zlib.crc32(body) != checksum:
        raise RecordError(_damaged(data, "its checksum does not match"))
    return body


def _damaged(data: bytes, why: str) -> str:
    return f"a delta of {len(data)} bytes is damaged: {why}; it is not counted, the sender sends it again"


def _packed(measured: Measurements) -> tuple[Any, ...]:
    late = measured.service_time is not measured.response_time
    return (
        _packed_keys(measured.series),
        _array(measured.requests),
        _array(measured.failures),
        _array(measured.response_bytes),
        _histograms(measured.response_time),
        _histograms(measured.service_time) if late else None,
        measured.errors,
        measured.scenarios,
        _histograms(measured.schedule_lag),
        _array(measured.dropped),
    )


def _unpacked(packed: Any) -> Measurements:
    keys, requests, failures, response_bytes, response, service, errors, scenarios, lag, dropped = packed
    series = _unpacked_keys(keys)
    count = len(series)
    response_time = _read_histograms(response, count)
    return Measurements(
        series=series,
        requests=_read_array(requests, count),
        failures=_read_array(failures, count),
        response_bytes=_read_array(response_bytes, count),
        response_time=response_time,
        service_time=response_time if service is None else _read_histograms(service, count),
        errors=tuple(_read_error(error, count) for error in errors),
        scenarios=tuple(scenarios),
        schedule_lag=_read_histograms(lag, len(scenarios)),
        dropped=_read_array(dropped, len(scenarios)),
    )


# A worker names the same series second after second, so both directions remember the last few sets of labels.
@functools.lru_cache(maxsize=64)
def _packed_keys(series: tuple[SeriesKey, ...]) -> bytes:
    packed: bytes = msgpack.packb(series)
    return packed


@functools.lru_cache(maxsize=256)
def _unpacked_keys(packed: bytes) -> tuple[SeriesKey, ...]:
    return tuple(SeriesKey(*map(str, key)) for key in msgpack.unpackb(packed))


def _array(values: Ints) -> bytes:
    highest = int(values.max()) if len(values) else 0
    if not highest:
        return b""
    size = 1 if highest < 1 << 8 else 2 if highest < 1 << 16 else 4 if highest < 1 << 32 else 8
    return bytes((size,)) + values.astype(_UNSIGNED[size]).tobytes()


def _read_array(data: bytes, count: int) -> Ints:
    if not data:
        return np.zeros(count, np.int64)
    values = np.frombuffer(data, _UNSIGNED[data[0]], offset=1).astype(np.int64)
    if len(values) != count:
        raise ValueError(f"{len(values)} numbers where {count} belong")
    return values


def _histograms(histograms: SparseHistograms) -> tuple[Any, ...]:
    return (
        len(histograms.bins),
        _array(histograms.lengths),
        _array(histograms.bins),
        _array(histograms.counts),
        *(_array(moment) for moment in histograms.moments[:MIN]),
        # An empty row has the highest possible minimum; 0 takes no bytes.
        _array(np.where(histograms.lengths > 0, histograms.moments[MIN], 0)),
        _array(histograms.moments[MIN + 1]),
    )


def _read_histograms(packed: Any, rows: int) -> SparseHistograms:
    total, lengths, bins, counts, *moments = packed
    read = SparseHistograms(
        _read_array(lengths, rows),
        _read_array(bins, total),
        _read_array(counts, total),
        np.stack([_read_array(moment, rows) for moment in moments]),
    )
    if len(read.moments) != _MOMENTS or int(read.lengths.sum()) != total or (total and int(read.bins.max()) >= BINS):
        raise ValueError("its histograms contradict themselves")
    if not read.lengths.all():
        empty = SparseHistograms.empty(1)
        read.moments[MIN][read.lengths == 0] = empty.moments[MIN]
    return read


def _read_error(error: Any, series_count: int) -> ErrorCount:
    series, error_class, message, occurrences = error
    if not 0 <= series < series_count:
        raise ValueError(f"an error belongs to series {series} of {series_count}")
    return ErrorCount(series, str(error_class), str(message), int(occurrences))
