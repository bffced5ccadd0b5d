"""The protocol between worker and master, against the ground truth."""

import itertools
import random
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadtest.measuring.collector import Collector
from loadtest.measuring.delivery import WINDOW, Account, Acknowledgement, Ledger, Outbox, Reporter
from loadtest.measuring.health import Health
from loadtest.measuring.histogram import Histogram
from loadtest.measuring.measurements import Accumulator, ExceptionCount
from loadtest.measuring.packed import PackedMeasurements
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.wire import Delta


def delta(sequence: int, *, run: str = "run", final: bool = False) -> Delta:
    """An empty delta of the second before ``sequence``."""
    return Delta(
        run, sequence, sequence - 1.0, float(sequence), final, {}, Health(), PackedMeasurements.of(Accumulator().take())
    )


class SimulatedWorker:
    """A worker process, and the truth about its samples."""

    def __init__(self, name: str, truth: dict) -> None:
        """Create a process that has not begun a run."""
        self.name = name
        self.truth = truth
        self.recorder = Recorder()
        self.outbox = Outbox()
        self.reporter = Reporter(self.recorder, self.outbox, lambda: {"s": 1}, Health)
        self.uncut: list[float] = []

    def record(self, duration_s: float, series: str) -> None:
        """Finish a request."""
        sent = 1000.0
        self.recorder.series("s", "GET", series).success(sent, sent, sent + duration_s, 1)
        self.uncut.append((sent + duration_s) - sent)

    def cut(self, now_s: float, *, final: bool = False) -> list[bytes]:
        """Cut a delta and note its expected content."""
        data = self.reporter.finish(now_s) if final else self.reporter.cut(now_s)
        for one in data:
            read = Delta.from_bytes(one)
            self.truth[self.name, read.run, read.sequence] = self.uncut
            self.uncut = []
        return data


