"""kubectl as a program, and the error when it is missing or fails."""

from pathlib import Path

import pytest

from loadtest.exceptions import StackError
from loadtest.kubernetes.kubectl import Kubectl


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the only kubectl; the file does not exist yet."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "kubectl"


def write(program: Path, line: str) -> None:
    """Write an executable script."""
    program.write_text(f"#!/bin/sh\n{line}\n")
    program.chmod(0o755)


def test_a_missing_kubectl_is_named(program: Path) -> None:
    """The error names the alternative without it."""
    assert not program.exists()
    with pytest.raises(StackError, match="there is no kubectl on this machine"):
        Kubectl()


def test_its_own_words_say_why_it_failed(program: Path) -> None:
    """The error is one line."""
    write(program, "printf 'Error from server\\n(NotFound)\\n' >&2; exit 1")
    with pytest.raises(StackError, match=r"^kubectl get failed: Error from server \(NotFound\)"):
        Kubectl("there").run("get", "pods")


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ('Error from server (NotFound): namespaces "night" not found', "kubectl create namespace night."),
        ('persistentvolumeclaims "loadtest-runs" is forbidden: exceeded quota: small', "Next: raise it, or remove"),
        ('resource mapping not found: no matches for kind "ScaledObject"', "install what defines this one"),
        ('The Job "loadtest" is invalid: spec.backoffLimit: Invalid value: -1', "correct in it what the message names"),
        ('strict decoding error: unknown field "spec.replica"', "correct in it what the message names"),
        ('pods is forbidden: User "a" cannot list resource', "lets you do this"),
    ],
)
def test_the_next_step_is_that_of_the_error(program: Path, words: str, step: str) -> None:
    """Another context helps against neither a missing namespace nor a quota."""
    write(program, f"echo '{words}' >&2; exit 1")
    with pytest.raises(StackError) as raised:
        Kubectl().run("apply")
    assert step in str(raised.value)


def test_a_kustomization_that_cannot_be_rendered_is_corrected(program: Path, tmp_path: Path) -> None:
    """No request is sent to a cluster."""
    write(program, "echo 'error: accumulating resources: no such file' >&2; exit 1")
    with pytest.raises(StackError, match=r"no such file\. Allowed: a kustomization .* Next: correct in it"):
        Kubectl().rendered(tmp_path)


def test_its_log_is_not_repeated(program: Path) -> None:
    """It logs each attempt to reach an absent cluster; the error is one sentence with the next step."""
    log = "E1127 01:30:27.891486   12789 memcache.go:265] connection refused\\n"
    write(program, f"printf '{log}{log}The connection was refused\\n' >&2; exit 1")
    with pytest.raises(StackError, match=r"^kubectl get failed: The connection was refused\. Allowed: .* Next: see"):
        Kubectl().run("get", "pods")


def test_it_is_given_up_after_a_time(program: Path) -> None:
    """A cluster may not respond."""
    write(program, "exec /bin/sleep 60")
    with pytest.raises(StackError, match="kubectl get did not end within"):
        Kubectl().run("get", timeout_s=0.2)


def test_every_command_is_for_its_namespace(program: Path) -> None:
    """The default is the namespace of the context."""
    write(program, 'echo "$@"')
    assert Kubectl("there").run("get", "pods") == "--namespace=there get pods\n"
    assert Kubectl().run("get", "pods") == "get pods\n"
