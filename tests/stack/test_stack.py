"""The Compose stack, started as users start it: runs through Locust's web API while the workers scale.

The tests check the evidence of these runs (`tests.stack.evidence`); `test_stack_panels` checks the dashboards.
"""

import json
import subprocess
from datetime import datetime

from loadtest import scenarios
from tests.faults.referee import by_method, counted
from tests.faults.soak import CLOCKS_S
from tests.stack.compose import SERVICES, docker, eventually, filled
from tests.stack.evidence import Evidence, aggregated, service_of
from tests.stack.panels import expression_of


def test_prometheus_counts_what_the_record_counts(evidence: Evidence) -> None:
    """Prometheus, the run's record and Locust's statistics have the same number of requests."""
    in_record = evidence.record["total"]["requests"]
    assert in_record > 100
    for metric in ("loadtest_requests_total", "loadtest_response_time_seconds_count"):
        (row,) = evidence.project.query(f"sum({metric})", evidence.end_s)
        assert in_record == float(row["value"][1])
    assert in_record == aggregated(evidence.requests)["num_requests"]


def test_the_referees_received_what_the_record_counts(evidence: Evidence) -> None:
    """While workers come and go, each request over HTTP and each command over RESP is answered and counted."""
    received = by_method(line for line in evidence.judged if not line.answered)
    answered = by_method(line for line in evidence.judged if line.answered)
    assert received == answered == counted([evidence.record], "requests")
    assert received["GET"] > 100
    assert received["JSON.GET JSON.GET"] > 100


def test_a_killed_worker_lost_what_the_record_names(evidence: Evidence) -> None:
    """The referees' surplus over the record was sent by the killed worker since the second that the record names."""
    received = [line for line in evidence.judged_second if not line.answered]
    (gap,) = evidence.second["delivery"]["missing"]
    named_s = datetime.fromisoformat(evidence.second["started_at"]).timestamp() // 1 + gap["start_s"] - CLOCKS_S
    last = by_method(line for line in received if line.user in evidence.killed and line.at >= named_s)
    missing = by_method(received)
    missing.subtract(counted([evidence.second], "requests"))
    assert {method: count for method, count in missing.items() if not 0 <= count <= last[method]} == {}


def test_every_name_agrees(evidence: Evidence) -> None:
    """Counts also agree for each name."""
    rows = evidence.project.query("sum by (method, name) (loadtest_requests_total) > 0", evidence.end_s)
    in_prometheus = {(row["metric"]["method"], row["metric"]["name"]): float(row["value"][1]) for row in rows}
    in_record = {(series["method"], series["name"]): series["requests"] for series in evidence.record["series"]}
    assert in_prometheus == in_record


def test_nothing_failed(evidence: Evidence) -> None:
    """No request fails although workers come and go."""
    assert evidence.record["total"]["failures"] == 0
    assert evidence.project.value('sum(loadtest_requests_total{result="failure"})') == 0
    assert evidence.project.value("sum(loadtest_errors_total)") == 0
    assert aggregated(evidence.requests)["num_failures"] == 0


def test_the_record_is_complete(evidence: Evidence) -> None:
    """Workers that are scaled down first send all their samples."""
    assert evidence.record["delivery"]["completeness"] == 1
    assert evidence.record["delivery"]["missing"] == []
    (row,) = evidence.project.query("loadtest_run_completeness_ratio", evidence.end_s)
    assert row["value"][1] == "1"


def test_a_killed_worker_makes_no_dip_and_no_double_count(evidence: Evidence) -> None:
    """The counters of both runs add up to both records and never fall, and no plotted rate is below zero."""
    requests = evidence.record["total"]["requests"] + evidence.second["total"]["requests"]
    assert requests == evidence.project.value("sum(loadtest_requests_total)")
    assert evidence.project.value("sum(resets(loadtest_requests_total[10m]))") == 0
    lowest = f"min_over_time(({filled(expression_of('load_run', 'Requests by result'))})[5m:2s])"
    assert min(float(row["value"][1]) for row in evidence.project.query(f"min({lowest})")) >= 0
    assert evidence.second["delivery"]["missing"]
    (row,) = evidence.project.query("sum(rate(loadtest_requests_total[10s]))", evidence.killed_s)
    assert float(row["value"][1]) > 0


