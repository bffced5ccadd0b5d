"""The feeder's protocol: whatever happens to messages and workers, no item is used twice or lost."""

from collections import Counter, deque
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.feeding.allocator import LEASE_S, MAX_BYTES, MAX_ITEMS, BatchAllocator, BatchRequest
from loadtest.feeding.held_batches import HeldBatches
from loadtest.feeding.packed_items import PackedItems
from loadtest.feeding.policies import Order

KEEP_ALIVE_S = 0.5


@dataclass
class Worker:
    """A worker and its link to the master: messages arrive in order, unless the link is cut and they are lost."""

    name: str
    held: HeldBatches = field(default_factory=HeldBatches)
    to_master: deque = field(default_factory=deque)
    to_worker: deque = field(default_factory=deque)
    cut: bool = False
    dead: bool = False
    stopped: bool = False


class World:
    """A master, workers, and their clock."""

    def __init__(self, items: int, policy: str) -> None:
        """Start without workers."""
        self.allocator = BatchAllocator(Order(range(items), policy))
        self.workers: list[Worker] = []
        self.now_s = 100.0
        self.used: list[int] = []

    def join(self) -> None:
        """Add a worker."""
        self.workers.append(Worker(f"worker-{len(self.workers)}"))
        self.allocator.workers = len(self.workers)
        self.say(self.workers[-1])

    def say(self, worker: Worker, request: BatchRequest | None = None) -> None:
        """Send a worker's pending messages."""
        request = request or worker.held.request(self.now_s)
        if not worker.cut:
            worker.to_master.append((request, self.now_s))

    def use(self, worker: Worker, count: int) -> None:
        """Let the users of a living worker take items, as Feeder does: they claim before they use."""
        for _ in range(count):
            if worker.dead or worker.stopped or not worker.held.has(self.now_s):
                return
            if len(worker.held.items) <= worker.held.alert:
                self.say(worker)
            assert worker.held.may_use(self.now_s)
            self.used.append(worker.held.items.popleft())

    def deliver(self, worker: Worker) -> None:
        """Deliver messages in transit; a killed worker's arrive too, as the kernel sends what it has accepted."""
        while worker.to_master:
            request, sent_s = worker.to_master.popleft()
            batch = self.allocator.allocate(worker.name, request, self.now_s)
            if not worker.cut and not worker.dead and not request.leaving:
                worker.to_worker.append((batch, sent_s))
        if not worker.stopped:
            while worker.to_worker:
                worker.held.receive(*worker.to_worker.popleft())

    def cut(self, worker: Worker) -> None:
        """Cut the link, which loses the messages in transit and all later ones."""
        worker.cut = True
        worker.to_master.clear()
        worker.to_worker.clear()

    def pass_time(self, seconds: float) -> None:
        """Advance the clock; workers stay in contact, and the master looks for lost ones."""
        self.now_s += seconds
        for worker in self.workers:
            if worker.dead:
                self.deliver(worker)
            elif not worker.stopped:
                self.say(worker)
        self.allocator.expire_leases(self.now_s, lambda name: not next(w for w in self.workers if w.name == name).dead)

    def leave(self, worker: Worker) -> None:
        """Let a worker leave gracefully: the master learns what it used."""
        if worker.dead or worker.cut or worker.stopped:
            return
        self.say(worker, worker.held.leave())
        self.deliver(worker)
        worker.dead = True

    def afflict(self, worker: Worker, action: str) -> None:
        """Let something happen to a worker."""
        if action == "kill" and not worker.cut:
            worker.dead = True
        elif action == "cut" and not worker.dead:
            self.cut(worker)
        elif action == "mend" and worker.cut:
            worker.cut = False
            if not worker.stopped:
                self.say(worker)  # lost messages are sent again before anything else may happen
        elif action in ("stop", "go"):
            worker.stopped = action == "stop"
        elif action == "leave":
            self.leave(worker)

    def heal(self) -> None:
        """Restore links and stopped workers, and let the remaining workers use up the items."""
        for worker in self.workers:
            worker.cut = worker.stopped = False
        if all(worker.dead for worker in self.workers):
            self.join()
        for _ in range(400):
            for worker in self.workers:
                self.deliver(worker)
                self.use(worker, 50)
            self.pass_time(KEEP_ALIVE_S)
            for worker in self.workers:
                self.deliver(worker)
            if self.allocator.is_used_up:
                return
        raise AssertionError("it never ended")


ACTIONS = (
    "join",
    "use",
    "use",
    "use",
    "deliver",
    "deliver",
    "pass",
    "wait",
    "kill",
    "cut",
    "mend",
    "stop",
    "go",
    "leave",
)
STEPS = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 5), st.integers(1, 40)), max_size=60)


def play(world: World, steps: list[tuple[str, int, int]]) -> None:
    """Play random events."""
    world.join()
    for action, chosen, amount in steps:
        worker = world.workers[chosen % len(world.workers)]
        if action == "join" and len(world.workers) < 6:
            world.join()
        elif action == "use":
            world.use(worker, amount)
        elif action == "deliver":
            world.deliver(worker)
        elif action == "pass":
            world.pass_time(amount / 100)
        elif action == "wait":
            world.pass_time(amount / 10)
        else:
            world.afflict(worker, action)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 400), STEPS)
