"""Adds up `Measurements`: a worker's samples until the next delta, all workers' deltas until the next second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from loadtest.measuring.measurements import ErrorCount, Measurements
from loadtest.measuring.tally import Binned, SparseHistograms, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from loadtest.measuring.measurements import SeriesKey

    Ints = npt.NDArray[np.int64]

MAX_MESSAGES: Final = 200
"""Distinct error messages (by series and class) that are kept apart between two takes."""
FURTHER_MESSAGES: Final = "(further messages)"


class Accumulator:
    """Counts by row of series and by row of scenario; who uses it knows which labels a row has."""

    def __init__(self, tally: Callable[[], Tally] = Tally) -> None:
        """Make an empty accumulator that counts times in tallies of this kind."""
        self._totals = np.zeros((3, 16), np.int64)  # requests, failures, bytes
        self.on_time = tally()
        """Times of requests whose response time is their service time."""
        self._response = tally()
        self._service = tally()
        self._lag = tally()
        self._any_late = False
        self._errors: dict[tuple[int, str, str], int] = {}
        self._dropped: dict[int, int] = {}

    def __bool__(self) -> bool:
        """Whether anything was counted since the last take."""
        return bool(self._totals[0].any()) or bool(self._dropped)

    def grow(self, rows: int) -> None:
        """Make room for this many series."""
        if rows > self._totals.shape[1]:
            room = np.zeros((3, max(rows, 2 * self._totals.shape[1])), np.int64)
            room[:, : self._totals.shape[1]] = self._totals
            self._totals = room

    def add_on_time(self, rows: Ints, lengths: Ints, service_s: npt.NDArray[np.float64]) -> None:
        """Count requests that were sent at their intended start; arguments as for `Tally.add_values`."""
        self._totals[0, rows] += lengths
        self.on_time.add_values(rows, lengths, service_s)

    def add_late(
        self,
        rows: Ints,
        scenario_rows: Ints,
        lengths: Ints,
        lag_s: npt.NDArray[np.float64],
        service_s: npt.NDArray[np.float64],
    ) -> None:
        """Count requests that have an intended start of their own; arguments as for `Tally.add_values`."""
        self._totals[0, rows] += lengths
        # One pass over all three times: numpy costs by the call more than by the number.
        binned = Binned.of(np.concatenate((lag_s + service_s, service_s, lag_s)), np.tile(lengths, 3))
        response, service, lag = binned.split(len(lengths))
        self._response.add_binned(rows, response)
        self._service.add_binned(rows, service)
        self._lag.add_binned(scenario_rows, lag)
        self._any_late = True

    def add_outcomes(self, failures: list[int], response_bytes: list[int]) -> None:
        """Count failures and bytes of the first series; entry *i* belongs to row *i*."""
        self._totals[1, : len(failures)] += np.array(failures, np.int64)
        self._totals[2, : len(response_bytes)] += np.array(response_bytes, np.int64)

    def add_error(self, row: int, error_class: str, message: str, occurrences: int = 1) -> None:
        """Count an error; beyond `MAX_MESSAGES` distinct ones the message is dropped, never the count."""
        key = (row, error_class, message)
        if key not in self._errors and len(self._errors) >= MAX_MESSAGES:
            key = (row, error_class, FURTHER_MESSAGES)
        self._errors[key] = self._errors.get(key, 0) + occurrences

    def add_dropped(self, scenario_row: int, count: int) -> None:
        """Count iterations that were never begun."""
        self._dropped[scenario_row] = self._dropped.get(scenario_row, 0) + count

    def add(self, measurements: Measurements, rows: Ints, scenario_rows: Ints) -> None:
        """Add measurements, whose series and scenarios have these rows here. A row may come twice."""
        if len(rows):
            self.grow(int(rows.max()) + 1)
            for total, column in enumerate((measurements.requests, measurements.failures, measurements.response_bytes)):
                np.add.at(self._totals[total], rows, column)
            if measurements.service_time is measurements.response_time:
                self.on_time.add_sparse(rows, measurements.response_time)
            else:
                self._response.add_sparse(rows, measurements.response_time)
                self._service.add_sparse(rows, measurements.service_time)
                self._any_late = True
            for series, error_class, message, occurrences in measurements.errors:
                self.add_error(int(rows[series]), error_class, message, occurrences)
        if measurements.schedule_lag.lengths.any() or measurements.dropped.any():
            self._lag.add_sparse(scenario_rows, measurements.schedule_lag)
            for row, count in zip(scenario_rows.tolist(), measurements.dropped.tolist(), strict=True):
                if count:
                    self.add_dropped(row, count)

    def take(self, keys: Sequence[SeriesKey], scenarios: Sequence[str]) -> Measurements:
        """Take out everything since the last time; row *i* has the labels ``keys[i]`` or ``scenarios[i]``."""
        rows = np.flatnonzero(self._totals[0])
        position = {int(row): index for index, row in enumerate(rows)}
        response, service = self._take_times(rows)
        requests, failures, response_bytes = self._totals[:, rows]
        taken = Measurements(
            series=tuple(keys[row] for row in rows.tolist()),
            requests=requests,
            failures=failures,
            response_bytes=response_bytes,
            response_time=response,
            service_time=service,
            errors=tuple(
                ErrorCount(position[row], error_class, message, occurrences)
                for (row, error_class, message), occurrences in self._errors.items()
            ),
            scenarios=tuple(scenarios),
            schedule_lag=self._lag.take(np.arange(len(scenarios))),
            dropped=np.array([self._dropped.get(row, 0) for row in range(len(scenarios))], np.int64),
        )
        self._totals[:, rows] = 0
        self._errors, self._dropped, self._any_late = {}, {}, False
        return taken

    def _take_times(self, rows: Ints) -> tuple[SparseHistograms, SparseHistograms]:
        on_time = self.on_time.take(rows)
        if not self._any_late:
            return on_time, on_time
        self._response.add_sparse(rows, on_time)
        self._service.add_sparse(rows, on_time)
        return self._response.take(rows), self._service.take(rows)
