"""The master is killed and another one started: no load without a master, and the workers reconnect."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gevent
import pytest

from loadtest.exceptions import ExitCode

from .swarm import USERS, FaultySwarm, Witness, end

pytestmark = [pytest.mark.native, pytest.mark.timeout(180)]


@dataclass
class History:
    """What happened, as seen from outside."""

    fired_on_s: float
    back_after_s: float
    witnessed: int
    first_run: Path
    exit_codes: list[int]
    logs: str


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Run it."""
    witness = Witness()
    with FaultySwarm(tmp_path_factory.mktemp("master"), witness.url) as swarm:
        master = swarm.master()
        workers = [swarm.worker(), swarm.worker()]
        swarm.wait_for_load()
        gevent.sleep(3.0)
        killed_s = time.monotonic()
        master.kill()
        witnessed = witness.between(0.0, killed_s)
        gevent.sleep(7.0)
        fired_on_s = max(at_s for at_s, _ in witness.requests) - killed_s
        (first_run,) = swarm.runs.iterdir()

        began_s = time.monotonic()
        second = swarm.master()
        back_after_s = swarm.wait_for_load().at_s - began_s
        codes = [end(second), *(worker.wait() for worker in workers)]
        yield History(fired_on_s, back_after_s, witnessed, first_run, codes, swarm.logs())
    witness.close()


def test_workers_do_not_fire_without_a_master(history: History) -> None:
    """Within 5 s of the master's death no worker sends a request any more."""
    assert history.fired_on_s < 5, history.logs


def test_workers_come_back_to_a_new_master(history: History) -> None:
    """The same workers rejoin the next master on their own, run all users, and end with it when it stops."""
    assert history.back_after_s < 30
    assert history.exit_codes[0] == ExitCode.INTERRUPTED, history.logs
    assert history.exit_codes[1:] == [0, 0], history.logs


def test_the_interrupted_run_is_on_disk(history: History) -> None:
    """`loadtest report` shows the killed run as interrupted, with all but its last two seconds."""
    loadtest = Path(sys.executable).with_name("loadtest")
    shown = subprocess.run([loadtest, "report", history.first_run], capture_output=True, text=True, check=False)
    assert "interrupted" in shown.stdout, shown
    (total,) = [line.split() for line in shown.stdout.splitlines() if line.split()[:1] == ["all"]]
    # Each user makes two requests a second, more or less; the last two seconds may be missing, and a partial one.
    assert history.witnessed - 2 * 3 * USERS <= int(total[1].replace(",", "")) <= history.witnessed + USERS
