"""Every built-in scenario and load profile with a referee: the record counts the requests that it received.

One referee is between the workers and the target, another one between the workers and Redis.
"""

import json
import re
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import pytest
import redis
from gevent.pool import Pool

from loadtest import scenarios
from loadtest.local.process import free_port
from loadtest.profiles.profile import all_profiles
from tests.faults.referee import Referee, by_method, counted
from tests.faults.swarm import FaultySwarm

pytestmark = [pytest.mark.native, pytest.mark.timeout(600)]

PROFILES = sorted(all_profiles(None))
SCENARIOS = scenarios.names()
SHARES = {name: PROFILES[number :: len(SCENARIOS)] for number, name in enumerate(SCENARIOS)}
"""The profiles that each scenario is run with: each profile once."""
LOAD_S = 1.5
"""After so long, in the middle of the ramp-up of most, each run is stopped."""


@dataclass(frozen=True)
class Seen:
    """Requests in referees and records of a scenario, by method and command, and the output of its processes."""

    received: Counter[str]
    answered: Counter[str]
    counted: Counter[str]
    failed: Counter[str]
    unfinished: int
    streamed: int
    events: int
    runs: int
    logs: str


@pytest.fixture(scope="module")
def keys_before(redis_url: str) -> set[bytes]:
    """Return the contents of Redis before the runs."""
    return keys_of(redis_url)


def keys_of(redis_url: str) -> set[bytes]:
    """Return all keys of a Redis, except those of the library, which the target makes for itself."""
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        return {
            key
            for key in client.scan_iter(count=1_000)
            if b":account:" in key or not key.startswith(b"loadtest:~education:")
        }


@pytest.fixture(scope="module")
def seen(
    redis_url: str,
    target_url: str,
    keys_before: set[bytes],  # noqa: ARG001 - it comes first
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Seen]]:
    """Run the scenarios two at a time, each with one profile after the other."""
    pool = Pool(2)
    going = {
        name: pool.spawn(run, name, redis_url, urllib.parse.urlsplit(target_url).port, tmp_path_factory.mktemp(name))
        for name in SCENARIOS
    }
    yield {name: one.get() for name, one in going.items()}


def run(name: str, redis_url: str, target_port: int, folder: Path) -> Seen:
    """Run a scenario with each of its profiles."""
    settings = {"LOADTEST_SCENARIO": name, "REDIS_URL": redis_url}
    redis_port = urllib.parse.urlsplit(redis_url).port or 6379
    with (
        Referee(folder, free_port(), upstream=target_port) as referee,
        Referee(folder, free_port(), upstream=redis_port, kind="redis") as redis_referee,
        FaultySwarm(folder, referee.url, variables=settings) as swarm,
    ):
        swarm.master_with_web_ui("--stop-timeout", "2")
        swarm.worker(REDIS_URL=redis_referee.url)
        records = []
        for profile in SHARES[name]:
            swarm.wait_for(lambda s: s.value("loadtest_workers", 'state="ready"') == 1, f"{name}: a ready worker")
            assert swarm.ask("/swarm", user_count="1", spawn_rate="1", load_profile=profile)
            swarm.wait_for(
                lambda s: s.value("loadtest_run_state", 'state="stopped"') < s.value("loadtest_users"),
                f"{name}, {profile}: load",
            )
            gevent.sleep(LOAD_S)
            assert swarm.ask("/stop")
            records.append(wait_for_record(swarm, len(records) + 1))
        gevent.sleep(1.0)
        lines = referee.lines() + redis_referee.lines()
        return Seen(
            by_method(line for line in lines if not line.answered),
            by_method(line for line in lines if line.answered),
            counted(records, "requests"),
            counted(records, "failures"),
            sum(error["occurrences"] for record in records for error in record["errors"]),
            sum(sum(one["ended_by"].values()) for record in records for one in record["streams"]),
            sum(one["events"] for record in records for one in record["streams"]),
            len(records),
            swarm.logs(),
        )


def wait_for_record(swarm: FaultySwarm, number: int) -> dict[str, Any]:
    """Return the last of this many records, once it exists."""
    until_s = time.monotonic() + 60
    while len(found := list(swarm.runs.glob("*/record.json"))) < number:
        assert time.monotonic() < until_s, swarm.logs()
        gevent.sleep(0.2)
    record: dict[str, Any] = json.loads(max(found, key=lambda path: path.stat().st_mtime).read_text())
    return record


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_the_referee_received_is_what_the_records_count(seen: dict[str, Seen], name: str) -> None:
    """The set-up is included; requests unanswered, or not even sent, at the end are counted as failed."""
    one = seen[name]
    assert one.runs == len(SHARES[name])
    assert one.counted - one.failed <= one.received <= one.counted, one.logs
    assert one.counted - one.failed <= one.answered, one.logs
    assert one.received.total() > (1 if name == "notifications" else 10) * one.runs  # whose users wait for seconds
    is_of_redis = any(command in one.received for command in ("JSON.GET JSON.GET", "GET GET"))
    assert is_of_redis == (name in {"documents", "key_value"})
    streamed = {"assistant": one.received.total(), "notifications": (one.counted - one.failed)["GET"]}
    assert one.streamed == streamed.get(name, 0)


def test_events_that_were_pushed_are_counted(seen: dict[str, Seen]) -> None:
    """Each event is counted, except one that arrives when its user is stopped: each session has one user."""
    one = seen["notifications"]
    assert 0 < one.events <= one.answered["EVENT"] <= one.events + one.received["GET"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_that_ends_well_warns_of_no_loss(seen: dict[str, Seen], name: str) -> None:
    """The master refuses no message after a normal end."""
    assert re.findall(r"refused \d+ delta|Discarded report", seen[name].logs) == []


def test_runs_leave_nothing_behind(seen: dict[str, Seen], keys_before: set[bytes], redis_url: str) -> None:
    """Existing keys stay, and new ones are removed; an aborted request may still create its own afterwards."""
    now = keys_of(redis_url)
    assert keys_before - now == set()
    assert len(now - keys_before) <= 2 * sum(one.unfinished for one in seen.values()), now - keys_before
