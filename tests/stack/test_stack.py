"""The Compose stack, started as people start it: a run through Locust's web API while the workers scale.

One run is made, with 3 workers, then 5, then 1; then a second one with 2, of which one is killed. What was seen
meanwhile is the evidence that the tests judge.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from loadtest import scenarios
from tests.faults.referee import Line, by_method, counted
from tests.faults.soak import CLOCKS_S
from tests.stack.compose import REFEREES, ROOT, SERVICES, WITH_REFEREES, Project, docker, eventually, filled
from tests.stack.published_dashboards import DASHBOARD_11985, DASHBOARD_12081, ERRORS_OF_11985

USERS = 20
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
    end_s: float
    """A moment after the first run's end and before the second's start."""
    killed_s: float
    """A moment of the second run at which the killed worker was missed."""
    record: dict[str, Any]
    second: dict[str, Any]
    """The second run's record."""
    results: Path
    judged: list[Line]
    """What the referees received and answered in the first run."""
    judged_second: list[Line]
    killed: set[str]
    """The addresses of the worker that was killed in the second run."""


@pytest.fixture(scope="module")
def evidence(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """Make the run, and tear the project down whatever happens."""
    files = f"docker-compose.yml:{WITH_REFEREES}"
    project = Project(built.name, COMPOSE_FILE=files, LOADTEST_EXPORTER_COMPATIBILITY="1")
    try:
        with project.told():
            seen = _make_run(project, tmp_path_factory.mktemp("results"))
        yield seen
    finally:
        project.down()


def _make_run(project: Project, results: Path) -> Evidence:
    project.up(3)
    eventually("workers in Prometheus", lambda: project.value(CONNECTED), 3)
    eventually("states of health", lambda: _health(project), {"healthy"})
    containers = [one for one in project.containers() if _service_of(one) not in REFEREES]
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
    in_total = _aggregated(requests)["num_requests"]
    moments: list[float] = []

    def in_prometheus() -> float | None:
        moments.append(time.time())
        rows = project.query("sum(loadtest_requests_total)", moments[-1])
        return float(rows[0]["value"][1]) if rows else None

    eventually("requests in Prometheus", in_prometheus, in_total)
    end_s = moments[-1]  # a later scrape may fail on a busy machine, and Prometheus then knows nothing for a moment
    judged = project.judged()
    killed_s, killed = _kill_a_worker(project)
    eventually("records", lambda: len(_copied(project, results)), 2)  # they are written after the run's end
    record, second = (json.loads(file.read_text()) for file in _copied(project, results))
    judged_second = project.judged()[len(judged) :]
    return Evidence(
        project, containers, at_zero, middle_s, requests, end_s, killed_s, record, second, results, judged,
        judged_second, killed,
    )  # fmt: skip


def _service_of(container: dict[str, Any]) -> str:
    service: str = container["Config"]["Labels"]["com.docker.compose.service"]
    return service


def _copied(project: Project, results: Path) -> list[Path]:
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


def _aggregated(requests: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in requests["stats"] if row["name"] == "Aggregated")
    return row


def test_prometheus_counts_what_the_record_counts(evidence: Evidence) -> None:
    """Requests in Prometheus, in the run's record and in Locust's statistics are the same number."""
    in_record = evidence.record["total"]["requests"]
    assert in_record > 100
    for metric in ("loadtest_requests_total", "loadtest_response_time_seconds_count"):
        (row,) = evidence.project.query(f"sum({metric})", evidence.end_s)
        assert in_record == float(row["value"][1])
    assert in_record == _aggregated(evidence.requests)["num_requests"]


def test_the_referees_received_what_the_record_counts(evidence: Evidence) -> None:
    """While workers came and went, each request over HTTP and each command over RESP was answered and is counted."""
    received = by_method(line for line in evidence.judged if not line.answered)
    answered = by_method(line for line in evidence.judged if line.answered)
    assert received == answered == counted([evidence.record], "requests")
    assert received["GET"] > 100
    assert received["JSON.GET JSON.GET"] > 100


def test_a_killed_worker_lost_what_the_record_names(evidence: Evidence) -> None:
    """What the referees received beyond what the record counts, this worker sent since the second that is named."""
    received = [line for line in evidence.judged_second if not line.answered]
    (gap,) = evidence.second["delivery"]["missing"]
    named_s = datetime.fromisoformat(evidence.second["started_at"]).timestamp() // 1 + gap["start_s"] - CLOCKS_S
    last = by_method(line for line in received if line.user in evidence.killed and line.at >= named_s)
    missing = by_method(received)
    missing.subtract(counted([evidence.second], "requests"))
    assert {method: count for method, count in missing.items() if not 0 <= count <= last[method]} == {}


def test_every_name_agrees(evidence: Evidence) -> None:
    """Also name by name."""
    rows = evidence.project.query("sum by (method, name) (loadtest_requests_total) > 0", evidence.end_s)
    in_prometheus = {(row["metric"]["method"], row["metric"]["name"]): float(row["value"][1]) for row in rows}
    in_record = {(series["method"], series["name"]): series["requests"] for series in evidence.record["series"]}
    assert in_prometheus == in_record


def test_nothing_failed(evidence: Evidence) -> None:
    """Not one request failed, although workers came and went."""
    assert evidence.record["total"]["failures"] == 0
    assert evidence.project.value('sum(loadtest_requests_total{result="failure"})') == 0
    assert evidence.project.value("sum(loadtest_errors_total)") == 0
    assert _aggregated(evidence.requests)["num_failures"] == 0


def test_the_record_is_complete(evidence: Evidence) -> None:
    """Workers that were scaled down first sent everything."""
    assert evidence.record["delivery"]["completeness"] == 1
    assert evidence.record["delivery"]["missing"] == []
    (row,) = evidence.project.query("loadtest_run_completeness_ratio", evidence.end_s)
    assert row["value"][1] == "1"


def test_a_killed_worker_makes_no_dip_and_no_double_count(evidence: Evidence) -> None:
    """Counters of both runs add up to both records, never fell, and no rate that is drawn was below zero."""
    requests = evidence.record["total"]["requests"] + evidence.second["total"]["requests"]
    assert requests == evidence.project.value("sum(loadtest_requests_total)")
    assert evidence.project.value("sum(resets(loadtest_requests_total[10m]))") == 0
    lowest = f"min_over_time(({filled(_panel_query('load_run', 'Requests by result'))})[5m:2s])"
    assert min(float(row["value"][1]) for row in evidence.project.query(f"min({lowest})")) >= 0
    assert evidence.second["delivery"]["missing"]
    (row,) = evidence.project.query("sum(rate(loadtest_requests_total[10s]))", evidence.killed_s)
    assert float(row["value"][1]) > 0


def test_declared_requests_were_at_zero_before_the_run(evidence: Evidence) -> None:
    """Prometheus saw each request that the scenario declares at 0, so that it misses no increase."""
    declared = {(method, name) for method, name in scenarios.load("documents").requests}
    assert declared == {(row["metric"]["method"], row["metric"]["name"]) for row in evidence.at_zero}
    assert {row["value"][1] for row in evidence.at_zero} == {"0"}
    requests = evidence.record["total"]["requests"]
    rows = evidence.project.query("sum(max_over_time(loadtest_requests_total[10m]))", evidence.end_s)
    assert [requests] == [float(row["value"][1]) for row in rows]


NOT_MADE = ("loadtest_transaction", "loadtest_check", "loadtest_stream", 'metric=~"transaction_time"')
"""What no user of this stack's runs makes, so that its panels are empty."""


def _queries() -> list[Any]:
    """Every query of a panel, with a name for its test."""
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    return [
        pytest.param(target["expr"], id=f"{board['uid']}: {panel['title']} {target['refId']}")
        for board in boards
        for panel in board["panels"]
        for target in panel.get("targets", [])
        if not any(metric in target["expr"] for metric in NOT_MADE)
    ]


def _panel_query(uid: str, title: str) -> str:
    board = json.loads((ROOT / "grafana" / "dashboards" / f"{uid}.json").read_text())
    (panel,) = [panel for panel in board["panels"] if panel["title"] == title]
    expression: str = panel["targets"][0]["expr"]
    return expression


@pytest.mark.parametrize("expression", _queries())
def test_every_dashboard_query_answers(evidence: Evidence, expression: str) -> None:
    """During the closed run or the open one each query of each panel had an answer with a number in it."""
    asked = filled(expression).replace(" > 0", " >= 0")  # what is left out because it is 0
    moments = (evidence.middle_s, evidence.killed_s)
    rows = [row for at_s in moments for row in evidence.project.query(asked, at_s)]
    assert any(row["value"][1] != "NaN" for row in rows)


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("Run starts", {"middle", "killed", "end"}),
        ("Run ends", {"end"}),
        ("Stages", {"killed"}),
        ("Workers lost", {"killed"}),
    ],
)
def test_runs_are_marked(evidence: Evidence, mark: str, expected: set[str]) -> None:
    """Start, end, stages and lost workers are marked while they are so, each at the time at which it happened."""
    (expression,) = {
        one["expr"]
        for path in DASHBOARDS
        for one in json.loads(path.read_text())["annotations"]["list"]
        if one["name"] == mark
    }
    moments = {"middle": evidence.middle_s, "end": evidence.end_s, "killed": evidence.killed_s}
    answers = {name: evidence.project.query(filled(expression), at_s) for name, at_s in moments.items()}
    assert expected <= {name for name, rows in answers.items() if rows}
    for name in expected:
        (row,) = answers[name]
        assert 0 < moments[name] - float(row["value"][1]) / 1000 < 300