class World:
    """Workers, a master, and a network that loses, repeats and reorders messages."""

    def __init__(self, seed: int, workers: int) -> None:
        """Start all parts, and begin a run."""
        self.random = random.Random(seed)
        self.clock = itertools.count(1)
        self.boots = itertools.count()
        self.runs = itertools.count()
        self.truth: dict[tuple[str, str, int], list[float]] = {}
        self.to_master: list[tuple[str, bytes]] = []
        self.to_worker: list[tuple[str, Acknowledgement]] = []
        self.collector = Collector()
        self.workers: list[SimulatedWorker] = []
        for _ in range(workers):
            self.boot()
        self.begin()

    def boot(self) -> None:
        """Start and connect a worker process."""
        worker = SimulatedWorker(f"worker-{next(self.boots)}", self.truth)
        self.workers.append(worker)
        self.collector.join(worker.name, "running", float(next(self.clock)))

    def begin(self) -> None:
        """Begin a run on the master."""
        now_s = float(next(self.clock))
        self.run = f"run-{next(self.runs)}"
        self.collector.begin(RunRecord(self.run, 0.0), now_s)
        for worker in self.workers:
            worker.reporter.begin(self.run, now_s)
            worker.uncut = []

    def step(self, action: str) -> None:
        """Do one random thing, if possible."""
        happens = getattr(self, action.replace(" ", "_"))
        if "message" in action and not self.to_master:
            return
        happens(self.random.choice(self.workers), float(next(self.clock)))

    def record(self, worker: SimulatedWorker, _now_s: float) -> None:
        """Finish some requests."""
        for _ in range(self.random.randrange(1, 5)):
            worker.record(self.random.uniform(1e-5, 2.0), self.random.choice("abc"))

    def cut(self, worker: SimulatedWorker, now_s: float) -> None:
        """End a second."""
        self.send(worker, worker.cut(now_s))

    def resend(self, worker: SimulatedWorker, now_s: float) -> None:
        """Let a worker resend unacknowledged deltas."""
        self.send(worker, worker.outbox.due(now_s, resend_after_s=0.0))

    def deliver_message(self, *_: object) -> None:
        """Deliver any message."""
        self.deliver(self.random.randrange(len(self.to_master)))

    def lose_message(self, *_: object) -> None:
        """Lose any message."""
        self.to_master.pop(self.random.randrange(len(self.to_master)))

    def repeat_message(self, *_: object) -> None:
        """Duplicate any message."""
        self.to_master.append(self.random.choice(self.to_master))

    def corrupt_message(self, *_: object) -> None:
        """Flip a bit of a message."""
        name, data = self.to_master.pop()
        at = self.random.randrange(len(data))
        self.to_master.append((name, data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]))

    def take_acknowledgement(self, *_: object) -> None:
        """Deliver any acknowledgement."""
        if self.to_worker:
            self.acknowledge(self.to_worker.pop(self.random.randrange(len(self.to_worker))))

    def flush(self, *_: object) -> None:
        """End the master's second."""
        self.collector.flush()

    def kill_worker(self, worker: SimulatedWorker, now_s: float) -> None:
        """Kill a worker, and start another process in its place."""
        self.workers.remove(worker)
        self.collector.leave([one.name for one in self.workers], now_s)
        self.boot()
        self.workers[-1].reporter.begin(self.run, now_s)

    def restart_master(self, _worker: SimulatedWorker, now_s: float) -> None:
        """Kill the master; start another one, which begins another run."""
        self.collector = Collector()
        for one in self.workers:
            self.collector.join(one.name, "running", now_s)
        self.begin()

    def send(self, worker: SimulatedWorker, deltas: list[bytes]) -> None:
        """Put deltas on the network."""
        self.to_master.extend((worker.name, data) for data in deltas)

    def deliver(self, at: int) -> None:
        """Deliver one message to the master."""
        name, data = self.to_master.pop(at)
        acknowledgement = self.collector.take(name, data, 0.0)
        if acknowledgement is not None:
            self.to_worker.append((name, acknowledgement))

    def acknowledge(self, message: tuple[str, Acknowledgement]) -> None:
        """Deliver one acknowledgement to its worker, if that is still running."""
        for worker in self.workers:
            if worker.name == message[0]:
                worker.outbox.acknowledge(message[1])

    def drain(self) -> RunRecord:
        """End the run, over a network that works again."""
        for worker in self.workers:
            self.send(worker, worker.cut(float(next(self.clock)), final=True))
        for _ in range(100):
            while self.to_master:
                self.deliver(0)
            while self.to_worker:
                self.acknowledge(self.to_worker.pop(0))
            if not any(len(worker.outbox) for worker in self.workers):
                break
            for worker in self.workers:
                self.send(worker, worker.outbox.due(1e9, resend_after_s=0.0))
        assert not any(len(worker.outbox) for worker in self.workers)
        assert self.collector.ledger.all_final(
            [worker.name for worker in self.workers], {worker.name: 0 for worker in self.workers}
        )
        self.collector.end()
        assert self.collector.record is not None
        return self.collector.record


network = (
    "record",
    "record",
    "cut",
    "resend",
    "deliver message",
    "deliver message",
    "lose message",
    "repeat message",
    "corrupt message",
    "take acknowledgement",
    "flush",
)


def samples(truth: dict, run: str) -> list[float]:
    """Every sample that was put into a delta in a run."""
    return [value for (_, of_run, _), values in truth.items() if of_run == run for value in values]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 3), st.lists(st.sampled_from(network), max_size=150))
def test_nothing_is_lost_or_counted_twice_on_a_bad_network(seed: int, workers: int, actions: list[str]) -> None:
    """Through loss, repetition, reordering and damage, the record has exactly the workers' samples."""
    world = World(seed, workers)
    for action in actions:
        world.step(action)
    record = world.drain()
    truth = samples(world.truth, world.run)
    assert len(truth) == record.requests == record.total().response_bytes == world.collector.totals.requests
    assert Histogram.of(truth) == record.total().response_time == world.collector.totals.total().response_time
    assert record.completeness == 1.0
    assert record.delivery.missing == ()
    assert len(truth) == sum(point.requests for point in record.timeline)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.integers(1, 3),
    st.lists(st.sampled_from((*network, "kill worker", "restart master")), max_size=150),
)
def test_restarts_lose_only_what_the_record_says(seed: int, workers: int, actions: list[str]) -> None:
    """When workers or the master are killed, the record has exactly the deltas that its books list."""
    world = World(seed, workers)
    for action in actions:
        world.step(action)
    record = world.drain()
    held: list[float] = []
    made: dict[str, int] = defaultdict(int)
    for (name, run, sequence), values in world.truth.items():
        if run == world.run:
            made[name] = max(made[name], sequence)
            account = world.collector.ledger.accounts.get(name)
            if account is not None and (sequence <= account.upto or sequence in account.beyond):
                held.extend(values)
    assert record.requests == len(held)
    assert record.total().response_time == Histogram.of(held)
    living = {worker.name for worker in world.workers}
    accounts = world.collector.ledger.accounts
    assert {name: accounts[name].held for name in living} == {name: made[name] for name in living}
    whole = all(name in living for name in accounts)
    assert whole == (record.completeness == 1.0) == (not record.delivery.missing)