def test_no_item_is_used_twice_and_none_is_lost(items: int, steps: list[tuple[str, int, int]]) -> None:
    """Over deaths, cuts, stops, joins and leaves, each item is used once, or counted as in doubt."""
    world = World(items, "unique_then_stop")
    play(world, steps)
    world.heal()
    assert not [item for item, count in Counter(world.used).items() if count > 1]
    unused = set(range(items)) - set(world.used)
    assert len(unused) <= world.allocator.in_doubt
    assert world.allocator.used + world.allocator.in_doubt == items


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 300), STEPS)
def test_nothing_is_in_doubt_without_a_loss(items: int, steps: list[tuple[str, int, int]]) -> None:
    """As long as no worker is killed or permanently disconnected, every item is used exactly once."""
    world = World(items, "unique_then_stop")
    play(world, [step for step in steps if step[0] not in ("kill", "cut")])
    world.heal()
    assert list(range(items)) == sorted(world.used)
    assert world.allocator.in_doubt == 0


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 100), st.integers(1, 5), STEPS)
def test_round_robin_uses_each_item_once_a_round(items: int, workers: int, steps: list[tuple[str, int, int]]) -> None:
    """Although workers join, leave and stall, no item is used again before each was used."""
    world = World(items, "round_robin")
    for _ in range(workers):
        world.join()
    play(world, [step for step in steps if step[0] not in ("kill", "cut")])
    world.allocator._order.left = 0  # the master allocates no more; allocated items are used up
    world.heal()
    counts = Counter(world.used)
    assert max(counts.values(), default=0) - min(counts[item] for item in range(items)) <= 1


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 60), st.integers(0, 30))
def test_a_killed_workers_rest_is_allocated_again(told: int, untold: int) -> None:
    """The others use all items that a killed worker held, except those it had claimed."""
    world = World(500, "unique_then_stop")
    world.join()
    killed = world.workers[0]
    world.deliver(killed)
    world.use(killed, told)
    world.pass_time(0.1)
    world.deliver(killed)
    world.use(killed, untold)
    claimed = killed.held._claimed
    killed.dead = True
    world.deliver(killed)
    world.join()
    world.pass_time(LEASE_S + 0.1)
    assert claimed - killed.held.used <= world.allocator.in_doubt <= claimed
    world.heal()
    assert set(range(500)) - set(range(claimed)) <= set(world.used)
    assert len(set(world.used)) == len(world.used)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0.0, 0.01, 0.05, 0.2, 0.5])), min_size=1, max_size=30))
def test_a_killed_worker_leaves_no_more_in_doubt_than_is_promised(bursts: list[tuple[int, float]]) -> None:
    """The bound is 8 items, or twice those that its users took in their busiest 50 ms."""
    world = World(5_000, "unique_then_stop")
    world.join()
    (worker,) = world.workers
    world.deliver(worker)
    taken: list[float] = []
    for count, then_s in bursts:
        for _ in range(count):
            world.use(worker, 1)
            world.deliver(worker)
            taken.append(world.now_s)
        world.pass_time(then_s)
        world.deliver(worker)
    worker.dead = True
    world.deliver(worker)
    world.pass_time(LEASE_S + 0.1)
    busiest = max((sum(0 <= later - first <= 0.05 + 1e-6 for later in taken) for first in taken), default=0)
    assert world.allocator.in_doubt <= max(8, 2 * busiest)


def test_large_items_come_in_small_batches() -> None:
    """A batch fits into a message, whatever its items contain."""
    items = PackedItems()
    for number in range(20):
        items.append({f"column {column}": column + number for column in range(20_000)})
    batch = BatchAllocator(Order(items)).allocate("worker", BatchRequest(0, wanted=10_000), 1.0)
    assert len(batch.items) == MAX_BYTES // items.largest_bytes == 2


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.lists(st.builds(BatchRequest, *[st.sampled_from([-1, 0, 1, 2, 50, 10**12])] * 6, st.booleans()), max_size=12))
def test_whatever_a_worker_says_it_gets_no_more_than_a_message_holds(requests: list[BatchRequest]) -> None:
    """Impossible numbers cost neither memory nor the other workers' items."""
    allocator = BatchAllocator(Order(range(1_000), "unique_then_stop"))
    batches = [allocator.allocate("liar", request, 1.0) for request in requests]
    assert all(len(batch.items) <= MAX_ITEMS for batch in batches)
    honest = World(0, "unique_then_stop")
    honest.allocator = allocator
    honest.join()
    honest.deliver(honest.workers[0])
    assert (
        honest.workers[0].held.items
        or allocator.used + allocator.in_doubt + len(allocator._leases["liar"].items) == 1_000
    )


def test_a_stopped_worker_uses_nothing_after_its_lease() -> None:
    """Items of a stopped worker are held back, and allocated again once it reports which ones it used."""
    world = World(100, "unique_then_stop")
    world.join()
    world.deliver(world.workers[0])
    world.use(world.workers[0], 5)
    world.workers[0].stopped = True
    world.join()
    world.pass_time(LEASE_S + 0.1)
    assert world.allocator.in_doubt > 0
    world.workers[0].stopped = False
    world.use(world.workers[0], 5)
    assert len(world.used) == 5
    world.heal()
    assert (sorted(world.used), world.allocator.in_doubt) == (list(range(100)), 0)
