"""The Compose stack, started as people start it: a run through Locust's web API while the workers scale.

One run is made, with 3 workers, then 5, then 1. What was seen meanwhile is the evidence that the tests judge.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loadtest import scenarios
from tests.stack.compose import ROOT, SERVICES, Project, docker, eventually

USERS = 20
WINDOW = "10s"
"""Stands for Grafana's $__rate_interval, which is at least four scrapes of 2 s."""
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
CONNECTED = 'sum(loadtest_workers{state=~"ready|spawning|running"})'


@dataclass(frozen=True)
class Evidence:
    """What was seen of the run."""

    project: Project
    containers: list[dict[str, Any]]
    at_zero: list[dict[str, Any]]
    """loadtest_requests_total before anything was sent."""
    middle_s: float
    """A moment of the run at which everything had run for a while."""
    requests: dict[str, Any]
    """Locust's own statistics at the end."""
    record: dict[str, Any]
    results: Path


@pytest.fixture(scope="module")
def evidence(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """Make the run, and tear the project down whatever happens."""
    try:
        with built.told():
            seen = _make_run(built, tmp_path_factory.mktemp("results"))
        yield seen
    finally:
        built.down()


def _make_run(project: Project, results: Path) -> Evidence:
    project.up(3)
    eventually("workers in Prometheus", lambda: project.value(CONNECTED), 3)
    eventually("states of health", lambda: _health(project), {"healthy"})
    containers = project.containers()
    at_zero = project.query("loadtest_requests_total")
    started = project.get("locust_master", 8089, "/swarm", {"user_count": str(USERS), "spawn_rate": str(USERS)})
    assert started["success"], started
    users = "sum(loadtest_users)"
    eventually("users on 3 workers", lambda: project.value(users), USERS)
    time.sleep(12)  # the windows of the queries need to fill
    middle_s = time.time()
    for workers in (5, 1):
        project.up(workers, "--no-recreate")
        eventually(f"workers after scaling to {workers}", lambda: project.value(CONNECTED), workers)
        eventually(f"users on {workers} workers", lambda: project.value(users), USERS)
    project.get("locust_master", 8089, "/stop", {})
    eventually("state", lambda: project.value('loadtest_run_state{state="stopped"}'), 1)
    requests = project.get("locust_master", 8089, "/stats/requests")
    counted = _aggregated(requests)["num_requests"]
    eventually("requests in Prometheus", lambda: project.value("sum(loadtest_requests_total)"), counted, 20)
    project.run("cp", "locust_master:/app/runs/.", str(results))
    (file,) = results.glob("*/record.json")
    return Evidence(project, containers, at_zero, middle_s, requests, json.loads(file.read_text()), results)


def _health(project: Project) -> set[str]:
    states = [container["State"] for container in project.containers()]
    return {state["Health"]["Status"] for state in states if "Health" in state}


def _aggregated(requests: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in requests["stats"] if row["name"] == "Aggregated")
    return row


def test_prometheus_counts_what_the_record_counts(evidence: Evidence) -> None:
    """Requests in Prometheus, in the run's record and in Locust's statistics are the same number."""
    in_record = evidence.record["total"]["requests"]
    assert in_record > 100
    assert evidence.project.value("sum(loadtest_requests_total)") == in_record
    assert _aggregated(evidence.requests)["num_requests"] == in_record
    assert evidence.project.value("sum(loadtest_response_time_seconds_count)") == in_record


def test_every_name_agrees(evidence: Evidence) -> None:
    """Also name by name."""
    rows = evidence.project.query("sum by (method, name) (loadtest_requests_total) > 0")
    in_prometheus = {(row["metric"]["method"], row["metric"]["name"]): float(row["value"][1]) for row in rows}
    in_record = {(series["method"], series["name"]): series["requests"] for series in evidence.record["series"]}
    assert in_record == in_prometheus


def test_nothing_failed(evidence: Evidence) -> None:
    """Not one request failed, although workers came and went."""
    assert evidence.record["total"]["failures"] == 0
    assert evidence.project.value('sum(loadtest_requests_total{result="failure"})') == 0
    assert evidence.project.value("sum(loadtest_errors_total)") == 0
    assert _aggregated(evidence.requests)["num_failures"] == 0


def test_the_record_is_complete(evidence: Evidence) -> None:
    """Workers that were scaled away handed over everything first."""
    assert evidence.record["delivery"]["completeness"] == 1
    assert evidence.record["delivery"]["missing"] == []
    assert evidence.project.value("loadtest_run_completeness_ratio") == 1


def test_declared_requests_were_at_zero_before_the_run(evidence: Evidence) -> None:
    """Prometheus saw each request that the scenario declares at 0, so that it misses no increase."""
    declared = {(method, name) for method, name in scenarios.load("documents").requests}
    assert {(row["metric"]["method"], row["metric"]["name"]) for row in evidence.at_zero} == declared
    assert {row["value"][1] for row in evidence.at_zero} == {"0"}
    requests = evidence.record["total"]["requests"]
    assert evidence.project.value("sum(max_over_time(loadtest_requests_total[10m]))") == requests


def _queries() -> list[Any]:
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    queries = [
        (f"{p['title']} {t['refId']}", t["expr"]) for b in boards for p in b["panels"] for t in p.get("targets", [])
    ]
    queries += [(f"annotation {one['name']}", one["expr"]) for board in boards for one in board["annotations"]["list"]]
    return [pytest.param(expression, id=title) for title, expression in queries]


@pytest.mark.parametrize("expression", _queries())
def test_every_dashboard_query_answers(evidence: Evidence, expression: str) -> None:
    """During the run each query of each panel had an answer with a number in it."""
    for variable, value in {"$__rate_interval": WINDOW, "$scenario": ".*", "$name": ".*"}.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    rows = evidence.project.query(expression, evidence.middle_s)
    assert rows
    assert any(row["value"][1] != "NaN" for row in rows)


def test_the_quantile_agrees_with_the_record(evidence: Evidence) -> None:
    """Prometheus' p95 lies in the bucket of the record's p95: within the ratio of two bounds, about 1.5."""
    by_prometheus = evidence.project.value(
        "histogram_quantile(0.95, sum by (le) (loadtest_response_time_seconds_bucket))"
    )
    by_record = evidence.record["total"]["response_time"]["p95_s"]
    assert by_prometheus is not None
    assert 1 / 1.5 < by_prometheus / by_record < 1.5


def test_every_target_is_scraped(evidence: Evidence) -> None:
    """Master, target, Redis' exporter and Prometheus itself are up, and no alert speaks of lost data."""
    up = {row["metric"]["job"]: row["value"][1] for row in evidence.project.query("up")}
    assert up == dict.fromkeys(("locust_master", "target_app", "redis", "prometheus"), "1")
    firing = evidence.project.query('count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[10m]))')
    load_dependent = {"WorkerCpuSaturated", "EventLoopLagHigh", "ScheduleLagHigh"}
    assert {row["metric"]["alertname"] for row in firing} <= load_dependent


def test_containers_are_hardened(evidence: Evidence) -> None:
    """The engine confirms: no root, no capability, no new privilege, read-only root, and limits."""
    assert {container["Config"]["Labels"]["com.docker.compose.service"] for container in evidence.containers} == set(
        SERVICES
    )
    assert len(evidence.containers) == len(SERVICES) + 2
    for container in evidence.containers:
        host, config = container["HostConfig"], container["Config"]
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["Init"] is True
        assert host["PidsLimit"] == 512
        assert 0 < host["Memory"] <= 2 * 1024**3
        assert host["Privileged"] is False
        assert (host["PidMode"], host["UsernsMode"], host["UTSMode"]) == ("", "", "")
        assert host["NetworkMode"] not in ("host", "none")
        assert {mount["Source"] for mount in container["Mounts"] if mount["RW"] and mount["Type"] == "bind"} == set()
        assert not any("docker.sock" in mount["Source"] for mount in container["Mounts"])
        assert config["User"].partition(":")[0] not in ("", "0", "root")
        assert host["LogConfig"]["Config"]["max-size"] == "10m"


def test_a_container_can_do_nothing_more_than_its_work(evidence: Evidence) -> None:
    """From inside: its user is nobody special, has no capability, cannot gain one, and cannot write to its image."""
    for container in evidence.project.containers():
        if container["Config"]["Labels"]["com.docker.compose.service"] in ("locust_master", "target_app"):
            status = docker("exec", container["Id"], "cat", "/proc/self/status")
            facts = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            assert {facts[f"Cap{kind}"].strip("\t0") for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {""}
            assert (facts["NoNewPrivs"].strip(), facts["Uid"].split()[0]) == ("1", "10001")
            write = "import pathlib; pathlib.Path('/app/owned').touch()"
            command = ["docker", "exec", container["Id"], "python", "-c", write]
            tried = subprocess.run(command, check=False, capture_output=True)
            assert b"Read-only file system" in tried.stderr


def test_only_the_loopback_interface_is_published(evidence: Evidence) -> None:
    """The host listens on 127.0.0.1 for the four services with a face, and Redis and the workers are not among them."""
    published = {}
    for container in evidence.containers:
        bindings = [b for ports in container["NetworkSettings"]["Ports"].values() for b in ports or []]
        assert {binding["HostIp"] for binding in bindings} <= {"127.0.0.1"}
        if bindings:
            published[container["Config"]["Labels"]["com.docker.compose.service"]] = len(bindings)
    assert published == {"locust_master": 2, "target_app": 1, "prometheus": 1}


def test_results_come_to_the_host(evidence: Evidence) -> None:
    """`docker compose cp` brings record and reports out of the volume, readable by whoever asked."""
    (run,) = evidence.results.iterdir()
    assert {"record.json", "record.stream", "locust.html", "locust_stats.csv"} <= {file.name for file in run.iterdir()}
    assert all(file.stat().st_uid == evidence.results.stat().st_uid for file in run.iterdir())
    assert run.name == evidence.record["run_id"]


def test_workers_do_not_restart(evidence: Evidence) -> None:
    """Nothing crashed on the way: every container that is left runs, and was started once."""
    left = evidence.project.containers()
    assert {container["State"]["Status"] for container in left} == {"running"}
    assert {container["RestartCount"] for container in left} == {0}
