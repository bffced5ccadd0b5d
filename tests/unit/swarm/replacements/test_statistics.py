"""Times in Locust's own statistics, with the record's counts fed to them and without."""

import pytest
from locust.env import Environment
from locust.runners import LocalRunner

from loadtest.session import Session
from loadtest.swarm.record_keeper import RecordKeeper
from loadtest.swarm.session import start

TIME_MS = 0.35


@pytest.fixture
def runner(locust: str) -> LocalRunner:
    """A process that runs alone; with the replacements it is part of a swarm."""
    environment = Environment()
    runner = environment.create_local_runner()
    if locust == "ours":
        start(environment)
    return runner


def test_a_time_below_a_millisecond_is_not_rounded_away(runner: LocalRunner) -> None:
    """A median of 0.35 ms is shown as such (replaces Environment.events.request)."""
    environment = runner.environment
    keeper = Session.of(environment).find(RecordKeeper)
    if keeper is not None:
        keeper.begin()
    for _ in range(100):
        environment.events.request.fire(
            request_type="GET", name="quick", response_time=TIME_MS, response_length=1, exception=None, context={}
        )
    if keeper is not None:
        keeper.finish()
        keeper.drain()
        keeper.close()
    entry = environment.stats.get("quick", "GET")
    assert entry.get_response_time_percentile(0.5) == pytest.approx(TIME_MS, rel=0.02)
