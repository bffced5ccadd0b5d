"""Recent: the measurements of the last seconds of a run, from which the exporter computes moving quantiles.

Tested in tests/unit/measuring/test_recent.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadtest.measuring.record import RunRecord
from loadtest.measuring.turn import end_turn

if TYPE_CHECKING:
    from loadtest.measuring.labels import Labels
    from loadtest.measuring.measurements import Measurements

RECENT_S: Final = 10
"""Whole seconds that are kept; the dashboards' rates have the same window."""


class Recent:
    """The measurements of the last `RECENT_S` seconds of the time line, at most 48 bytes per request."""

    def __init__(self) -> None:
        self._seconds: list[tuple[int, Measurements]] = []

    def add(self, second: int, measured: Measurements) -> None:
        """Add measurements of a second, which may arrive in parts and late. Seconds outside the window are dropped."""
        newest = max([second, *(known for known, _ in self._seconds)])
        self._seconds = [part for part in (*self._seconds, (second, measured)) if part[0] > newest - RECENT_S]

    def record(self, labels: Labels) -> RunRecord:
        """Merge the seconds into a record without a time line. Yields to other greenlets between two seconds."""
        record = RunRecord(labels=labels)
        for _, measured in self._seconds:
            record.add(measured)
            end_turn()
        return record
