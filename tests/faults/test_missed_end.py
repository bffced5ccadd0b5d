"""A worker that hangs without a connection while its test ends misses the message, but generates no load later."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import gevent
import pytest

from loadtest.local.process import free_port

from .referee import Referee
from .soak import SCENARIO
from .swarm import PATIENCE_S, FaultySwarm, Sight
from .worker import Cable

pytestmark = [pytest.mark.native, pytest.mark.timeout(300)]

START = {"user_count": "8", "spawn_rate": "8", "load_profile": "as-entered"}


@pytest.fixture
def referee(tmp_path: Path) -> Iterator[Referee]:
    """The service under load."""
    with Referee(tmp_path, free_port()) as referee:
        yield referee


@pytest.fixture
def swarm(tmp_path: Path, referee: Referee) -> Iterator[FaultySwarm]:
    """A master with two workers: the test was stopped while the second was suspended, and still is."""
    (scenario := tmp_path / "asker.py").write_text(SCENARIO.replace("(Asker, Keeper)", "(Asker,)"))
    with FaultySwarm(tmp_path, referee.url, variables={"LOADTEST_SCENARIO": str(scenario)}) as swarm:
        swarm.master_with_web_ui()
        cable = Cable(swarm.port)
        _, held_up = swarm.worker(), swarm.worker(master_port=cable.port)
        swarm.wait_for(are(2, "ready"), "two ready workers")
        assert swarm.ask("/swarm", **START)
        swarm.wait_for_load()
        held_up.send_signal(signal.SIGSTOP)
        cable.tear()
        swarm.wait_for(are(1, "missing"), "a missing worker")
        assert swarm.ask("/stop")
        swarm.wait_for(are(1, "ready"), "the end of the test")
        yield swarm
        cable.close()


def are(count: int, state: str) -> Callable[[Sight], bool]:
    """Return whether this many workers are in a state."""
    return lambda sight: sight.value("loadtest_workers", f'state="{state}"') == count


def test_it_stops_its_users(swarm: FaultySwarm, referee: Referee) -> None:
    """After reconnecting, it receives the stop message again, and then waits for the next test."""
    swarm.processes[-1].send_signal(signal.SIGCONT)
    swarm.wait_for(are(2, "ready"), "two ready workers")
    size = referee.size
    gevent.sleep(2.0)
    assert referee.size == size, swarm.logs()


def test_it_takes_part_in_the_next_run(swarm: FaultySwarm, referee: Referee) -> None:
    """If it returns during the next run, its users belong to that run, which counts each of their requests."""
    assert swarm.ask("/swarm", **START)
    swarm.wait_for_load(workers=1)
    held_up = swarm.processes[-1]
    old = {f"{held_up.pid}-{number}" for number in range(4)}
    """Its users of the first test."""
    after, earlier = referee.size, set(swarm.runs.glob("*/record.json"))
    held_up.send_signal(signal.SIGCONT)
    until_s = time.monotonic() + PATIENCE_S
    while not any(line.user not in old and line.process == str(held_up.pid) for line in referee.lines(after)):
        assert time.monotonic() < until_s, swarm.logs()
        gevent.sleep(0.5)
    swarm.wait_for_load(workers=2)
    assert swarm.ask("/stop")
    swarm.wait_for(lambda _: set(swarm.runs.glob("*/record.json")) > earlier, "a record")
    (record,) = (json.loads(file.read_text()) for file in set(swarm.runs.glob("*/record.json")) - earlier)
    begun_at = datetime.fromisoformat(record["started_at"]).timestamp()
    mine = [line for line in referee.lines() if line.at > begun_at and line.user not in old]
    received = sum(not line.answered for line in mine)
    assert (record["total"]["requests"], record["delivery"]["missing"]) == (received, []), swarm.logs()