@pytest.mark.parametrize("expression", [*DASHBOARD_11985, *DASHBOARD_12081])
def test_published_dashboards_are_answered(evidence: Evidence, expression: str) -> None:
    """During the run the queries of dashboards 11985 and 12081 had answers with numbers."""
    rows = evidence.project.query(expression, evidence.middle_s)
    assert rows
    assert all(row["value"][1] != "NaN" for row in rows)


def test_published_dashboards_count_nothing_twice(evidence: Evidence) -> None:
    """Dashboard 11985's total, its sum over the names, and the record are the same number."""
    total, by_name = 'locust_requests_num_requests{method=~""}', 'sum(locust_requests_num_requests{method=~".+"})'
    in_total = {float(row["value"][1]) for q in (total, by_name) for row in evidence.project.query(q, evidence.end_s)}
    assert {evidence.record["total"]["requests"]} == in_total
    assert evidence.project.query(ERRORS_OF_11985, evidence.end_s) == []


@pytest.mark.parametrize("run", [".*", "the first"])
def test_figures_are_those_of_the_record(evidence: Evidence, run: str) -> None:
    """After a run its tiles show what its record says; so they do when it is chosen while the next one goes on."""
    at_s = evidence.end_s if run == ".*" else evidence.killed_s
    chosen = run if run == ".*" else evidence.record["run_id"]
    total = evidence.record["total"]
    expected = {
        "Requests": total["requests"],
        "Failed": 0,
        "p50": total["response_time"]["p50_s"],
        "p95": total["response_time"]["p95_s"],
        "p99": total["response_time"]["p99_s"],
        "Peak users": max(point["users"] for point in evidence.record["timeline"]),
        "Completeness": 1,
    }
    shown = {}
    for title in expected:
        expression = _panel_query("load_run", title).replace("$run", chosen)
        (row,) = evidence.project.query(filled(expression), at_s)
        shown[title] = float(row["value"][1])
    assert shown == pytest.approx(expected)
    verdict = _panel_query("load_run", "Verdict").replace("$run", chosen)
    (row,) = evidence.project.query(filled(verdict), at_s)
    assert row["metric"]["verdict"] == evidence.record["verdict"]["name"]


