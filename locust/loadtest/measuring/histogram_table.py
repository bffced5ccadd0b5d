"""HistogramTable: many histograms at once, one per row. A row is a series, a scenario, or all of them together.

One second of a run fills few of the bins, so a `HistogramTable` holds only the filled ones: on a worker until they are
sent, and on the master until they are merged. The run's record is updated every second and read row by row, so it keeps
every bin, in a `DenseHistogramTable`. Each operation takes a few numpy calls, regardless of the number of rows. See
`loadtest.measuring.histogram` for the layout and exactness of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from loadtest.measuring.histogram import BINS, HIGHEST_NS, LOWEST_NS, Histogram, bins_of, to_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Cells = tuple[npt.NDArray[Any], npt.NDArray[Any]]
    Part = tuple[Ints, "HistogramTable"]

SUM, BELOW, ABOVE, REFUSED, MIN, MAX = range(6)
"""The summaries of a row: sum in nanoseconds, counts out of range, minimum and maximum in nanoseconds."""
_OPERATIONS: Final = (np.add, np.add, np.add, np.add, np.minimum, np.maximum)
"""How each summary is merged."""
_EMPTY_SUMMARIES: Final = np.array([[0], [0], [0], [0], [HIGHEST_NS], [0]], np.int64)

_COUNT_BITS: Final = 31  # leaves at most 32 bits for the key, which is enough for two million rows
_COUNT_MASK: Final = (1 << _COUNT_BITS) - 1
_DENSE_BELOW: Final = 8
"""All bins divided by filled bins. Below this ratio, adding to all of them is cheaper than sorting."""


@dataclass(frozen=True, slots=True)
class HistogramTable:
    """Several histograms: row *i* owns the next ``lengths[i]`` entries of ``bins`` and ``counts``."""

    lengths: Ints
    bins: npt.NDArray[Any]
    counts: npt.NDArray[Any]
    """Kept in the narrow type in which they arrived, like the bins, so that pending tables fit into the CPU cache."""
    summaries: Ints
    """`SUM`, `BELOW`, `ABOVE`, `REFUSED`, `MIN` and `MAX`, each with one entry per row."""
    counts_are_ones: bool = False
    """Whether the entries are single durations, so that bins may be repeated and unordered."""

    @classmethod
    def empty(cls, rows: int) -> Self:
        """Histograms without durations."""
        none = np.zeros(0, np.int64)
        return cls(np.zeros(rows, np.int64), none, none, np.repeat(_EMPTY_SUMMARIES, rows, axis=1))

    @classmethod
    def of(cls, durations_s: npt.NDArray[np.float64], lengths: Ints) -> Self:
        """Durations in seconds, sorted into bins: row *i* has the next ``lengths[i]`` of them, at least 1."""
        summaries = np.repeat(_EMPTY_SUMMARIES, len(lengths), axis=1)
        nanoseconds, refused = to_nanoseconds(durations_s)
        filled: Any = slice(None)
        if refused is not None:
            summaries[REFUSED] = np.add.reduceat(refused, _starts(lengths), dtype=np.int64)
            nanoseconds, lengths = nanoseconds[~refused], lengths - summaries[REFUSED]
            filled = np.flatnonzero(lengths)
        if len(nanoseconds):
            starts = _starts(lengths[filled])
            shortest, longest = np.minimum.reduceat(nanoseconds, starts), np.maximum.reduceat(nanoseconds, starts)
            if longest.max() > HIGHEST_NS:
                summaries[ABOVE, filled] = np.add.reduceat(nanoseconds > HIGHEST_NS, starts, dtype=np.int64)
                for clamped in (nanoseconds, shortest, longest):
                    np.minimum(clamped, HIGHEST_NS, out=clamped)
            if shortest.min() < LOWEST_NS:
                summaries[BELOW, filled] = np.add.reduceat(nanoseconds < LOWEST_NS, starts, dtype=np.int64)
            summaries[SUM, filled] = np.add.reduceat(nanoseconds.astype(np.int64), starts)
            summaries[MIN, filled], summaries[MAX, filled] = shortest, longest
        bins = bins_of(nanoseconds).view(np.uint32)
        return cls(lengths, bins, np.ones(len(bins), np.int64), summaries, counts_are_ones=True)

    @classmethod
    def merge(cls, parts: Sequence[Part], rows: Ints) -> Self:
        """The sum of tables.

        Args:
            parts: each table with the rows of the sum to which its own rows are added; a row may be repeated.
            rows: the rows of the sum to return, in ascending order; all others must be empty.
        """
        parts = [part for part in parts if len(part[0])]
        if not parts:
            return cls.empty(len(rows))
        named = max(int(part_rows.max()) for part_rows, _ in parts) + 1
        dense = named * BINS < _DENSE_BELOW * sum(len(table.bins) for _, table in parts)
        keys, counts = _sum_dense(parts, named) if dense else _sum_sparse(parts)
        first_keys = rows * BINS
        lengths = np.searchsorted(keys, first_keys + BINS) - np.searchsorted(keys, first_keys)
        summaries = np.repeat(_EMPTY_SUMMARIES, max(named, int(rows.max(initial=0)) + 1), axis=1)
        _add_summaries(summaries, parts)
        return cls(lengths, keys - np.repeat(first_keys, lengths), counts, summaries[:, rows])

    def split(self, rows: int) -> list[Self]:
        """Split the table into tables of this many rows each."""
        first_rows = range(0, len(self.lengths), rows)
        ends = np.cumsum(self.lengths)[rows - 1 :: rows].tolist()
        tables = []
        for row, start, end in zip(first_rows, [0, *ends], ends, strict=False):
            own, cells = slice(row, row + rows), slice(start, end)
            part = (self.lengths[own], self.bins[cells], self.counts[cells], self.summaries[:, own])
            tables.append(type(self)(*part, self.counts_are_ones))
        return tables

    def select(self, wanted: npt.NDArray[np.bool_]) -> Self:
        """The table of the rows for which ``wanted`` is true."""
        cells = np.repeat(wanted, self.lengths)
        part = (self.lengths[wanted], self.bins[cells], self.counts[cells], self.summaries[:, wanted])
        return type(self)(*part, self.counts_are_ones)

    def keys(self, rows: Ints, integer: type[np.integer[Any]] = np.int64) -> npt.NDArray[Any]:
        """The key of each entry: `BINS` times its row, given as ``rows[i]`` for row *i*, plus its bin."""
        keys = np.repeat((rows * BINS).astype(integer), self.lengths)
        keys += self.bins
        return keys

    def cells(self, rows: Ints) -> Cells:
        """The key and the count of each entry."""
        return self.keys(rows), self.counts.astype(np.int64, copy=False)

    @property
    def count(self) -> int:
        """The number of durations in all rows together."""
        return int(self.counts.sum())

    @property
    def is_empty(self) -> bool:
        """Whether no duration was counted or refused."""
        return not len(self.bins) and not self.summaries[REFUSED].any()

    def counts_per_row(self) -> Ints:
        """The number of durations in each row."""
        ends = np.cumsum(self.lengths)
        cumulated = np.concatenate(([0], np.cumsum(self.counts, dtype=np.int64)))
        per_row: Ints = cumulated[ends] - cumulated[ends - self.lengths]
        return per_row

    def row(self, row: int) -> Histogram:
        """The histogram of a row."""
        start = int(self.lengths[:row].sum())
        own = slice(start, start + int(self.lengths[row]))
        return _histogram(_all_bins(self.bins[own], self.counts[own]), self.summaries[:, row].tolist())

    def total(self) -> Histogram:
        """All rows merged into one histogram."""
        return _histogram(_all_bins(self.bins, self.counts), total_summaries(self.summaries))


class DenseHistogramTable:
    """Histograms that are updated often: every bin of every row is stored, 16 KiB per row."""

    def __init__(self) -> None:
        """Create an empty table; rows are created on first use."""
        self._bins: Ints = np.zeros(0, np.int64)
        self._summaries = np.repeat(_EMPTY_SUMMARIES, 0, axis=1)

    def grow(self, rows: int) -> None:
        """Extend the table to at least this many rows."""
        self._bins = grown(self._bins, rows * BINS)
        self._summaries = grown(self._summaries, rows, _EMPTY_SUMMARIES)

    def merge(self, table: HistogramTable, rows: Ints) -> None:
        """Add row *i* of a table to row ``rows[i]`` of this one. A row may be repeated."""
        if len(rows):
            self.grow(int(rows.max()) + 1)
            np.add.at(self._bins, *table.cells(rows))
            _add_summaries(self._summaries, [(rows, table)])

    def row(self, row: int) -> Histogram:
        """A copy of a row."""
        start = row * BINS
        return _histogram(self._bins[start : start + BINS].copy(), self._summaries[:, row].tolist())

    def extremes_s(self, row: int) -> tuple[float, float]:
        """The lowest and highest duration of a row in seconds; the lowest is above the highest if the row is empty."""
        lowest_ns, highest_ns = self._summaries[[MIN, MAX], row].tolist()
        return lowest_ns / 1e9, highest_ns / 1e9

    def total(self) -> Histogram:
        """All rows merged into one histogram."""
        counts = self._bins.reshape(-1, BINS).sum(axis=0)
        return _histogram(counts, total_summaries(self._summaries))

    def copy(self) -> DenseHistogramTable:
        """An independent copy."""
        copied = DenseHistogramTable()
        copied._bins, copied._summaries = self._bins.copy(), self._summaries.copy()
        return copied


def grown(array: Ints, columns: int, empty: Ints | None = None) -> Ints:
    """The array with at least this many columns: itself, or a copy of twice the length, filled with ``empty`` or 0."""
    have = array.shape[-1]
    if columns <= have:
        return array
    # Zeroed pages that are never written to take no memory.
    room = np.zeros((*array.shape[:-1], max(columns, 2 * have)), array.dtype)
    room[..., :have] = array
    if empty is not None:
        room[..., have:] = empty
    return room


def rows_and_bins(keys: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The row and the bin of each key: see `HistogramTable.keys`."""
    return np.divmod(keys, BINS)


