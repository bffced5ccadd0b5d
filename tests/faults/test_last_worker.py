"""The only worker is killed."""

from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode

from .swarm import FaultySwarm, Witness

pytestmark = [pytest.mark.native, pytest.mark.timeout(90)]


def test_a_headless_run_ends_with_its_last_worker(tmp_path: Path) -> None:
    """The master reports the measurements so far, says why the run ended early, and exits."""
    witness = Witness()
    with FaultySwarm(tmp_path, witness.url) as swarm:
        master = swarm.master(workers=1)
        worker = swarm.worker()
        swarm.wait_for(lambda s: s.value("loadtest_requests_total"), "requests are counted")
        worker.kill()
        assert master.wait() == ExitCode.INTERRUPTED, swarm.logs()
        record = swarm.record()
    witness.close()
    assert 0 < sum(series["requests"] for series in record["series"]) <= len(witness.requests)
    assert record["interruption"]["by"] == "all workers left"
    assert "completeness" in [finding["rule"] for finding in record["findings"]]


def test_a_worker_that_is_lost_before_the_test_ends_nothing(tmp_path: Path) -> None:
    """A master that is waiting for workers keeps waiting when its only worker is lost."""
    witness = Witness()
    with FaultySwarm(tmp_path, witness.url) as swarm:
        swarm.master(workers=2)
        first = swarm.worker()
        swarm.wait_for(lambda s: s.workers == 1, "the first worker is connected")
        first.kill()
        swarm.wait_for(lambda s: s.value("loadtest_workers", 'state="missing"'), "its loss is seen")
        swarm.worker()
        swarm.worker()
        swarm.wait_for_load()
    witness.close()