def test_a_full_window_holds_deltas_back_and_loses_nothing() -> None:
    """While nothing is acknowledged, a worker's memory is bounded, and samples wait for the next delta."""
    truth: dict = {}
    worker = SimulatedWorker("w", truth)
    worker.reporter.begin("run", 0.0)
    for second in range(1, WINDOW + 50):
        worker.record(0.5, "a")
        worker.cut(float(second))
    assert len(worker.outbox) == WINDOW
    assert not worker.outbox.has_room()
    last = Delta.from_bytes(worker.cut(500.0, final=True)[0])
    assert last.packed.unpacked().requests.sum() == 49
    assert (last.start_s, last.end_s) == (float(WINDOW), 500.0)


def test_the_outbox_sends_again_what_is_not_acknowledged() -> None:
    """A delta is due again after its timeout, until it is acknowledged, even beyond a gap."""
    outbox = Outbox()
    data = {sequence: outbox.put(delta(sequence), 0.0) for sequence in (1, 2, 3)}
    assert outbox.due(7.9) == []
    assert outbox.due(8.0) == list(data.values())
    assert outbox.due(9.0) == []
    outbox.acknowledge(Acknowledgement("run", 1, (3,)))
    assert outbox.due(100.0) == [data[2]]
    outbox.acknowledge(Acknowledgement("another run", 9))
    assert len(outbox) == 1
    outbox.acknowledge(Acknowledgement("run", 0, refused=True))
    assert len(outbox) == 0


def test_a_missing_delta_is_named_with_its_interval() -> None:
    """A gap has the number of missing deltas, and their start and end."""
    ledger = Ledger("run")
    ledger.expect("w", 3, 0.0)
    for one in (delta(1), delta(2), delta(5, final=True)):
        assert ledger.take("w", one, offset_s=10.0)
    account, gap = next(iter(ledger.gaps()))
    assert (account.index, gap.deltas, gap.start_s, gap.end_s) == (3, 2, 12.0, 14.0)
    assert ledger.completeness() == 3 / 5
    assert not ledger.all_final(["w"], {"w": 0})


def test_a_worker_that_dies_misses_one_interval() -> None:
    """Without a final delta one interval is missing, from the end of the last one, once the worker is dead."""
    ledger = Ledger("run")
    ledger.expect("w", 0, 0.0)
    for sequence in (1, 2, 3):
        ledger.take("w", delta(sequence), 0.0)
    assert ledger.completeness(alive={"w"}) == 1.0
    assert ledger.completeness() == 0.75
    assert [tuple(gap) for _, gap in ledger.gaps()] == [(1, 3.0, None)]


def test_a_worker_that_was_never_heard_of_misses_its_first_interval() -> None:
    """A worker that took part but sent nothing makes the record incomplete."""
    ledger = Ledger("run")
    ledger.expect("w", 0, 5.0)
    assert ledger.completeness() == 0.0
    assert [tuple(gap) for _, gap in ledger.gaps()] == [(1, 5.0, None)]


def test_a_delta_is_booked_once() -> None:
    """A repeated number is refused, in order or out of it, and counted as repeated."""
    account = Account(0, 0.0)
    assert [account.take(delta(n), 0.0) for n in (1, 3, 3, 2, 1)] == [True, True, False, True, False]
    assert (account.upto, account.repeated) == (3, 2)


@pytest.mark.parametrize("case", ["unknown worker", "another run", "closed"])
def test_the_books_refuse_what_is_not_theirs(case: str) -> None:
    """Deltas of unknown workers, of other runs, and after the end are refused."""
    ledger = Ledger("run")
    ledger.expect("w", 0, 0.0)
    ledger.closed = case == "closed"
    taken = ledger.take(
        "stranger" if case == "unknown worker" else "w",
        delta(1, run="other" if case == "another run" else "run"),
        0.0,
    )
    assert not taken
    assert ledger.acknowledgement("w").refused == ledger.closed
    assert ledger.acknowledgement("stranger").refused


