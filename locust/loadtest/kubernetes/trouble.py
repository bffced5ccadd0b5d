"""Trouble: explains in one sentence what prevents a run's pods from running, from the namespace's objects and events.

An event describes the past; its object tells whether it still applies: a pod that could not be created because another
one was still ending is created a moment later.

Tested in tests/unit/kubernetes/test_trouble.py and tests/kubernetes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from loadtest import untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Item = dict[str, Any]

_MAX_VALUES: Final = 1_000
"""Of JSON in a line of a log."""
COMPONENT: Final = "app.kubernetes.io/component"
_WATCHING: Final = ("prometheus", "grafana", "redis-exporter")
"""The components that only observe a run, which continues without them."""
_IMAGE: Final = "load or push it, and set it with --image"
_LOOK: Final = "look at it: kubectl describe pod"
_MISSING: Final = "create what the message names, or take it out of your kustomization"
NEXT: Final = {
    "ErrImageNeverPull": _IMAGE,
    "ErrImagePull": _IMAGE,
    "ImagePullBackOff": _IMAGE,
    "InvalidImageName": _IMAGE,
    "CreateContainerConfigError": _MISSING,
    "FailedMount": _MISSING,
    "CreateContainerError": _LOOK,
    "RunContainerError": _LOOK,
    "CrashLoopBackOff": "fix the error in the message",
    "Error": "fix the error in the message",
    "OOMKilled": "raise limits.memory, or use fewer users per worker and fewer request names",
    "Evicted": "give it a larger node, or lower the requests",
    "FailedCreate": "meet the rule that the message names, or have it changed for this namespace",
    "FailedBinding": "make a storage class the default, or create the claim yourself before the run",
    "ProvisioningFailed": "correct the storage class, or create the claim yourself before the run",
    "Unschedulable": "add a node that has what it requests, or lower the requests or --workers",
}
"""The known reasons, with the next step for each."""
_AUTHORITY: Final = "name the file of its authority's certificate, a key of the Secret, in GIT_SSL_CAINFO"
_NEXT_BY_MESSAGE: Final = {
    'secret "loadtest" not found':
        'create the Secret: kubectl create secret generic loadtest --from-literal=link_key="$(openssl rand -hex 32)"',
    "exceeded quota": "raise the namespace's quota, or lower the requests, limits or --workers",
    "violates PodSecurity": "keep what deploy/kubernetes/hardened sets, or label the namespace for another level",
    "runAsNonRoot": "set runAsUser to a number that is not 0, or build the image with such a USER",
    "fatal: Authentication failed": "correct GITSYNC_USERNAME, and in the Secret the key for GITSYNC_PASSWORD_FILE",
    "can't read password file": "add that key to the Secret, or correct GITSYNC_PASSWORD_FILE",
    "server certificate verification failed": _AUTHORITY,
    "SSL certificate problem": _AUTHORITY,
    "Problem with the SSL CA cert": _AUTHORITY,
    "fatal: couldn't find remote ref": "correct GITSYNC_REF",
    "fatal: unable to access": "correct GITSYNC_REPO, or let the pods reach it",
    "fatal: repository": "correct GITSYNC_REPO, or give GITSYNC_USERNAME the right to read it",
}  # fmt: skip
"""The next step for parts of messages that are more specific than the reason."""
_SAID_BY_GIT: Final = re.compile(r'stderr: "(?:.*\\n)?(.+)"')
"""The last line, within the error that git-sync makes of it."""
_OF_EVENTS: Final = ("FailedCreate", "FailedBinding", "FailedMount", "ProvisioningFailed")
_FINAL_STATES: Final = frozenset(NEXT) - {*_OF_EVENTS, "Unschedulable"}


@dataclass(frozen=True)
class Trouble:
    """A problem of one object."""

    subject: str
    """Kind and name, such as ``pod/loadtest-x7k2p``."""
    reason: str
    """Kubernetes' word for it."""
    message: str
    is_final: bool
    """Whether it lasts until a person intervenes; a pod that no node has room for may wait for one."""

    @property
    def sentence(self) -> str:
        """The problem, its object, and the next step."""
        text = f"{self.subject}: {self.reason}: {self.message.rstrip('. ')}."
        if "Next:" in self.message:
            return text
        by_message = (step for part, step in _NEXT_BY_MESSAGE.items() if part in self.message)
        return f"{text} Next: {next(by_message, NEXT[self.reason])}."


