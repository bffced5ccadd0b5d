"""The demo on a real cluster, in a restricted namespace, as an arbitrary user: three runs, and their results.

The first has 3 workers, then 5, then 1. In the second a worker's pod is killed, then the master's. The third is made by
`loadtest kubernetes run`, and fails a threshold. When all pods are gone, the results are fetched. The tests check the
collected evidence.
"""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadtest.exceptions import ExitCode
from tests.kubernetes.namespace import MANIFESTS, TARGET, USER, Namespace
from tests.kubernetes.scenario import END, USERS
from tests.stack.compose import eventually
from tests.stack.test_networks import REACH

LONGEST_RUN_ID = "night.1." + "x" * 92
ANY_TEXT = """1.0 "beta" of 'today' for $HOME, $(HOME) and ${HOME}"""
RULE = 'max(response_time){name="health/live"} < 1us'
PATIENCE_S = 300.0
CLOSED = [["locust-master", 5557], ["locust-master", 9646], ["redis", 6379], ["target-app", 5000], ["prometheus", 9090]]
OPEN = ["kubernetes.default", 443]
"""What every pod reaches that no policy selects: it shows that the attempts of the foreign pod are real."""


@dataclass(frozen=True)
class Ending:
    """How a run's Job ended."""

    conditions: dict[str, str]
    terminated: dict[str, Any]

    @property
    def code(self) -> int:
        """The master's exit code."""
        return int(self.terminated["exitCode"])

    @property
    def message(self) -> str:
        """The pod's termination message."""
        return str(self.terminated.get("message", ""))


@dataclass(frozen=True)
class Evidence:
    """Observations of the three runs."""

    reached_by_stranger: list[list[object]]
    reached_by_target: list[list[object]]
    reached_by_fetch: list[list[object]]
    users: set[int]
    """The user ids of the processes in the containers."""
    scaled_by: list[float]
    """What Prometheus answered, under load, to the queries that scale workers by CPU and lag."""
    received: float
    in_prometheus: float
    first: Ending
    sent_before_kill: float
    received_by_second: float
    second: dict[str, str]
    """The conditions of the Job whose master was killed."""
    command: subprocess.CompletedProcess[str]
    third: Ending
    left: list[str]
    """What was in the namespace when the runs were deleted."""
    here: Path
    """Where the command was typed."""
    results: Path

    def record(self, run_id: str) -> dict[str, Any]:
        """Return a run's document."""
        document: dict[str, Any] = json.loads((self.results / run_id / "record.json").read_text())
        return document


@pytest.fixture(scope="module")
def evidence(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:  # noqa: ARG001 - has to be
    """Make the runs, and remove the namespace whatever happens."""
    name = f"loadtest-test-{uuid.uuid4().hex[:8]}-".ljust(63, "x")  # the longest that there is
    namespace = Namespace(name, tmp_path_factory.mktemp("kustomizations"))
    try:
        namespace.create()
        yield _make_runs(namespace, *map(tmp_path_factory.mktemp, ("here", "results")))
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *namespace.told()])) from None
    finally:
        namespace.remove()


def _make_runs(namespace: Namespace, here: Path, results: Path) -> Evidence:
    rules = 'error_ratio{name="live"} < 1%, requests > 0'
    namespace.start(3, LOADTEST_RUN_ID=LONGEST_RUN_ID, LOADTEST_THRESHOLD=rules, LOADTEST_VERSION=ANY_TEXT)
    _await_load(namespace, 3)
    stranger, target = _reached_by_stranger(namespace), _reached_by_target(namespace)
    users = {_user(namespace, place) for place in ("job/loadtest", "deployment/locust-worker", "deployment/redis")}
    for workers in (5, 1):
        namespace.kubectl("scale", "deployment/locust-worker", f"--replicas={workers}")
        eventually(f"workers after scaling to {workers}", namespace.connected, workers, PATIENCE_S)
        before = namespace.sent()
        eventually(
            f"load by {workers} workers", lambda before=before: namespace.sent() > before + USERS, True, PATIENCE_S
        )
    scaled_by = [_in_prometheus(namespace, query) for query in _queries_of_keda()]
    first = _end(namespace)
    received = namespace.received()
    in_prometheus = _in_prometheus(namespace, "sum(max_over_time(loadtest_requests_total[1h]))")

    folder = namespace.start(2, LOADTEST_RUN_ID="second")
    _await_load(namespace, 2)
    killed = _kill(namespace, "locust-worker")
    eventually("another worker", lambda: len(_ready(namespace, "locust-worker") - {killed}), 2, PATIENCE_S)
    sent_before_kill = namespace.sent()
    eventually("load by the new worker", lambda: namespace.sent() > sent_before_kill + 20 * USERS, True, PATIENCE_S)
    _kill(namespace, "locust-master")
    eventually("the Job failed", lambda: "Failed" in namespace.conditions(), True, PATIENCE_S)
    second = namespace.conditions()
    namespace.delete_run()
    eventually("workers are gone", lambda: namespace.pods("locust-worker"), [], PATIENCE_S)
    received_by_second = namespace.received() - received

    command = _run_by_command(namespace, here, folder)
    third = _ended(namespace)
    said = re.search(r"remove it with: kubectl (.*)", command.stdout)
    assert said, command.stdout
    namespace.kubectl(*said[1].split())
    eventually("pods are gone", namespace.pods, [], PATIENCE_S)
    by_fetch = json.loads(namespace.fetch(results, "python", "-c", REACH, json.dumps([OPEN])))
    kinds = "pods,jobs,deployments,services,networkpolicies,configmaps,secrets,persistentvolumeclaims"
    left = namespace.kubectl("get", kinds, "-o", "name").split()
    return Evidence(
        stranger, target, by_fetch, users, scaled_by, received, in_prometheus, first,
        sent_before_kill, received_by_second, second, command, third, left, here, results,
    )  # fmt: skip


