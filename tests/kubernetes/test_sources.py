"""A run whose scenario is in a git repository, whose test data is on a volume, and whose results go to a bucket only.

A pod is the git server, behind TLS with a certificate of its own authority, the store of the results, and the service
under test, which reports its requests.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.endings import ended_well
from tests.kubernetes.namespace import MANIFESTS, USER, Namespace

SCENARIO = """
from locust import HttpUser, constant, task

from loadtest.feeding.feed import Feed


class Visitor(HttpUser):
    wait_time = constant(0.1)
    feeder = Feed("nobody.csv")

    @task
    def visit(self):
        self.client.get(f"/visit/{self.feeder.next()}", name="visit")
"""
NAMES = ["ada", "grace", "mary"]
SERVER = f"""
import http.server, pathlib, ssl, tarfile, threading

class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if not self.path.startswith("/visit/"):
            return super().do_GET()
        with open("visits", "a") as file:
            file.write(self.path.removeprefix("/visit/") + "\\n")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_PUT(self):
        pathlib.Path("night.tar.gz").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

pathlib.Path("/data/users.csv").write_text("name\\n" + "\\n".join({NAMES}))
tarfile.open("/etc/shop/load.git.tar").extractall(filter="data")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/etc/shop/server.pem")
secure = http.server.ThreadingHTTPServer(("", 443), Handler)
secure.socket = context.wrap_socket(secure.socket, server_side=True)
threading.Thread(target=secure.serve_forever).start()
http.server.ThreadingHTTPServer(("", 9000), Handler).serve_forever()
"""
PORTS = (443, 9000)
NOT_PULLED = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull")
LITTLE = {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "16Mi"}


@dataclass(frozen=True)
class Evidence:
    """Observations of the run."""

    code: int
    output: str
    visits: list[str]
    """What the service was asked for."""
    sent: dict[str, Any]
    """The record of the archive that the store was sent."""
    volumes: list[str]
    """Those of the namespace after the run."""


@pytest.fixture(scope="module")
def evidence(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:  # noqa: ARG001 - has to be
    """Make the run, and remove the namespace whatever happens."""
    folder = tmp_path_factory.mktemp("sources")
    namespace = Namespace(f"loadtest-sources-{uuid.uuid4().hex[:8]}", folder)
    try:
        namespace.create(with_volume=False)
        _open_shop(namespace, folder)
        yield _make_run(namespace, folder)
    finally:
        namespace.remove()


def _make_run(namespace: Namespace, folder: Path) -> Evidence:
    _write_kustomization(folder / "own")
    words = ("--kustomize", "own", "--run-id", "night", "--workers", "2", "--run-time", "5s")
    done = subprocess.run(
        [sys.executable, "-m", "loadtest", "kubernetes", "run", *words, "--namespace", namespace.name],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False,
    )  # fmt: skip
    if "container clone" in done.stdout and any(reason in done.stdout for reason in NOT_PULLED):
        pytest.skip("the cluster cannot pull the image of git-sync: scenarios from git are NOT tested")
    said = namespace.kubectl("exec", "shop", "--", "sh", "-c", "cat visits; tar -xzOf night.tar.gz night/record.json")
    visits, _, record = said.partition("{")
    volumes = namespace.kubectl("get", "persistentvolumeclaims", "-o", "name").split()
    return Evidence(done.returncode, done.stdout, visits.split(), json.loads("{" + record), volumes)


def _write_kustomization(folder: Path) -> None:
    """Write all that docs/kubernetes.md describes into one kustomization."""
    folder.mkdir()
    base, git, upload = (os.path.relpath(MANIFESTS / name, folder.resolve()) for name in ("base", "git", "upload"))
    container = "/spec/template/spec/containers/0"
    little = {"op": "replace", "path": f"{container}/resources/requests", "value": LITTLE}
    data = {"name": "data", "persistentVolumeClaim": {"claimName": "test-data"}}
    mount = {"name": "data", "mountPath": "/data", "readOnly": True}
    of_job = [
        {"op": "add", "path": "/spec/template/spec/volumes/-", "value": data},
        {"op": "add", "path": f"{container}/volumeMounts/-", "value": mount},
    ]
    without_https = {"op": "remove", "path": "/spec/egress/0/ports/0"}
    bucket_only = {"volumes": [{"name": "runs", "persistentVolumeClaim": None, "emptyDir": {}}]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "loadtest"}}
    whole = {
        "resources": [base],
        "components": [git, upload],
        "configMapGenerator": [
            {
                "name": "loadtest-git",
                "literals": [
                    "GITSYNC_REPO=https://shop/load.git", "GITSYNC_REF=v1",
                    "GIT_SSL_CAINFO=/run/secrets/loadtest/git_ca.crt",
                    "GITSYNC_DEPTH=0",  # a server of plain files has no shallow clones
                ],
            },
            {
                "name": "loadtest-settings",
                "behavior": "merge",
                "literals": [
                    "LOADTEST_SCENARIO=repository/current/shop.py", "LOADTEST_HOST=http://shop:9000",
                    "LOADTEST_PROFILE=smoke", "LOADTEST_FEED=/data/users.csv",
                ],
            },
        ],
        "patches": [
            {"target": {"kind": "Deployment|Job"}, "patch": json.dumps([little])},
            {"target": {"kind": "Job"}, "patch": json.dumps(of_job)},
            {"patch": json.dumps({**job, "spec": {"template": {"spec": bucket_only}}})},
            # The master must reach the repository by the policy for git alone, as it does without `upload`.
            {"target": {"kind": "NetworkPolicy", "name": "loadtest-upload"}, "patch": json.dumps([without_https])},
        ],
    }  # fmt: skip
    (folder / "kustomization.yaml").write_text(json.dumps(whole))


def _repository(folder: Path) -> bytes:
    """Return a bare repository, as an archive, with the scenario at the tag v1 but not at the head of its branch."""
    work, bare = folder / "work", folder / "load.git"
    work.mkdir()
    (work / "shop.py").write_text(SCENARIO)
    for words in (
        ("init", "--quiet"), ("add", "shop.py"), ("commit", "--quiet", "--message=a scenario"), ("tag", "v1"),
        ("rm", "--quiet", "shop.py"), ("commit", "--quiet", "--message=moved"),
        ("clone", "--quiet", "--bare", ".", str(bare)), ("--git-dir", str(bare), "update-server-info"),
    ):  # fmt: skip
        person = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(["git", *person, *words], cwd=work, check=True, capture_output=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(bare, arcname=bare.name)
    return packed.getvalue()


def _open_shop(namespace: Namespace, folder: Path) -> None:
    """Make the pod, its Service, and the Secret that lets both sides trust each other."""
    authority = trustme.CA()
    certificate = authority.issue_cert("shop")
    (folder / "load.git.tar").write_bytes(_repository(folder))
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    files = [f"--from-file={folder / name}" for name in ("load.git.tar", "server.pem")]
    namespace.kubectl("create", "secret", "generic", "shop", *files)
    url = "http://shop:9000/night.tar.gz?X-Amz-Signature=5ec2e7"
    more = {"stringData": {"results_url": url, "git_ca.crt": authority.cert_pem.bytes().decode()}}
    namespace.kubectl("patch", "secret", "loadtest", f"--patch={json.dumps(more)}")
    labels = {"app": "shop"}
    container = {
        "name": "shop",
        "image": "loadtest:0.1.0",
        "imagePullPolicy": "IfNotPresent",
        "workingDir": "/tmp",  # noqa: S108 - of the container
        "command": ["python", "-c", SERVER],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "shop", "mountPath": "/etc/shop"}],
        "readinessProbe": {"tcpSocket": {"port": PORTS[1]}, "periodSeconds": 1},
    }
    pod = {
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": USER, "fsGroup": USER, "seccompProfile": {"type": "RuntimeDefault"},
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
        },
        "containers": [container],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "test-data"}},
            {"name": "shop", "secret": {"secretName": "shop"}},
        ],
    }  # fmt: skip
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    service = {"selector": labels, "ports": [{"name": f"port-{port}", "port": port} for port in PORTS]}
    for kind, name, spec in (
        ("PersistentVolumeClaim", "test-data", claim), ("Pod", "shop", pod), ("Service", "shop", service),
    ):  # fmt: skip
        one = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec}
        namespace.kubectl("apply", "--filename=-", stdin=json.dumps(one))
    namespace.kubectl("wait", "--for=condition=Ready", "pod/shop", "--timeout=180s")


def test_scenario_and_data_come_from_repository_and_volume(evidence: Evidence) -> None:
    """The scenario comes from the tag, since the branch no longer has it; the workers together use every row."""
    assert ended_well(evidence.code, evidence.output), evidence.output
    assert set(evidence.visits) == set(NAMES)
    assert (evidence.sent["total"]["requests"], evidence.sent["total"]["failures"]) == (len(evidence.visits), 0)


def test_results_are_in_the_bucket_only(evidence: Evidence) -> None:
    """No volume is made for them; the command prints their place, and its exit code is the run's."""
    assert evidence.volumes == ["persistentvolumeclaim/test-data"]
    assert "not on loadtest-runs, which this run lacks" in evidence.output
    assert "bytes to shop" in evidence.output
