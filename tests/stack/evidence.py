"""Evidence of two runs of the Compose stack, made like those of a user.

The first is made through Locust's web API with 3 workers, then 5, then 1; the second, in the open model, with 2, of
which one is killed.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.stack.compose import REFEREES, Project, docker, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.referee import Line

USERS = 20
CONNECTED = 'sum(loadtest_workers{state=~"ready|spawning|running"})'
LONG_S = 1800.0
"""Longer than Prometheus takes a value for the present one, and than the tests take: as it is days later."""


@dataclass(frozen=True)
class Evidence:
    """Observations of the runs."""

    project: Project
    containers: list[dict[str, Any]]
    at_zero: list[dict[str, Any]]
    """loadtest_requests_total before anything was sent."""
    ready_s: float
    """A moment before the first run."""
    middle_s: float
    """A moment of the run at which everything had run for a while."""
    requests: dict[str, Any]
    """Locust's own statistics at the end."""
    end_s: float
    """A moment after the first run's end and before the second's start."""
    killed_s: float
    """A moment of the second run at which the killed worker was missed."""
    over_s: float
    """A moment after the second run's end."""
    record: dict[str, Any]
    second: dict[str, Any]
    """The second run's record."""
    results: Path
    judged: list[Line]
    """What the referees received and answered in the first run."""
    judged_second: list[Line]
    killed: set[str]
    """The addresses of the worker that was killed in the second run."""

    @property
    def gone_s(self) -> float:
        """A time long after the runs, when Prometheus has no current value of theirs."""
        return self.over_s + LONG_S


def make_runs(project: Project, results: Path) -> Evidence:
    """Make both runs, and copy their folders to this one."""
    project.up(3)
    eventually("workers in Prometheus", lambda: project.value(CONNECTED), 3)
    eventually("states of health", lambda: _health(project), {"healthy"})
    containers = [one for one in project.containers() if service_of(one) not in REFEREES]
    at_zero, ready_s = project.query("loadtest_requests_total"), time.time()
    started = project.get("locust_master", 8089, "/swarm", {"user_count": str(USERS), "spawn_rate": str(USERS)})
    assert started["success"], started
    users = "sum(loadtest_users)"
    eventually("users on 3 workers", lambda: project.value(users), USERS)
    time.sleep(12)  # the windows of the queries must fill first
    middle_s = time.time()
    for workers in (5, 1):
        project.up(workers, "--no-recreate")
        eventually(f"workers after scaling to {workers}", lambda: project.value(CONNECTED), workers)
        eventually(f"users on {workers} workers", lambda: project.value(users), USERS)
    project.get("locust_master", 8089, "/stop", {})
    eventually("state", lambda: project.value('loadtest_run_state{state="stopped"}'), 1)
    requests = project.get("locust_master", 8089, "/stats/requests")
    in_total = aggregated(requests)["num_requests"]
    moments: list[float] = []

    def in_prometheus() -> float | None:
        moments.append(time.time())
        rows = project.query("sum(loadtest_requests_total)", moments[-1])
        return float(rows[0]["value"][1]) if rows else None

    eventually("requests in Prometheus", in_prometheus, in_total)
    end_s = moments[-1]  # a later scrape may fail on a busy machine, and Prometheus then has no value for a moment
    judged = project.judged()
    killed_s, killed = _kill_a_worker(project)
    over_s = time.time()
    eventually("records", lambda: len(copied(project, results)), 2)  # they are written after the run's end
    record, second = (json.loads(file.read_text()) for file in copied(project, results))
    judged_second = project.judged()[len(judged) :]
    return Evidence(
        project, containers, at_zero, ready_s, middle_s, requests, end_s, killed_s, over_s, record, second, results,
        judged, judged_second, killed,
    )  # fmt: skip


def service_of(container: dict[str, Any]) -> str:
    """Return the name of a container's service."""
    service: str = container["Config"]["Labels"]["com.docker.compose.service"]
    return service


def aggregated(requests: dict[str, Any]) -> dict[str, Any]:
    """Return the row of all requests in Locust's statistics."""
    row: dict[str, Any] = next(row for row in requests["stats"] if row["name"] == "Aggregated")
    return row


def copied(project: Project, results: Path) -> list[Path]:
    """Copy the runs' folders here, and return their records, the oldest first."""
    project.run("cp", "locust_master:/app/runs/.", str(results))
    return sorted(results.glob("*/record.json"), key=lambda file: file.stat().st_mtime)


def _kill_a_worker(project: Project) -> tuple[float, set[str]]:
    """Make a second run, of a profile with stages; kill one of its two workers, and go on until it is missed.

    Returns:
        When it was missed, and its addresses.
    """
    before = project.value("sum(loadtest_requests_total)")
    project.up(2, "--no-recreate")
    eventually("workers before the second run", lambda: project.value(CONNECTED), 2)
    form = {"load_profile": "ramping-arrival-rate", "arrival_rate": "40", "run_time": "60s"}
    started = project.get("locust_master", 8089, "/swarm", {"user_count": "1", "spawn_rate": "1", **form})
    assert started["success"], started
    eventually("second run", lambda: (project.value("sum(loadtest_requests_total)") or 0) > (before or 0) + 50, True)
    worker = f"{project.name}-locust_worker-2"
    (container,) = json.loads(docker("inspect", worker))
    addresses = {network["IPAddress"] for network in container["NetworkSettings"]["Networks"].values()}
    docker("kill", "--signal", "KILL", worker)
    eventually("lost workers", lambda: project.value("loadtest_workers_lost_total"), 1)
    killed_s = time.time()
    time.sleep(4)
    project.get("locust_master", 8089, "/stop", {})
    eventually("state", lambda: project.value('loadtest_run_state{state="stopped"}'), 1)
    eventually("the end in Prometheus", lambda: bool(project.value("loadtest_run_end_time_seconds")), True)
    return killed_s, addresses


def _health(project: Project) -> set[str]:
    states = [container["State"] for container in project.containers()]
    return {state["Health"]["Status"] for state in states if "Health" in state}
