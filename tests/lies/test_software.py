"""A worker that runs other software than the master."""

from contextlib import closing
from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode
from tests.faults.swarm import FaultySwarm, Witness

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

SCENARIO = """
from locust import constant, task

from loadtest.clients.http import HttpUser
from loadtest.scenarios import Scenario


class Visitor(HttpUser):
    scenario = "mine"
    wait_time = constant(0.1)

    @task
    def page(self):
        self.client.get("/{path}", name="mine/page")


scenario = Scenario("mine", (Visitor,), (("GET", "mine/page"),))
"""


def test_a_worker_with_another_version_of_the_scenario_is_named(tmp_path: Path) -> None:
    """One of two workers has a file in which the same request goes to a cheaper page: the run is not trustworthy."""
    files = {}
    for path in ("page", "cheap"):
        files[path] = tmp_path / path / "mine.py"
        files[path].parent.mkdir()
        files[path].write_text(SCENARIO.format(path=path))
    masters = {"LOADTEST_SCENARIO": str(files["page"]), "LOADTEST_PROFILE": "quick"}
    with closing(Witness()) as target, FaultySwarm(tmp_path, target.url, variables=masters) as swarm:
        master = swarm.master(run_time_s=4)
        swarm.worker()
        swarm.worker(LOADTEST_SCENARIO=str(files["cheap"]))
        code = master.wait(timeout=200)
        record = swarm.record()
    assert code == ExitCode.NOT_TRUSTWORTHY, swarm.logs()
    [finding] = [one for one in record["findings"] if one["rule"] == "other_software"]
    assert finding["sentence"].startswith(
        f"{finding['subject']} ran another scenario, or other files of it, than the master: give every worker"
    )
    assert finding["sentence"] in record["verdict"]["reasons"]
