"""ClusterRun: one run on Kubernetes, from its objects to its exit code and its results on this machine.

Tested in tests/kubernetes.
"""

from __future__ import annotations

import contextlib
import re
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from loadtest.exceptions import ExitCode, LoadtestError, StackError, UsageError
from loadtest.judging.outcome import Outcome
from loadtest.kubernetes import pods, results, trouble
from loadtest.kubernetes.kustomization import MANIFESTS, Kustomization
from loadtest.kubernetes.master_log import MasterLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.kubernetes.kubectl import Kubectl
    from loadtest.run_folder import RunFolder

    Item = dict[str, Any]

_RUN: Final = "app.kubernetes.io/part-of=loadtest"
_MASTER: Final = "master"
_PATIENCE_S: Final = 120.0
"""How long a cluster may be unreachable during a run."""
_DRAIN_S: Final = 90.0
"""How long a master may take to end on request: 40 s, then it is killed."""
_OF_MASTER: Final = ("securityContext", "imagePullSecrets", "nodeSelector", "tolerations")
"""Fields that the pod that copies results shares with the master's: it must run there too, and no other user may read
the results."""
_VERDICT: Final = re.compile(r"(?P<name>passed|failed|no data|not trustworthy|interrupted): run (?P<run>\S+)\n")


@dataclass(frozen=True)
class Manifests:
    """The manifests of a run: its objects, its volume, and the pod that copies its results, as text."""

    run: str
    volume: str | None
    """None if the run's kustomization removed the volume, so that its results go only to a bucket."""
    fetch: str

    @classmethod
    def rendered(cls, kubectl: Kubectl, run: Kustomization) -> Manifests:
        """Render a run with kubectl, and the objects that let its results outlive it.

        Raises:
            UsageError: for a kustomization without a run.
        """
        objects = text(kubectl, run)
        pod = _pod_of_master(objects)
        (image,) = [one["image"] for one in pod["containers"] if one["name"] == _MASTER]
        same: Item = {name: pod[name] for name in _OF_MASTER if name in pod}
        fetch = text(kubectl, Kustomization(MANIFESTS / "fetch", image, run.openshift, pod=same))
        return cls(objects, kubectl.rendered(MANIFESTS / "results") if _has_volume(pod) else None, fetch)


def _pod_of_master(objects: str) -> Item:
    """Return the spec of the master's pod in rendered objects."""
    for one in yaml.safe_load_all(objects):
        if one and (one["kind"], one["metadata"]["name"]) == ("Job", "loadtest"):
            pod: Item = one["spec"]["template"]["spec"]
            return pod
    raise UsageError(
        "--kustomize makes no job/loadtest, so there is no run to follow. Allowed: a kustomization on top of "
        "deploy/kubernetes/base, without the component interactive. Next: correct it, or apply it with kubectl."
    )


def _has_volume(pod: Item) -> bool:
    """Return whether a master writes its results to the volume."""
    claims = [volume.get("persistentVolumeClaim") for volume in pod.get("volumes", [])]
    return {"claimName": pods.VOLUME} in claims


def text(kubectl: Kubectl, kustomization: Kustomization) -> str:
    """Return the objects of a kustomization."""
    with tempfile.TemporaryDirectory() as folder:
        kustomization.write(Path(folder))
        return kubectl.rendered(Path(folder))


