"""Blocks: per-series counts of a run in blocks of equal width, from which two runs are compared.

The width starts at 1 s. It doubles, by merging pairs of blocks, whenever there would be more than `MAX_BLOCKS` blocks
or more than `MAX_ENTRIES` filled bins. This bounds memory (8 bytes per filled bin, 8 MiB): a run of 10 minutes keeps
single seconds, and a run of one day keeps blocks of about 4 minutes. Counts are exact at every width.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from loadtest.exceptions import RecordError
from loadtest.measuring.histogram import BINS
from loadtest.measuring.histogram_table import rows_and_bins, sum_cells

if TYPE_CHECKING:
    import numpy.typing as npt

    from loadtest.measuring.histogram_table import HistogramTable

    Ints = npt.NDArray[np.int64]
    Small = npt.NDArray[np.uint32]

MAX_BLOCKS: Final = 600
MAX_ENTRIES: Final = 1_000_000
_LONGEST_BYTES: Final = 64 * 1024 * 1024  # of a decompressed column: twice the size of the most entries
_WIDEST_S: Final = 2**24
_LAST_BLOCK: Final = 10 * MAX_BLOCKS

_COLUMNS: Final = ("block", "series", "requests", "failures")
_HISTOGRAM_COLUMNS: Final = ("block", "series", "bin", "count")


@dataclass(slots=True)
class _Block:
    """Counts by series, and by series and bin, in ascending order of row and key, with 8 bytes per filled bin."""

    rows: Small
    totals: Small
    """Two rows: requests and failures."""
    keys: Small
    """Series and bin: see `histogram_table.HistogramTable.keys`."""
    counts: Small

    @classmethod
    def of(cls, rows: Ints, totals: Ints, times: HistogramTable) -> Self:
        return cls._small(rows, totals, *times.cells(rows))

    @classmethod
    def merged(cls, one: Self, other: Self) -> Self:
        rows, places = np.unique(np.concatenate((one.rows, other.rows)), return_inverse=True)
        totals = np.zeros((2, len(rows)), np.int64)
        for total, added in zip(totals, np.concatenate((one.totals, other.totals), axis=1), strict=True):
            np.add.at(total, places, added)
        cells = [(block.keys.astype(np.int64), block.counts.astype(np.int64)) for block in (one, other)]
        return cls._small(rows, totals, *sum_cells(cells))

    @classmethod
    def _small(cls, *columns: npt.NDArray[Any]) -> Self:
        rows, totals, keys, counts = (column.astype(np.uint32) for column in columns)
        return cls(rows, totals, keys, counts)


class Blocks:
    """The blocks of a run. Their rows are those of the record's labels."""

    def __init__(self) -> None:
        """Create it without blocks."""
        self.width_s = 1
        self._blocks: dict[int, _Block] = {}
        self._entries = 0

    def copy(self) -> Blocks:
        """Return an independent copy."""
        made = Blocks()
        made.width_s, made._blocks, made._entries = self.width_s, dict(self._blocks), self._entries
        return made

    def add(self, second: int, rows: Ints, totals: Ints, times: HistogramTable) -> None:
        """Add the measurements of a second of the time line.

        Args:
            second: the second of the time line.
            rows: distinct rows of labels.
            totals: two rows, requests and failures, with a column for each of ``rows``.
            times: the times of ``rows`` that count here.
        """
        if not len(rows):
            return
        self._put(second // self.width_s, _Block.of(rows, totals, times))
        while len(self._blocks) > MAX_BLOCKS or (self._entries > MAX_ENTRIES and len(self._blocks) > 1):
            self._widen()

    def _put(self, number: int, block: _Block) -> None:
        have = self._blocks.get(number)
        if have is not None:
            self._entries -= len(have.keys)
            block = _Block.merged(have, block)
        self._blocks[number] = block
        self._entries += len(block.keys)

    def _widen(self) -> None:
        self.width_s *= 2
        blocks, self._blocks, self._entries = self._blocks, {}, 0
        for number, block in blocks.items():
            self._put(number // 2, block)

    def table(self, rows: list[int]) -> BlockTable:
        """All blocks, with row ``rows[i]`` as series *i* of the table."""
        series = np.zeros(max(rows, default=0) + 1, np.uint32)
        series[rows] = np.arange(len(rows))
        totals, bins = [np.zeros((len(_COLUMNS), 0), np.uint32)], [np.zeros((len(_HISTOGRAM_COLUMNS), 0), np.uint32)]
        for number, block in sorted(self._blocks.items()):
            at = np.full(len(block.rows), number, np.uint32)
            totals.append(np.stack((at, series[block.rows], *block.totals)))
            at = np.full(len(block.keys), number, np.uint32)
            of_rows, of_bins = rows_and_bins(block.keys)
            bins.append(np.stack((at, series[of_rows], of_bins, block.counts)))
        return BlockTable(self.width_s, np.concatenate(totals, axis=1), np.concatenate(bins, axis=1))


def _packed(columns: Small) -> str:
    return base64.b64encode(zlib.compress(columns.astype("<u4").tobytes(), 6)).decode("ascii")


@dataclass(frozen=True, slots=True)
class BlockTable:
    """Blocks as columns of equal length, the form that they have in a document."""

    width_s: int
    counts: Small
    """Rows: block, series, requests, failures."""
    response_time: Small
    """Rows: block, series, bin of the histogram, count."""

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """Read the result of `as_dict`.

        Raises:
            RecordError: when it is damaged.
        """
        try:
            table = cls(int(document["width_s"]), _unpacked(document["counts"]), _unpacked(document["response_time"]))
            table.check()
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise RecordError(
                f"the record's blocks are damaged ({error!r}); read the original file, or repeat the run"
            ) from error
        return table

    def as_dict(self) -> dict[str, Any]:
        """Return a form that is ready for JSON."""
        return {
            "width_s": self.width_s,
            "counts": _packed(self.counts),
            "response_time": _packed(self.response_time),
        }

    def of_part(self, part: BlockTable) -> BlockTable:
        """Return the times of a part of the requests, such as failed ones, with the blocks of all requests."""
        whole, part = self._wide_as(part), part._wide_as(self)
        return BlockTable(whole.width_s, whole.counts, part.response_time)

    def without(self, part: BlockTable) -> BlockTable:
        """Return the times of all requests except a part, with the blocks of all requests."""
        whole, part = self._wide_as(part), part._wide_as(self)
        columns = np.concatenate((whole.response_time, part.response_time), axis=1).astype(np.int64)
        columns[3, whole.response_time.shape[1] :] *= -1
        series = int(columns[1].max(initial=0)) + 1
        keys, place = np.unique((columns[0] * series + columns[1]) * BINS + columns[2], return_inverse=True)
        counts = np.bincount(place, columns[3], len(keys)).astype(np.int64)
        (of_series, bins), kept = rows_and_bins(keys), counts > 0
        left = np.stack((*np.divmod(of_series, series), bins, counts))[:, kept]
        return BlockTable(whole.width_s, whole.counts, left.astype(np.uint32))

    def _wide_as(self, other: BlockTable) -> BlockTable:
        """Return it with blocks at least as wide as another table's. A series may then occur repeatedly in a block."""
        if self.width_s >= other.width_s:
            return self
        counts, times = self.counts.copy(), self.response_time.copy()
        for columns in (counts, times):
            columns[0] //= other.width_s // self.width_s
        return BlockTable(other.width_s, counts, times)

    def check(self) -> None:
        """Check that memory for all blocks in the range can be allocated.

        Raises:
            ValueError: when it cannot.
        """
        if not 1 <= self.width_s <= _WIDEST_S:
            raise ValueError(f"a block is {self.width_s} s wide; allowed are 1 to {_WIDEST_S}")
        if int(self.counts[0].max(initial=0)) > _LAST_BLOCK:
            raise ValueError(f"a block has a number above {_LAST_BLOCK}")


def _unpacked(text: str) -> Small:
    inflater = zlib.decompressobj()
    data = inflater.decompress(base64.b64decode(text, validate=True), _LONGEST_BYTES)
    if inflater.unconsumed_tail or not inflater.eof:
        raise ValueError(f"a column is cut off, or longer than {_LONGEST_BYTES} bytes")
    columns: Small = np.frombuffer(data, "<u4")
    return columns.reshape(len(_COLUMNS), -1)
