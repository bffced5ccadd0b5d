"""`loadtest kubernetes` on a real cluster: runs that succeed, and runs that cannot be made."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode
from tests.endings import ended_well
from tests.kubernetes.namespace import MANIFESTS, Namespace

KINDS = "pods,jobs,deployments,replicasets,services,networkpolicies,configmaps,secrets,persistentvolumeclaims"
OF_THE_CLUSTER = "configmap/kube-root-ca.crt"
SECRET, VOLUME = "secret/loadtest", "persistentvolumeclaim/loadtest-runs"
A_RUN = ("--scenario", "health", "--profile", "smoke", "--run-time", "5s", "--workers", "1")
LITTLE = {"cpu": "50m", "memory": "16Mi", "ephemeral-storage": "16Mi"}


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    output: str
    left: set[str]
    """What was in its namespace afterwards."""
    folder: Path


class Command:
    """`loadtest kubernetes` in a namespace and a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.namespace = Namespace(f"loadtest-command-{uuid.uuid4().hex[:8]}", folder)
        self.folder = folder

    def small(self, **memory: str) -> tuple[str, ...]:
        """Return the options for a run of small pods, so that one node has room for all of these tests."""
        folder = self.folder / "small"
        folder.mkdir()
        requests = {"op": "replace", "path": "/spec/template/spec/containers/0/resources/requests", "value": LITTLE}
        limit = {"op": "replace", "path": "/spec/template/spec/containers/0/resources/limits/memory"}
        whole = {
            "resources": [os.path.relpath(MANIFESTS / "base", folder.resolve())],
            "patches": [
                {"target": {"kind": "Deployment|Job"}, "patch": json.dumps([requests])},
                *({"target": {"kind": kind}, "patch": json.dumps([limit | {"value": value}])}
                  for kind, value in memory.items()),
            ],
        }  # fmt: skip
        (folder / "kustomization.yaml").write_text(json.dumps(whole))
        return (*A_RUN, "--host", "http://shop.nowhere.invalid:8080", "--kustomize", "small")

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start it."""
        program = [sys.executable, "-m", "loadtest", "kubernetes", *words, "--namespace", self.namespace.name]
        return subprocess.Popen(
            program, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )

    def ended(self, process: subprocess.Popen[str], before: str = "") -> Done:
        """Wait for its end."""
        output = before + process.communicate(timeout=600)[0]
        left = set(self.namespace.kubectl("get", KINDS, "-o", "name").split()) - {OF_THE_CLUSTER}
        return Done(process.returncode, output, left, self.folder)

    def run(self, *words: str) -> Done:
        """Run it to its end."""
        return self.ended(self.start(*words))


def _without_secret(command: Command) -> Done:
    command.namespace.kubectl("delete", "secret", "loadtest")
    return command.run("run", *command.small())


def _image(command: Command) -> Done:
    return command.run("run", *command.small(), "--image", "registry.invalid/loadtest:none")


def _target(command: Command) -> Done:
    return command.run("run", *command.small())


def _quota(command: Command) -> Done:
    command.namespace.kubectl("create", "quota", "small", "--hard=requests.cpu=75m")
    return command.run("run", *command.small())


def _claim(command: Command, storage_class: str) -> Done:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "loadtest-runs"},
        "spec": {
            "storageClassName": storage_class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    command.namespace.kubectl("apply", "--filename=-", stdin=json.dumps(claim))
    return command.run("run", *command.small())


def _no_class(command: Command) -> Done:
    return _claim(command, "")


def _missing_class(command: Command) -> Done:
    return _claim(command, "missing")


def _memory(command: Command) -> Done:
    # Workers can connect here, so that nothing else fails before the master needs that much memory.
    return command.run("run", *command.small(Job="48Mi"), "--host", "https://kubernetes.default")


def _kind(command: Command) -> Done:
    words = command.small()
    folder = command.folder / "small"
    whole = json.loads((folder / "kustomization.yaml").read_text())
    whole["components"] = [os.path.relpath(MANIFESTS / "keda", folder.resolve())]
    (folder / "kustomization.yaml").write_text(json.dumps(whole))
    return command.run("run", *words)


BAD = {
    "secret": (
        _without_secret,
        ["FailedMount", 'secret "loadtest" not found', "kubectl create secret generic loadtest"],
    ),
    "image": (_image, ["container ", "ImagePull", "registry.invalid/loadtest:none", "--image"]),
    "target": (_target, ["container await-target", "HOST=http://shop.nowhere.invalid:8080", "correct the address"]),
    "quota": (_quota, ["FailedCreate", "exceeded quota: small", "requests.cpu", "raise the namespace's quota"]),
    "class": (_no_class, [VOLUME, "FailedBinding", "no storage class is set", "make a storage class the default"]),
    "missing class": (
        _missing_class,
        [VOLUME, "ProvisioningFailed", '"missing" not found', "correct the storage class"],
    ),
    "kind": (_kind, ['no matches for kind "ScaledObject"', "install what defines this one"]),
    "memory": (_memory, ["container master", "OOMKilled", "its limit of 48Mi", "raise limits.memory"]),
}
"""What is wrong, and what the sentence says: object, reason, next step."""


def _good(command: Command) -> tuple[Done, Done, Done]:
    """A run that succeeds, one that is interrupted under load, and a second download of the first one's results."""
    first = command.run("run", *A_RUN, "--run-id", "first.1")
    process = command.start("run", *A_RUN[:4], "--run-time", "10m", "--workers", "1", "--run-id", "second")
    seen = ""
    for line in process.stdout or ():
        seen += line
        if " requests/s " in line:
            process.send_signal(signal.SIGINT)
            break
    second = command.ended(process, seen)
    (command.folder / "runs" / "first.1").rename(command.folder / "first")
    return first, second, command.run("fetch", "first.1")


