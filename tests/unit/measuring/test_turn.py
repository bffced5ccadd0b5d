"""What a turn's end lets run."""

import gevent

from loadtest.measuring.turn import end_turn
from tests.event_loop import looks_at_sockets

TURNS = 20


def test_the_end_of_a_turn_lets_others_run_and_what_has_arrived_be_read() -> None:
    """After each of many turns there is a look at the sockets, a turn of the others, and no pause."""
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
