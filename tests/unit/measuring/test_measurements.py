"""The Accumulator; that it loses nothing is tested in test_recorder.py and test_wire.py."""

import numpy as np
import pytest

from loadtest.measuring import measurements
from loadtest.measuring.histogram import Histogram
from loadtest.measuring.labels import SeriesKey
from loadtest.measuring.measurements import Accumulator

KEYS = [SeriesKey("shop", "GET", name) for name in "ab"]


def accumulator() -> Accumulator:
    """An accumulator with two series of one scenario."""
    made = Accumulator()
    made.labels.rows(tuple(KEYS))
    made.labels.scenario_row("shop")
    return made


def add_on_time(counts: Accumulator, row: int, *durations_s: float) -> None:
    """Count requests of a series."""
    counts.add_on_time(np.array([row]), np.array([len(durations_s)]), np.array(durations_s))


def test_on_time_and_late_requests_add_up() -> None:
    """Requests on time have the same duration in both times; late ones have two, and a lag."""
    counts = accumulator()
    add_on_time(counts, 0, 0.25)
    counts.add_late(np.array([0]), np.array([0]), np.array([1]), lag_s=np.array([0.5]), service_s=np.array([0.125]))
    taken = counts.take()
    assert taken.service_time is not None
    assert taken.requests.tolist() == [2]
    assert taken.response_time.row(0) == Histogram.of([0.25, 0.625])
    assert taken.service_time.row(0) == Histogram.of([0.25, 0.125])
    assert taken.schedule_lag.row(0) == Histogram.of([0.5])


def test_taking_empties_it() -> None:
    """Measurements are taken once, and rows keep their series."""
    counts = accumulator()
    add_on_time(counts, 1, 0.5, -1.0)
    assert (counts.take().series, bool(counts), counts.take().series) == ((KEYS[1],), False, ())
    add_on_time(counts, 0, 0.5)
    assert counts.take().series == (KEYS[0],)


@pytest.mark.parametrize("late", [False, True])
def test_waiting_durations_are_bounded(monkeypatch: pytest.MonkeyPatch, *, late: bool) -> None:
    """However many requests come before a take, only a bounded number of single durations is kept."""
    monkeypatch.setattr(measurements, "_COMPACT_ABOVE", 100)
    counts = accumulator()
    for _ in range(40):
        if late:
            counts.add_late(np.array([0]), np.array([0]), np.array([30]), np.full(30, 0.1), np.full(30, 0.2))
        else:
            add_on_time(counts, 0, *[0.2] * 30)
        held = [*counts._on_time, *counts._response, *counts._service, *counts._lag]
        assert sum(len(table.bins) for _, table in held) <= (3 if late else 1) * 100
    taken = counts.take()
    assert (taken.response_time.count, taken.requests.tolist()) == (1200, [1200])


def test_measurements_add_up() -> None:
    """Measurements taken elsewhere are added by label: counts, times, errors and dropped iterations."""
    other, total = accumulator(), Accumulator()
    for second in range(2):
        add_on_time(other, second, 0.5)
        other.add_outcomes([0, second], [7 * (1 - second), 9 * second], [3 * (1 - second), 5 * second])
        if second:
            other.add_error(1, "reset", "gone", 1)
            other.add_dropped(0, 3)
        total.add(other.take())
    taken = total.take()
    assert taken.series == tuple(KEYS)
    assert (taken.requests.tolist(), taken.failures.tolist()) == ([1, 1], [0, 1])
    assert (taken.response_bytes.tolist(), taken.request_bytes.tolist()) == ([7, 9], [3, 5])
    assert [tuple(error) for error in taken.errors] == [(1, "reset", "gone", 1, None)]
    assert (taken.scenarios, taken.dropped.tolist()) == (("shop",), [3])


def test_nothing_measured_is_false() -> None:
    """Measurements are true if a request or a dropped iteration was counted."""
    counts = accumulator()
    assert not counts.take()
    counts.add_dropped(0, 1)
    assert counts.take()
