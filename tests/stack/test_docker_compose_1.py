"""The same file under docker-compose 1.29.2, which many machines still have, with the passwords and keys of `make up`.

A test of every built-in scenario starts automatically, with referees, and its results are written to a user's folder.
"""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest import scenarios
from tests.faults.referee import by_method, counted
from tests.stack.compose import ROOT, WITH_REFEREES, Project, docker, eventually
from tests.stack.conftest import needed

RUN_TIME_S = 8
WORKERS = 2
NAMES = set(scenarios.names())
EVERY_SCENARIO = ",".join(f"locust/loadtest/scenarios/{name}.py" for name in sorted(NAMES))


@pytest.fixture(scope="module")
def old_compose(engine: None) -> str:  # noqa: ARG001 - the engine must exist
    """The command; if CI runs as root on Debian, its package is installed."""
    if not shutil.which("docker-compose") and os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        options = ["-y", "-qq", "--no-install-recommends"]
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True)
        subprocess.run(["apt-get", "install", *options, "docker-compose"], check=False, capture_output=True)
    needed("docker-compose", there=bool(shutil.which("docker-compose")))
    return "docker-compose"


@pytest.fixture
def project(old_compose: str, built: Project, tmp_path: Path) -> Iterator[Project]:
    """A separate project, with the images of Compose v2 under the names that version 1 expects."""
    owner = os.getuid() or 12345
    os.chown(tmp_path, owner, -1)
    settings = {
        "LOADTEST_AUTOSTART": "1",
        "LOADTEST_RUN_TIME": f"{RUN_TIME_S}s",
        "LOADTEST_USERS": "24",
        "LOADTEST_SCENARIO": EVERY_SCENARIO,
        "LOADTEST_HOST": "http://referee:5000",
        "LOCUST_EXPECT_WORKERS": str(WORKERS),
        "RUNS_DIR": str(tmp_path),
        "RUN_AS": f"{owner}:{owner}",
    }
    subprocess.run([ROOT / "local_conf" / "make_secrets.sh"], check=True, capture_output=True)
    command = [old_compose, "-f", "docker-compose.yml", "-f", "docker/secrets.yml", "-f", WITH_REFEREES]
    made = Project(f"{built.name}-old", command, **settings)
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
    """`docker-compose up --scale` starts everything, and LOADTEST_AUTOSTART makes a run that ends and is counted."""
    project.up(WORKERS)
    with project.told():
        eventually("state of the run", lambda: project.value('loadtest_run_state{state="stopped"}'), 1)
        eventually("records in RUNS_DIR", lambda: len(list(tmp_path.glob("*/record.json"))), 1)
    eventually("workers", lambda: project.value('sum(loadtest_workers{state=~"ready|running"})'), WORKERS)
    (file,) = tmp_path.glob("*/record.json")
    assert file.stat().st_uid == tmp_path.stat().st_uid
    record = json.loads(file.read_text())
    series = (*record["series"], *record["setup"]["series"])
    assert {one["scenario"] for one in series} == NAMES
    received = by_method(line for line in project.judged() if not line.answered)
    requests, failures = (counted([record], figure) for figure in ("requests", "failures"))
    assert requests - failures <= received <= requests  # requests cut off at the end may not have been sent yet
    with pytest.raises(urllib.error.HTTPError, match="401"):
        project.get("locust_master", 8089, "/stats/requests")
    project.log_in((ROOT / "secrets" / "web_password").read_text())
    for form in (None, b"user_count=1&spawn_rate=1"):  # the service under test gets the cookie, but not the token
        path = "/stats/requests" if form is None else "/swarm"
        url = f"http://127.0.0.1:{project.port('locust_master', 8089)}{path}"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(urllib.request.Request(url, form, {"Cookie": project.cookie}), timeout=30)
    statistics = project.get("locust_master", 8089, "/stats/requests")
    in_total = next(row["num_requests"] for row in statistics["stats"] if row["name"] == "Aggregated")
    assert in_total > 0
    eventually("requests in Prometheus", lambda: project.value("sum(loadtest_requests_total)"), in_total)
    # When a scrape fails on a busy machine, Prometheus has no value until the next one.
    eventually("errors", lambda: project.value('sum(loadtest_errors_total{class!="unfinished"})'), 0)
    eventually("refused messages", lambda: project.value("sum(loadtest_link_refused_total)"), 0)
    for container in project.containers():
        assert container["HostConfig"]["ReadonlyRootfs"] is True
        assert container["HostConfig"]["Memory"] > 0
        assert container["HostConfig"]["PidsLimit"] == 512