def test_acknowledgements_are_few() -> None:
    """A delta is acknowledged with the next heartbeat; a final or repeated one immediately."""
    collector = Collector()
    collector.join("w", "running", 0.0)
    assert collector.acknowledgement("w") is None
    collector.begin(RunRecord("run", 0.0), 0.0)
    assert [collector.take("w", delta(n).to_bytes(), 0.0) for n in range(1, 6)] == [None] * 5
    assert collector.acknowledgement("w") == Acknowledgement("run", 5)
    assert collector.take("w", delta(2).to_bytes(), 0.0) == Acknowledgement("run", 5)
    assert collector.take("w", delta(6, final=True).to_bytes(), 0.0) == Acknowledgement("run", 6)
    collector.end()
    assert collector.acknowledgement("w") is None


def test_a_worker_of_which_nothing_came_yet_is_waited_for() -> None:
    """The final deltas are not complete while a worker that has just joined has sent none."""
    ledger = Ledger("run")
    ledger.expect("early", 0, 0.0)
    assert ledger.take("early", delta(1, final=True), 0.0)
    asked = {"early": 0, "late": ledger.highest("late")}
    assert ledger.all_final(["early"], asked)
    assert not ledger.all_final(["early", "late"], asked)


def test_a_last_delta_from_before_is_no_answer() -> None:
    """A worker that stopped on its own and continued must report its end again."""
    ledger = Ledger("run")
    ledger.expect("w", 0, 0.0)
    ledger.take("w", delta(1), 0.0)
    ledger.take("w", delta(2, final=True), 0.0)
    asked = {"w": ledger.highest("w")}
    assert not ledger.all_final(["w"], asked)
    ledger.take("w", delta(4, final=True), 0.0)
    assert not ledger.all_final(["w"], asked)
    ledger.take("w", delta(3), 0.0)
    assert ledger.all_final(["w"], asked)


def test_what_a_listener_raised_before_a_run_belongs_to_it() -> None:
    """init and test_start are called before the run begins on a worker; exceptions outside of a run are not judged."""
    raised: list[ExceptionCount] = []

    def take() -> list[ExceptionCount]:
        taken, raised[:] = raised.copy(), []
        return taken

    reporter = Reporter(Recorder(), Outbox(), dict, Health, raised=take)
    raised.append(ExceptionCount("listeners", "KeyError", "token", "lie.py:1 in prepare", False, 1))
    assert reporter.cut(1.0) == reporter.finish(1.5) == reporter.begin("run", 2.0) == []
    [data] = reporter.cut(3.0)
    delta = Delta.from_bytes(data)
    assert (delta.run, [one.message for one in delta.packed.exceptions]) == ("run", ["token"])


def test_health_is_taken_once_for_each_delta_in_advance_or_not() -> None:
    """Observations are sent with the next delta only, and never in another run."""
    taken = itertools.count(1)
    reporter = Reporter(Recorder(), Outbox(), dict, lambda: Health(cpu_ratio=float(next(taken))))

    def ratios(data: list[bytes]) -> list[float]:
        return [Delta.from_bytes(one).health.cpu_ratio for one in data]

    reporter.observe()  # outside a run: nothing
    reporter.begin("run", 0.0)
    reporter.observe()
    assert ratios(reporter.cut(1.0)) == [2.0]
    assert ratios(reporter.cut(2.0)) == [3.0]
    reporter.observe()
    reporter.begin("next", 3.0)
    assert ratios(reporter.cut(4.0)) == [6.0]


def test_health_goes_on_while_no_delta_can_be_cut() -> None:
    """While the window of unacknowledged deltas is full, its seconds are added to the health of the next delta."""
    taken = itertools.count(1)
    outbox = Outbox()
    reporter = Reporter(Recorder(), outbox, dict, lambda: Health(cpu_ratio=float(next(taken))))
    reporter.begin("run", 0.0)
    for second in range(1, WINDOW + 3):
        reporter.observe()
        reporter.cut(float(second))
    assert not outbox.has_room()
    assert next(taken) == WINDOW + 2
