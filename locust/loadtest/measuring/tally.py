"""Many histograms at once, one per row, kept sparse until somebody needs them dense.

A worker counts a second's samples in a `Tally` and takes them out as `SparseHistograms` for the wire; the master adds
the workers' sparse rows into a `Tally` of its own and takes the sum out once a second. So the work per sample and per
report is a handful of numpy calls, however many names there are. Layout and exactness are those of
`loadtest.measuring.histogram`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from loadtest.measuring.histogram import BINS, HIGHEST_NS, LOWEST_NS, Histogram, bins_of, to_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Keys = npt.NDArray[np.uint32]

_KEY_SHIFT: Final = 11  # BINS = 2028 < 2**11, so row and bin share one integer
_KEY_MASK: Final = (1 << _KEY_SHIFT) - 1
_COMPACT_ABOVE: Final = 65_536
"""Uncompacted samples that are kept at most: bounds the memory, and the time of one compaction to about 1 ms."""
_PARTS: Final = 8
"""Compacted parts that are kept apart at most; adding them up costs by their number of keys."""

_COUNT_BITS: Final = 31  # beside a key of at most 32 bits
_COUNT_MASK: Final = (1 << _COUNT_BITS) - 1
_DENSE_BELOW: Final = 2
"""Keys are counted in an array as long as their span when that is shorter than so many times their number."""

SUM, BELOW, ABOVE, REFUSED, MIN, MAX = range(6)
"""The rows of ``moments``: sum of nanoseconds, counts out of range, minimum and maximum in nanoseconds."""
_FIRST_MOMENTS: Final = np.array([[0], [0], [0], [0], [HIGHEST_NS], [0]], np.int64)


@dataclass(frozen=True, slots=True)
class SparseHistograms:
    """Some histograms: row *i* owns the next ``lengths[i]`` entries of ``bins`` and ``counts``."""

    lengths: Ints
    bins: Ints
    counts: Ints
    moments: Ints
    """Six per row: sum, below, above, refused, minimum, maximum."""

    @classmethod
    def empty(cls, rows: int) -> SparseHistograms:
        """Histograms that counted nothing."""
        none = np.zeros(0, np.int64)
        return cls(np.zeros(rows, np.int64), none, none, np.repeat(_FIRST_MOMENTS, rows, axis=1))

    @property
    def count(self) -> int:
        """How many durations all rows counted together."""
        return int(self.counts.sum())

    def counts_per_row(self) -> Ints:
        """How many durations each row counted."""
        ends = np.cumsum(self.lengths)
        cumulated = np.concatenate(([0], np.cumsum(self.counts)))
        per_row: Ints = cumulated[ends] - cumulated[ends - self.lengths]
        return per_row

    def merged(self) -> Histogram:
        """All rows as one dense histogram."""
        counts = np.bincount(self.bins, weights=self.counts, minlength=BINS).astype(np.int64)
        if not self.moments.shape[1]:
            return Histogram(counts)
        sums = self.moments[:MIN].sum(axis=1).tolist()
        return Histogram.from_parts(
            counts, sums[SUM], int(self.moments[MIN].min()), int(self.moments[MAX].max()), *sums[BELOW:]
        )


@dataclass(frozen=True, slots=True)
class Binned:
    """Durations in parts, each duration by its bin: part *i* owns the next ``lengths[i]`` entries of ``bins``."""

    lengths: Ints
    bins: Keys
    moments: Ints
    """Six per part, as `SparseHistograms` has them per row."""

    @classmethod
    def of(cls, durations_s: npt.NDArray[np.float64], lengths: Ints) -> Self:
        """Bin durations in seconds; part *i* is the next ``lengths[i]`` of them, at least 1."""
        moments = np.repeat(_FIRST_MOMENTS, len(lengths), axis=1)
        nanoseconds, refused = to_nanoseconds(durations_s)
        filled: Any = slice(None)
        if refused is not None:
            moments[REFUSED] = np.add.reduceat(refused, _starts(lengths), dtype=np.int64)
            nanoseconds, lengths = nanoseconds[~refused], lengths - moments[REFUSED]
            filled = np.flatnonzero(lengths)
        if len(nanoseconds):
            starts = _starts(lengths[filled])
            shortest, longest = np.minimum.reduceat(nanoseconds, starts), np.maximum.reduceat(nanoseconds, starts)
            if longest.max() > HIGHEST_NS:
                moments[ABOVE, filled] = np.add.reduceat(nanoseconds > HIGHEST_NS, starts, dtype=np.int64)
                for clamped in (nanoseconds, shortest, longest):
                    np.minimum(clamped, HIGHEST_NS, out=clamped)
            if shortest.min() < LOWEST_NS:
                moments[BELOW, filled] = np.add.reduceat(nanoseconds < LOWEST_NS, starts, dtype=np.int64)
            moments[SUM, filled] = np.add.reduceat(nanoseconds.astype(np.int64), starts)
            moments[MIN, filled], moments[MAX, filled] = shortest, longest
        return cls(lengths, bins_of(nanoseconds).view(np.uint32), moments)

    def split(self, parts: int) -> Iterator[Self]:
        """As several of ``parts`` parts each."""
        ends = np.cumsum(self.lengths)[parts - 1 :: parts].tolist()
        start = 0
        for number, end in enumerate(ends):
            own = slice(number * parts, (number + 1) * parts)
            yield type(self)(self.lengths[own], self.bins[start:end], self.moments[:, own])
            start = end


def _starts(lengths: Ints) -> Ints:
    starts: Ints = np.cumsum(lengths) - lengths
    return starts


class Tally:
    """Histograms that grow by samples or by sparse rows, and are taken out sparse."""

    def __init__(self) -> None:
        """Make an empty tally; rows come into being when they are first named."""
        self._moments = np.repeat(_FIRST_MOMENTS, 16, axis=1)
        self._single: list[Keys] = []  # keys that count once each
        self._single_count = 0
        self._sparse: list[tuple[Ints, Ints]] = []  # keys with counts, not yet combined

    def add_values(self, rows: Ints, lengths: Ints, durations_s: npt.NDArray[np.float64]) -> None:
        """Count durations in seconds: the first ``lengths[0]`` of them for ``rows[0]``, and so on.

        Every length is at least 1. A row may come twice.
        """
        self.add_binned(rows, Binned.of(durations_s, lengths))

    def add_binned(self, rows: Ints, binned: Binned) -> None:
        """Count durations: part *i* of ``binned`` for row ``rows[i]``. A row may come twice."""
        self._add_moments(rows, binned.moments)
        keys = np.repeat((rows << _KEY_SHIFT).astype(np.uint32), binned.lengths)
        keys |= binned.bins
        self._single.append(keys)
        self._single_count += len(keys)
        if self._single_count > _COMPACT_ABOVE:
            self._compact()
            if len(self._sparse) > _PARTS:
                self._sparse = [self._added_up()]

    def add_sparse(self, rows: Ints, sparse: SparseHistograms) -> None:
        """Add histograms: row *i* of ``sparse`` to row ``rows[i]`` of this tally. A row may come twice."""
        if not len(rows):
            return
        self._add_moments(rows, sparse.moments)
        if not len(sparse.bins):
            return
        self._sparse.append((np.repeat(rows << _KEY_SHIFT, sparse.lengths) | sparse.bins, sparse.counts))

    def take(self, rows: Ints) -> SparseHistograms:
        """Take these rows out, in this ascending order, and start all rows afresh.

        ``rows`` must name every row that was added to since the last time.
        """
        self._compact()
        self._grow(int(rows.max()) if len(rows) else 0)
        keys, counts = self._added_up()
        row_of_key = keys >> _KEY_SHIFT
        lengths = np.searchsorted(row_of_key, rows, side="right") - np.searchsorted(row_of_key, rows)
        taken = SparseHistograms(lengths, keys & _KEY_MASK, counts, self._moments[:, rows])
        self._moments[:, rows] = _FIRST_MOMENTS
        return taken

    def _add_moments(self, rows: Ints, added: Ints) -> None:
        self._grow(int(rows.max()))
        moments = self._moments
        for moment in range(MIN):
            np.add.at(moments[moment], rows, added[moment])
        np.minimum.at(moments[MIN], rows, added[MIN])
        np.maximum.at(moments[MAX], rows, added[MAX])

    def _grow(self, row: int) -> None:
        if row >= self._moments.shape[1]:
            more = max(row + 1 - self._moments.shape[1], self._moments.shape[1])
            self._moments = np.concatenate((self._moments, np.repeat(_FIRST_MOMENTS, more, axis=1)), axis=1)

    def _compact(self) -> None:
        """Sort the keys that came in singly, and count equal ones."""
        if self._single:
            keys = np.concatenate(self._single)
            keys.sort()
            firsts = _firsts(keys)
            self._sparse.append((keys[firsts].astype(np.int64), np.diff(firsts, append=len(keys))))
            self._single, self._single_count = [], 0

    def _added_up(self) -> tuple[Ints, Ints]:
        """Sorted, unique keys with their counts, of everything since the last time."""
        parts, self._sparse = self._sparse, []
        if not parts:
            none = np.zeros(0, np.int64)
            return none, none
        return _added_up(parts)


def _firsts(keys: npt.NDArray[Any]) -> Ints:
    """Where each distinct key begins, in sorted keys."""
    changes = np.empty(len(keys), np.bool_)
    changes[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=changes[1:])
    return np.flatnonzero(changes)


def _added_up(parts: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    """One sorted, unique array of keys with the sum of the counts of each."""
    keys: npt.NDArray[Any] = np.concatenate([keys for keys, _ in parts])
    counts: npt.NDArray[Any] = np.concatenate([counts for _, counts in parts])
    if not len(keys) or (len(parts) == 1 and bool((keys[1:] > keys[:-1]).all())):
        return keys, counts
    lowest, highest = int(keys.min()), int(keys.max())
    if highest - lowest < _DENSE_BELOW * len(keys):  # counting costs by the span, sorting by the number
        sums = np.bincount(keys - lowest, weights=counts)  # doubles: exact below 2**53
        filled = np.flatnonzero(sums)
        return filled + lowest, sums[filled].astype(np.int64)
    if int(counts.max()) <= _COUNT_MASK:  # one array sorts several times quicker than an order of two
        both = keys << _COUNT_BITS | counts
        both.sort()
        keys, counts = both >> _COUNT_BITS, both & _COUNT_MASK
    else:
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], counts[order]
    firsts = _firsts(keys)
    return keys[firsts], np.add.reduceat(counts, firsts)
