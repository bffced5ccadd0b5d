"""Single services of a running stack are restarted, and the others continue."""

import json
import time
import urllib.error
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.measuring.traces import is_trace_id
from tests.stack.compose import Project, eventually
from tests.stack.evidence import copied

USERS = 4
ENOUGH_REQUESTS = 100


@pytest.fixture(scope="module")
def project(built: Project) -> Iterator[Project]:
    """A stack with one worker, every second request of which is traced."""
    made = Project(built.name, LOADTEST_TRACE_SAMPLE="0.5")
    try:
        made.up(1)
        yield made
    finally:
        made.down()


def test_a_restarted_redis_gets_its_data_back(project: Project, tmp_path: Path) -> None:
    """Requests fail only until the data is loaded again; the record has the restart, the loading and Redis' version.

    Until then Prometheus keeps the trace ids with the response times.
    """
    before = len(copied(project, tmp_path))  # the folder may be a mounted one that holds other runs
    eventually("a start", lambda: _starts(project), True)
    eventually("load", lambda: (project.value("sum(loadtest_requests_total)") or 0) > ENOUGH_REQUESTS, True)
    eventually("ids of traces in Prometheus", lambda: bool(_trace_ids(project)), True)
    assert all(map(is_trace_id, _trace_ids(project)))
    project.run("restart", "--timeout", "1", "redis")
    failures = 'sum(increase(loadtest_requests_total{result="failure"}[10s]))'
    time.sleep(10.0)
    eventually("failures of the last 10 s", lambda: project.value(failures), 0)
    project.get("locust_master", 8089, "/stop", {})
    eventually("the end", lambda: project.value('loadtest_run_state{state="stopped"}'), 1)
    eventually("records", lambda: len(copied(project, tmp_path)), before + 1)
    record = json.loads(copied(project, tmp_path)[-1].read_text())
    events = [event["text"] for event in record["events"] if event["kind"] == "redis"]
    assert events[-2:] == ["Redis was restarted", "Redis lost its data, which was loaded again"]
    assert {"redis-server", "ReJSON"} <= set(record["context"]["versions"])


def test_a_restarted_master_gets_its_workers_back(project: Project) -> None:
    """A master that ends by SIGTERM ends its workers; they start again, and the next master can start a test."""
    eventually("a start", lambda: _starts(project), True)
    project.run("restart", "locust_master", timeout_s=120)
    eventually("a start after the restart", lambda: _starts(project), True)


def _trace_ids(project: Project) -> set[str]:
    """Return the trace ids in Prometheus' exemplars of the response times."""
    now_s = time.time()
    asked = {"query": "loadtest_response_time_seconds_bucket", "start": f"{now_s - 600}", "end": f"{now_s}"}
    answer = project.get("prometheus", 9090, f"/api/v1/query_exemplars?{urllib.parse.urlencode(asked)}")
    return {one["labels"]["trace_id"] for series in answer["data"] for one in series["exemplars"]}


def _starts(project: Project) -> bool:
    """Try to start a test, and return whether it started."""
    try:
        answer = project.get("locust_master", 8089, "/swarm", {"user_count": str(USERS), "spawn_rate": str(USERS)})
    except (urllib.error.URLError, ConnectionError):
        return False
    return bool(answer["success"])
