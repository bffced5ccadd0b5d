"""The feeder as users see it, and the feed that a User class declares."""

import time

import gevent
import pytest
from locust import User, constant, task
from locust.env import Environment
from locust.exception import StopUser

from loadtest.exceptions import UsageError
from loadtest.feeding import service
from loadtest.feeding.allocator import BatchAllocator, BatchRequest
from loadtest.feeding.feed import Feed, LocalFeeding, feeds_of
from loadtest.feeding.feeder import Feeder
from loadtest.feeding.policies import Order
from tests.swarms import started


class Master:
    """An allocator that answers when it is told to."""

    def __init__(self, items: int) -> None:
        """Nobody has asked."""
        self.allocator = BatchAllocator(Order(range(items), "unique_then_stop"))
        self.asked: list[tuple[BatchRequest, float]] = []
        self.feeder = Feeder(lambda ask, now_s: self.asked.append((ask, now_s)), lambda: None)

    def answer(self) -> None:
        """Answer everything that was asked."""
        asked, self.asked = self.asked, []
        for ask, now_s in asked:
            self.feeder.receive(self.allocator.allocate("worker", ask, time.perf_counter()), now_s)


def test_a_user_waits_only_where_nothing_was_dealt_in_time() -> None:
    """Before the first deal a user waits, and the wait is counted; afterwards the items are there."""
    master = Master(100)
    began_s = time.perf_counter()
    master.feeder.open()
    waiting = gevent.spawn(master.feeder.next)
    gevent.sleep(0.02)
    assert not waiting.ready()
    master.answer()
    assert waiting.get(timeout=1) == 0
    assert master.feeder.waits.count == 1
    took_s = time.perf_counter() - began_s
    assert 0.02 <= master.feeder.waits.longest_s == master.feeder.waits.total_s < took_s
    assert [master.feeder.next() for _ in range(29)] == list(range(1, 30))
    assert master.feeder.waits.count == 1


def test_items_are_claimed_before_they_are_used() -> None:
    """Whatever a user gets was announced in something sent before."""
    master = Master(200)
    master.feeder.open()
    master.answer()
    claimed = 0
    for number in range(100):
        assert master.feeder.next() == number
        claimed = max([claimed, *(ask.claimed for ask, _ in master.asked)])
        assert number < claimed <= number + 20


def test_nothing_is_used_after_the_lease() -> None:
    """With items in its hand a user waits all the same when the master has been silent for too long."""
    now_s = [100.0]
    allocator = BatchAllocator(Order(range(100)))
    answers = [True]

    def answer(ask: BatchRequest, sent_s: float) -> None:
        if answers[0]:
            feeder.receive(allocator.allocate("worker", ask, now_s[0]), sent_s)

    feeder = Feeder(answer, lambda: None, clock=lambda: now_s[0])
    feeder.open()
    assert feeder.next() == 0
    answers[0] = False
    now_s[0] += 3.1
    waiting = gevent.spawn(feeder.next)
    gevent.sleep(0.02)
    assert not waiting.ready()
    answers[0] = True
    feeder.request()
    assert waiting.get(timeout=1) == 1


def test_a_waiting_user_is_stopped_at_the_end() -> None:
    """Nobody hangs on items that will never come."""
    master = Master(1)
    master.feeder.open()
    master.answer()
    assert master.feeder.next() == 0
    waiting = gevent.spawn(master.feeder.next)
    gevent.sleep(0.02)
    master.feeder.close()
    with pytest.raises(StopUser):
        waiting.get(timeout=1)
    assert master.feeder.waits.count == 0
    assert master.asked[-1][0].leaving


def feeding_of(environment: Environment) -> LocalFeeding:
    """Make an Environment's process part of a swarm of its own that feeds, and return what feeds it."""
    started(environment, service.service)
    return service.of(environment)


class Reader(User):
    """Notes its items."""

    wait_time = constant(0)
    feeder = Feed(["a", "b", "c"], "unique_then_stop")
    seen: list[str] = []  # noqa: RUF012 - all of them write to it

    @task
    def read(self) -> None:
        """Take an item."""
        self.seen.append(self.feeder.next())


def test_a_run_alone_ends_when_every_item_was_used() -> None:
    """Without a master the same holds: each item once, then the reason."""
    Reader.seen.clear()
    environment = Environment(user_classes=[Reader])
    runner = environment.create_local_runner()
    reasons: list[str] = []
    feeding = feeding_of(environment)
    assert feeding.prepare(None, None, reasons.append) == ["Reader.feeder: 3 items from the scenario, unique_then_stop"]
    runner.start(2, spawn_rate=100)
    with gevent.Timeout(5):
        while not reasons:
            gevent.sleep(0.01)
    runner.stop()
    assert sorted(Reader.seen) == ["a", "b", "c"]
    assert reasons[0] == "every item of Reader.feeder was used: 3"
    assert feeding.account() == ["Reader.feeder: 3 items used; no user waited"]
    runner.quit()


def test_a_setting_takes_the_place_of_the_declared_source(tmp_path) -> None:
    """FEED and FEED_POLICY win over what the User class says."""
    (tmp_path / "ids.json").write_text('["x", "y"]')
    environment = Environment(user_classes=[Reader])
    environment.create_local_runner()
    feeding = feeding_of(environment)
    feeding.prepare(str(tmp_path / "ids.json"), "round_robin", lambda _: None)
    user = Reader(environment)
    assert [user.feeder.next() for _ in range(3)] == ["x", "y", "x"]


def test_a_setting_needs_exactly_one_feed() -> None:
    """FEED for a scenario without a feed, or with several, is refused."""

    class Both(Reader):
        other = Feed([1])

    for user_classes, names in (([User], "none"), ([Both], "Reader.feeder, Both.other")):
        with pytest.raises(UsageError, match=f"feeds are: {names}. Allowed"):
            LocalFeeding(user_classes).prepare("ids.json", None, lambda _: None)


def test_classes_share_a_feed() -> None:
    """One Feed in two classes is one order; it is named by the first."""
    shared = Feed(["a", "b"])

    class One(User):
        feeder = shared

    class Two(User):
        items = shared

    environment = Environment(user_classes=[One, Two])
    assert feeds_of([One, Two]) == [shared]
    assert [
        One(environment).feeder.next(),
        Two(environment).items.next(),
        One(environment).feeder.next(),
    ] == ["a", "b", "a"]
    assert shared.name == "One.feeder"


def test_a_feed_of_an_unknown_policy_is_refused_where_it_is_declared() -> None:
    """The error comes when the scenario is read, not when it runs."""
    with pytest.raises(UsageError, match="FEED_POLICY=robin is not known"):
        Feed(["a"], "robin")
