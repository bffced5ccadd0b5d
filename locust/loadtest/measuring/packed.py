"""Measurements as they travel, and how many workers' are unpacked at once.

Unpacking with numpy costs by the call more than by the byte. So what comes from the workers is only checked when it
arrives, and a whole second of it is unpacked together: `together`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, NamedTuple

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


class PackedHistograms(NamedTuple):
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

    def check_sizes(self, rows: int) -> None:
        """Whether there is as much of everything as there must be.

        Raises:
            ValueError, TypeError: when not.
        """
        if not type(self.rows) is type(self.bins) is type(self.counts) is bytes:
            raise TypeError("a part of it is no bytes")
        if self.width not in _UNSIGNED:
            raise ValueError(f"its counts have {self.width} bytes each")
        sizes = (rows * _ROW.itemsize, self.cells * _BIN.itemsize, self.cells * self.width)
        if (len(self.rows), len(self.bins), len(self.counts)) != sizes:
            raise ValueError("its histograms contradict themselves")

    @property
    def cells(self) -> int:
        """How many bins are filled."""
        return len(self.bins) // _BIN.itemsize

    def read_counts(self) -> npt.NDArray[Any]:
        """The counts of all rows."""
        counts: npt.NDArray[Any] = np.frombuffer(self.counts, _UNSIGNED[self.width])
        return counts


class PackedMeasurements(NamedTuple):
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

    @classmethod
    def from_wire(cls, wire: Any) -> PackedMeasurements:
        """Read back what MessagePack made of it. Its numbers are yet to be checked: see `check`.

        Raises:
            ValueError, TypeError, LookupError, AttributeError: when its parts do not fit together.
        """
        keys, counts, response, service, errors, scenarios, lag, dropped = wire
        packed = cls(
            keys,
            counts,
            PackedHistograms(*response),
            None if service is None else PackedHistograms(*service),
            tuple(ErrorCount(*error) for error in errors) if errors else (),
            tuple(map(str, scenarios)),
            None if lag is None else PackedHistograms(*lag),
            dropped,
        )
        packed._check_sizes()
        return packed

    def _check_sizes(self) -> None:
        if not type(self.keys) is type(self.counts) is type(self.dropped) is bytes:
            raise TypeError("a part of it is no bytes")
        rows = len(self.series)
        if len(self.counts) != rows * _COUNTS.itemsize or len(self.dropped) != len(self.scenarios) * _DROPPED.itemsize:
            raise ValueError("it holds more or fewer numbers than labels")
        self.response_time.check_sizes(rows)
        if self.service_time is not None:
            self.service_time.check_sizes(rows)
        if self.schedule_lag is not None:
            self.schedule_lag.check_sizes(len(self.scenarios))
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


def check(packed: Sequence[PackedMeasurements]) -> None:
    """Whether the numbers of all of them can be counted on. Many cost little more than one.

    Raises:
        ValueError: when not, without saying whose.
    """
    counted = np.frombuffer(b"".join([one.counts for one in packed]), _COUNTS)
    if bool((counted["failures"] > counted["requests"]).any()):
        raise ValueError("more requests failed than were made")
    dropped = np.frombuffer(b"".join([one.dropped for one in packed]), _DROPPED)
    if max(int(counted["bytes"].max(initial=0)), int(dropped.max(initial=0))) > _HIGHEST:
        raise ValueError("a number is too high to be counted on")
    _check_histograms([one.response_time for one in packed])
    for late in ([one.service_time for one in packed], [one.schedule_lag for one in packed]):
        _check_histograms([histograms for histograms in late if histograms is not None])


def _check_histograms(packed: Sequence[PackedHistograms]) -> None:
    if not packed:
        return
    rows = np.frombuffer(b"".join([one.rows for one in packed]), _ROW)
    ends = np.cumsum([len(one.rows) // _ROW.itemsize for one in packed])
    cells = np.concatenate(([0], np.cumsum(rows["length"], dtype=np.int64)))[ends]
    if (cells != np.cumsum([one.cells for one in packed])).any():
        raise ValueError("its histograms contradict themselves")
    bins = np.frombuffer(b"".join([one.bins for one in packed]), _BIN)
    if int(bins.max(initial=0)) >= BINS:
        raise ValueError(f"a bin is beyond the {BINS} that there are")
    highest = [int(rows[name].max(initial=0)) for name in ("sum", "min", "max")]
    widest = [int(one.read_counts().max(initial=0)) for one in packed if one.width > _SAFE_WIDTH]
    if max(*highest, *widest) > _HIGHEST:
        raise ValueError("a number is too high to be counted on")


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


# A worker names the same series second after second, so both directions remember the last few sets of labels.
@functools.lru_cache(maxsize=64)
def _packed_keys(series: tuple[SeriesKey, ...]) -> bytes:
    packed: bytes = msgpack.packb(series)
    return packed


@functools.lru_cache(maxsize=256)
def _unpacked_keys(packed: bytes) -> tuple[SeriesKey, ...]:
    return tuple(SeriesKey(*map(str, key)) for key in msgpack.unpackb(packed))
