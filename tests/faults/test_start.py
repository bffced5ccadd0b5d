"""Workers that never join."""

from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode

from .swarm import FaultySwarm, Witness, end

pytestmark = [pytest.mark.native, pytest.mark.timeout(90)]

WAIT = ("--expect-workers-max-wait", "5")


@pytest.fixture
def swarm(tmp_path: Path):
    """A swarm without any process yet."""
    witness = Witness()
    with FaultySwarm(tmp_path, witness.url) as swarm:
        yield swarm
    witness.close()


def test_missing_workers_end_the_run_with_a_sentence(swarm: FaultySwarm) -> None:
    """When fewer workers join than expected, the master reports how many did, and exits with 1 after its timeout."""
    master = swarm.master(*WAIT, workers=2)
    swarm.worker()
    assert master.wait() == ExitCode.ERROR
    assert "1 of 2 workers connected within 5 s. Allowed: all that are expected. Next: " in swarm.logs()


def test_a_run_goes_on_with_fewer_workers_on_request(swarm: FaultySwarm) -> None:
    """With LOADTEST_FEWER_WORKERS the run continues with the workers that joined, and says so."""
    master = swarm.master(*WAIT, workers=3, LOADTEST_FEWER_WORKERS="1")
    swarm.worker()
    swarm.wait_for_load(workers=1)
    assert end(master) == ExitCode.INTERRUPTED, swarm.logs()
    assert "1 of 3 workers connected within 5 s: continuing with these" in swarm.logs()
    assert sum(series["requests"] for series in swarm.record()["series"]) > 0


def test_results_that_cannot_be_written_end_the_master_at_once(swarm: FaultySwarm) -> None:
    """A master that cannot write to RUNS_DIR, such as a mounted folder, says so before it waits for a worker."""
    master = swarm.master(workers=1, LOADTEST_RUNS_DIR="/proc/runs")
    assert master.wait() == ExitCode.USAGE
    assert "RUNS_DIR=/proc/runs cannot be written (No such file or directory). Allowed: " in swarm.logs()
    assert "Traceback" not in swarm.logs()
