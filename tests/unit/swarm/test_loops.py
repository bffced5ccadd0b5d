"""The turns of the loop that folds samples and sends reports."""

from itertools import islice

import gevent
import pytest
from locust.env import Environment

from loadtest.measuring.recorder import Recorder
from loadtest.swarm.loops import seconds
from tests.event_loop import looks_at_sockets
from tests.swarms import record_keeper


def test_health_is_read_in_a_turn_of_its_own() -> None:
    """The sockets are polled between folding and reading health, and between reading it and the report."""
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


def test_a_process_that_runs_alone_keeps_its_record_in_a_turn_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is worker and master in one: the sockets are polled between cutting a second and adding it up."""
    environment = Environment()
    runner = environment.create_local_runner()
    keeper = record_keeper(environment)
    seen: list[tuple[str, int]] = []
    for step in ("_deliver", "_tick"):
        was = getattr(keeper, step)
        monkeypatch.setattr(
            keeper, step, lambda *given, step=step, was=was: (was(*given), seen.append((step, len(looks))))
        )
    try:
        with looks_at_sockets() as looks:
            gevent.sleep(2.2)
    finally:
        environment.events.quitting.fire(environment=environment, reverse=True)
        runner.quit()
    delivered = next(index for index, (step, _) in enumerate(seen) if step == "_deliver")
    (cut, before), (added, after) = seen[delivered : delivered + 2]
    assert (cut, added) == ("_deliver", "_tick")
    assert before < after