def of_ended(pod: Item, name: str, ended: Item) -> Trouble:
    """Return what is wrong with a container that ended, from its state."""
    reason = pod["status"].get("reason") or ended.get("reason")
    lines = ended.get("message", "").split("\n")
    message = next((_error_in(line) for line in reversed(lines) if line.strip()), "")
    message = message or f"it ended with exit code {ended['exitCode']}"
    if reason == "OOMKilled":
        (limit,) = [one["resources"]["limits"]["memory"] for one in pod["spec"]["containers"] if one["name"] == name]
        message = f"it needs more memory than its limit of {limit}"
    if reason == "Evicted":
        message = pod["status"].get("message", message)
    known = reason if reason in NEXT else "Error"
    return Trouble(f"{name_of(pod)}, container {name}", known, message, is_final=True)


def _error_in(line: str) -> str:
    """Return the error of a log's line: git-sync writes JSON around what git said."""
    try:
        error = str(untrusted.parse_json(line.encode(), _MAX_VALUES)["error"])
    except (ValueError, LookupError, TypeError):
        return line
    said = _SAID_BY_GIT.search(error)
    return said[1] if said else error


def found(items: Sequence[Item], events: Sequence[Item]) -> Trouble | None:
    """Return what is wrong with a run's objects, what is final before what may pass; None when nothing is.

    Args:
        items: its pods, jobs, replica sets and claims.
        events: those of the namespace.
    """
    every = [*_of_events(items, events), *_of_pods(items)]  # a claim that is not bound is why its pod is without a node
    return next((one for one in every if one.is_final), next(iter(every), None))


def name_of(item: Item) -> str:
    """Return kind and name of an object, as kubectl takes them."""
    return f"{item['kind'].lower()}/{item['metadata']['name']}"


def _of_pods(items: Sequence[Item]) -> Iterator[Trouble]:
    for pod in items:
        if pod["kind"] != "Pod" or pod["metadata"].get("labels", {}).get(COMPONENT) in _WATCHING:
            continue
        status = pod["status"]
        for container in status.get("initContainerStatuses", []):
            yield from _stopped(pod, container, counts_while_running=True)
        for container in status.get("containerStatuses", []):
            yield from _stopped(pod, container)
        for condition in status.get("conditions", []):
            if condition.get("reason") == "Unschedulable" and condition["status"] == "False":
                yield Trouble(name_of(pod), "Unschedulable", condition.get("message", ""), is_final=False)


def _stopped(pod: Item, container: Item, *, counts_while_running: bool = False) -> Iterator[Trouble]:
    """Yield what is wrong with a container that does not run; nothing when it does, or only begins.

    An init container that ended with an error has failed, although it is retried.
    """
    name, state = container["name"], container["state"]
    reason = state.get("waiting", {}).get("reason")
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated")
    if ended and ended["exitCode"] and (counts_while_running or "running" not in state):
        yield of_ended(pod, name, ended)
    elif reason in _FINAL_STATES:
        yield Trouble(f"{name_of(pod)}, container {name}", reason, state["waiting"].get("message", ""), is_final=True)


def _of_events(items: Sequence[Item], events: Sequence[Item]) -> Iterator[Trouble]:
    unmet = {item["metadata"]["uid"]: item for item in items if _is_unmet(item)}
    for event in reversed(events):
        item = unmet.get(event["involvedObject"].get("uid", ""))
        reason, message = event.get("reason"), event.get("message", "")
        if item is None or reason not in _OF_EVENTS:
            continue
        if reason in ("FailedCreate", "FailedBinding") or "not found" in message:
            yield Trouble(name_of(item), reason, message, is_final=True)


def _is_unmet(item: Item) -> bool:
    """Return whether an object still lacks what its events may say was not to be had."""
    status = item.get("status", {})
    if item["kind"] == "ReplicaSet":
        return bool(status.get("replicas", 0) < item["spec"]["replicas"])
    if item["kind"] == "Job":
        return not (status.get("active") or status.get("conditions"))
    return bool(status.get("phase") == "Pending")
