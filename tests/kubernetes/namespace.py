"""A namespace of the cluster, with the commands that users type to make runs in it."""

from __future__ import annotations

import io
import json
import os
import ssl
import subprocess
import tarfile
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFESTS = Path(__file__).parents[2] / "deploy" / "kubernetes"
SCENARIO = Path(__file__).with_name("scenario.py")
PART = "app.kubernetes.io/part-of=loadtest"
USER = 1_000_650_000
"""As OpenShift would choose it: no image knows it."""
SIDECAR = {
    "name": "proxy",
    "image": "loadtest:0.1.0",
    "imagePullPolicy": "IfNotPresent",
    "restartPolicy": "Always",
    "command": ["sh", "-c", "trap exit TERM; sleep infinity & wait"],
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}
"""A native sidecar, as a service mesh injects it: it runs for as long as the other containers."""
AUTHORITY = trustme.CA()
"""Of the masters' certificates."""
MASTER = ("job/loadtest", 9646)
TARGET = ("deployment/target-app", 5000)


class Forwarding:
    """A port of a workload's pod, as a URL here, for as long as that pod is there.

    Args:
        namespace: where the workload is.
        workload: such as `job/loadtest`.
        port: of its pod.

    Raises:
        OSError: when it has no pod that runs.
    """

    def __init__(self, namespace: str, workload: str, port: int) -> None:
        command = ["kubectl", "--namespace", namespace, "port-forward", workload, f":{port}"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline()  # Forwarding from 127.0.0.1:41213 -> 8089
        if not said:
            self.end()
            raise ConnectionRefusedError(f"{workload} has no pod that runs")
        self.url = f"http://{said.split()[2]}"

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.communicate()


class Namespace:
    """A namespace in which Pod Security enforces `restricted`.

    Args:
        name: its name.
        folder: for the kustomizations and certificates.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self._forwarding: dict[tuple[str, int], Forwarding] = {}

    def kubectl(self, *words: str, stdin: str | None = None, timeout_s: float = 300) -> str:
        """Run kubectl here and return what it printed.

        Raises:
            AssertionError: when it fails, with its output.
        """
        return self._kubectl(*words, stdin=None if stdin is None else stdin.encode(), timeout_s=timeout_s).decode()

    def _kubectl(self, *words: str, stdin: bytes | None = None, timeout_s: float = 300) -> bytes:
        command = ["kubectl", "--namespace", self.name, *words]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout_s, check=False)
        assert done.returncode == 0, (
            f"{' '.join(command)}\n{done.stdout.decode()[-2000:]}\n{done.stderr.decode()[-4000:]}"
        )
        return done.stdout

    def create(self, *, with_volume: bool = True) -> None:
        """Make it, with the Secret and the volume that outlive a run."""
        self.kubectl("create", "namespace", self.name)
        self.kubectl("label", "namespace", self.name, "pod-security.kubernetes.io/enforce=restricted")
        certificate = AUTHORITY.issue_cert("locust-master", "127.0.0.1")
        certificate.cert_chain_pems[0].write_to_path(self._folder / "tls.crt")
        certificate.private_key_pem.write_to_path(self._folder / "tls.key")
        key = f"--from-literal=link_key={os.urandom(32).hex()}"
        files = (f"--from-file={self._folder / name}" for name in ("tls.crt", "tls.key"))
        self.kubectl("create", "secret", "generic", "loadtest", key, *files)
        if with_volume:
            self.kubectl("apply", "--server-side", "--kustomize", str(MANIFESTS / "results"))

    def remove(self) -> None:
        """Remove it, with everything in it, which takes a while longer."""
        for forwarding in self._forwarding.values():
            forwarding.end()
        self.kubectl("delete", "namespace", self.name, "--ignore-not-found", "--wait=false")

    def kustomize(self, name: str, kustomization: dict[str, Any]) -> Path:
        """Write a kustomization of the manifests in this folder, for any user, and return its folder."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        (folder / SCENARIO.name).write_bytes(SCENARIO.read_bytes())
        ids = {"runAsUser": USER, "fsGroup": USER}
        pod = {"spec": {"securityContext": ids}}
        patches = [
            {"target": {"kind": "Deployment|Job"}, "patch": _patch("Job", {"spec": {"template": pod}})},
            {"target": {"kind": "Pod"}, "patch": _patch("Pod", pod)},
        ]
        base = os.path.relpath(MANIFESTS / name, folder)
        whole = {"resources": [base], "patches": patches + kustomization.pop("patches", []), **kustomization}
        (folder / "kustomization.yaml").write_text(json.dumps(whole))  # JSON is YAML
        return folder

    def start(self, workers: int, **settings: str) -> Path:
        """Make a run of the demo without Grafana, whose image may be unavailable; return its kustomization."""
        expected = {"name": "LOCUST_EXPECT_WORKERS", "value": str(workers)}
        pod = {"containers": [{"name": "master", "env": [expected]}], "initContainers": [SIDECAR]}
        settings = {
            "LOADTEST_SCENARIO": f"scenarios/{SCENARIO.name}",
            "LOADTEST_HOST": "http://target-app:5000",
        } | settings
        folder = self.kustomize(
            "demo",
            {
                "replicas": [{"name": "grafana", "count": 0}, {"name": "locust-worker", "count": workers}],
                "configMapGenerator": [
                    {
                        "name": "loadtest-settings",
                        "behavior": "merge",
                        "literals": [f"{name}={value}" for name, value in settings.items()],
                    },
                    {"name": "loadtest-scenarios", "behavior": "merge", "files": [SCENARIO.name]},
                ],
                "patches": [
                    {
                        "target": {"kind": "Job", "name": "loadtest"},
                        "patch": _patch("Job", {"spec": {"template": {"spec": pod}}}),
                    }
                ],
            },
        )
        self.delete_run()
        self.kubectl("apply", "--server-side", "--kustomize", str(folder))
        return folder

    def delete_run(self) -> None:
        """Delete master, workers and settings, but not the service under test."""
        self.kubectl("delete", "configmaps", "--selector", PART)
        run = f"{PART},app.kubernetes.io/component in (locust-master, locust-worker)"
        self.kubectl("delete", "jobs,deployments", "--selector", run)

    def pods(self, component: str | None = None) -> list[dict[str, Any]]:
        """Return the stack's pods, or those of one component."""
        label = PART + (f",app.kubernetes.io/component={component}" if component else "")
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", "pods", "-l", label, "-o", "json"))["items"]
        return found

    def forwarded(self, workload: str, port: int) -> str:
        """Return the URL here of a port of a workload's pod.

        Raises:
            OSError: when it has no pod that runs.
        """
        place = (workload, port)
        if place not in self._forwarding:
            self._forwarding[place] = Forwarding(self.name, *place)
        return self._forwarding[place].url

    def sample(self, where: tuple[str, int], family: str, **labels: str) -> float:
        """Return the sum of a family's samples with these labels, as the pod serves them.

        Raises:
            OSError: while it does not.
        """
        try:
            text = self._metrics(where)
        except (OSError, HTTPException):  # the pod may be another one now
            if where in self._forwarding:
                self._forwarding.pop(where).end()
            text = self._metrics(where)
        samples = (one for group in text_string_to_metric_families(text) for one in group.samples)
        return sum(one.value for one in samples if one.name == family and labels.items() <= one.labels.items())

    def _metrics(self, where: tuple[str, int]) -> str:
        url, trusting = f"{self.forwarded(*where)}/metrics", ssl.create_default_context()
        if where[1] == MASTER[1]:
            AUTHORITY.configure_trust(trusting)
            url = url.replace("http:", "https:")
        with urllib.request.urlopen(url, timeout=20, context=trusting) as answer:
            text: str = answer.read().decode()
            return text

    def connected(self) -> float:
        """Return how many workers are connected to the master."""
        return sum(self.sample(MASTER, "loadtest_workers", state=state) for state in ("ready", "spawning", "running"))

    def sent(self) -> float:
        """Return how many requests the master has counted."""
        return self.sample(MASTER, "loadtest_requests_total")

    def received(self) -> float:
        """Return how many of the scenario's requests the target has answered."""
        return self.sample(TARGET, "target_app_requests_total", route="/healthz/live")

    def conditions(self) -> dict[str, str]:
        """Return the Job's conditions that are true, with their messages."""
        status = json.loads(self.kubectl("get", "job", "loadtest", "-o", "json")).get("status", {})
        true = (one for one in status.get("conditions", []) if one["status"] == "True")
        return {one["type"]: one.get("message", "") for one in true}

    def terminated(self) -> dict[str, Any]:
        """Return how the master's container ended."""
        (pod,) = self.pods("locust-master")
        state: dict[str, Any] = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        return state

    def fetch(self, results: Path, *command: str) -> str:
        """Copy the results here, as docs/kubernetes.md does, and return what a command prints in its pod."""
        folder = self.kustomize("fetch", {})
        self.kubectl("apply", "--server-side", "--kustomize", str(folder))
        self.kubectl("wait", "--for=condition=Ready", "pod/loadtest-fetch", "--timeout=180s")
        archive = self._kubectl("exec", "loadtest-fetch", "--", "tar", "-c", ".")
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(results, filter="data")
        said = self.kubectl("exec", "loadtest-fetch", "--", *(command or ("true",)))
        self.kubectl("delete", "--kustomize", str(folder))
        return said

    def told(self) -> Iterator[str]:
        """Yield the output that a person would look at when something is wrong."""
        for words in (
            ("get", "pods,jobs", "-o", "wide"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("logs", "job/loadtest", "--tail=40"),
            ("logs", "deployment/locust-worker", "--tail=20"),
        ):
            try:
                yield self.kubectl(*words)[-5000:]
            except AssertionError as error:
                yield str(error)


def _patch(kind: str, more: dict[str, Any]) -> str:
    return json.dumps(
        {"apiVersion": "v1" if kind == "Pod" else "batch/v1", "kind": kind, "metadata": {"name": "each"}} | more
    )
