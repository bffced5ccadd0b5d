"""Pacing over Locust's real link: master and workers in one process."""

import bisect
import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from locust import User, task
from locust.argument_parser import get_parser
from locust.env import Environment

from loadtest.exceptions import UsageError
from loadtest.measuring.recorder import Recorder
from loadtest.pacing import service as pacing
from loadtest.profiles.curve import Stage
from loadtest.profiles.profile import LoadProfile
from loadtest.users.base import LoadUser
from tests.swarms import started

pytestmark = pytest.mark.timeout(60)


class Job(LoadUser):
    """Records its intended and its actual start."""

    @task
    def work(self) -> None:
        """Record it."""
        starts.append(self.intended_start_s)


starts: list[float] = []


def profile(rate_per_s: float, duration_s: float, max_users: int = 20) -> LoadProfile:
    """Return a constant rate."""
    return LoadProfile("test", "open", (Stage(duration_s, rate_per_s, "step"),), max_users=max_users)


class Link:
    """A master and its workers, wired for pacing."""

    def __init__(self, *user_classes: type[User]) -> None:
        self.user_classes = list(user_classes)
        self.environments: list[Environment] = []
        environment = self._environment()
        self.master = environment.create_master_runner("127.0.0.1", 0)
        started(environment, pacing.service)

    def _environment(self) -> Environment:
        environment = Environment(user_classes=self.user_classes)
        environment.parsed_options = get_parser().parse_args([])
        self.environments.append(environment)
        return environment

    def add_worker(self) -> Environment:
        """Connect a worker."""
        environment = self._environment()
        environment.create_worker_runner("127.0.0.1", self.master.server.port)
        started(environment, pacing.service)
        return environment

    def begin(self, asked: LoadProfile) -> tuple[pacing.ArrivalCoordinator, list[float]]:
        """Begin a run; return its coordinator, and a list that receives the time of its end."""
        ended: list[float] = []
        coordinator = pacing.prepare(self.master.environment, asked, lambda: ended.append(time.perf_counter()))
        self.master.start(asked.max_users, asked.max_users)
        return coordinator, ended

    def end(self) -> None:
        """Quit everything."""
        for environment in reversed(self.environments):
            environment.events.quitting.fire(environment=environment, reverse=True)
            environment.runner.quit()


@pytest.fixture
def link() -> Iterator[Link]:
    """Yield a master with two workers."""
    starts.clear()
    link = Link(Job)
    link.add_worker()
    link.add_worker()
    yield link
    link.end()


def wait_until(condition: Any, timeout_s: float = 15) -> None:
    """Wait until a condition is true."""
    deadline_s = time.perf_counter() + timeout_s
    while not condition():
        assert time.perf_counter() < deadline_s
        gevent.sleep(0.02)


def test_a_run_starts_every_arrival_and_ends(link: Link) -> None:
    """Two workers start all arrivals of a profile, each once; the run ends when the last iteration has."""
    coordinator, ended = link.begin(profile(100, 2))
    wait_until(lambda: coordinator.schedule)
    schedule = coordinator.schedule
    assert coordinator._arrivals.curve.level_at(1) == 100
    wait_until(lambda: time.perf_counter() > schedule.origin_s + 0.5)
    assert pacing.intended_rate_per_s(link.master.environment) == 100
    wait_until(lambda: ended)
    expected = [schedule.origin_s + (number + 0.5) / 100 for number in range(200)]
    assert expected == pytest.approx(sorted(starts), abs=1e-6)
    assert ended[0] >= schedule.end_s
    assert 0 < sum(environment.runner.user_count for environment in link.environments[1:]) <= 20


def test_a_worker_that_is_still_set_up_when_the_run_begins_starts_arrivals_too() -> None:
    """The first spawn message arrives as soon as it has connected: no user loops meanwhile."""
    starts.clear()
    link = Link(Job)
    environment = link._environment()
    environment.create_worker_runner("127.0.0.1", link.master.server.port)
    begun = gevent.spawn(link.begin, profile(100, 2))
    wait_until(lambda: environment.runner.worker_state == "spawning")
    gevent.sleep(0.3)
    assert (starts, environment.runner.user_count) == ([], 0)
    started(environment, pacing.service)
    _, ended = begun.get()
    wait_until(lambda: ended)
    assert (len(starts), starts.count(None)) == (200, 0)
    link.end()


def test_the_rate_can_be_changed_live(link: Link) -> None:
    """From the given instant on, the new rate's arrivals are started; a rate of 0 is a pause, which is_quiet shows."""
    coordinator, _ = link.begin(profile(50, 60))
    wait_until(lambda: len(starts) > 20)
    from_s = coordinator.change_rate(200, 60)
    wait_until(lambda: time.perf_counter() > from_s + 1)
    paused_s = coordinator.change_rate(0, 60)
    wait_until(lambda: coordinator.is_quiet)
    count = len(starts)
    gevent.sleep(0.3)
    times = sorted(starts)
    before, after = bisect.bisect_left(times, from_s), bisect.bisect_left(times, paused_s)
    assert (len(starts), after) == (count, count)
    assert after - before == pytest.approx(200 * (paused_s - from_s), abs=1.5)
    assert [1 / 200] * (after - before - 1) == pytest.approx(
        [later - earlier for earlier, later in zip(times[before:after], times[before + 1 : after], strict=False)]
    )


def test_a_worker_joins_a_run(link: Link) -> None:
    """A worker that connects during a run gets its share from an instant on; no arrival is started twice or never."""
    coordinator, ended = link.begin(profile(100, 4))
    wait_until(lambda: len(starts) > 50)
    joined = link.add_worker()
    wait_until(lambda: ended, 30)
    schedule = coordinator.schedule
    expected = [schedule.origin_s + (number + 0.5) / 100 for number in range(400)]
    assert expected == pytest.approx(sorted(starts), abs=1e-6)
    assert joined.runner.user_count > 0


def test_stopping_early_drops_only_what_was_due(link: Link) -> None:
    """A stopped run starts nothing more; arrivals not yet due, or delayed by the stop, do not count as dropped."""
    coordinator, ended = link.begin(profile(50, 60))
    wait_until(lambda: len(starts) > 20)
    link.master.stop()
    wait_until(lambda: not any(environment.runner.user_count for environment in link.environments[1:]))
    count = len(starts)
    gevent.sleep(0.3)
    assert (len(starts), ended, coordinator.schedule) == (count, [], None)
    assert sum(int(Recorder.of(environment).take().dropped.sum()) for environment in link.environments[1:]) == 0
    assert pacing.intended_rate_per_s(link.master.environment) == 0.0


def test_a_closed_run_may_follow_an_open_one(link: Link) -> None:
    """After an open-model run the same workers spawn users that loop."""
    _, ended = link.begin(profile(50, 1))
    wait_until(lambda: ended)
    link.master.stop()
    wait_until(lambda: all(node.state == "ready" for node in link.master.clients.values()))
    starts.clear()
    link.master.start(4, 100)
    wait_until(lambda: starts.count(None) > 50)
    assert sum(environment.runner.user_count for environment in link.environments[1:]) == 4


def test_only_a_master_conducts() -> None:
    """A process without a master refuses an open-model profile, and the error has the next step."""
    environment = Environment(user_classes=[Job])
    environment.create_local_runner()
    started(environment, pacing.service)
    with pytest.raises(UsageError, match=r"profile test is of the open model.*Next: start with `loadtest run`"):
        pacing.prepare(environment, profile(1, 1), lambda: None)
    environment.runner.quit()
