"""Workers that leave together, as `docker compose up --scale locust_worker=1` makes them: not one request is lost."""

import signal
from pathlib import Path

import gevent
import pytest

from .swarm import FaultySwarm, Witness, end

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

SCENARIO = """
\"\"\"Asks often, so that much is under way at any time.\"\"\"

from locust import constant, task

from loadtest.clients.http import HttpUser
from loadtest.scenarios import Scenario


class Asker(HttpUser):
    scenario = "asker"
    wait_time = constant(0.05)

    @task
    def ask(self):
        self.client.get("/", name="ask")


scenario = Scenario(name="asker", user_classes=(Asker,), requests=(("GET", "ask"),))
"""
USERS = 40


@pytest.mark.parametrize(("workers", "stay"), [(5, 1), (4, 2)])
def test_workers_that_leave_together_lose_nothing(tmp_path: Path, workers: int, stay: int) -> None:
    """What the target answered is what the record counts, and all users run on the workers that stay."""
    (tmp_path / "asker.py").write_text(SCENARIO)
    witness = Witness()
    settings = {"LOADTEST_SCENARIO": str(tmp_path / "asker.py")}
    with FaultySwarm(tmp_path, witness.url, users=USERS, variables=settings) as swarm:
        master = swarm.master(workers=workers)
        started = [swarm.worker() for _ in range(workers)]
        swarm.wait_for_load(workers)
        gevent.sleep(1.0)
        for leaving in started[stay:]:
            leaving.send_signal(signal.SIGTERM)
        swarm.wait_for_load(stay)
        gevent.sleep(1.0)
        end(master)
        record = swarm.record()
        counted = sum(series["requests"] for series in record["series"])
        assert (counted, record["delivery"]["missing"]) == (len(witness.requests), [])
    witness.close()