@pytest.fixture(scope="module")
def done(
    cluster: None,  # noqa: ARG001 - has to be
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[Done]]]:
    """Each failure is provoked in a namespace of its own, all at the same time."""
    commands = {name: Command(tmp_path_factory.mktemp("folder")) for name in (*BAD, "good")}
    with ThreadPoolExecutor(len(commands)) as threads:

        def begin(name: str) -> object:
            commands[name].namespace.create(with_volume=False)
            return BAD[name][0](commands[name]) if name in BAD else _good(commands[name])

        try:
            yield {name: threads.submit(begin, name) for name in commands}
        finally:
            list(threads.map(lambda command: command.namespace.remove(), commands.values()))


@pytest.mark.parametrize("name", BAD)
def test_what_keeps_a_run_from_being_made_is_said(name: str, done: dict[str, Future[Done]]) -> None:
    """One sentence names object, reason and next step; the exit code is an error's, and no object of the run stays."""
    ended = done[name].result()
    sentence = ended.output.splitlines()[-1]
    assert (ended.code, [text for text in BAD[name][1] if text not in sentence]) == (ExitCode.ERROR, []), ended.output
    own = {SECRET, VOLUME} if "class" in name else set() if name == "secret" else {SECRET}
    assert ended.left == own, ended.output
    assert "left behind" not in ended.output


def test_one_command_makes_a_run(done: dict[str, Future[tuple[Done, Done, Done]]]) -> None:
    """It ends with the run's exit code once the results are here; only they and the Secret stay in the cluster."""
    first, _, _ = done["good"].result()
    assert ended_well(first.code, first.output), first.output
    assert (first.folder / "first" / "report.html").exists()
    assert json.loads((first.folder / "first" / "record.json").read_text())["total"]["requests"] > 0
    assert first.left == {SECRET, VOLUME}


def test_an_interrupted_run_reports(done: dict[str, Future[tuple[Done, Done, Done]]]) -> None:
    """Ctrl-C ends it as interrupted, with a report."""
    _, second, _ = done["good"].result()
    assert second.code == ExitCode.INTERRUPTED, second.output
    record = second.folder / "runs" / "second" / "record.json"
    assert record.exists(), second.output
    document = json.loads(record.read_text())
    assert document["verdict"]["name"] == "interrupted"
    assert second.left == {SECRET, VOLUME}


def test_results_are_fetched_again(done: dict[str, Future[tuple[Done, Done, Done]]]) -> None:
    """This works as long as the volume exists."""
    first, _, third = done["good"].result()
    names = [{path.name for path in (first.folder / name).iterdir()} for name in ("first", "runs/first.1")]
    assert (third.code, names[0] == names[1], third.left) == (0, True, {SECRET, VOLUME}), third.output
