"""A run on Docker Swarm: the stack file of `make swarm` is deployed on this engine, and scaled during the run."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from loadtest import __version__
from tests.endings import ended_well
from tests.faults.swarm import Witness
from tests.kubernetes.namespace import SCENARIO
from tests.kubernetes.scenario import END, USERS
from tests.stack.compose import ROOT, Project, docker, eventually

SWARM = ROOT / "local_conf" / "swarm.py"
METRICS = "import urllib.request as ask; print(ask.urlopen('http://127.0.0.1:9646/metrics').read().decode())"
GATEWAY = "bridge"
"""A network whose gateway is this machine, for all containers."""


@dataclass(frozen=True)
class Evidence:
    """Observations of the run."""

    code: int
    log: str
    task: str
    """What Swarm says of the master's task."""
    record: dict[str, Any]
    received: int
    mounted: list[str]
    """The secrets of a worker's container."""
    published: list[str]


@contextmanager
def swarm() -> Iterator[None]:
    """This engine as a Swarm of one node; an existing Swarm is left alone."""
    state = docker("info", "--format", "{{.Swarm.LocalNodeState}}").strip()
    if state != "inactive":
        pytest.skip(f"the engine's Swarm is {state}: Swarm is NOT tested")
    docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1")
    try:
        yield
    finally:
        docker("swarm", "leave", "--force")


def rendered(folder: Path, **settings: str) -> dict[str, Any]:
    """Return the stack file for these settings, with its own key."""
    scenarios = folder / "scenarios"
    scenarios.mkdir()
    shutil.copy(SCENARIO, scenarios)
    given = {"SCENARIOS_DIR": str(scenarios), "LOADTEST_SCENARIO": f"scenarios/{SCENARIO.name}", **settings}
    subprocess.run([sys.executable, SWARM], cwd=ROOT, env=os.environ | given, check=True)
    stack: dict[str, Any] = json.loads((ROOT / "dist" / "swarm.json").read_text())
    (folder / "link_key").write_text(os.urandom(32).hex())
    stack["secrets"]["link_key"]["file"] = str(folder / "link_key")
    return stack


@pytest.fixture(scope="module")
def evidence(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """Make the run, and always leave the Swarm."""
    if os.environ.get("TEST_SWARM") != "1":
        pytest.skip("`make test-swarm` was not typed: a run on a Swarm is NOT tested")
    built: Project = request.getfixturevalue("built")
    folder = tmp_path_factory.mktemp("swarm")
    image = f"loadtest-swarm-test:{uuid.uuid4().hex[:8]}"
    docker("tag", f"{built.name}-locust_master", image)
    try:
        with swarm():
            (gateway,) = json.loads(docker("network", "inspect", GATEWAY))[0]["IPAM"]["Config"]
            target = Witness(gateway["Gateway"])
            try:
                yield _make_run(target, image, folder)
            finally:
                target.close()
    finally:
        docker("image", "rm", "--force", image)


def _make_run(target: Witness, image: str, folder: Path) -> Evidence:
    stack = rendered(folder, LOADTEST_HOST=target.url, LOADTEST_WORKERS="2", LOADTEST_RUN_ID="swarm")
    for service in stack["services"].values():
        service["image"] = image
    (folder / "stack.json").write_text(json.dumps(stack))
    name = folder.name
    docker("stack", "deploy", "--resolve-image", "never", "--compose-file", str(folder / "stack.json"), name)
    try:
        return _follow(target, name)
    finally:
        docker("stack", "rm", name)
        label = f"label=com.docker.stack.namespace={name}"
        eventually("containers are gone", lambda: docker("ps", "--all", "--quiet", "--filter", label), "")
        docker("volume", "rm", "--force", f"{name}_runs")


def _follow(target: Witness, name: str) -> Evidence:
    master, worker = f"{name}_locust_master", f"{name}_locust_worker"
    for workers in (2, 3, 1):
        docker("service", "scale", "--detach", f"{worker}={workers}")
        eventually(f"{workers} workers", lambda: _connected(master), workers)
        before = len(target.requests)
        eventually(f"load by {workers}", lambda before=before: len(target.requests) > before + USERS, True)
    mounted = docker("exec", _container(worker), "ls", "/run/secrets").split()
    docker("exec", _container(master), "touch", str(END))
    eventually("the run has ended", lambda: _state(master) in ("complete", "failed"), True)
    (task,) = docker("service", "ps", "--quiet", master).split()
    code = int(docker("inspect", "--type=task", "--format", "{{.Status.ContainerStatus.ExitCode}}", task))
    volume = f"{name}_runs:/runs:ro"
    document = docker("run", "--rm", "--volume", volume, _image(master), "cat", "/runs/swarm/record.json")
    published = [_ports(service) for service in (master, worker)]
    return Evidence(
        code, docker("service", "logs", "--raw", master), _state(master), json.loads(document), len(target.requests),
        mounted, published,
    )  # fmt: skip


def _container(service: str) -> str:
    """Return a running container of a service."""
    return docker("ps", "--quiet", "--filter", f"label=com.docker.swarm.service.name={service}").split()[0]


def _state(service: str) -> str:
    return docker("service", "ps", "--format", "{{.CurrentState}}", service).split()[0].lower()


def _ports(service: str) -> str:
    return docker("service", "inspect", "--format", "{{.Endpoint.Ports}}", service).strip()


def _image(service: str) -> str:
    return docker("service", "inspect", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Image}}", service).strip()


