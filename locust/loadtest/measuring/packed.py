"""Measurements in the form in which they are sent and stored: columns of numbers as little-endian arrays.

Only series that counted something are sent. Unpacking with numpy costs more per call than per byte, so the master only
checks what arrives, and unpacks one second of many workers at once: see `merge`.

Tested in tests/unit/measuring/test_wire.py.
"""

from __future__ import annotations

import functools
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgpack  # type: ignore[import-untyped]
import numpy as np

from loadtest import untrusted
from loadtest.measuring.error_classes import ERROR_CLASSES
from loadtest.measuring.evidence import LONGEST, Evidence
from loadtest.measuring.histogram import BINS
from loadtest.measuring.histogram_table import ABOVE, BELOW, MAX, MIN, REFUSED, SUM, HistogramTable
from loadtest.measuring.labels import LOAD, PHASES, SETUP, SeriesKey
from loadtest.measuring.measurements import Accumulator, ErrorCount, ExceptionCount, Measurements, TaskCount
from loadtest.measuring.tallies import TALLIES, TallyCount
from loadtest.measuring.traces import Trace, is_trace_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from loadtest.measuring.labels import Labels

    Ints = npt.NDArray[np.int64]


_HIGHEST_SUMMARY: Final = 2**62  # so that sums of many values stay within 64 bits
_FARTHEST_S: Final = 1e10

_COUNTS: Final = np.dtype([("requests", "<u4"), ("failures", "<u4"), ("bytes", "<u8"), ("sent", "<u8")])
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
_SUMMARIES: Final = {"sum": SUM, "below": BELOW, "above": ABOVE, "refused": REFUSED, "min": MIN, "max": MAX}
_UNSIGNED: Final[dict[int, np.dtype[Any]]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<u8"),
}
_AT_ONCE: Final = 32
"""The number of workers that are unpacked together. A thousand filled bins of each take a quarter of a megabyte, which
fits into the CPU cache."""
_SAFE_WIDTH: Final = 4  # counts of at most this many bytes cannot be too high
_BIN: Final = np.dtype("<u2")
_DROPPED: Final = np.dtype("<u8")


class PackedHistograms(NamedTuple):
    """Histograms as bytes: a `_ROW` for each row, then the filled bins of all rows, then their counts."""

    rows: bytes
    bins: bytes
    width: int
    """Bytes per count: 1, 2, 4 or 8."""
    counts: bytes

    @classmethod
    def of(cls, histograms: HistogramTable) -> PackedHistograms:
        """Pack histograms. Counts take the fewest bytes that hold the largest one."""
        rows = np.zeros(len(histograms.lengths), _ROW)
        rows["length"] = histograms.lengths
        for name, summary in _SUMMARIES.items():
            rows[name] = histograms.summaries[summary]
        highest = int(histograms.counts.max()) if len(histograms.counts) else 0
        width = next(width for width in _UNSIGNED if highest < 1 << 8 * width)
        counts = histograms.counts.astype(_UNSIGNED[width])
        return cls(rows.tobytes(), histograms.bins.astype(_BIN).tobytes(), width, counts.tobytes())

    def check_sizes(self, rows: int) -> None:
        """Check that the columns have the right sizes for this number of rows.

        Raises:
            ValueError, TypeError: when they do not.
        """
        if not type(self.rows) is type(self.bins) is type(self.counts) is bytes:
            raise TypeError("the columns of histograms must be bytes")
        if self.width not in _UNSIGNED:
            raise ValueError(f"a count has {self.width} bytes; allowed are 1, 2, 4 and 8")
        sizes = (rows * _ROW.itemsize, self.cells * _BIN.itemsize, self.cells * self.width)
        if (len(self.rows), len(self.bins), len(self.counts)) != sizes:
            raise ValueError("the columns of its histograms differ in length")

    @property
    def cells(self) -> int:
        """The number of filled bins."""
        return len(self.bins) // _BIN.itemsize

    def read_counts(self) -> npt.NDArray[Any]:
        """The counts of all filled bins."""
        counts: npt.NDArray[Any] = np.frombuffer(self.counts, _UNSIGNED[self.width])
        return counts


