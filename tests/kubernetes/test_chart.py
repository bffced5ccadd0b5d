"""The chart on a cluster: installed, upgraded while nothing runs, uninstalled, and installed again over its results.

Each run also sends them to a presigned URL, of a store that refuses the second.
"""

import json
import re
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
SHOP = """
import http.server, pathlib

class Handler(http.server.SimpleHTTPRequestHandler):
    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_taken = pathlib.Path("store/night.tar.gz").exists()
        if not is_taken:
            pathlib.Path("store/night.tar.gz").write_bytes(body)
        self.send_response(403 if is_taken else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

pathlib.Path("store").mkdir()
pathlib.Path("live").touch()
http.server.ThreadingHTTPServer(("", 9000), Handler).serve_forever()
"""
"""A service under test, which is also the store that the results are sent to, once."""
URL = "http://shop:9000/store/night.tar.gz?X-Amz-Signature=5ec2e7"
SMALL = {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "16Mi"}
LIMITS = {"memory": "1Gi", "ephemeral-storage": "64Mi"}


@dataclass(frozen=True)
class Evidence:
    """Observations of two runs of the chart."""

    codes: list[str]
    """How both ended."""
    jobs: list[str]
    """The Jobs that were there after the upgrade."""
    workers_were_replaced: bool
    left: set[str]
    """What was in the namespace when the chart was uninstalled."""
    runs: set[str]
    """The results that a later release found."""
    said: list[str]
    """What each master said about sending its results."""
    sent: set[str]
    """What the store was sent."""


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
    namespace.kubectl("patch", "secret", "loadtest", f"--patch={json.dumps({'stringData': {'results_url': URL}})}")
    _open_shop(namespace)
    (folder / "shop.py").write_text(SCENARIO)
    values = {
        "workers": 1,
        "upload": True,
        "settings": {
            "LOADTEST_SCENARIO": "scenarios/shop.py",
            "LOADTEST_HOST": "http://shop:9000",
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
    codes, said = [_ended(namespace, 1)], [_said_of_upload(namespace, 1)]
    before = _names(namespace, "pods", "locust-worker")
    helm(namespace, "upgrade", "loadtest", *chart, *scenario, "--set", "settings.LOADTEST_RUN_ID=second")
    eventually("the next Job", lambda: _names(namespace, "jobs"), {"job.batch/loadtest-2"}, PATIENCE_S)
    codes.append(_ended(namespace, 2))
    said.append(_said_of_upload(namespace, 2))
    sent = set(namespace.kubectl("exec", "shop", "--", "tar", "-tzf", "store/night.tar.gz").split())
    jobs = sorted(_names(namespace, "jobs"))
    replaced = not before & _names(namespace, "pods", "locust-worker")
    namespace.kubectl("delete", "pod,service", "shop", "--grace-period=1")  # it ignores SIGTERM
    helm(namespace, "uninstall", "loadtest", "--wait", "--cascade=foreground")
    eventually("pods and what made them are gone", lambda: _names(namespace, "pods,deployments"), set(), PATIENCE_S)
    kinds = "pods,jobs,deployments,services,networkpolicies,configmaps,secrets,persistentvolumeclaims"
    left = set(namespace.kubectl("get", kinds, "-o", "name").split())
    helm(namespace, "install", "loadtest", *chart, "--set", "image.tag=none")
    namespace.kubectl("delete", "job", "loadtest-1")
    fetch = namespace.kustomize("fetch", {})
    namespace.kubectl("apply", "--server-side", "--kustomize", str(fetch))
    namespace.kubectl("wait", "--for=condition=Ready", "pod/loadtest-fetch", "--timeout=180s")
    runs = set(namespace.kubectl("exec", "loadtest-fetch", "--", "ls").split())
    return Evidence(codes, jobs, replaced, left, runs, said, sent)


def _open_shop(namespace: Namespace) -> None:
    """Start a service under test."""
    pod = {
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "shop",
                "image": "loadtest:0.1.0",
                "imagePullPolicy": "IfNotPresent",
                "workingDir": "/tmp",  # noqa: S108 - of the container
                "command": ["python", "-c", SHOP],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }
    labels = {"app": "shop"}
    objects = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop", "labels": labels}, "spec": pod},
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"},
            "spec": {"selector": labels, "ports": [{"port": 9000}]},
        },
    ]  # fmt: skip
    for one in objects:
        namespace.kubectl("apply", "--filename=-", stdin=json.dumps(one))


def _said_of_upload(namespace: Namespace, revision: int) -> str:
    log = namespace.kubectl("logs", f"job/loadtest-{revision}")
    return "".join(line for line in log.splitlines() if line.startswith("upload "))


def _names(namespace: Namespace, kind: str, component: str | None = None) -> set[str]:
    selector = f"{PART},app.kubernetes.io/component={component}" if component else PART
    return set(namespace.kubectl("get", kind, "--selector", selector, "-o", "name").split())


def _ended(namespace: Namespace, revision: int) -> str:
    """Wait until the run of a revision has ended, and return its exit code."""
    path = "{.items[*].status.containerStatuses[0].state.terminated.exitCode}"
    selector = f"--selector=job-name=loadtest-{revision}"

    def code() -> str:
        return namespace.kubectl("get", "pods", selector, "-o", f"jsonpath={path}")

    eventually("the run has ended", lambda: bool(code()), True, PATIENCE_S)
    return code()


def test_an_upgrade_is_another_run(evidence: Evidence) -> None:
    """Its Job replaces the previous one, and workers with the new settings replace the old ones."""
    assert set(evidence.codes) <= ENDED
    assert (evidence.jobs, evidence.workers_were_replaced) == (["job.batch/loadtest-2"], True)


def test_uninstalling_leaves_the_results(evidence: Evidence) -> None:
    """The Secret stays too, since it is not part of the chart; another release finds both."""
    of_the_cluster = "configmap/kube-root-ca.crt"
    assert evidence.left - {of_the_cluster} == {"secret/loadtest", "persistentvolumeclaim/loadtest-runs"}
    assert evidence.runs == {"first", "second"}


def test_results_are_sent_to_a_presigned_url(evidence: Evidence) -> None:
    """The URL is in the Secret, and the master may reach the store; a store that refuses changes no exit code."""
    assert {"first/record.json", "first/report.html"} <= evidence.sent
    first, second = evidence.said
    assert re.fullmatch(r"upload       [\d,]+ bytes to shop", first)
    assert second.startswith("upload       failed: the results were not sent to shop: it answered 403. They are in ")
    assert "5ec2e7" not in first + second
