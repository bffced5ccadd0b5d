"""One timer for the deadlines of all connections."""

from time import perf_counter

import gevent
import pytest

from loadtest.clients.transport.deadlines import FOREVER_S, DeadlineExpired, DeadlineSweeper


class _Waiting:
    """A connection with a waiter and a deadline."""

    def __init__(self, timeout_s: float) -> None:
        self.deadline_s = perf_counter() + timeout_s
        self.waiter = gevent.getcurrent()


@pytest.fixture
def sweeper():
    """A separate sweeper, for short timeouts."""
    sweeper = DeadlineSweeper(gevent.get_hub())
    sweeper.allow_for(0.1)
    return sweeper


def test_a_passed_deadline_wakes_its_waiter_a_little_late_and_never_early(sweeper):
    """The waiting greenlet gets DeadlineExpired within a twentieth of the shortest timeout, and waits no longer."""
    waiting = _Waiting(0.1)
    sweeper.add(waiting)
    with pytest.raises(DeadlineExpired), gevent.Timeout(2):
        gevent.get_hub().switch()
    assert waiting.deadline_s <= perf_counter()
    assert waiting.waiter is None
    sweeper.discard(waiting)


def test_only_a_waiter_whose_deadline_has_passed_is_woken(sweeper):
    """A deadline without a waiter, one in the future and one that was cancelled wake no greenlet."""
    idle, early, gone = _Waiting(-1), _Waiting(FOREVER_S), _Waiting(-1)
    idle.waiter = None
    for each in (idle, early, gone):
        sweeper.add(each)
    sweeper.discard(gone)
    gevent.sleep(0.03)
    assert early.waiter is gone.waiter is gevent.getcurrent()
    assert sweeper.watched == {idle, early}
    sweeper.watched.clear()


def test_the_period_follows_the_shortest_timeout_within_limits():
    """A twentieth of the shortest timeout, at least 5 ms and at most 1 s."""
    sweeper = DeadlineSweeper(gevent.get_hub())
    periods = []
    for timeout_s in (FOREVER_S, 60.0, 2.0, 10.0, 0.001):
        sweeper.allow_for(timeout_s)
        periods.append(sweeper.period_s)
    assert periods == [1.0, 1.0, 0.1, 0.1, 0.005]