def sum_cells(cells: Sequence[Cells]) -> Cells:
    """Sorted, unique keys with the sum of the counts of each, from keys in any order that may be repeated."""
    if not cells:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if len(cells) == 1 and _ascending(cells[0][0]):
        return cells[0]
    keys, counts = np.concatenate([keys for keys, _ in cells]), np.concatenate([counts for _, counts in cells])
    if int(counts.max(initial=0)) <= _COUNT_MASK:  # one array sorts several times faster than argsort of two
        both = keys << _COUNT_BITS | counts
        both.sort()
        keys, counts = both >> _COUNT_BITS, both & _COUNT_MASK
    else:
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], counts[order]
    firsts = _firsts(keys)
    return keys[firsts], np.add.reduceat(counts, firsts)


def _sum_sparse(parts: Sequence[Part]) -> Cells:
    filled = [(rows, table) for rows, table in parts if len(table.bins)]
    single = [table.keys(rows, np.uint32) for rows, table in filled if table.counts_are_ones]
    cells = [table.cells(rows) for rows, table in filled if not table.counts_are_ones]
    if single:  # keys alone, of 32 bits, sort several times faster than keys with counts
        keys = np.concatenate(single)
        keys.sort()
        firsts = _firsts(keys)
        cells.append((keys[firsts].astype(np.int64), np.diff(firsts, append=len(keys))))
    return sum_cells(cells)


