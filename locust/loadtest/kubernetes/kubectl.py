"""Kubectl: the program that talks to the cluster, in one namespace.

It is the tool that people have and are logged in with. It runs in its own session, so that Ctrl-C ends the run and not
a kubectl command in the middle of its work.

Tested in tests/unit/kubernetes/test_kubectl.py.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

from loadtest.exceptions import StackError

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_S: Final = 180.0
_LOG_LINE: Final = re.compile(r"^[EWI]\d{4} \d\d:\d\d:\d\d\.\d+ .*\n?", re.MULTILINE)
"""Lines of kubectl's own log, which repeats each attempt before the error message."""


class Kubectl:
    """kubectl in a namespace of its present context.

    Args:
        namespace: its name; None for the context's own.

    Raises:
        StackError: when there is no kubectl.
    """

    def __init__(self, namespace: str | None = None) -> None:
        if shutil.which("kubectl") is None:
            raise StackError(
                "there is no kubectl on this machine. Allowed: kubectl 1.26 or later, with a context of a cluster. "
                "Next: install it, or use 'loadtest run', which needs no cluster."
            )
        self._command = ["kubectl", *([f"--namespace={namespace}"] if namespace else [])]

    def run(self, *words: str, stdin: str | None = None, timeout_s: float = _TIMEOUT_S) -> str:
        """Run a command and return what it printed.

        Raises:
            StackError: it fails, with its own message, or does not end in time.
        """
        try:
            done = subprocess.run(  # noqa: S603 - kubectl, and words of ours
                [*self._command, *words],
                input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False, start_new_session=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise StackError(
                f"kubectl {words[0]} did not end within {timeout_s:.0f} s. Allowed: a cluster that answers. Next: try "
                f"'kubectl {words[0]}' yourself."
            ) from error
        if done.returncode:
            said = " ".join(_LOG_LINE.sub("", done.stderr).split()) or f"exit code {done.returncode}"
            raise StackError(f"kubectl {words[0]} failed: {said.rstrip('.?')}. {_advice(words[0], said)}")
        return done.stdout

    def items(self, kinds: str, *words: str) -> list[dict[str, Any]]:
        """Return the objects of some kinds, which a selector may narrow."""
        found: list[dict[str, Any]] = json.loads(self.run("get", kinds, *words, "--output=json"))["items"]
        return found

    def exists(self, kind: str, name: str) -> bool:
        """Return whether there is such an object."""
        return bool(self.run("get", kind, name, "--ignore-not-found", "--output=name"))

    def rendered(self, folder: Path) -> str:
        """Return the objects that a kustomization makes, as text."""
        return self.run("kustomize", str(folder))

    def check(self, objects: str) -> None:
        """Let the cluster validate objects without creating them."""
        self.run("apply", "--server-side", "--dry-run=server", "--filename=-", stdin=objects)

    def apply(self, objects: str) -> None:
        """Make objects."""
        self.run("apply", "--server-side", "--filename=-", stdin=objects)

    def delete(self, objects: str) -> None:
        """Remove objects, and wait until they and their pods are gone."""
        gone = ("--ignore-not-found", "--cascade=foreground", f"--timeout={_TIMEOUT_S:.0f}s")
        self.run("delete", "--filename=-", *gone, stdin=objects, timeout_s=_TIMEOUT_S + 10)

    def opened(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command whose output is read while it runs."""
        return subprocess.Popen(  # noqa: S603 - kubectl, and words of ours
            [*self._command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )


def _advice(command: str, said: str) -> str:
    """Return what is allowed, and the next step, for an error message of kubectl."""
    if found := re.search(r'namespaces "([^"]+)" not found', said):
        return f"Allowed: a namespace that exists. Next: create it, kubectl create namespace {found[1]}."
    if "exceeded quota" in said:
        return "Allowed: what the namespace's quota leaves. Next: raise it, or remove what is no longer needed."
    if "no matches for kind" in said or "could not find the requested resource" in said:
        return "Allowed: kinds that the cluster knows. Next: install what defines this one, or leave its component out."
    if command == "kustomize" or " is invalid: " in said or "unknown field" in said:
        return "Allowed: a kustomization that makes valid objects. Next: correct in it what the message names."
    return (
        "Allowed: a context whose cluster answers and lets you do this. Next: see 'kubectl config get-contexts', and "
        "try 'kubectl get pods' yourself."
    )
