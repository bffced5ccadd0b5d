"""Problems that keep a run's pods from running, found in a cluster's objects and events."""

import json
from typing import Any

import pytest

from loadtest.kubernetes.trouble import COMPONENT, found, of_ended


def an_object(kind: str, status: dict[str, Any], component: str = "locust-worker", **spec: object) -> dict[str, Any]:
    """Return an object of a run."""
    labels = {COMPONENT: component}
    return {"kind": kind, "metadata": {"name": "x", "uid": kind, "labels": labels}, "spec": spec, "status": status}


def an_event(kind: str, reason: str, message: str) -> dict[str, Any]:
    """Return an event of the object of this kind."""
    return {"involvedObject": {"uid": kind}, "reason": reason, "message": message}


def a_pod(component: str = "locust-worker", **state: object) -> dict[str, Any]:
    """Return a pod with one container in a state."""
    return an_object("Pod", {"phase": "Pending", "containerStatuses": [{"name": "worker", **state}]}, component)


PULLING = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}
UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}],
}
QUOTA = an_event("ReplicaSet", "FailedCreate", 'pods "x" is forbidden: exceeded quota: small')


def test_an_object_its_reason_and_the_next_step_are_named() -> None:
    """The error is one sentence."""
    trouble = found([a_pod(**PULLING)], [])
    assert trouble is not None
    assert trouble.sentence == (
        "pod/x, container worker: ImagePullBackOff: Back-off pulling image. Next: load or push it, and set it with "
        "--image."
    )


@pytest.mark.parametrize(
    ("message", "step"),
    [
        ('secret "loadtest" not found', "create the Secret: kubectl create secret generic loadtest"),
        ('configmap "rules" not found', "create what the message names"),
        ("couldn't find key token in Secret shop/loadtest", "create what the message names"),
        ("container has runAsNonRoot and image will run as root", "set runAsUser to a number"),
    ],
)
def test_the_next_step_is_that_of_the_message(message: str, step: str) -> None:
    """One reason has several causes, and another Secret helps against only one of them."""
    trouble = found([a_pod(state={"waiting": {"reason": "CreateContainerConfigError", "message": message}})], [])
    assert trouble is not None
    assert f": {message}. Next: {step}" in trouble.sentence


@pytest.mark.parametrize(
    ("message", "step"),
    [
        ("exceeded quota: small", "raise the namespace's quota"),
        ('violates PodSecurity "restricted:latest"', "keep what deploy/kubernetes/hardened sets"),
        ('admission webhook "x" denied the request', "meet the rule that the message names"),
    ],
)
def test_a_pod_that_is_refused_is_not_always_one_too_many(message: str, step: str) -> None:
    """A namespace may have other rules than a quota."""
    trouble = found([an_object("ReplicaSet", {}, replicas=1)], [an_event("ReplicaSet", "FailedCreate", message)])
    assert trouble is not None
    assert f"Next: {step}" in trouble.sentence


def _by_git(said: str) -> str:
    error = f'Run(git fetch https://git/load.git v1 --depth 1): exit status 128: {{ stdout: "", stderr: "{said}" }}'
    return json.dumps({"logger": "", "msg": "too many failures, aborting", "error": error, "failCount": 5})


@pytest.mark.parametrize(
    ("line", "said", "step"),
    [
        (
            _by_git("fatal: Authentication failed for 'https://git/load.git/'"),
            "fatal: Authentication failed for 'https://git/load.git/'",
            "correct GITSYNC_USERNAME, and in the Secret",
        ),
        (
            _by_git("fatal: unable to access 'https://git/load.git/': server certificate verification failed. CAfile"),
            "fatal: unable to access 'https://git/load.git/': server certificate verification failed. CAfile",
            "name the file of its authority's certificate",
        ),
        (
            _by_git("fatal: unable to access 'https://nowhere/': Could not resolve host: nowhere"),
            "fatal: unable to access 'https://nowhere/': Could not resolve host: nowhere",
            "correct GITSYNC_REPO",
        ),
        (
            _by_git(r"POST git-upload-pack (293 bytes)\nfatal: couldn't find remote ref v9"),
            "fatal: couldn't find remote ref v9",
            "correct GITSYNC_REF",
        ),
        (
            json.dumps({"error": 'credential refresh failed: can\'t read password file "/nope": open /nope'}),
            'credential refresh failed: can\'t read password file "/nope": open /nope',
            "add that key to the Secret",
        ),
        ('"error"', '"error"', "fix the error in the message"),
        ('{"msg": "done"}', '{"msg": "done"}', "fix the error in the message"),
    ],
)
def test_what_git_said_is_taken_out_of_the_log_of_git_sync(line: str, said: str, step: str) -> None:
    """It writes JSON, with git's message inside an error; the lines are those of git-sync 4.7.1."""
    ended = {"exitCode": 1, "reason": "Error", "message": f"{{}}\n{line}\n"}
    trouble = of_ended(a_pod(), "clone", ended)
    assert trouble.sentence.startswith(f"pod/x, container clone: Error: {said}. Next: {step}")


@pytest.mark.parametrize(("replicas", "is_trouble"), [(0, True), (1, False)])
def test_an_event_counts_while_its_object_lacks_what_it_says(replicas: int, is_trouble: bool) -> None:
    """The pods of an earlier run may have been in the way, and be gone a moment later."""
    trouble = found([an_object("ReplicaSet", {"replicas": replicas}, replicas=1)], [QUOTA])
    assert (trouble is not None) == is_trouble


def test_what_stays_comes_before_what_may_pass() -> None:
    """A pod without a node may get one; a missing image does not appear."""
    waiting = found([an_object("Pod", UNSCHEDULABLE)], [])
    assert (waiting and (waiting.reason, waiting.is_final)) == ("Unschedulable", False)
    both = found([an_object("Pod", UNSCHEDULABLE), a_pod(**PULLING)], [])
    assert both is not None
    assert both.reason == "ImagePullBackOff"


def test_a_run_goes_on_without_those_who_watch_it() -> None:
    """These are Prometheus, Grafana and the exporter of Redis."""
    assert found([a_pod("grafana", **PULLING)], []) is None


def test_a_container_that_only_begins_is_no_trouble() -> None:
    """Its image is being pulled, or it is restarting."""
    creating = a_pod(state={"waiting": {"reason": "ContainerCreating"}})
    again = a_pod(state={"running": {}}, lastState={"terminated": {"exitCode": 1, "reason": "Error"}})
    assert found([creating, again], [an_event("Pod", "FailedMount", "timed out")]) is None


def test_a_container_that_prepares_a_pod_counts_while_it_is_tried_again() -> None:
    """It failed once; if it succeeds later, nothing is wrong."""
    last = {"terminated": {"exitCode": 2, "reason": "Error", "message": "HOST=x is wrong. Next: correct it."}}
    for state, is_trouble in (({"running": {}}, True), ({"terminated": {"exitCode": 0}}, False)):
        statuses = [{"name": "await-target", "state": state, "lastState": last}]
        pod = an_object("Pod", {"phase": "Pending", "initContainerStatuses": statuses})
        assert (found([pod], []) is not None) == is_trouble


def test_a_container_that_ends_is_named_with_its_last_line() -> None:
    """That line is the sentence of its error, with a next step of its own."""
    ended = {"exitCode": 2, "reason": "Error", "message": "starting\nHOST=x is wrong. Next: correct it.\n"}
    crashing = a_pod(state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": ended})
    trouble = found([crashing], [])
    assert trouble is not None
    assert trouble.sentence == "pod/x, container worker: Error: HOST=x is wrong. Next: correct it."
