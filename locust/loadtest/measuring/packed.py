"""Measurements as they travel, and how many workers' are unpacked at once.

Unpacking with numpy costs by the call more than by the byte. So what comes from the workers is only checked when it
arrives, and a whole second of it is unpacked together: `together`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgpack  # type: ignore[import-untyped]
import numpy as np

from loadtest.measuring.histogram import BINS
from loadtest.measuring.measurements import ErrorCount, Measurements, SeriesKey
from loadtest.measuring.tally import ABOVE, BELOW, MAX, MIN, REFUSED, SUM, SparseHistograms

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

_COUNTS: Final = np.dtype([("requests", "<u4"), ("failures", "<u4"), ("bytes", "<u8")])
_ROW: Final = np.dtype(
    [
        ("length", "<u2"),
        ("below", "<u4"),
        ("above", "<u4"),
        ("refused", "<u4"),
        ("sum", "<u8"),
        ("min", "<u8"),
        ("max", "<u8"),
    ]
)
_MOMENTS: Final = {"sum": SUM, "below": BELOW, "above": ABOVE, "refused": REFUSED, "min": MIN, "max": MAX}
_UNSIGNED: Final[dict[int, np.dtype[Any]]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<u8"),
}
_BIN: Final = np.dtype("<u2")
_DROPPED: Final = np.dtype("<u8")


_SAFE_WIDTH: Final = 4  # counts of so few bytes are never too high
_HIGHEST: Final = 2**62  # a moment of what was never measured is at most that


@dataclass(frozen=True, slots=True)
class PackedHistograms:
    """Sparse histograms as bytes: a row each, then the bins of all rows, then their counts."""

    rows: bytes
    bins: bytes
    width: int
    """Bytes of one count."""
    counts: bytes

    @classmethod
    def of(cls, histograms: SparseHistograms) -> PackedHistograms:
        """Pack histograms; counts take the fewest bytes that hold them."""
        rows = np.zeros(len(histograms.lengths), _ROW)
        rows["length"] = histograms.lengths
        for name, moment in _MOMENTS.items():
            rows[name] = histograms.moments[moment]
        highest = int(histograms.counts.max()) if len(histograms.counts) else 0
        width = next(width for width in _UNSIGNED if highest < 1 << 8 * width)
        counts = histograms.counts.astype(_UNSIGNED[width])
        return cls(rows.tobytes(), histograms.bins.astype(_BIN).tobytes(), width, counts.tobytes())

    def check(self, rows: int) -> None:
        """Whether everything fits together.

        Raises:
            ValueError: when not.
        """
        _check_bytes(self.rows, self.bins, self.counts)
        if self.width not in _UNSIGNED:
            raise ValueError(f"its counts have {self.width} bytes each")
        read = self.read_rows()
        lengths = read["length"]
        cells = len(self.bins) // _BIN.itemsize
        if len(lengths) != rows or int(lengths.sum()) != cells or len(self.counts) != cells * self.width:
            raise ValueError("its histograms contradict themselves")
        if cells and int(self.read_bins().max()) >= BINS:
            raise ValueError(f"a bin is beyond the {BINS} that there are")
        highest = [int(read[name].max(initial=0)) for name in ("sum", "min", "max")]
        widest = int(self.read_counts().max(initial=0)) if self.width > _SAFE_WIDTH else 0
        if max(*highest, widest) > _HIGHEST:
            raise ValueError("a number is too high to be counted on")

    def read_rows(self) -> npt.NDArray[Any]:
        """The rows, structured."""
        return np.frombuffer(self.rows, _ROW)

    def read_bins(self) -> npt.NDArray[Any]:
        """The bins of all rows."""
        return np.frombuffer(self.bins, _BIN)

    def read_counts(self) -> npt.NDArray[Any]:
        """The counts of all rows."""
        counts: npt.NDArray[Any] = np.frombuffer(self.counts, _UNSIGNED[self.width])
        return counts


@dataclass(frozen=True, slots=True)
class PackedMeasurements:
    """`Measurements` as they travel."""

    keys: bytes
    counts: bytes
    response_time: PackedHistograms
    service_time: PackedHistograms | None
    """None when it is the response time."""
    errors: tuple[ErrorCount, ...]
    scenarios: tuple[str, ...]
    schedule_lag: PackedHistograms | None
    """None when no request had an intended start of its own."""
    dropped: bytes

    @classmethod
    def of(cls, measured: Measurements) -> PackedMeasurements:
        """Pack measurements."""
        counts = np.zeros(len(measured.series), _COUNTS)
        counts["requests"], counts["failures"] = measured.requests, measured.failures
        counts["bytes"] = measured.response_bytes
        on_time = measured.service_time is measured.response_time
        return cls(
            _packed_keys(measured.series),
            counts.tobytes(),
            PackedHistograms.of(measured.response_time),
            None if on_time else PackedHistograms.of(measured.service_time),
            measured.errors,
            measured.scenarios,
            PackedHistograms.of(measured.schedule_lag) if _any(measured.schedule_lag) else None,
            measured.dropped.astype(_DROPPED).tobytes(),
        )

    def to_wire(self) -> tuple[Any, ...]:
        """What MessagePack can hold."""
        return (
            self.keys,
            self.counts,
            _histograms_to_wire(self.response_time),
            _histograms_to_wire(self.service_time),
            self.errors,
            self.scenarios,
            _histograms_to_wire(self.schedule_lag),
            self.dropped,
        )

    @classmethod
    def from_wire(cls, wire: Any) -> PackedMeasurements:
        """Read it back and check it.

        Raises:
            ValueError, TypeError, LookupError, AttributeError: when it does not fit together.
        """
        keys, counts, response, service, errors, scenarios, lag, dropped = wire
        packed = cls(
            keys,
            counts,
            PackedHistograms(*response),
            None if service is None else PackedHistograms(*service),
            tuple(ErrorCount(*error) for error in errors),
            tuple(map(str, scenarios)),
            None if lag is None else PackedHistograms(*lag),
            dropped,
        )
        packed._check()
        return packed

    def _check(self) -> None:
        _check_bytes(self.keys, self.counts, self.dropped)
        rows = len(self.series)
        if len(self.counts) != rows * _COUNTS.itemsize or len(self.dropped) != len(self.scenarios) * _DROPPED.itemsize:
            raise ValueError("it holds more or fewer numbers than labels")
        counted = np.frombuffer(self.counts, _COUNTS)
        dropped = np.frombuffer(self.dropped, _DROPPED)
        if bool((counted["failures"] > counted["requests"]).any()):
            raise ValueError("more requests failed than were made")
        if max(int(counted["bytes"].max(initial=0)), int(dropped.max(initial=0))) > _HIGHEST:
            raise ValueError("a number is too high to be counted on")
        self.response_time.check(rows)
        if self.service_time is not None:
            self.service_time.check(rows)
        if self.schedule_lag is not None:
            self.schedule_lag.check(len(self.scenarios))
        for series, error_class, message, occurrences in self.errors:
            if not (type(series) is int and isinstance(error_class, str) and isinstance(message, str)):
                raise TypeError("an error has other parts")
            if not 0 <= series < rows:
                raise ValueError(f"an error belongs to series {series} of {rows}")
            if type(occurrences) is not int or not 0 <= occurrences <= _HIGHEST:
                raise ValueError(f"an error occurred {occurrences} times")

    @property
    def series(self) -> tuple[SeriesKey, ...]:
        """The labels; the very same object for the same labels, so that their rows can be remembered."""
        return _unpacked_keys(self.keys)

    def __bool__(self) -> bool:
        """Whether anything was counted."""
        return bool(self.counts) or any(self.dropped)

    def unpacked(self) -> Measurements:
        """The measurements."""
        return _together([self], self.series, self.errors, self.scenarios)


def together(packed: Sequence[PackedMeasurements]) -> Measurements:
    """Several measurements in one: their series follow each other, so the same labels may come several times."""
    series: list[SeriesKey] = []
    scenarios: list[str] = []
    errors: list[ErrorCount] = []
    for one in packed:
        errors.extend(error._replace(series=error.series + len(series)) for error in one.errors)
        series.extend(one.series)
        scenarios.extend(one.scenarios)
    return _together(packed, tuple(series), tuple(errors), tuple(scenarios))


def _together(
    packed: Sequence[PackedMeasurements],
    series: tuple[SeriesKey, ...],
    errors: tuple[ErrorCount, ...],
    scenarios: tuple[str, ...],
) -> Measurements:
    counts = np.frombuffer(b"".join([one.counts for one in packed]), _COUNTS)
    response = _unpacked_histograms([one.response_time for one in packed])
    service = response
    if any(one.service_time is not None for one in packed):
        service = _unpacked_histograms([one.service_time or one.response_time for one in packed])
    return Measurements(
        series=series,
        requests=counts["requests"].astype(np.int64),
        failures=counts["failures"].astype(np.int64),
        response_bytes=counts["bytes"].astype(np.int64),
        response_time=response,
        service_time=service,
        errors=errors,
        scenarios=scenarios,
        schedule_lag=_unpacked_lag(packed),
        dropped=np.frombuffer(b"".join([one.dropped for one in packed]), _DROPPED).astype(np.int64),
    )


def _check_bytes(*parts: object) -> None:
    if any(type(part) is not bytes for part in parts):
        raise TypeError("a part of it is no bytes")


def _unpacked_lag(packed: Sequence[PackedMeasurements]) -> SparseHistograms:
    if all(one.schedule_lag is None for one in packed):
        return SparseHistograms.empty(sum(len(one.scenarios) for one in packed))
    return _unpacked_histograms([one.schedule_lag or _none(len(one.scenarios)) for one in packed])


@functools.lru_cache(maxsize=16)
def _none(rows: int) -> PackedHistograms:
    return PackedHistograms.of(SparseHistograms.empty(rows))


def _any(histograms: SparseHistograms) -> bool:
    return bool(histograms.lengths.any() or histograms.moments[REFUSED].any())


def _unpacked_histograms(packed: Sequence[PackedHistograms]) -> SparseHistograms:
    rows = np.frombuffer(b"".join([one.rows for one in packed]), _ROW)
    moments = np.empty((len(_MOMENTS), len(rows)), np.int64)
    for name, moment in _MOMENTS.items():
        moments[moment] = rows[name]
    counts = np.concatenate([one.read_counts() for one in packed])
    bins = np.frombuffer(b"".join([one.bins for one in packed]), _BIN)
    return SparseHistograms(rows["length"].astype(np.int64), bins.astype(np.int64), counts.astype(np.int64), moments)


def _histograms_to_wire(packed: PackedHistograms | None) -> tuple[Any, ...] | None:
    return None if packed is None else (packed.rows, packed.bins, packed.width, packed.counts)


# A worker names the same series second after second, so both directions remember the last few sets of labels.
@functools.lru_cache(maxsize=64)
def _packed_keys(series: tuple[SeriesKey, ...]) -> bytes:
    packed: bytes = msgpack.packb(series)
    return packed


@functools.lru_cache(maxsize=256)
def _unpacked_keys(packed: bytes) -> tuple[SeriesKey, ...]:
    return tuple(SeriesKey(*map(str, key)) for key in msgpack.unpackb(packed))
