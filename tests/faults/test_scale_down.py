"""Workers that leave together, as by `docker compose up --scale locust_worker=1`: no request is lost."""

import signal
from pathlib import Path

import gevent
import pytest

from loadtest.local.process import free_port

from .referee import Referee
from .swarm import FaultySwarm, end

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


@pytest.mark.parametrize(("workers", "stay"), [(4, 1)])
def test_workers_that_leave_together_lose_nothing(tmp_path: Path, workers: int, stay: int) -> None:
    """The record counts each request that the target received, and all users run on the workers that stay.

    Docker stops one worker after the other. While its users finish their requests, the master moves them to the other
    workers, some of which are already stopping.
    Whether a stopping worker is given users is chance here; tests/unit/swarm/test_gate.py and test_session.py show that
    it then starts none.
    """
    (tmp_path / "asker.py").write_text(SCENARIO)
    settings = {"LOADTEST_SCENARIO": str(tmp_path / "asker.py")}
    with (
        Referee(tmp_path, free_port(), delay_s=0.3) as referee,
        FaultySwarm(tmp_path, referee.url, users=USERS, variables=settings) as swarm,
    ):
        master = swarm.master(workers=workers)
        started = [swarm.worker() for _ in range(workers)]
        swarm.wait_for_load(workers)
        gevent.sleep(1.0)
        for leaving in started[stay:]:
            leaving.send_signal(signal.SIGTERM)
            gevent.sleep(0.15)
        swarm.wait_for_load(stay)
        gevent.sleep(1.0)
        end(master)
        record = swarm.record()
        counted = sum(series["requests"] for series in record["series"])
        assert (counted, record["delivery"]["missing"]) == (referee.answered().total(), []), swarm.logs()
