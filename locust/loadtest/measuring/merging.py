"""Merges what all workers measured in a second: their rows of the same series become one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from loadtest.measuring.accumulator import Accumulator
from loadtest.measuring.histogram import BINS
from loadtest.measuring.tally import SparseHistograms, Tally
from loadtest.measuring.wire import unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from loadtest.measuring.labels import Labels
    from loadtest.measuring.measurements import Measurements
    from loadtest.measuring.wire import PackedMeasurements

    Ints = npt.NDArray[np.int64]

_AT_ONCE: Final = 32
"""Workers that are unpacked together: a thousand filled bins of each are a quarter of a megabyte, which the
processor's cache holds."""
_DENSE_BELOW: Final = 8
"""The bins that there are, by those that were filled, below which adding to all of them is cheaper than sorting."""


class DenseTally(Tally):
    """A tally that has all bins of all rows at hand, 16 KiB a row. Only `add_sparse` adds to it.

    Many workers fill the same bins again and again; adding to those takes no sorting.
    """

    def __init__(self) -> None:
        """Make an empty tally."""
        super().__init__()
        self._bins = np.zeros(0, np.int64)

    def add_sparse(self, rows: Ints, sparse: SparseHistograms) -> None:
        """See `Tally.add_sparse`."""
        super().add_sparse(rows, sparse)
        for keys, counts in self._sparse:
            if len(keys):
                self._make_room(int(keys.max()) + 1)
                np.add.at(self._bins, keys, counts)
        self._sparse = []

    def _make_room(self, length: int) -> None:
        if length > len(self._bins):
            room = np.zeros(max(length, 2 * len(self._bins)), np.int64)
            room[: len(self._bins)] = self._bins
            self._bins = room

    def _added_up(self) -> tuple[Ints, Ints]:
        filled = np.flatnonzero(self._bins)
        counts = self._bins[filled]
        self._bins[filled] = 0
        return filled, counts


class Merger:
    """Merges second after second under the same labels."""

    def __init__(self, labels: Labels) -> None:
        """Merge under these labels."""
        self._labels = labels
        self._sorting = Accumulator()
        self._dense = Accumulator(DenseTally)

    def merge(self, packed: Sequence[PackedMeasurements]) -> Measurements:
        """All workers' measurements of a second, each series once, in the order of the labels."""
        labels = self._labels
        rows = [labels.rows(one.series) for one in packed]
        filled = sum(one.response_time.cells for one in packed)
        accumulator = self._dense if len(labels.keys) * BINS < _DENSE_BELOW * filled else self._sorting
        for first in range(0, len(packed), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            measured = unpack(packed[some])
            accumulator.add(measured, np.concatenate(rows[some]), labels.scenario_rows(measured.scenarios))
        return accumulator.take(labels.keys, labels.scenarios)
