"""Histogram: a log-linear histogram of durations from 1 µs to 1 h, with a proven relative error of less than 0.79 %.

**Layout.** Durations are whole nanoseconds. The range is divided into octaves, starting at 1 µs, and each octave into
``BINS_PER_OCTAVE`` = 64 bins of equal width. Bin *i* of octave *e* is the half-open interval (L, U], where

    L = 1000·2^e·(1 + i/64) ns,   U = L + w,   w = 1000·2^e/64 ns.

**The error.** A quantile returns the middle of its bin, M = L + w/2. For every value v in the bin, L < v ≤ L + w, hence
|v - M| ≤ w/2, and v > L ≥ 1000·2^e. So

    |v - M| / v < (w/2) / (1000·2^e) = 1/128 < 0.79 %.

The result is then clamped to [minimum, maximum], which never moves it away from v. Both are exact, so the first and the
last rank are exact too.

**Exactness.** Count, sum, minimum and maximum are integers (nanoseconds), so they are exact. Merging them is
associative and commutative, as integer addition, minimum and maximum are. Bins include their upper edge, and edges from
8 µs upwards are whole nanoseconds, so a cumulative count at an edge is exactly the number of values ≤ that edge: the
meaning of ``le`` in Prometheus.

**Out of range.** A duration below 1 µs counts in the lowest bin and in ``below``; its exact value is kept in the sum
and the minimum. A duration above 1 h is clamped to 1 h and counted in ``above``. A negative duration or NaN is refused:
it is in no bin, only in ``refused``.

**Memory** is constant: ``BINS`` 64-bit counts, 16 KiB.
"""

from __future__ import annotations

import functools
import math
import struct
import zlib
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from loadtest.exceptions import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

LOWEST_NS: Final = 1_000
"""1 µs. Shorter durations count in the lowest bin."""
HIGHEST_NS: Final = 3_600_000_000_000
"""1 h. Longer durations are clamped to it."""
BINS_PER_OCTAVE: Final = 64
RELATIVE_ERROR: Final = 1 / (2 * BINS_PER_OCTAVE)
"""The bound of the relative error, 0.79 %."""

_SUB_BITS: Final = 6  # 2**6 = BINS_PER_OCTAVE
_MANTISSA_BITS: Final = 52  # of an IEEE 754 double
_EXPONENT_BIAS: Final = 1023
_NS_PER_S: Final = 1e9
_CHANCE_OF_NO_SAMPLE_BEYOND: Final = 0.05
_TOO_LONG_S: Final = 3601.0  # replaces every duration that will be clamped, so that no product overflows