class PackedMeasurements(NamedTuple):
    """`Measurements` in the form in which they are sent."""

    keys: bytes
    counts: bytes
    response_time: PackedHistograms
    service_time: PackedHistograms | None
    """None when it equals the response time."""
    errors: tuple[ErrorCount, ...]
    scenarios: tuple[str, ...]
    schedule_lag: PackedHistograms | None
    """None when no request had an intended start of its own."""
    dropped: bytes
    tasks: tuple[TaskCount, ...]
    exceptions: tuple[ExceptionCount, ...]
    failure_time: PackedHistograms | None
    """None when no request failed."""
    tallies: tuple[TallyCount, ...] = ()
    traces: tuple[tuple[int, Trace], ...] = ()

    @classmethod
    def of(cls, measured: Measurements) -> PackedMeasurements:
        """Pack measurements."""
        counts = np.zeros(len(measured.series), _COUNTS)
        counts["requests"], counts["failures"] = measured.requests, measured.failures
        counts["bytes"], counts["sent"] = measured.response_bytes, measured.request_bytes
        return cls(
            _packed_keys(measured.series),
            counts.tobytes(),
            PackedHistograms.of(measured.response_time),
            None if measured.service_time is None else PackedHistograms.of(measured.service_time),
            measured.errors,
            measured.scenarios,
            None if measured.schedule_lag.is_empty else PackedHistograms.of(measured.schedule_lag),
            measured.dropped.astype(_DROPPED).tobytes(),
            measured.tasks,
            measured.exceptions,
            None if measured.failure_time is None else PackedHistograms.of(measured.failure_time),
            measured.tallies,
            measured.traces,
        )

    @classmethod
    def from_wire(cls, wire: Any) -> PackedMeasurements:
        """Read a value unpacked by MessagePack. The numbers in its columns are not checked yet: see `check`.

        Raises:
            ValueError, TypeError, LookupError, AttributeError: when its parts are inconsistent.
        """
        keys, counts, response, service, errors, scenarios, lag, dropped, tasks, exceptions, failed, *rest = wire
        tallies, traces = rest
        packed = cls(
            keys,
            counts,
            PackedHistograms(*response),
            None if service is None else PackedHistograms(*service),
            tuple(_error(*error) for error in errors) if errors else (),
            tuple(map(str, scenarios)),
            None if lag is None else PackedHistograms(*lag),
            dropped,
            tuple(TaskCount(*task) for task in tasks),
            tuple(ExceptionCount(*exception) for exception in exceptions),
            None if failed is None else PackedHistograms(*failed),
            tuple(TallyCount(*tally) for tally in tallies),
            tuple((series, Trace(*trace)) for series, trace in traces),
        )
        rows = len(packed.series)
        packed._check_sizes(rows)
        packed._check_errors(rows)
        packed._check_code()
        packed._check_tallies(rows)
        packed._check_traces(rows)
        return packed

    def _check_sizes(self, rows: int) -> None:
        if not type(self.keys) is type(self.counts) is type(self.dropped) is bytes:
            raise TypeError("labels, counts and dropped iterations must be bytes")
        if len(self.counts) != rows * _COUNTS.itemsize or len(self.dropped) != len(self.scenarios) * _DROPPED.itemsize:
            raise ValueError("it does not hold one count for each label")
        self.response_time.check_sizes(rows)
        for times in (self.service_time, self.failure_time):
            if times is not None:
                times.check_sizes(rows)
        if self.schedule_lag is not None:
            self.schedule_lag.check_sizes(len(self.scenarios))

    def _check_errors(self, rows: int) -> None:
        for series, error_class, message, occurrences, evidence in self.errors:
            if not (type(series) is int and isinstance(error_class, str) and isinstance(message, str)):
                raise TypeError("an error must consist of a series, a class, a message and a number")
            if not 0 <= series < rows:
                raise ValueError(f"an error belongs to series {series} of {rows}")
            _check_number("an error occurred", occurrences)
            if any(not isinstance(text, str) or len(text) > LONGEST for text in evidence or ()):
                raise ValueError(f"evidence must be two texts of at most {LONGEST} characters")

    def _check_tallies(self, rows: int) -> None:
        for series, kind, detail, times, seconds in self.tallies:
            if not (type(series) is int and 0 <= series < rows and kind in TALLIES and isinstance(detail, str)):
                raise ValueError("a tally must consist of a series, a known kind, a detail, a number and seconds")
            _check_number("something happened", times)
            if type(seconds) is not float or not 0 <= seconds < _FARTHEST_S:
                raise ValueError(f"a tally took {seconds} s; allowed are floats from 0 to {_FARTHEST_S:.0f}")

    def _check_traces(self, rows: int) -> None:
        for series, trace in self.traces:
            if not (type(series) is int and 0 <= series < rows and is_trace_id(trace.trace_id)):
                raise ValueError("a trace must consist of a series, 32 hexadecimal digits, seconds, and an error class")
            if any(
                type(number) is not float or not 0 <= number < _FARTHEST_S for number in (trace.response_s, trace.seen)
            ):
                raise ValueError(f"the times of a trace must be floats from 0 to {_FARTHEST_S:.0f}")
            if trace.error_class and trace.error_class not in ERROR_CLASSES:
                raise ValueError("a trace's error class is not known")

    def _check_code(self) -> None:
        """Check the counts of the scenario's code."""
        for scenario, task, begun, idle in self.tasks:
            if not (isinstance(scenario, str) and isinstance(task, str)):
                raise TypeError("a task must consist of a scenario, a name and two numbers")
            _check_number("a task began", begun)
            _check_number("a task sent nothing", idle)
        for *texts, ends_user, occurrences in self.exceptions:
            if not (all(isinstance(text, str) for text in texts) and isinstance(ends_user, bool)):
                raise TypeError("an exception must consist of a scenario, a class, a message, a place, and two marks")
            _check_number("an exception occurred", occurrences)

    @property
    def series(self) -> tuple[SeriesKey, ...]:
        """The labels. Equal labels give the identical object, so that their rows can be cached."""
        return _unpacked_keys(self.keys)

    def __bool__(self) -> bool:
        """Whether anything was counted."""
        return bool(self.counts or self.tasks or self.exceptions) or any(self.dropped)

    def unpacked(self) -> Measurements:
        """The measurements."""
        return unpack([self])


