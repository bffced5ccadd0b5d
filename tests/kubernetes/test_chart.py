"""The chart on a cluster: installed, upgraded while nothing runs, uninstalled, and installed again over its results."""

import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode
from tests.kubernetes.namespace import MANIFESTS, PART, USER, Namespace
from tests.stack.compose import eventually

PATIENCE_S = 300.0
ENDED = {str(ExitCode.PASSED.value), str(ExitCode.NOT_TRUSTWORTHY.value)}
"""On a busy machine the generator may say that it was not fit to measure."""
SCENARIO = """
from locust import HttpUser, constant, task


class Visitor(HttpUser):
    wait_time = constant(0.1)

    @task
    def live(self):
        self.client.get("/live")
"""
SMALL = {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "16Mi"}
LIMITS = {"memory": "1Gi", "ephemeral-storage": "64Mi"}


@dataclass(frozen=True)
class Evidence:
    """What was seen of two runs of the chart."""

    codes: list[str]
    """How both ended."""
    jobs: list[str]
    """The Jobs that were there after the upgrade."""
    workers_were_replaced: bool
    left: set[str]
    """What was in the namespace when the chart was uninstalled."""
    runs: set[str]
    """The results that a later release found."""


def helm(namespace: Namespace, *words: str) -> None:
    """Run helm in a namespace."""
    done = subprocess.run(
        ["helm", "--namespace", namespace.name, *words], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def evidence(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:  # noqa: ARG001 - has to be
    """Make both runs, against a server of files."""
    if not shutil.which("helm"):
        pytest.skip("there is no helm: the chart is NOT tested")
    folder = tmp_path_factory.mktemp("chart")
    namespace = Namespace(f"loadtest-chart-{uuid.uuid4().hex[:8]}", folder)
    namespace.create(with_volume=False)
    try:
        yield _use(namespace, folder)
    finally:
        namespace.remove()


def _use(namespace: Namespace, folder: Path) -> Evidence:
    _serve_files(namespace)
    (folder / "shop.py").write_text(SCENARIO)
    values = {
        "workers": 1,
        "settings": {
            "LOADTEST_SCENARIO": "scenarios/shop.py",
            "LOADTEST_HOST": "http://shop:8000",
            "LOADTEST_PROFILE": "smoke",
            "LOADTEST_RUN_TIME": "4s",
            "LOADTEST_RUN_ID": "first",
        },
        "resources": {part: {"requests": SMALL, "limits": LIMITS} for part in ("master", "worker")},
    }
    (folder / "values.json").write_text(json.dumps(values))
    chart = (str(MANIFESTS / "chart"), "--values", str(folder / "values.json"))
    scenario = ("--set-file", f"scenarios.shop\\.py={folder / 'shop.py'}")
    helm(namespace, "install", "loadtest", *chart, *scenario)
    codes = [_ended(namespace)]
    before = _names(namespace, "pods", "locust-worker")
    helm(namespace, "upgrade", "loadtest", *chart, *scenario, "--set", "settings.LOADTEST_RUN_ID=second")
    eventually("the next Job", lambda: _names(namespace, "jobs"), {"job.batch/loadtest-2"}, PATIENCE_S)
    codes.append(_ended(namespace))
    jobs = sorted(_names(namespace, "jobs"))
    replaced = not before & _names(namespace, "pods", "locust-worker")
    namespace.kubectl("delete", "pod,service", "shop")
    helm(namespace, "uninstall", "loadtest", "--wait", "--cascade=foreground")
    eventually("pods are gone", namespace.pods, [], PATIENCE_S)
    kinds = "pods,jobs,deployments,services,networkpolicies,configmaps,secrets,persistentvolumeclaims"
    left = set(namespace.kubectl("get", kinds, "-o", "name").split())
    helm(namespace, "install", "loadtest", *chart, "--set", "image.tag=none")
    namespace.kubectl("delete", "job", "loadtest-1")
    fetch = namespace.kustomize("fetch", {})
    namespace.kubectl("apply", "--server-side", "--kustomize", str(fetch))
    namespace.kubectl("wait", "--for=condition=Ready", "pod/loadtest-fetch", "--timeout=180s")
    runs = set(namespace.kubectl("exec", "loadtest-fetch", "--", "ls").split())
    return Evidence(codes, jobs, replaced, left, runs)


def _serve_files(namespace: Namespace) -> None:
    """Make a service under test."""
    pod = {
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "shop",
                "image": "loadtest:0.1.0",
                "imagePullPolicy": "IfNotPresent",
                "workingDir": "/tmp",  # noqa: S108 - of the container
                "command": ["sh", "-c", "touch live && exec python -m http.server 8000"],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }
    labels = {"app": "shop"}
    objects = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop", "labels": labels}, "spec": pod},
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"},
            "spec": {"selector": labels, "ports": [{"port": 8000}]},
        },
    ]  # fmt: skip
    for one in objects:
        namespace.kubectl("apply", "--filename=-", stdin=json.dumps(one))


def _names(namespace: Namespace, kind: str, component: str | None = None) -> set[str]:
    selector = f"{PART},app.kubernetes.io/component={component}" if component else PART
    return set(namespace.kubectl("get", kind, "--selector", selector, "-o", "name").split())


def _ended(namespace: Namespace) -> str:
    """Wait until the run has ended, and return its exit code."""
    path = "{.items[*].status.containerStatuses[0].state.terminated.exitCode}"
    selector = f"--selector={PART},app.kubernetes.io/component=locust-master"

    def code() -> str:
        return namespace.kubectl("get", "pods", selector, "-o", f"jsonpath={path}")

    eventually("the run has ended", lambda: bool(code()), True, PATIENCE_S)
    return code()


def test_an_upgrade_is_another_run(evidence: Evidence) -> None:
    """Its Job takes the place of the one before, and workers with the new settings that of the old ones."""
    assert set(evidence.codes) <= ENDED
    assert (evidence.jobs, evidence.workers_were_replaced) == (["job.batch/loadtest-2"], True)


def test_uninstalling_leaves_the_results(evidence: Evidence) -> None:
    """And the Secret, which is not of the chart; another release finds them."""
    of_the_cluster = "configmap/kube-root-ca.crt"
    assert evidence.left - {of_the_cluster} == {"secret/loadtest", "persistentvolumeclaim/loadtest-runs"}
    assert evidence.runs == {"first", "second"}