def _raw_bins(nanoseconds: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Like `bins_of`, except that durations out of range get bin numbers out of range."""
    scaled = nanoseconds - 1.0
    scaled /= LOWEST_NS
    bits = scaled.view(np.int64)
    bits >>= _MANTISSA_BITS - _SUB_BITS
    bins = bits.astype(np.int32)
    bins -= _EXPONENT_BIAS << _SUB_BITS
    return bins


BINS: Final = int(_raw_bins(np.array([HIGHEST_NS]))[0]) + 1
"""The number of bins: 2028."""


def bins_of(nanoseconds: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """The bin number of each duration.

    A double's exponent and its six highest mantissa bits *are* a log-linear index, so no logarithm is needed: the bits
    of (ns - 1)/1000 are shifted. The -1 makes a bin include its upper edge. Durations are whole numbers of at most
    3.6e12, so the rounding of the division (relative 1.1e-16) cannot move one across an edge.

    Args:
        nanoseconds: whole numbers; those out of range get the lowest or the highest bin.
    """
    bins = _raw_bins(nanoseconds)
    return np.clip(bins, 0, BINS - 1, out=bins)


def _edges_ns() -> npt.NDArray[np.float64]:
    index = np.arange(BINS + 1)
    octave = np.ldexp(float(LOWEST_NS), index >> _SUB_BITS)
    edges: npt.NDArray[np.float64] = octave * (1 + (index & (BINS_PER_OCTAVE - 1)) / BINS_PER_OCTAVE)
    return edges


EDGES_NS: Final = _edges_ns()
"""The ``BINS`` + 1 edges in nanoseconds; bin *i* is (EDGES_NS[i], EDGES_NS[i + 1]]."""
MIDDLES_NS: Final = (EDGES_NS[:-1] + EDGES_NS[1:]) / 2
"""The value of a quantile that falls into each bin, before it is clamped to [minimum, maximum]."""


def snapped_bounds_s(count: int = 36, lowest_s: float = 100e-6, highest_s: float = 60.0) -> tuple[float, ...]:
    """Log-spaced bounds moved to the nearest bin edges, so that cumulative counts are exact.

    Args:
        count: the number of bounds, 2 to 200.
        lowest_s: the first bound in seconds, at least 8 µs (lower edges are not whole nanoseconds).
        highest_s: the last bound in seconds, at most 1 h.

    Returns:
        Ascending bounds in seconds, each within 0.79 % of the log-spaced one.

    Raises:
        ValueError: when an argument is out of its range.
    """
    if not (2 <= count <= 200 and 8e-6 <= lowest_s < highest_s <= HIGHEST_NS / _NS_PER_S):  # noqa: PLR2004
        raise ValueError(
            f"{count} bounds from {lowest_s} s to {highest_s} s were asked for: allowed are 2 to 200 bounds from "
            "8e-6 s to 3600 s; choose them within"
        )
    wanted_ns = np.geomspace(lowest_s * _NS_PER_S, highest_s * _NS_PER_S, count)
    above = np.clip(np.searchsorted(EDGES_NS, wanted_ns), 1, BINS)
    below_is_nearer = wanted_ns - EDGES_NS[above - 1] < EDGES_NS[above] - wanted_ns
    return tuple(float(ns) / _NS_PER_S for ns in EDGES_NS[np.where(below_is_nearer, above - 1, above)])


def to_nanoseconds(
    durations_s: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_] | None]:
    """Convert seconds to whole nanoseconds, which doubles hold exactly up to 104 days.

    Returns:
        The nanoseconds, in which all durations above `HIGHEST_NS` may be replaced by one value above it, and a mask of
        the durations that must not be counted (negative or NaN), or None if there are none. Masked entries are 0.
    """
    nanoseconds = np.minimum(durations_s, _TOO_LONG_S)
    refused = None
    if not nanoseconds.min(initial=0.0) >= 0:  # also true for NaN
        refused = ~(nanoseconds >= 0)
        nanoseconds[refused] = 0.0
    nanoseconds *= _NS_PER_S
    np.rint(nanoseconds, out=nanoseconds)
    return nanoseconds, refused


class Histogram:
    """A histogram of durations, given and returned in seconds. See the module's docstring for its exactness."""

    __slots__ = ("_max_ns", "_min_ns", "above", "below", "counts", "refused", "sum_ns")

    def __init__(self, counts: Ints | None = None) -> None:
        """Create an empty histogram; ``counts``, if given, is the memory to use and must be ``BINS`` zeros."""
        self.counts: Ints = np.zeros(BINS, np.int64) if counts is None else counts
        self.sum_ns = 0
        self._min_ns = HIGHEST_NS
        self._max_ns = 0
        self.below = 0
        """The number of durations shorter than 1 µs; they are in the lowest bin."""
        self.above = 0
        """The number of durations longer than 1 h; they were clamped."""
        self.refused = 0
        """The number of negative durations and NaN; they are in no bin and not in the count."""

    @classmethod
    def of(cls, durations_s: Iterable[float]) -> Self:
        """The histogram of the given durations, in seconds."""
        histogram = cls()
        histogram.add_many(np.fromiter(durations_s, np.float64))
        return histogram

    @classmethod
    def from_parts(  # noqa: PLR0917 - a histogram has that many parts
        cls, counts: Ints, sum_ns: int, min_ns: int, max_ns: int, below: int, above: int, refused: int
    ) -> Self:
        """The histogram of counts made elsewhere in the same layout. It takes ownership of ``counts``."""
        histogram = cls(counts)
        histogram.sum_ns, histogram._min_ns, histogram._max_ns = sum_ns, min_ns, max_ns
        histogram.below, histogram.above, histogram.refused = below, above, refused
        return histogram

    @property
    def count(self) -> int:
        """The exact number of durations."""
        return int(self.counts.sum())

    @property
    def sum_s(self) -> float:
        """The sum of the durations in seconds, exact to the nanosecond."""
        return self.sum_ns / _NS_PER_S

    @property
    def mean_s(self) -> float:
        """The mean of the durations in seconds; NaN for an empty histogram."""
        count = self.count
        return self.sum_ns / count / _NS_PER_S if count else math.nan

    @property
    def min_s(self) -> float:
        """The shortest duration in seconds, exact; NaN for an empty histogram."""
        return self._min_ns / _NS_PER_S if self.count else math.nan

    @property
    def max_s(self) -> float:
        """The longest duration in seconds, exact; NaN for an empty histogram."""
        return self._max_ns / _NS_PER_S if self.count else math.nan

    def add(self, duration_s: float) -> None:
        """Count one duration in seconds."""
        self.add_many(np.array([duration_s], np.float64))

    def add_many(self, durations_s: npt.NDArray[np.float64]) -> None:
        """Count durations in seconds. See the module's docstring for durations out of range."""
        nanoseconds, refused = to_nanoseconds(durations_s)
        if refused is not None:
            self.refused += int(refused.sum())
            nanoseconds = nanoseconds[~refused]
        if not len(nanoseconds):
            return
        self.above += int((nanoseconds > HIGHEST_NS).sum())
        np.minimum(nanoseconds, HIGHEST_NS, out=nanoseconds)
        self.below += int((nanoseconds < LOWEST_NS).sum())
        self.counts += np.bincount(bins_of(nanoseconds), minlength=BINS)
        self.sum_ns += int(nanoseconds.astype(np.int64).sum())
        self._min_ns = min(self._min_ns, int(nanoseconds.min()))
        self._max_ns = max(self._max_ns, int(nanoseconds.max()))

    def merge(self, other: Histogram) -> None:
        """Add the counts of another histogram, which is not changed."""
        self.counts += other.counts
        self.sum_ns += other.sum_ns
        self._min_ns = min(self._min_ns, other._min_ns)
        self._max_ns = max(self._max_ns, other._max_ns)
        self.below += other.below
        self.above += other.above
        self.refused += other.refused

    def without(self, part: Histogram) -> Histogram:
        """The durations that are not in ``part``, a histogram of some of these. Its minimum or maximum is a bin edge if
        that of the whole belongs to the part."""
        counts = self.counts - part.counts
        filled = np.flatnonzero(counts)
        if not len(filled):
            return Histogram()
        shortest = int(EDGES_NS[filled[0]]) if filled[0] else 0  # the lowest bin also holds durations below the range
        longest = int(EDGES_NS[filled[-1] + 1])
        return Histogram.from_parts(
            counts,
            self.sum_ns - part.sum_ns,
            self._min_ns if self._min_ns < part._min_ns else max(self._min_ns, shortest),
            self._max_ns if self._max_ns > part._max_ns else min(self._max_ns, longest),
            self.below - part.below,
            self.above - part.above,
            self.refused - part.refused,
        )

    def quantile(self, q: float) -> float:
        """The duration, in seconds, of nearest rank ⌈q·count⌉ (rank 1 for q = 0).

        Args:
            q: 0 to 1, taken as the decimal that it prints as, so that 0.999 of 1000 is rank 999.

        Returns:
            A value within 0.79 % of the true one (for durations in range), exact for the first and the last rank; NaN
            for an empty histogram.

        Raises:
            ValueError: when q is not within 0 to 1.
        """
        return self.quantiles((q,))[0]

    def quantiles(self, qs: Sequence[float]) -> list[float]:
        """Like `quantile` for several q, with one pass over the bins."""
        cumulated = np.cumsum(self.counts)
        count = int(cumulated[-1])
        return [self._at_rank(_nearest_rank(q, count), cumulated) if count else math.nan for q in qs]

    def _at_rank(self, rank: int, cumulated: Ints) -> float:
        if rank == 1:
            return self._min_ns / _NS_PER_S
        if rank == cumulated[-1]:
            return self._max_ns / _NS_PER_S
        middle_ns = float(MIDDLES_NS[np.searchsorted(cumulated, rank)])
        return min(max(middle_ns, self._min_ns), self._max_ns) / _NS_PER_S

    def counts_le(self, bounds_s: Sequence[float]) -> list[int]:
        """The number of durations ≤ each bound, in seconds.

        Exact if the bound is a bin edge, as those of `snapped_bounds_s` are; otherwise the count at the next lower
        edge.
        """
        upto = np.searchsorted(EDGES_NS, np.asarray(bounds_s) * _NS_PER_S * (1 + 1e-12), side="right") - 1
        cumulated = np.concatenate(([0], np.cumsum(self.counts)))
        return [int(cumulated[min(max(edge, 0), BINS)]) for edge in upto]

    def __eq__(self, other: object) -> bool:
        """Whether all counts, sums, minima and maxima are equal."""
        return isinstance(other, Histogram) and self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        """The count and the usual quantiles."""
        p50, p99 = self.quantiles((0.5, 0.99))
        return f"<Histogram count={self.count} p50={p50:.6f}s p99={p99:.6f}s max={self.max_s:.6f}s>"

    def to_bytes(self) -> bytes:
        """The compact binary form, version 1: header, (gap, count) of each filled bin as varints, then CRC-32."""
        filled = np.flatnonzero(self.counts)
        header = _HEADER.pack(
            _MAGIC, _VERSION, self.sum_ns, self._min_ns, self._max_ns, self.below, self.above, self.refused, len(filled)
        )
        gaps = np.diff(filled, prepend=0)
        pairs = np.column_stack((gaps, self.counts[filled])).ravel()
        body = header + b"".join(map(_varint, pairs.tolist()))
        return body + _CRC.pack(zlib.crc32(body))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the binary form.

        Raises:
            RecordError: when the data is damaged, or has a newer version.
        """
        if len(data) < _HEADER.size + _CRC.size or data[:2] != _MAGIC:
            raise RecordError(f"these {len(data)} bytes are not a histogram: they must start with {_MAGIC!r}; {_RERUN}")
        version = data[2]
        if version > _VERSION:
            raise RecordError(
                f"the histogram has version {version}, this program reads up to {_VERSION}; update the program"
            )
        if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack(data[-_CRC.size :])[0]:
            raise RecordError(f"a histogram of {len(data)} bytes is damaged: its checksum does not match; {_RERUN}")
        _, _, sum_ns, min_ns, max_ns, below, above, refused, filled = _HEADER.unpack_from(data)
        pairs = _varints(data[_HEADER.size : -_CRC.size])
        if len(pairs) != 2 * filled:
            raise RecordError(f"a histogram states {filled} bins and holds {len(pairs) / 2}; {_RERUN}")
        counts = np.zeros(BINS, np.int64)
        counts[np.cumsum(pairs[::2], dtype=np.int64)] = pairs[1::2]
        return cls.from_parts(counts, sum_ns, min_ns, max_ns, below, above, refused)


_MAGIC: Final = b"LH"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<2sBQQQQQQH")
_CRC: Final = struct.Struct("<I")
_RERUN: Final = "read the original file, or repeat the run"


def samples_needed(quantile: float) -> int:
    """Return the smallest number of samples from which a quantile, above 0 and below 1, can be judged.

    With fewer samples, the probability that all of them lie on one side of the quantile is more than 5 %. A slow 99th
    percentile would then pass because no sample shows it. All of n samples are below the quantile q with probability
    q**n.
    """
    further = max(quantile, 1 - quantile)
    return math.ceil(math.log(_CHANCE_OF_NO_SAMPLE_BEYOND) / math.log(further))


def _nearest_rank(q: float, count: int) -> int:
    if not 0 <= q <= 1:
        raise ValueError(f"a quantile of {q} does not exist: allowed are 0 to 1; for the 99th percentile pass 0.99")
    numerator, denominator = _as_written(q)
    return max(1, -(-numerator * count // denominator))


@functools.lru_cache(maxsize=100)
def _as_written(q: float) -> tuple[int, int]:
    """Return the ratio that a quantile is written as: in floating point, 0.07 * 100 is more than 7."""
    return Fraction(repr(float(q))).as_integer_ratio()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 — seven bits per byte; the eighth is set if more follow
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varints(data: bytes) -> list[int]:
    values, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004
            values.append(value)
            value = shift = 0
    return values
