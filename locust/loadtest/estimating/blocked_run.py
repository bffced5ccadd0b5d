"""BlockedRun: a run's document as arrays, with one row per block of time.

The first and the last block with requests are left out, because the load fills them only partly. So is the warm-up.

Tested in tests/unit/comparing/test_comparison.py and tests/unit/estimating/test_intervals.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from loadtest.measuring.blocks import BlockTable
from loadtest.measuring.histogram import EDGES_NS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_EDGE_BLOCKS = 2
_SHORTEST_S = 1e-9
_NS_PER_S = 1e9


class Name(NamedTuple):
    """The unit of comparison: one request name."""

    scenario: str
    method: str
    name: str


ALL: Final = Name("", "", "all requests")
"""All names together."""


@dataclass(frozen=True)
class BlockedSeries:
    """The blocks of one request name."""

    requests: Floats
    """One value per block."""
    failures: Floats
    times: Floats
    """Counts, with one row per block and one column per non-empty bin of the histogram."""
    lower_s: Floats
    """The lower and upper edges of each column, in seconds."""
    upper_s: Floats

    @property
    def middles(self) -> Floats:
        """The logarithm of the middle of each column."""
        middles: Floats = (np.log(np.maximum(self.lower_s, _SHORTEST_S)) + np.log(self.upper_s)) / 2
        return middles


@dataclass(frozen=True)
class BlockedRun:
    """All names of a run, on the same blocks."""

    run_id: str
    width_s: int
    blocks: int
    series: Mapping[Name, BlockedSeries]

    @property
    def seconds(self) -> int:
        """The length of time that the blocks cover, in seconds."""
        return self.blocks * self.width_s

    def first(self, seconds: int) -> Self:
        """Return the first seconds of the run, in whole blocks."""
        blocks = min(self.blocks, seconds // self.width_s)
        series = {
            name: replace(one, requests=one.requests[:blocks], failures=one.failures[:blocks], times=one.times[:blocks])
            for name, one in self.series.items()
        }
        return replace(self, blocks=blocks, series=series)

    @classmethod
    def of(cls, document: dict[str, Any], scenario: str | None = None) -> Self:
        """Read a run's document, as `loadtest.reporting.document` returns it.

        Args:
            document: the run's document.
            scenario: read only the names of this scenario, on the blocks of all, and omit the scenario from the names.

        Raises:
            RecordError: when the document's blocks are damaged.
        """
        return cls._of(document, document["series"], document["blocks"], scenario)

    @classmethod
    def of_pairs(cls, document: dict[str, Any]) -> Self:
        """Read the pairs of a duet as requests whose time is the new request's time divided by the base's.

        Raises:
            RecordError: when their blocks are damaged.
        """
        if (pairs := document.get("pairs")) is None:
            return cls(document["run_id"], 1, 0, {})
        return cls._of(document, pairs["series"], pairs["blocks"], pairs["series"][0]["scenario"])

    @classmethod
    def _of(
        cls, document: dict[str, Any], labels: list[dict[str, Any]], blocks: dict[str, Any], scenario: str | None
    ) -> Self:
        groups = {
            Name("" if scenario else one["scenario"], one["method"], one["name"]): [index]
            for index, one in enumerate(labels)
            if scenario in {None, one["scenario"]}
        }
        groups[ALL] = [index for own in groups.values() for index in own]
        table, begins_s = BlockTable.of(blocks), _warm_up_end_s(document)
        return cls.of_table(document["run_id"], table, len(labels), groups, begins_s)

    @classmethod
    def of_table(
        cls, run_id: str, table: BlockTable, count: int, groups: Mapping[Name, Sequence[int]], begins_s: float
    ) -> Self:
        """Return groups of series, each summed.

        Args:
            run_id: the run's id.
            table: the run's blocks.
            count: the number of series in the table.
            groups: the numbers of their series in the table, by name.
            begins_s: seconds from the run's first second; blocks before it are left out.
        """
        number, row, requests, failures = table.counts.astype(np.int64)
        if not len(number) or number.max() - number.min() < _EDGE_BLOCKS:
            return cls(run_id, table.width_s, 0, {})
        first = max(int(number.min()) + 1, math.ceil(begins_s / table.width_s))
        length = max(0, int(number.max()) - first)
        within = (number >= first) & (number < first + length)
        totals = np.zeros((2, count, length))
        for total, column in zip(totals, (requests, failures), strict=True):
            np.add.at(total, (row[within], number[within] - first), column[within])
        cells = _cells(table, count, first, length)
        series = {
            name: BlockedSeries(
                totals[0, list(rows)].sum(axis=0),
                totals[1, list(rows)].sum(axis=0),
                *_times([cells[row] for row in rows], length),
            )
            for name, rows in groups.items()
        }
        return cls(run_id, table.width_s, length, series)


def _warm_up_end_s(document: dict[str, Any]) -> float:
    """Return when the part excluded by the thresholds ends, in seconds from the run's first second; 0 without one."""
    begins_s = [float(event["second"]) for event in document["events"] if event["kind"] == "start"]
    return begins_s[0] + float(document["warm_up_s"]) if begins_s and document["warm_up_s"] else 0.0


def _cells(table: BlockTable, count: int, first: int, length: int) -> list[Ints]:
    """Return three rows for each series (block number, bin, count) over `length` blocks from `first` on."""
    number, row, bin_, counted = table.response_time.astype(np.int64)
    within = np.flatnonzero((number >= first) & (number < first + length))
    within = within[np.argsort(row[within], kind="stable")]
    ends = np.searchsorted(row[within], np.arange(1, count + 1))
    return np.split(np.stack((number - first, bin_, counted))[:, within], ends, axis=1)


def _times(cells: Sequence[Ints], length: int) -> tuple[Floats, Floats, Floats]:
    """Return the counts, lower edges and upper edges of several series together."""
    number, bin_, counted = np.concatenate((np.zeros((3, 0), np.int64), *cells), axis=1)
    bins, column = np.unique(bin_, return_inverse=True)
    times = np.bincount(number * len(bins) + column, counted, length * len(bins)).astype(np.float64, copy=False)
    return times.reshape(length, len(bins)), EDGES_NS[bins] / _NS_PER_S, EDGES_NS[bins + 1] / _NS_PER_S