def _error(series: int, error_class: str, message: str, occurrences: int, evidence: Any = None) -> ErrorCount:
    return ErrorCount(series, error_class, message, occurrences, None if evidence is None else Evidence(*evidence))


def _check_number(what: str, times: object) -> None:
    if type(times) is not int or not 0 <= times <= _HIGHEST_SUMMARY:
        raise ValueError(f"{what} {times} times; allowed are integers from 0 to 2**62")


class Summed(NamedTuple):
    """The sums of one worker's measurements."""

    requests: int
    response_s: float
    """The sum of the response times, in seconds."""


def summed(packed: Sequence[PackedMeasurements]) -> list[Summed]:
    """The sums of each worker's measurements. Many cost little more than one."""
    filled = [one for one in packed if one.counts]
    if not filled:
        return [Summed(0, 0.0)] * len(packed)
    begins = np.cumsum([0, *(len(one.counts) // _COUNTS.itemsize for one in filled[:-1])])
    counts = np.frombuffer(b"".join([one.counts for one in filled]), _COUNTS)
    rows = np.frombuffer(b"".join([one.response_time.rows for one in filled]), _ROW)
    of_requests = np.concatenate([_are_requests(one.keys) for one in filled])  # other phases are not requests
    requests = np.add.reduceat(counts["requests"] * of_requests, begins, dtype=np.int64).tolist()
    response_s = (np.add.reduceat(rows["sum"] * of_requests, begins, dtype=np.float64) / 1e9).tolist()
    sums = map(Summed, requests, response_s)
    return [next(sums) if one.counts else Summed(0, 0.0) for one in packed]


def merge(packed: Sequence[PackedMeasurements], labels: Labels) -> Measurements:
    """All workers' measurements of one second, each series once, in the order of the labels."""
    accumulator = Accumulator(labels)
    for first in range(0, len(packed), _AT_ONCE):
        some = packed[first : first + _AT_ONCE]
        accumulator.add(unpack(some), np.concatenate([labels.rows(one.series) for one in some]))
    return accumulator.take()


def unpack(packed: Sequence[PackedMeasurements]) -> Measurements:
    """Concatenate several measurements. Their series follow each other, so the same labels may occur several times."""
    service = None
    if any(one.service_time is not None for one in packed):
        service = _unpacked_histograms([one.service_time or one.response_time for one in packed])
    series, errors = _joined_labels(packed)
    scenarios = [len(one.scenarios) for one in packed]
    counts = np.frombuffer(b"".join([one.counts for one in packed]), _COUNTS)
    return Measurements(
        series=series,
        requests=counts["requests"].astype(np.int64),
        failures=counts["failures"].astype(np.int64),
        response_bytes=counts["bytes"].astype(np.int64),
        request_bytes=counts["sent"].astype(np.int64),
        response_time=_unpacked_histograms([one.response_time for one in packed]),
        service_time=service,
        errors=errors,
        scenarios=tuple(scenario for one in packed for scenario in one.scenarios),
        schedule_lag=_unpacked_rows([one.schedule_lag for one in packed], scenarios)
        or HistogramTable.empty(sum(scenarios)),
        dropped=np.frombuffer(b"".join([one.dropped for one in packed]), _DROPPED).astype(np.int64),
        tasks=tuple(task for one in packed for task in one.tasks),
        exceptions=tuple(exception for one in packed for exception in one.exceptions),
        tallies=_joined_tallies(packed),
        traces=_joined_traces(packed),
        failure_time=_unpacked_rows([one.failure_time for one in packed], [len(one.series) for one in packed]),
    )


def _joined_labels(packed: Sequence[PackedMeasurements]) -> tuple[tuple[SeriesKey, ...], tuple[ErrorCount, ...]]:
    if len(packed) == 1:
        return packed[0].series, packed[0].errors
    series: list[SeriesKey] = []
    errors: list[ErrorCount] = []
    for one in packed:
        errors.extend(error._replace(series=error.series + len(series)) for error in one.errors)
        series.extend(one.series)
    return tuple(series), tuple(errors)


def _joined_tallies(packed: Sequence[PackedMeasurements]) -> tuple[TallyCount, ...]:
    before = accumulate((len(one.series) for one in packed), initial=0)
    return tuple(
        tally._replace(series=tally.series + first)
        for one, first in zip(packed, before, strict=False)
        for tally in one.tallies
    )


def _joined_traces(packed: Sequence[PackedMeasurements]) -> tuple[tuple[int, Trace], ...]:
    before = accumulate((len(one.series) for one in packed), initial=0)
    return tuple(
        (series + first, trace) for one, first in zip(packed, before, strict=False) for series, trace in one.traces
    )


def check(packed: Sequence[PackedMeasurements]) -> None:
    """Check that all numbers are in the range that can be summed. Checking many costs little more than checking one.

    Raises:
        ValueError: when one is out of range; it does not say whose.
    """
    counted = np.frombuffer(b"".join([one.counts for one in packed]), _COUNTS)
    if bool((counted["failures"] > counted["requests"]).any()):
        raise ValueError("more requests failed than were made")
    dropped = np.frombuffer(b"".join([one.dropped for one in packed]), _DROPPED)
    if max(int(column.max(initial=0)) for column in (counted["bytes"], counted["sent"], dropped)) > _HIGHEST_SUMMARY:
        raise ValueError("a number is above 2**62")
    _check_histograms([one.response_time for one in packed])
    for late in zip(*((one.service_time, one.schedule_lag, one.failure_time) for one in packed), strict=True):
        _check_histograms([histograms for histograms in late if histograms is not None])


def _check_histograms(packed: Sequence[PackedHistograms]) -> None:
    if not packed:
        return
    rows = np.frombuffer(b"".join([one.rows for one in packed]), _ROW)
    ends = np.cumsum([len(one.rows) // _ROW.itemsize for one in packed])
    cells = np.concatenate(([0], np.cumsum(rows["length"], dtype=np.int64)))[ends]
    if (cells != np.cumsum([one.cells for one in packed])).any():
        raise ValueError("the rows of its histograms do not add up to the bins that it holds")
    bins = np.frombuffer(b"".join([one.bins for one in packed]), _BIN)
    if int(bins.max(initial=0)) >= BINS:
        raise ValueError(f"a bin is beyond the last of the {BINS} bins")
    highest = [int(rows[name].max(initial=0)) for name in ("sum", "min", "max")]
    widest = [int(one.read_counts().max(initial=0)) for one in packed if one.width > _SAFE_WIDTH]
    if max(*highest, *widest) > _HIGHEST_SUMMARY:
        raise ValueError("a number is above 2**62")


def _unpacked_rows(packed: Sequence[PackedHistograms | None], rows: Sequence[int]) -> HistogramTable | None:
    """The histograms as one table with the right number of rows for those that have none; None if all have none."""
    if all(one is None for one in packed):
        return None
    return _unpacked_histograms([one or _packed_empty(count) for one, count in zip(packed, rows, strict=True)])


@functools.lru_cache(maxsize=64)
def _packed_empty(rows: int) -> PackedHistograms:
    return PackedHistograms.of(HistogramTable.empty(rows))


def _unpacked_histograms(packed: Sequence[PackedHistograms]) -> HistogramTable:
    rows = np.frombuffer(b"".join([one.rows for one in packed]), _ROW)
    summaries = np.empty((len(_SUMMARIES), len(rows)), np.int64)
    for name, summary in _SUMMARIES.items():
        summaries[summary] = rows[name]
    counts = np.concatenate([one.read_counts() for one in packed])
    bins = np.frombuffer(b"".join([one.bins for one in packed]), _BIN)
    return HistogramTable(rows["length"].astype(np.int64), bins, counts, summaries)


# A worker sends the same series every second, so the last few sets of labels are cached in both directions.
@functools.lru_cache(maxsize=64)
def _packed_keys(series: tuple[SeriesKey, ...]) -> bytes:
    packed: bytes = msgpack.packb([key[:3] if key.phase == LOAD else key for key in series])
    return packed


@functools.lru_cache(maxsize=256)
def _unpacked_keys(packed: bytes) -> tuple[SeriesKey, ...]:
    series = tuple(SeriesKey(*map(str, key)) for key in read_msgpack(packed))
    if wrong := {key.phase for key in series}.difference(PHASES):
        raise ValueError(f"a series is of the phases {sorted(wrong)}; allowed are {', '.join(PHASES)}")
    return series


@functools.lru_cache(maxsize=256)
def _are_requests(packed: bytes) -> npt.NDArray[np.bool_]:
    return np.array([key.phase in {LOAD, SETUP} for key in _unpacked_keys(packed)], np.bool_)


def read_msgpack(packed: bytes) -> Any:
    """Unpack bytes of a worker or a file. Keys and errors are few; everything numerous is in columns of bytes."""
    untrusted.check_msgpack(packed, untrusted.SMALL_BYTES)
    return msgpack.unpackb(packed)
