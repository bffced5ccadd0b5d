"""The time line: bounded, coarser with age, exact in its counts."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.measuring import timeline
from loadtest.measuring.histogram import Histogram
from loadtest.measuring.histogram_table import HistogramTable
from loadtest.measuring.timeline import Timeline


def times(*durations_s: float) -> HistogramTable:
    """One row with these durations."""
    if not durations_s:
        return HistogramTable.empty(1)
    return HistogramTable.of(np.array(durations_s), np.array([len(durations_s)]))


def add(line: Timeline, second: int, *durations_s: float, failures: int = 0) -> None:
    """Add requests of these durations to a second."""
    errors = [("status_5xx", failures)] if failures else []
    line.add(second, len(durations_s), failures, times(*durations_s), None, errors=errors)


def test_a_second_is_a_point() -> None:
    """Each second has its requests, failures, users and percentiles."""
    line = Timeline()
    add(line, 3, 0.1, 0.2, 0.3, failures=1)
    line.set_users(3, 10)
    line.set_users(3, 7)
    [point] = line
    assert (point.second, point.width_s, point.requests, point.failures, point.users) == (3, 1, 3, 1, 10)
    assert pytest.approx(point.response_time.total().quantile(0.5), rel=0.01) == 0.2
    assert 4 == line.end == point.end


def test_response_and_service_times_stay_apart() -> None:
    """A point, and a window of points, keep the two times separate."""
    line = Timeline()
    line.add(0, 1, 0, times(0.5), times(0.1))
    add(line, 1, 0.7)
    window = line.window(2)
    assert window.response_time == Histogram.of([0.5, 0.7])
    assert window.service_time == Histogram.of([0.1, 0.7])


def test_a_second_that_was_late_in_part_keeps_both_times() -> None:
    """Requests on time and late ones in one second keep their own service times."""
    line = Timeline()
    line.add(0, 1, 0, times(0.5), times(0.1))
    add(line, 0, 0.7)
    assert line.window(1).response_time == Histogram.of([0.5, 0.7])
    assert line.window(1).service_time == Histogram.of([0.1, 0.7])


def test_a_window_merges_its_seconds() -> None:
    """Counts, rate and percentiles over any window are those of its seconds."""
    line = Timeline()
    for second in range(20):
        add(line, second, *([0.001 * (second + 1)] * 10), failures=second % 2)
        line.set_users(second, second)
    window = line.window(10)
    assert (window.requests, window.failures, window.users, window.requests_per_s) == (100, 5, 19, 10.0)
    assert window.response_time == Histogram.of([0.001 * (second + 1) for second in range(10, 20) for _ in range(10)])
    earlier = line.window(5, end=10)
    assert (earlier.requests, earlier.users) == (50, 9)
    assert (line.window(5, end=0).requests, line.window(5, end=0).requests_per_s) == (0, 0.0)


def test_an_empty_time_line_has_an_empty_window() -> None:
    """Before the first sample a window is empty, not an error."""
    window = Timeline().window(10)
    assert (window.requests, window.users, window.requests_per_s) == (0, 0, 0.0)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 3)), max_size=100), st.randoms(use_true_random=False))
def test_coarse_points_are_exact_merges(seconds: list[tuple[int, int]], source: random.Random) -> None:
    """Whatever is added, in whatever order, the time line stays bounded and no count is lost or moved elsewhere."""
    small = (12, 8, 12)
    truth: dict[int, list[float]] = {}
    line = Timeline()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timeline, "POINTS", small)
        for second, count in seconds:
            durations = [source.uniform(1e-4, 5.0) for _ in range(count)]
            truth.setdefault(second, []).extend(durations)
            add(line, second, *durations, failures=1)
    points = list(line)
    assert sorted(point.second for point in points) == [point.second for point in points]
    assert all(one.end <= other.second for one, other in itertools.pairwise(points))
    assert all(
        sum(point.width_s == width for point in points) <= most for width, most in zip((1, 10, 60), small, strict=True)
    )
    for point in points:
        own = [value for second in range(point.second, point.end) for value in truth.pop(second, [])]
        assert point.requests == len(own)
        assert point.errors == {"status_5xx": point.failures}
        assert point.response_time.total() == Histogram.of(own)
    assert truth == {}


def test_a_day_fits() -> None:
    """A run of 24 hours has a bounded number of points: fine at its end, coarse at its beginning, nothing lost."""
    line = Timeline()
    one = times(0.01)
    for second in range(24 * 3600):
        line.add(second, 1, 0, one, None)
    assert 24 * 3600 == sum(point.requests for point in line) == line.end
    assert len(line) <= sum(timeline.POINTS) + 10
    widths = [point.width_s for point in line]
    assert sorted(widths, reverse=True) == widths
    assert {1, 10, 60} <= set(widths)
    assert line.window(10).requests == 10
    assert line.window(3600, end=7200).requests == 3600


def test_a_straggler_joins_the_coarse_point_that_holds_its_second() -> None:
    """A late count for a second that is long past is added to the point that contains it."""
    line = Timeline()
    one = times(0.01)
    for second in range(6000):
        line.add(second, 1, 0, one, None)
    line.add(17, 5, 2, times(1.0, 1.0, 1.0, 1.0, 1.0), None)
    [point] = [point for point in line if point.second <= 17 < point.end]
    assert (point.width_s, point.requests, point.failures) == (10, 15, 2)