def test_every_target_is_scraped(evidence: Evidence) -> None:
    """Master, target, Redis' exporter and Prometheus itself are up, and no alert speaks of lost data."""
    all_up = dict.fromkeys(("locust_master", "target_app", "redis", "redis_keys", "prometheus"), "1")
    eventually("up", lambda: {row["metric"]["job"]: row["value"][1] for row in evidence.project.query("up")}, all_up)
    firing = evidence.project.query(
        'count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[10m]))', evidence.end_s
    )
    load_dependent = {
        "WorkerCpuSaturated",
        "WorkerMemoryNearLimit",
        "EventLoopLagHigh",
        "ScheduleLagHigh",
        "LatencyThresholdBurning",
        "ScrapeSlow",
        "ExporterDown",
    }
    assert {row["metric"]["alertname"] for row in firing} <= load_dependent


def test_containers_are_hardened(evidence: Evidence) -> None:
    """The engine confirms: no root, no capability, no new privilege, read-only root, and limits."""
    assert set(SERVICES) == {_service_of(container) for container in evidence.containers}
    assert len(SERVICES) + 2 == len(evidence.containers)
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
        assert set() == {mount["Source"] for mount in container["Mounts"] if mount["RW"] and mount["Type"] == "bind"}
        assert not any("docker.sock" in mount["Source"] for mount in container["Mounts"])
        assert config["User"].partition(":")[0] not in ("", "0", "root")
        assert host["LogConfig"]["Config"]["max-size"] == "10m"


def test_a_container_can_do_nothing_more_than_its_work(evidence: Evidence) -> None:
    """From inside: its user is unprivileged, has no capability, cannot gain one, and cannot write to its image."""
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
    """`docker compose cp` brings record and reports out of the volume, readable by the caller."""
    assert len(list(evidence.results.iterdir())) == 2
    run = evidence.results / evidence.record["run_id"]
    assert {"record.json", "record.stream", "locust.html", "locust_stats.csv"} <= {file.name for file in run.iterdir()}
    assert all(file.stat().st_uid == evidence.results.stat().st_uid for file in run.iterdir())


def test_users_are_seeded_from_inside(evidence: Evidence) -> None:
    """The master's container may write users into the stack's Redis, which is private to the stack, and their ids."""
    master, ids = ("exec", "-T", "locust_master"), "/app/runs/user_ids.json"
    told = evidence.project.run(*master, "python", "-m", "loadtest", "seed", "users", "--count", "50", "--out", ids)
    assert "50 written" in told
    assert len(set(json.loads(evidence.project.run(*master, "cat", ids)))) == 50


def test_workers_do_not_restart(evidence: Evidence) -> None:
    """Nothing crashed on the way: every container that is left runs, but the killed one, and was started once."""
    left = evidence.project.containers()
    assert [f"/{evidence.project.name}-locust_worker-2"] == [
        c["Name"] for c in left if c["State"]["Status"] != "running"
    ]
    assert {container["RestartCount"] for container in left} == {0}
