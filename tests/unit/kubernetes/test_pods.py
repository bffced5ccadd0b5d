"""Waiting for pods, whose problems kubectl reports."""

from pathlib import Path

import pytest

from loadtest.exceptions import StackError
from loadtest.kubernetes import pods
from loadtest.kubernetes.kubectl import Kubectl

KUBECTL = """#!/bin/sh
echo $$ >> "$0.calls"
case "$2" in
  jobs*) cat <<END
{"items": [{"kind": "ReplicaSet", "metadata": {"name": "x", "uid": "1"}, "spec": {"replicas": 1}, "status": {}}]}
END
  ;;
  events) cat <<END
{"items": [{"involvedObject": {"uid": "1"}, "reason": "FailedCreate", "message": "pod x-$$ is forbidden"}]}
END
  ;;
  *) echo '{"items": []}' ;;
esac
"""
"""It answers for a replica set whose pod is refused, each time under another name."""


def test_a_trouble_is_said_once_however_its_message_varies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the wait if it lasts."""
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(pods, "POLL_S", 0.0)
    monkeypatch.setattr(pods, "_SETTLED_S", 0.2)
    said: list[str] = []
    with pytest.raises(StackError, match=r"replicaset/x: FailedCreate: pod x-\d+ is forbidden\. Next: "):
        pods.await_state(Kubectl(), "a=b", lambda _items: False, 60.0, said.append)
    calls_of_a_look = 3
    assert len((tmp_path / "kubectl.calls").read_text().split()) > calls_of_a_look
    assert len(said) == 1
