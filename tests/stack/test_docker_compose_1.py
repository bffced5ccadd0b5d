"""The same file under docker-compose 1.29.2, which many machines still have, with the passwords and keys of `make up`.

A test starts automatically.
"""

import json
import os
import shutil
import subprocess
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.compose import ROOT, Project, docker, eventually
from tests.stack.conftest import needed

RUN_TIME_S = 6
WORKERS = 2


@pytest.fixture(scope="module")
def old_compose(engine: None) -> str:  # noqa: ARG001 - the engine has to be there
    """The command; where CI runs as root on Debian, its package is installed."""
    if not shutil.which("docker-compose") and os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        options = ["-y", "-qq", "--no-install-recommends"]
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True)
        subprocess.run(["apt-get", "install", *options, "docker-compose"], check=False, capture_output=True)
    needed("docker-compose", there=bool(shutil.which("docker-compose")))
    return "docker-compose"


@pytest.fixture
def project(old_compose: str, built: Project) -> Iterator[Project]:
    """A project of its own, with the images that Compose v2 built under the names that this one gives them."""
    settings = {"LOADTEST_AUTOSTART": "1", "LOADTEST_RUN_TIME": f"{RUN_TIME_S}s", "LOADTEST_USERS": "4"}
    subprocess.run([ROOT / "local_conf" / "make_secrets.sh"], check=True, capture_output=True)
    command = [old_compose, "-f", "docker-compose.yml", "-f", "docker/secrets.yml"]
    made = Project(f"{built.name}-old", command, **settings, LOCUST_EXPECT_WORKERS=str(WORKERS))
    names = [f"{made.name}{made.separator}{service}" for service in ("target_app", "locust_master", "locust_worker")]
    for name in names:
        docker("tag", name.replace(f"{made.name}{made.separator}", f"{built.name}-"), name)
    yield made
    made.down()
    docker("image", "rm", *names)


def test_it_accepts_the_file(project: Project) -> None:
    """`docker-compose config` reads every service, volume and network of the file."""
    assert set(project.run("config", "--services").split()) >= {"locust_master", "locust_worker", "grafana"}
    assert set(project.run("config", "--volumes").split()) == {"runs", "prometheus_data"}


def test_up_runs_a_test_by_itself(project: Project, tmp_path: Path) -> None:
    """`docker-compose up --scale` starts everything, and LOADTEST_AUTOSTART makes a run that ends and is counted.

    It has no `cp`, so the results are copied by `docker cp`.
    """
    project.up(WORKERS)
    with project.told():
        eventually("state of the run", lambda: project.value('loadtest_run_state{state="stopped"}'), 1)
    eventually("workers", lambda: project.value('sum(loadtest_workers{state=~"ready|running"})'), WORKERS)
    docker("cp", f"{project.run('ps', '-q', 'locust_master').strip()}:/app/runs/.", str(tmp_path))
    (record,) = tmp_path.glob("*/record.json")
    assert json.loads(record.read_text())["total"]["requests"] > 0
    with pytest.raises(urllib.error.HTTPError, match="401"):
        project.get("locust_master", 8089, "/stats/requests")
    project.log_in((ROOT / "secrets" / "web_password").read_text())
    requests = project.get("locust_master", 8089, "/stats/requests")
    counted = next(row["num_requests"] for row in requests["stats"] if row["name"] == "Aggregated")
    assert counted > 0
    eventually("requests in Prometheus", lambda: project.value("sum(loadtest_requests_total)"), counted, 20)
    assert project.value('sum(loadtest_requests_total{result="failure"})') == 0
    assert project.value("sum(loadtest_link_refused_total)") == 0
    for container in project.containers():
        assert container["HostConfig"]["ReadonlyRootfs"] is True
        assert container["HostConfig"]["Memory"] > 0
        assert container["HostConfig"]["PidsLimit"] == 512
