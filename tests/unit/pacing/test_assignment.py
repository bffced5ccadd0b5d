"""Assignments: every arrival is started once, whatever the workers do."""

import math

import msgpack
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loadtest.pacing.arrivals import Arrivals, Share
from loadtest.pacing.assignment import ArrivalAllocator, Assignment, Portion, Schedule
from loadtest.pacing.pacer import Agenda
from loadtest.profiles.curve import LoadCurve, Stage

RATE_PER_S = 100.0
RUN_S = 30.0
LEAD_S = 0.25


def schedule(rate_per_s: float = RATE_PER_S, origin_s: float = 1000.0, spacing: str = "even") -> Schedule:
    """Return a constant rate from an instant on."""
    return Schedule(Arrivals(LoadCurve.of([Stage(RUN_S, rate_per_s, "step")]), spacing, 3), origin_s)


class SimulatedWorker:
    """Starts the arrivals of its agenda up to a given instant."""

    def __init__(self, offset_s: float = 0.0) -> None:
        self.offset_s = offset_s
        self.agenda = Agenda(lambda: offset_s)
        self.started: list[float] = []

    def work_until(self, master_s: float) -> None:
        """Start everything due before an instant of the master's clock, in order of time."""
        agenda = self.agenda
        while agenda.position < len(agenda.ready) or agenda.refill():
            if agenda.position == 0:
                assert agenda.ready == sorted((agenda.master_s - self.offset_s).tolist())
            intended_s = float(agenda.master_s[agenda.position])
            if intended_s >= master_s:
                return
            agenda.position += 1
            self.started.append(intended_s)


EVENTS = st.lists(
    st.tuples(st.floats(0.3, 4.0), st.sampled_from(["join", "die", "leave", "give up"]), st.integers(0, 10)),
    max_size=8,
)


@settings(deadline=None, max_examples=60)
@given(EVENTS, st.sampled_from(["even", "poisson"]))
@example([(0.355, "join", 0)], "even")  # the change-over coincides exactly with an arrival
def test_every_arrival_is_started_once(events: list[tuple[float, str, int]], spacing: str) -> None:
    """Workers join, die, leave and are given up; every arrival of the schedule is started by exactly one of them.

    Each worker's clock has a different offset. A worker that is given up keeps its assignment.
    """
    whole = schedule(spacing=spacing)
    allocator = ArrivalAllocator(whole)
    workers = {f"worker {number}": SimulatedWorker(offset_s=number * 17.5) for number in range(2)}
    present = list(workers)
    finished: list[SimulatedWorker] = []

    def tell(assignments: dict[str, Assignment]) -> None:
        for name, assignment in assignments.items():
            workers[name].agenda.take(Assignment.from_wire(msgpack.unpackb(msgpack.packb(assignment.to_wire()))))

    tell(allocator.assign(present, 1000.0))
    now_s = 1000.0
    for wait_s, event, choice in events:
        now_s += wait_s
        for worker in workers.values():
            worker.work_until(now_s)
        ended_s = {}
        if event == "join":
            name = f"worker {len(workers) + len(finished)}"
            workers[name] = SimulatedWorker(offset_s=len(workers) * -3.25)
            present.append(name)
        elif len(present) > 1:
            name = present.pop(choice % len(present))
            if event != "give up":
                ended_s = {name: now_s}
                finished.append(workers.pop(name))
        tell(allocator.assign(present, now_s + LEAD_S, ended_s))
    for worker in workers.values():
        worker.work_until(math.inf)
    started = np.sort([start for worker in [*workers.values(), *finished] for start in worker.started])
    expected = np.concatenate(list(Portion(whole, Share(0, 1), -math.inf).times()))
    assert len(started) == len(expected)
    assert np.allclose(expected, started, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.5, 5), st.floats(10, 300))
def test_a_changed_rate_holds_from_its_instant(at_s: float, rate_per_s: float) -> None:
    """Before the instant the old rate's arrivals are started, from then on the new one's, by all workers together."""
    before, from_s = schedule(), 1000.0 + at_s
    allocator = ArrivalAllocator(before)
    workers = {name: SimulatedWorker() for name in "abc"}
    for name, assignment in allocator.assign(workers, 1000.0).items():
        workers[name].agenda.take(assignment)
    after = allocator.schedule = schedule(rate_per_s, from_s)
    for name, assignment in allocator.assign(workers, from_s).items():
        workers[name].agenda.take(assignment)
        workers[name].work_until(math.inf)
    started = np.sort([start for worker in workers.values() for start in worker.started])
    expected = np.concatenate(
        [*Portion(before, Share(0, 1), 0, from_s).times(), *Portion(after, Share(0, 1), 0).times()]
    )
    assert np.allclose(expected, started, rtol=0, atol=1e-6)


def test_a_worker_that_is_out_is_reported() -> None:
    """A running worker that is left out gets an empty assignment from that instant on."""
    allocator = ArrivalAllocator(schedule())
    allocator.assign(["a", "b"], 1000.0)
    assignments = allocator.assign(["b"], 1005.0)
    assert (assignments["a"].own, assignments["b"].own.share) == (None, Share(0, 1))


def test_a_second_loss_passes_on_what_was_inherited() -> None:
    """The arrivals of a lost worker include those it had inherited from another one."""
    whole = schedule()
    allocator = ArrivalAllocator(whole)
    survivor = SimulatedWorker()
    first = allocator.assign(["a", "b", "c"], 1000.0)["c"]
    survivor.agenda.take(first)
    survivor.work_until(1010.0)
    survivor.agenda.take(allocator.assign(["b", "c"], 1010.25, {"a": 1010.0})["c"])
    survivor.agenda.take(allocator.assign(["c"], 1010.35, {"b": 1010.1})["c"])
    survivor.work_until(math.inf)
    expected = np.concatenate(list(Portion(whole, Share(0, 1), 1010.1).times()))
    assert np.allclose(expected, sorted(start for start in survivor.started if start >= 1010.1), rtol=0, atol=1e-6)


def test_what_was_due_is_counted_when_an_agenda_is_given_up() -> None:
    """Giving up an agenda returns how many starts were due, however many cells they span."""
    agenda = Agenda(lambda: 0.0)
    agenda.take(ArrivalAllocator(schedule(rate_per_s=1000.0)).assign(["a"], 1000.0)["a"])
    agenda.refill()
    agenda.position = 100
    assert (agenda.clear_due(1010.0), agenda.refill()) == (9900, False)