class ClusterRun:
    """One run on a cluster.

    Args:
        kubectl: of the namespace.
        manifests: the objects to create.
        run_id: the run's name.
        runs_dir: the folder for its results.
        say: called with a part and a sentence about it.
        show: called with each line that the master prints.
        wait_s: how long the pods may take to become ready.
        keep: leave the created objects in place.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        manifests: Manifests,
        run_id: str,
        runs_dir: Path,
        *,
        say: Callable[[str, str], object],
        show: Callable[[str], object],
        wait_s: float,
        keep: bool,
    ) -> None:
        self._kubectl = kubectl
        self._manifests = manifests
        self._run_id = run_id
        self._runs_dir = runs_dir
        self._say = say
        self._show = show
        self._wait_s = wait_s
        self._keep = keep
        self._log: MasterLog | None = None
        self._since = ""
        self._has_results = False
        self.folder: RunFolder | None = None
        """Where the results are, once they have been fetched."""

    def conduct(self) -> int:
        """Create the run, follow it, fetch its results, remove its objects, and return its exit code.

        Raises:
            UsageError: the namespace already has a run, or this machine already has its results.
            StackError: when the run cannot be made, or does not end by itself.
        """
        results.check_new(self._runs_dir, self._run_id)
        if self._kubectl.exists("job", "loadtest"):
            raise UsageError(
                "the namespace has a run already: job/loadtest. Allowed: one run in a namespace at a time. Next: wait "
                "for it, remove it with 'kubectl delete jobs,deployments --selector "
                f"{_RUN}', or take another --namespace."
            )
        volume = self._manifests.volume
        if volume and self._kubectl.exists("persistentvolumeclaim", pods.VOLUME):
            volume = None
        self._kubectl.check(self._manifests.run)
        try:
            if volume:
                self._kubectl.apply(volume)
            self._kubectl.apply(self._manifests.run)
            return self._to_its_end()
        finally:
            self._clean_up(None if self._has_results else volume)

    def _to_its_end(self) -> int:
        try:
            pod, ended = self._follow()
        except KeyboardInterrupt:
            self._stop()
            self._fetch()
            return ExitCode.INTERRUPTED
        except StackError:
            self._fetch()
            raise
        self._fetch(_VERDICT.match(ended.get("message", "")))
        return exit_code(pod, ended)

    def _follow(self) -> tuple[Item, Item]:
        """Follow the run, and return the master's pod and the state in which its container ended."""
        try:
            pods.await_state(
                self._kubectl, _RUN, self._is_loading, self._wait_s, lambda text: self._say("waiting", text)
            )
            items = self._ended()
        finally:
            if self._log is not None:
                self._log.end()
        for pod in filter(_is_master, items):
            if (state := _state(pod).get("terminated")) is not None:
                return pod, state
        raise StackError(
            f"job/loadtest ended, and its pod is gone: {_why(items)}. Allowed: a master that reports. Next: look at "
            "the node that it ran on, 'kubectl get events'; the record up to then is on the volume."
        )

    def _is_loading(self, items: list[Item]) -> bool:
        """Return whether the workers have joined, or the run has ended without them; show the master's log
        meanwhile."""
        for pod in filter(_is_master, items):
            if self._log is None and {"running", "terminated"} & set(_state(pod)):
                self._log = MasterLog(self._kubectl, pod["metadata"]["name"], _MASTER, self._show)
        for item in items:
            if item["kind"] == "Job":
                self._since = item["metadata"]["creationTimestamp"]
        return _is_over(items) or any(
            item["kind"] == "Deployment"
            and item["metadata"]["labels"].get(trouble.COMPONENT) == "locust-worker"
            and item["status"].get("readyReplicas", 0) >= item["spec"]["replicas"]
            for item in items
        )

    def _ended(self) -> list[Item]:
        """Wait until the master has ended, and return the objects."""
        answered_s = time.monotonic()
        while True:
            try:
                items = self._kubectl.items(pods.KINDS, f"--selector={_RUN}")
            except StackError:
                if time.monotonic() - answered_s > _PATIENCE_S:
                    raise
            else:
                answered_s = time.monotonic()
                if _is_over(items):
                    return items
            time.sleep(pods.POLL_S)

    def _stop(self) -> None:
        """Let the master report, by removing its Job."""
        self._say("stopping", "press Ctrl-C again to end at once, without a report")
        gone = ("--ignore-not-found", "--cascade=foreground", f"--timeout={_DRAIN_S:.0f}s")
        self._kubectl.run("delete", "job", "loadtest", *gone, timeout_s=_DRAIN_S + 10)

    def _fetch(self, verdict: re.Match[str] | None = None) -> None:
        """Fetch the run's results, if any; the run's exit code does not depend on them."""
        if self._log is None:
            return
        if self._manifests.volume is None:
            self._say("results", f"not on {pods.VOLUME}, which this run lacks; its master says whether it sent them")
            return
        place = (self._run_id, self._runs_dir, self._since) if verdict is None else (verdict["run"], self._runs_dir)
        try:
            self.folder = results.fetch(self._kubectl, self._manifests.fetch, *place)
        except LoadtestError as error:
            if verdict is None and isinstance(error, UsageError):
                return  # it had not begun
            self._say("results", f"not fetched: {error}")
        else:
            self._say("results", f"{self.folder.path}/")
        self._has_results = True

    def _clean_up(self, volume: str | None) -> None:
        if self._keep:
            self._say("kept", f"everything; remove it with: kubectl delete all,cm,netpol --selector {_RUN}")
            return
        for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # each step has its own time limit
            signal.signal(signal_number, signal.SIG_IGN)
        for objects in filter(None, (self._manifests.run, volume)):
            try:
                self._kubectl.delete(objects)
            except StackError as error:
                self._say("left behind", str(error))


def exit_code(pod: Item, ended: Item) -> int:
    """Return the run's exit code, given the master's pod and the state in which its container ended.

    Raises:
        StackError: the master ended without a verdict, or with 0 against it.
    """
    code, verdict = ended["exitCode"], _VERDICT.match(ended.get("message", ""))
    if code == ExitCode.PASSED and (verdict is None or verdict["name"] != Outcome.PASSED.value):
        raise StackError(
            f"pod/{pod['metadata']['name']} ended with exit code 0, but its run "
            f"{'has no verdict' if verdict is None else 'did not pass'}: the scenario, or a library that it uses, "
            "ended the master. Next: take os._exit() and the like out of it, and run again."
        )
    if code not in tuple(ExitCode):
        raise StackError(trouble.of_ended(pod, _MASTER, ended).sentence)
    return int(code)


def _is_master(item: Item) -> bool:
    return bool(item["kind"] == "Pod" and item["metadata"]["labels"].get(trouble.COMPONENT) == "locust-master")


def _state(pod: Item) -> Item:
    """Return the state of the master's container; empty before it has one."""
    statuses = pod["status"].get("containerStatuses", [])
    state: Item = next((one["state"] for one in statuses if one["name"] == _MASTER), {})
    return state


def _is_over(items: list[Item]) -> bool:
    """Return whether the master has ended, or its Job has without it, or was removed."""
    jobs = [item for item in items if item["kind"] == "Job"]
    return any("terminated" in _state(pod) for pod in filter(_is_master, items)) or not jobs or bool(_why(items))


def _why(items: list[Item]) -> str:
    """Return why the Job has ended, or was removed; empty while it has not."""
    jobs = [item for item in items if item["kind"] == "Job"]
    if not jobs:
        return "somebody removed it"
    with contextlib.suppress(StopIteration):
        conditions = [one for one in jobs[0]["status"].get("conditions", []) if one["type"] in ("Complete", "Failed")]
        one = next(one for one in conditions if one["status"] == "True")
        return f"{one.get('reason', one['type'])}, {one.get('message', '')}".strip(", .")
    return ""