def test_declared_requests_were_at_zero_before_the_run(evidence: Evidence) -> None:
    """Prometheus sees each declared request at 0 first, and so misses no increase."""
    declared = {(method, name) for method, name in scenarios.load("documents").requests}
    assert declared == {(row["metric"]["method"], row["metric"]["name"]) for row in evidence.at_zero}
    assert {row["value"][1] for row in evidence.at_zero} == {"0"}
    requests = evidence.record["total"]["requests"]
    rows = evidence.project.query("sum(max_over_time(loadtest_requests_total[10m]))", evidence.end_s)
    assert [requests] == [float(row["value"][1]) for row in rows]


def test_every_target_is_scraped(evidence: Evidence) -> None:
    """Master, target, Redis' exporter and Prometheus are up, and no alert reports lost data."""
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
    assert set(SERVICES) == {service_of(container) for container in evidence.containers}
    assert len(SERVICES) + 2 == len(evidence.containers)
    for container in evidence.containers:
        host, config = container["HostConfig"], container["Config"]
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["Init"] is True
        assert host["PidsLimit"] == 512
        assert 0 < host["Memory"] == host["MemorySwap"] <= 2 * 1024**3
        assert host["Privileged"] is False
        assert (host["PidMode"], host["UsernsMode"], host["UTSMode"], host["IpcMode"]) == ("", "", "", "private")
        given = ("Devices", "DeviceCgroupRules", "DeviceRequests", "GroupAdd", "Sysctls", "VolumesFrom", "Dns")
        assert [key for key in given if host.get(key)] == []  # an engine leaves some out
        assert host["NetworkMode"] not in ("host", "none")
        assert set() == {mount["Source"] for mount in container["Mounts"] if mount["RW"] and mount["Type"] == "bind"}
        assert not any("docker.sock" in mount["Source"] for mount in container["Mounts"])
        assert config["User"].partition(":")[0] not in ("", "0", "root")
        assert host["LogConfig"]["Config"]["max-size"] == "10m"


def test_a_container_can_do_nothing_more_than_its_work(evidence: Evidence) -> None:
    """Inside, its user is unprivileged, has no capability, cannot gain one, and cannot write to its image."""
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
    """The host listens on 127.0.0.1 for the four services with an interface, but not for Redis or the workers."""
    published = {}
    for container in evidence.containers:
        bindings = [b for ports in container["NetworkSettings"]["Ports"].values() for b in ports or []]
        assert {binding["HostIp"] for binding in bindings} <= {"127.0.0.1"}
        if bindings:
            published[container["Config"]["Labels"]["com.docker.compose.service"]] = len(bindings)
    assert published == {"locust_master": 2, "target_app": 1, "prometheus": 1}


def test_results_come_to_the_host(evidence: Evidence) -> None:
    """`docker compose cp` copies record and reports out of the volume, readable by the caller."""
    assert len(list(evidence.results.iterdir())) == 2
    run = evidence.results / evidence.record["run_id"]
    assert {"record.json", "record.stream", "locust.html", "locust_stats.csv"} <= {file.name for file in run.iterdir()}
    assert all(file.stat().st_uid == evidence.results.stat().st_uid for file in run.iterdir())


def test_users_are_seeded_from_inside(evidence: Evidence) -> None:
    """The master's container may write users, and their ids, into the stack's private Redis."""
    master, ids = ("exec", "-T", "locust_master"), "/app/runs/user_ids.json"
    told = evidence.project.run(*master, "python", "-m", "loadtest", "seed", "users", "--count", "50", "--out", ids)
    assert "50 written" in told
    assert len(set(json.loads(evidence.project.run(*master, "cat", ids)))) == 50


def test_workers_do_not_restart(evidence: Evidence) -> None:
    """Nothing crashes on the way: every remaining container but the killed one runs, and was started once."""
    left = evidence.project.containers()
    assert [f"/{evidence.project.name}-locust_worker-2"] == [
        c["Name"] for c in left if c["State"]["Status"] != "running"
    ]
    assert {container["RestartCount"] for container in left} == {0}
