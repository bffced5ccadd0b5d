"""Iterations are started at their intended times."""

import time

import gevent
import pytest

from loadtest.pacing.arrivals import Arrivals, Share
from loadtest.pacing.assignment import Assignment, Portion, Schedule
from loadtest.pacing.pacer import STOP_S, Pacer
from loadtest.profiles.curve import LoadCurve, Stage
from tests.link_peers import eventually


def assignment_of(rate_per_s: float, duration_s: float, from_s: float) -> Assignment:
    """Return an assignment of a whole constant rate."""
    schedule = Schedule(Arrivals(LoadCurve.of([Stage(duration_s, rate_per_s, "step")])), from_s)
    return Assignment(1, from_s, Portion(schedule, Share(0, 1), from_s))


def test_starts_are_made_at_their_times() -> None:
    """A pacer makes its assignment's starts in order, without omission, never early, and each as soon as possible."""
    began: list[tuple[float, float]] = []
    pacer = Pacer(lambda intended_s: began.append((intended_s, time.perf_counter())), lambda: 0.0)
    from_s = time.perf_counter() + 0.05
    pacer.take(assignment_of(500, 60, from_s))
    eventually(lambda: sum(at_s - intended_s < 0.0005 for intended_s, at_s in began) >= 25, within_s=50)
    pacer.stop()
    pacer.close()
    starts = [intended_s for intended_s, _ in began]
    assert [from_s + (number + 0.5) / 500 for number in range(len(began))] == pytest.approx(starts, rel=0, abs=1e-6)
    assert min(at_s - intended_s for intended_s, at_s in began) >= 0
    assert pacer.is_idle


def test_a_late_pacer_makes_every_start() -> None:
    """Starts that became due while the process was busy are made late, none omitted."""
    began: list[float] = []
    pacer = Pacer(began.append, lambda: 0.0)
    pacer.take(assignment_of(10_000, 0.2, time.perf_counter()))
    time_s = time.perf_counter() + 0.1
    while time.perf_counter() < time_s:
        pass
    eventually(lambda: pacer.is_idle)
    pacer.close()
    assert len(began) == 2000


def test_the_network_is_served_between_late_starts() -> None:
    """A pacer that has much to catch up with yields to the event loop again and again."""
    turns = [0]
    pacer = Pacer(lambda _: None, lambda: 0.0)

    def count() -> None:
        turns[0] += 1

    watcher = gevent.get_hub().loop.check()
    watcher.start(count)
    pacer.take(assignment_of(100_000, 1, time.perf_counter() - 1))
    while not pacer.is_idle:
        gevent.sleep(0.001)
    watcher.stop()
    watcher.close()
    pacer.close()
    assert turns[0] > 1000


def test_a_stopped_pacer_says_what_was_due() -> None:
    """Stopping returns how many starts were due before the stop but not made; nothing is started afterwards."""
    began: list[float] = []
    pacer = Pacer(began.append, lambda: 0.0)
    from_s = time.perf_counter() - 2
    pacer.take(assignment_of(1000, 10, from_s))
    least = int((time.perf_counter() - STOP_S - from_s) * 1000)
    due = pacer.stop()
    most = int((time.perf_counter() - STOP_S - from_s) * 1000)
    gevent.sleep(0.02)
    pacer.close()
    assert began == []
    assert 1500 <= least <= due <= most + 1


def test_a_start_may_stop_the_pacer() -> None:
    """An iteration that ends the run is started, and does not count as due and not made."""
    due: list[int] = []
    pacer = Pacer(lambda _: due.append(pacer.stop()), lambda: 0.0)
    pacer.take(assignment_of(1000, 0.01, time.perf_counter() - 2))
    eventually(lambda: due)
    gevent.sleep(0.02)
    pacer.close()
    assert due == [9]
