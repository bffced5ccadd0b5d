"""The end of a turn, and the work that it lets run."""

from statistics import median
from time import perf_counter

import gevent
import pytest

from loadtest.measuring.turn import LONGEST_REST_S, REST, Turns, end_turn, sleep, wait_for_any
from tests.event_loop import looks_at_sockets

TURNS = 20


def test_the_end_of_a_turn_lets_others_run_and_what_has_arrived_be_read() -> None:
    """After each of many turns, the sockets are polled and other greenlets get a turn, without a pause."""
    others = 0

    def other() -> None:
        nonlocal others
        while True:
            others += 1
            end_turn()

    def work() -> tuple[int, int]:
        for _ in range(TURNS):
            end_turn()
        return len(looks), others

    beside = gevent.spawn(other)
    with looks_at_sockets() as looks:
        seen, turns = gevent.spawn(work).get(timeout=10)
    beside.kill()
    assert seen >= TURNS - 1
    assert turns >= TURNS - 1


def test_all_else_has_a_multiple_of_the_time_of_a_turn_and_no_more_than_a_limit() -> None:
    """The pause after a turn grows with it, so that work due meanwhile is not started between further turns."""

    def pause_s(turn_s: float) -> float:
        turns, until_s = Turns(), perf_counter() + turn_s
        while perf_counter() < until_s:
            pass
        began_s = perf_counter()
        turns.end()
        return perf_counter() - began_s

    assert pause_s(0.002) >= REST * 0.002
    assert LONGEST_REST_S <= median(pause_s(0.1) for _ in range(5)) < REST * 0.1


def test_a_turn_begins_when_the_one_before_has_ended() -> None:
    """The pause is not counted as part of the next turn."""
    turns, began_s = Turns(), perf_counter()
    while perf_counter() < began_s + 0.003:
        pass
    pauses_s = []
    for _ in range(9):
        began_s = perf_counter()
        turns.end()
        pauses_s.append(perf_counter() - began_s)
    assert median(pauses_s[1:]) < pauses_s[0]


def test_a_sleep_takes_its_time() -> None:
    """Its time counts from the call, not from the event loop's last update of its clock."""
    work_until_s = perf_counter() + 0.05
    while perf_counter() < work_until_s:
        pass
    began_s = perf_counter()
    sleep(0.03)
    assert 0.03 <= perf_counter() - began_s < 0.5


def test_what_ends_a_wait_leaves_nothing_that_wakes_its_greenlet_later() -> None:
    """One of several watchers ends the wait; a later one, or one of an aborted wait, would end the next."""
    loop, waits_s = gevent.get_hub().loop, []

    def wait_twice() -> None:
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
            sleep(0.05)
        for soon_s, later_s in ((0.01, 0.03), (0.1, 0.2)):
            began_s = perf_counter()
            loop.update_now()
            wait_for_any(loop.timer(later_s), loop.timer(soon_s))
            waits_s.append(perf_counter() - began_s)

    gevent.spawn(wait_twice).get(timeout=10)
    assert 0.01 <= waits_s[0] < 0.03
    assert 0.1 <= waits_s[1] < 0.2