def _connected(master: str) -> float:
    """Return the number of the master's workers; -1 until it reports one."""
    try:
        text = docker("exec", _container(master), "python", "-c", METRICS)
    except (IndexError, subprocess.CalledProcessError):
        return -1
    samples = (one for group in text_string_to_metric_families(text) for one in group.samples)
    states = ("ready", "spawning", "running")
    return sum(one.value for one in samples if one.name == "loadtest_workers" and one.labels["state"] in states)


@pytest.mark.usefixtures("engine")
def test_the_stack_file_has_master_and_workers_of_the_compose_file(tmp_path: Path) -> None:
    """The number of replicas, commands, users, limits and settings are kept, and every node gets the scenario."""
    host = "http://shop.example.com:8080"
    stack = rendered(tmp_path, LOADTEST_HOST=host, LOADTEST_WORKERS="3", LOADTEST_RATE="5", LOADTEST_THRESHOLD="a $b")
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert set(stack["services"]) == {"locust_master", "locust_worker"}
    for name, service in stack["services"].items():
        command = compose[name]["command"] + (["--headless"] if name == "locust_master" else [])
        assert (service["command"], service["image"]) == (command, f"loadtest:{__version__}")
        same = ("init", "read_only", "cap_drop", "stop_grace_period")
        assert [service[key] for key in same] == [compose[name][key] for key in same]
        assert service["user"] == "10001:10001"
        assert service["deploy"]["resources"]["limits"] == {"memory": str(2 << 30), "pids": compose[name]["pids_limit"]}
        given = service["environment"]
        settings = ("LOADTEST_HOST", "LOADTEST_RATE", "LOADTEST_THRESHOLD", "LOADTEST_LINK_KEY_FILE")
        assert [given[one] for one in settings] == [
            host,
            "5",
            "a $$b",
            "/run/secrets/link_key",
        ]  # $$ is an escaped $ in such a file
        assert {"REDIS_URL", "LOADTEST_SAMPLE_TARGET", "LOADTEST_PRIVATE_NETWORK"} & set(given) == set()
        assert {"ports", "healthcheck"} & set(service) == set()
        assert [config["target"] for config in service["configs"]] == [f"/app/scenarios/{SCENARIO.name}"]
    master, worker = (stack["services"][name] for name in ("locust_master", "locust_worker"))
    assert (worker["deploy"]["replicas"], master["environment"]["LOCUST_EXPECT_WORKERS"]) == (3, "3")
    assert master["deploy"]["restart_policy"] == {"condition": "none"}


@pytest.mark.parametrize(("setting", "value"), [("HOST", ""), ("HOST", "http://127.0.0.1:80"), ("WORKERS", "none")])
def test_what_no_swarm_can_have_is_refused(setting: str, value: str) -> None:
    """The error names the setting."""
    given = {"LOADTEST_HOST": "http://shop.example.com", f"LOADTEST_{setting}": value}
    done = subprocess.run([sys.executable, SWARM], cwd=ROOT, env=os.environ | given, capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode().startswith(f"error: {setting}={value} is ")) == (1, True), done.stderr


def test_a_run_on_a_swarm_counts_what_the_target_counts(evidence: Evidence) -> None:
    """This holds while workers come and go; the exit code is that of the master's task."""
    assert ended_well(evidence.code, evidence.log), evidence.log
    assert evidence.task == ("complete" if evidence.code == 0 else "failed")
    total = evidence.record["total"]
    assert (total["requests"], total["failures"]) == (evidence.received, 0)
    assert total["requests"] > 0


def test_the_key_is_a_secret_of_the_swarm_and_nothing_is_published(evidence: Evidence) -> None:
    """A Swarm would publish a port on every address of every node."""
    assert (evidence.mounted, evidence.published) == (["link_key"], ["[]", "[]"])