def _sum_dense(parts: Sequence[Part], rows: int) -> Cells:
    sums = np.zeros(rows * BINS, np.int64)
    for part_rows, table in parts:
        np.add.at(sums, *table.cells(part_rows))
    keys = np.flatnonzero(sums)
    return keys, sums[keys]


def _firsts(keys: npt.NDArray[Any]) -> Ints:
    """The index of the first occurrence of each distinct key in sorted keys."""
    changes = np.empty(len(keys), np.bool_)
    changes[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=changes[1:])
    return np.flatnonzero(changes)


def _ascending(keys: npt.NDArray[Any]) -> bool:
    return bool((keys[1:] > keys[:-1]).all())


def _starts(lengths: Ints) -> Ints:
    starts: Ints = np.cumsum(lengths) - lengths
    return starts


def _add_summaries(summaries: Ints, parts: Sequence[Part]) -> None:
    rows = np.concatenate([part_rows for part_rows, _ in parts])  # numpy's cost is per call
    values = np.concatenate([table.summaries for _, table in parts], axis=1)
    for summary, operation in enumerate(_OPERATIONS):
        operation.at(summaries[summary], rows, values[summary])


def total_summaries(summaries: Ints) -> list[int]:
    """The summaries of all rows merged."""
    return [
        int(operation.reduce(row, initial=empty))
        for operation, row, empty in zip(_OPERATIONS, summaries, _EMPTY_SUMMARIES[:, 0].tolist(), strict=True)
    ]


def _all_bins(bins: npt.NDArray[Any], counts: Ints) -> Ints:
    return np.bincount(bins, weights=counts, minlength=BINS).astype(np.int64)  # doubles are exact below 2**53


def _histogram(counts: Ints, summaries: list[int]) -> Histogram:
    return Histogram.from_parts(counts, summaries[SUM], summaries[MIN], summaries[MAX], *summaries[BELOW : REFUSED + 1])
