"""What was counted between two moments: the content of a delta, of a second on the time line, of a frame on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from loadtest.measuring.tally import SparseHistograms

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]


class SeriesKey(NamedTuple):
    """The labels of a series."""

    scenario: str
    method: str
    name: str


class ErrorCount(NamedTuple):
    """How often one message came in one series."""

    series: int
    """Index into the measurements' series."""
    error_class: str
    message: str
    occurrences: int


@dataclass(frozen=True, slots=True)
class Measurements:
    """Counts by series and by scenario. Entry *i* of an array belongs to series (or scenario) *i*."""

    series: tuple[SeriesKey, ...]
    requests: Ints
    """All requests, failed ones included, and those whose duration was refused."""
    failures: Ints
    response_bytes: Ints
    response_time: SparseHistograms
    service_time: SparseHistograms
    """The same object as ``response_time`` when no request was sent late."""
    errors: tuple[ErrorCount, ...]
    scenarios: tuple[str, ...]
    schedule_lag: SparseHistograms
    dropped: Ints
    """Iterations that were never begun."""

    @classmethod
    def none(cls) -> Measurements:
        """Nothing was counted."""
        zeros = np.zeros(0, np.int64)
        empty = SparseHistograms.empty(0)
        return cls((), zeros, zeros, zeros, empty, empty, (), (), empty, zeros)

    def __bool__(self) -> bool:
        """Whether anything was counted."""
        return bool(self.series) or bool(self.dropped.any())
