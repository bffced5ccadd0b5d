"""The turns of the loop that folds and reports."""

from itertools import islice

import gevent

from loadtest.measuring.recorder import Recorder
from loadtest.swarm.loops import seconds
from tests.event_loop import looks_at_sockets


def test_health_is_read_in_a_turn_of_its_own() -> None:
    """Between folding and reading it, and between reading it and the report, there is a look at the sockets."""
    seen: list[tuple[str, int]] = []

    class Observer:
        def observe(self) -> None:
            seen.append(("observed", len(looks)))

    class Folding(Recorder):
        def fold(self) -> None:
            seen.append(("folded", len(looks)))

    def work() -> None:
        loop = seconds(Folding(), Observer())
        next(second for second in loop if second is not None)
        seen.append(("reports", len(looks)))

    with looks_at_sockets() as looks:
        gevent.spawn(work).get(timeout=10)
    steps, counts = zip(*seen, strict=True)
    assert steps == ("folded", "observed", "reports")
    assert all(one < next_one for one, next_one in zip(counts, islice(counts, 1, None), strict=False))