def _run_by_command(namespace: Namespace, here: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    words = ("--scenario", "health", "--profile", "smoke", "--run-time", "5s", "--workers", "1", "--threshold", RULE)
    where = ("--namespace", namespace.name, "--kustomize", str(folder), "--run-id", "third", "--keep")
    program = [sys.executable, "-m", "loadtest", "kubernetes", "run", *words, *where]
    return subprocess.run(
        program, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False
    )


def _await_load(namespace: Namespace, workers: int) -> None:
    eventually(f"{workers} workers", namespace.connected, workers, PATIENCE_S)
    eventually("load", lambda: namespace.sent() > 10 * USERS, True, PATIENCE_S)


def _end(namespace: Namespace) -> Ending:
    namespace.kubectl("exec", "job/loadtest", "-c", "master", "--", "touch", str(END))
    return _ended(namespace)


def _ended(namespace: Namespace) -> Ending:
    eventually("the Job ended", lambda: bool({"Complete", "Failed"} & set(namespace.conditions())), True, PATIENCE_S)
    return Ending(namespace.conditions(), namespace.terminated())


def _kill(namespace: Namespace, component: str) -> str:
    """Kill a pod without a grace period, and return its name."""
    pod: str = namespace.pods(component)[0]["metadata"]["name"]
    namespace.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
    return pod


def _ready(namespace: Namespace, component: str) -> set[str]:
    """Return the pods that are ready; a worker is ready once it has joined a master."""
    ready = ("Ready", "True")
    return {
        pod["metadata"]["name"]
        for pod in namespace.pods(component)
        if ready in [(one["type"], one["status"]) for one in pod["status"].get("conditions", [])]
    }


def _user(namespace: Namespace, workload: str) -> int:
    return int(namespace.kubectl("exec", workload, "--", "id", "-u"))


def _queries_of_keda() -> list[str]:
    scaled = yaml.safe_load((MANIFESTS / "keda" / "workers.yaml").read_text())
    return [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]


def _in_prometheus(namespace: Namespace, query: str) -> float:
    url = "http://127.0.0.1:9090"
    said = namespace.kubectl("exec", "deployment/prometheus", "--", "promtool", "query", "instant", url, query)
    return float(said.split("=>")[1].split("@")[0])


def _reached_by_target(namespace: Namespace) -> list[list[object]]:
    places = json.dumps([*CLOSED[:2], ["redis", 6379]])
    reached = namespace.kubectl("exec", TARGET[0], "--", "python", "-c", REACH, places)
    found: list[list[object]] = json.loads(reached)
    return found


def _reached_by_stranger(namespace: Namespace) -> list[list[object]]:
    """Return the parts of the stack that an unrelated pod of the same namespace can reach."""
    secure = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "stranger",
        "image": "loadtest:0.1.0",
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", REACH, json.dumps([*CLOSED, OPEN])],
        "securityContext": secure,
    }
    pod = {"restartPolicy": "Never", "containers": [container]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"}, "spec": pod}
    namespace.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    namespace.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/stranger", "--timeout=180s")
    found: list[list[object]] = json.loads(namespace.kubectl("logs", "stranger"))
    namespace.kubectl("delete", "pod", "stranger", "--wait=false")
    return found


def test_target_record_and_prometheus_count_the_same(evidence: Evidence) -> None:
    """This holds to the last request while workers come and go, and nothing fails."""
    total = evidence.record(LONGEST_RUN_ID)["total"]
    assert (total["requests"], total["requests"], total["failures"]) == (evidence.received, evidence.in_prometheus, 0)
    assert total["requests"] > 0
    assert evidence.record(LONGEST_RUN_ID)["delivery"]["completeness"] == 1


def test_settings_arrive_as_they_were_given(evidence: Evidence) -> None:
    """Quotes, blanks and dollar signs stay as they are."""
    assert evidence.record(LONGEST_RUN_ID)["configuration"]["version"] == ANY_TEXT


def test_prometheus_answers_what_keda_asks(evidence: Evidence) -> None:
    """Each query returns a single number: the CPU of the workers, and their lag."""
    cpu_ratio, lag_s = evidence.scaled_by
    assert (cpu_ratio > 0, lag_s >= 0) == (True, True)


def test_a_run_that_passes_completes_its_job(evidence: Evidence) -> None:
    """The Job completes although a sidecar runs next to the master, as in a service mesh, and would keep running.

    On a busy machine the run may not be trustworthy: the Job then fails with that code.
    """
    ended = evidence.first
    assert ended.code in (ExitCode.PASSED, ExitCode.NOT_TRUSTWORTHY), ended
    verdict = "passed" if ended.code == ExitCode.PASSED else "not trustworthy"
    assert ended.message.startswith(f"{verdict}: run {LONGEST_RUN_ID}\n")
    assert ("Complete" in ended.conditions) == (ended.code == ExitCode.PASSED)


def test_a_failed_threshold_is_in_condition_and_message(evidence: Evidence) -> None:
    """The condition names the exit code; the message has the verdict, the rule and the value."""
    ended = evidence.third
    assert ended.code in (ExitCode.THRESHOLD_FAILED, ExitCode.NOT_TRUSTWORTHY), ended
    assert f"failed with exit code {ended.code} matching FailJob rule" in ended.conditions["Failed"]
    verdict = "failed" if ended.code == ExitCode.THRESHOLD_FAILED else "not trustworthy"
    assert ended.message.startswith(f"{verdict}: run third\n")
    assert f"{RULE}: failed with " in ended.message


def test_the_command_ends_with_the_code_of_the_run_and_its_results(evidence: Evidence) -> None:
    """The results of `loadtest kubernetes run` are the same as those on the volume."""
    assert evidence.command.returncode == evidence.third.code, evidence.command.stdout
    record = evidence.here / "runs" / "third" / "record.json"
    assert record.exists(), evidence.command.stdout
    ours = json.loads(record.read_text())
    assert (ours, ours["total"]["requests"] > 0) == (evidence.record("third"), True)


def test_a_killed_master_fails_the_job_and_leaves_what_was_measured(evidence: Evidence) -> None:
    """They are on the volume, shown as interrupted; a killed worker loses at most what it had not sent."""
    assert "Failed" in evidence.second
    assert "Complete" not in evidence.second
    shown = subprocess.run(
        [sys.executable, "-m", "loadtest", "report", str(evidence.results / "second")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (shown.returncode, "verdict      interrupted" in shown.stdout) == (ExitCode.PASSED, True), shown
    requests = evidence.record("second")["total"]["requests"]
    assert evidence.sent_before_kill <= requests <= evidence.received_by_second


def test_the_results_outlive_every_pod(evidence: Evidence) -> None:
    """They are fetched when everything of the runs is gone except the volume and the Secret."""
    of_the_cluster = "configmap/kube-root-ca.crt"
    kept = {"secret/loadtest", "persistentvolumeclaim/loadtest-runs"}
    assert set(evidence.left) - {of_the_cluster} == kept
    assert {path.name for path in evidence.results.iterdir()} == {LONGEST_RUN_ID, "second", "third"}
    assert "<html" in (evidence.results / LONGEST_RUN_ID / "report.html").read_text()


def test_strangers_are_refused(evidence: Evidence) -> None:
    """A pod of the same namespace reaches no part of the stack, and the service under test only its store.

    The pod that copies the results, when all others are gone, reaches nothing.
    """
    assert evidence.reached_by_stranger == [OPEN]
    assert evidence.reached_by_target == [["redis", 6379]]
    assert evidence.reached_by_fetch == []


def test_containers_run_as_any_user(evidence: Evidence) -> None:
    """This includes a user that no image knows, as OpenShift chooses one."""
    assert evidence.users == {USER}
