"""Timeline: a run second by second, coarser with age, so that a day's run fits into memory.

The latest hour is kept in points of 1 s, the five hours before it in points of 10 s, the day before that in points of 1
min, and the rest in points of 10 min. A coarser point is the exact merge of finer ones, so counts stay exact and
percentiles keep their error bound.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from loadtest.measuring.histogram import Histogram
from loadtest.measuring.histogram_table import HistogramTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WIDTHS_S: Final = (1, 10, 60, 600)
"""The widths of points in seconds, finest first. Each divides the next."""
POINTS: Final = (3_600, 1_800, 1_440)
"""The number of points of each width that are kept before they are merged into the next width; the coarsest are never
merged. Each number is above the ratio of the two widths, so that a merged point never overlaps with finer ones."""

_ROW: Final = np.zeros(1, np.int64)


@dataclass(slots=True)
class Point:
    """The counts of ``width_s`` seconds from ``second`` on."""

    second: int
    """Seconds since the run's first second."""
    width_s: int
    requests: int
    failures: int
    users: int
    """Running users; in a coarse point, the highest number."""
    response_time: HistogramTable
    """One row: the sum of all series."""
    service_time: HistogramTable | None
    """None if no request was sent late, so that it equals the response time."""
    errors: dict[str, int] = field(default_factory=dict)
    """The number of failed requests by error class."""

    def count_errors(self, errors: Iterable[tuple[str, int]]) -> None:
        """Add numbers of failed requests by error class."""
        for error_class, occurrences in errors:
            self.errors[error_class] = self.errors.get(error_class, 0) + occurrences

    @property
    def end(self) -> int:
        """The first second after this point."""
        return self.second + self.width_s


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive seconds, merged."""

    seconds: int
    requests: int
    failures: int
    users: int
    """The highest number of running users."""
    response_time: Histogram
    service_time: Histogram

    @property
    def requests_per_s(self) -> float:
        """The mean request rate; 0 for an empty window."""
        return self.requests / self.seconds if self.seconds else 0.0


class Timeline:
    """The points of a run in ascending order."""

    def __init__(self) -> None:
        """Create an empty time line."""
        self._tiers: list[list[Point]] = [[] for _ in WIDTHS_S]

    def __iter__(self) -> Iterator[Point]:
        """Iterate over all points, oldest first."""
        for tier in reversed(self._tiers):
            yield from tier

    def __len__(self) -> int:
        """The number of points."""
        return sum(map(len, self._tiers))

    @property
    def end(self) -> int:
        """The first second after the last point."""
        return max((tier[-1].end for tier in self._tiers if tier), default=0)

    def add(
        self,
        second: int,
        requests: int,
        failures: int,
        response_time: HistogramTable,
        service_time: HistogramTable | None,
        *,
        errors: Iterable[tuple[str, int]] = (),
    ) -> None:
        """Add counts to a second, or to the coarser point that contains an old second."""
        point = self._at(max(second, 0))
        point.requests += requests
        point.failures += failures
        point.count_errors(errors)
        if service_time is not None or point.service_time is not None:
            point.service_time = _sum([point.service_time or point.response_time, service_time or response_time])
        point.response_time = _sum([point.response_time, response_time])

    def set_users(self, second: int, users: int) -> None:
        """Set the number of users in a second. If called repeatedly, the highest number is kept."""
        point = self._at(max(second, 0))
        point.users = max(point.users, users)

    def window(self, seconds: int, end: int | None = None) -> Window:
        """The ``seconds`` seconds before second ``end`` (default: the end of the time line), merged.

        Points wider than a second are included if at least half of them lies within the window.
        """
        end = self.end if end is None else end
        chosen = [point for point in self._since(end - seconds) if end - seconds <= _centre(point) < end]
        response, service = Histogram(), Histogram()
        for point in chosen:
            response.merge(point.response_time.total())
            service.merge((point.service_time or point.response_time).total())
        return Window(
            seconds=min(seconds, end),
            requests=sum(point.requests for point in chosen),
            failures=sum(point.failures for point in chosen),
            users=max((point.users for point in chosen), default=0),
            response_time=response,
            service_time=service,
        )

    def _since(self, second: int) -> Iterator[Point]:
        for tier in reversed(self._tiers):
            first = bisect.bisect_left(tier, second, key=lambda point: point.end)
            yield from tier[first:]

    def _at(self, second: int) -> Point:
        """The point that contains a second, created if necessary."""
        point = self._find(second)
        if point is None:
            number = self._insert(second)
            self._coarsen(number)
            point = self._find(second)  # coarsening may have merged the new point at once
        if point is None:
            raise AssertionError(f"second {second} was inserted and is not there")
        return point

    def _find(self, second: int) -> Point | None:
        for tier, width_s in zip(self._tiers, WIDTHS_S, strict=True):
            start = second - second % width_s
            place = bisect.bisect_left(tier, start, key=lambda point: point.second)
            if place < len(tier) and tier[place].second == start:
                return tier[place]
        return None

    def _insert(self, second: int) -> int:
        """Create a point of the width that fits its age, and return the index of that width."""
        for number in range(len(WIDTHS_S) - 1):
            coarser_end = max((tier[-1].end for tier in self._tiers[number + 1 :] if tier), default=0)
            if second >= coarser_end:
                break
        else:
            number = len(WIDTHS_S) - 1
        point = _empty(second - second % WIDTHS_S[number], WIDTHS_S[number])
        bisect.insort(self._tiers[number], point, key=lambda point: point.second)
        return number

    def _coarsen(self, number: int) -> None:
        """Merge the oldest points of a width that has too many into one point of the next width."""
        if number >= len(POINTS) or len(self._tiers[number]) <= POINTS[number]:
            return
        tier, width_s = self._tiers[number], WIDTHS_S[number + 1]
        start = tier[0].second - tier[0].second % width_s
        count = bisect.bisect_left(tier, start + width_s, key=lambda point: point.second)
        merged = _empty(start, width_s)
        merged.requests = sum(point.requests for point in tier[:count])
        merged.failures = sum(point.failures for point in tier[:count])
        merged.users = max(point.users for point in tier[:count])
        for point in tier[:count]:
            merged.count_errors(point.errors.items())
        merged.response_time = _sum([point.response_time for point in tier[:count]])
        if any(point.service_time is not None for point in tier[:count]):
            merged.service_time = _sum([point.service_time or point.response_time for point in tier[:count]])
        del tier[:count]
        bisect.insort(self._tiers[number + 1], merged, key=lambda point: point.second)
        self._coarsen(number + 1)


def _centre(point: Point) -> float:
    return (point.second + point.end - 1) / 2


def _empty(second: int, width_s: int) -> Point:
    return Point(second, width_s, 0, 0, 0, HistogramTable.empty(1), None)


def _sum(tables: list[HistogramTable]) -> HistogramTable:
    """All rows of all tables, summed into one row."""
    filled = [table for table in tables if not table.is_empty]
    if len(filled) == 1 and len(filled[0].lengths) == 1:
        return filled[0]
    return HistogramTable.merge([(np.zeros(len(table.lengths), np.int64), table) for table in filled], _ROW)
