"""The feed that a User class declares, and feeding in a process that runs alone."""

import gevent
import pytest
from locust import User, constant, task
from locust.env import Environment

from loadtest.exceptions import UsageError
from loadtest.feeding import service
from loadtest.feeding.feed import Feed, LocalFeeding, feeds_of
from tests.swarms import started


def feeding_of(environment: Environment) -> LocalFeeding:
    """Make an Environment's process part of its own swarm with a feed, and return its feeding."""
    started(environment, service.service)
    return service.of(environment)


class Reader(User):
    """Records its items."""

    wait_time = constant(0)
    feeder = Feed(["a", "b", "c"], "unique_then_stop")
    seen: list[str] = []  # noqa: RUF012 - all of them write to it

    @task
    def read(self) -> None:
        """Take an item."""
        self.seen.append(self.feeder.next())


def test_a_run_alone_ends_when_every_item_was_used() -> None:
    """The rules also hold without a master: each item once, then the reason."""
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
    """FEED and FEED_POLICY override the User class."""
    (tmp_path / "ids.json").write_text('["x", "y"]')
    environment = Environment(user_classes=[Reader])
    environment.create_local_runner()
    feeding = feeding_of(environment)
    feeding.prepare(str(tmp_path / "ids.json"), "round_robin", lambda _: None)
    user = Reader(environment)
    assert [user.feeder.next() for _ in range(3)] == ["x", "y", "x"]


def test_a_setting_needs_exactly_one_feed() -> None:
    """FEED is refused for a scenario without a feed, or with several."""

    class Both(Reader):
        other = Feed([1])

    for user_classes, names in (([User], "none"), ([Both], "Reader.feeder, Both.other")):
        with pytest.raises(UsageError, match=f"feeds are: {names}. Allowed"):
            LocalFeeding(user_classes).prepare("ids.json", None, lambda _: None)


def test_classes_share_a_feed() -> None:
    """One Feed in two classes has one order, and the name of the first."""
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
    """The error occurs when the scenario is read, not when it runs."""
    with pytest.raises(UsageError, match="FEED_POLICY=robin is unknown"):
        Feed(["a"], "robin")


def test_a_shared_feed_leaves_another_feed_alone() -> None:
    """A class may use another class's Feed in addition to its own of the same name."""

    class One(User):
        feeder = Feed(["shared"])

    class Two(User):
        feeder = Feed(["own"])
        other = One.feeder

    user = Two(Environment(user_classes=[One, Two]))
    assert [user.other.next(), user.feeder.next(), user.other.next()] == ["shared", "own", "shared"]
