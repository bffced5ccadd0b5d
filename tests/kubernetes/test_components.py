"""The web UI's master on a cluster, with workers controlled by an autoscaler."""

import json
import os
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.namespace import MANIFESTS, Namespace
from tests.stack.compose import eventually

PATIENCE_S = 300.0
USERS = 200
MASTER = ("deployment/loadtest", 9646)


@pytest.fixture
def namespace(cluster: None, tmp_path: Path) -> Iterator[Namespace]:  # noqa: ARG001 - has to be
    """The demo with both components, in a namespace of its own."""
    namespace = Namespace(f"loadtest-components-{uuid.uuid4().hex[:8]}", tmp_path)
    namespace.create()
    try:
        resources, *components = (
            os.path.relpath(MANIFESTS / name, tmp_path.resolve()) for name in ("demo", "interactive", "autoscaled")
        )
        whole = {
            "resources": [resources],
            "components": components,
            "replicas": [{"name": "grafana", "count": 0}, {"name": "prometheus", "count": 0}],
        }
        (tmp_path / "kustomization.yaml").write_text(json.dumps(whole))
        namespace.kubectl("apply", "--server-side", "--kustomize", str(tmp_path))
        yield namespace
    finally:
        namespace.remove()


def test_a_test_from_the_web_ui_gets_as_many_workers_as_its_load_asks_for(namespace: Namespace) -> None:
    """The UI is reached through a forwarded port; CPU above the target makes the autoscaler add workers, which join."""

    def workers() -> float:
        states = ("ready", "spawning", "running")
        return sum(namespace.sample(MASTER, "loadtest_workers", state=state) for state in states)

    eventually("two workers", workers, 2, PATIENCE_S)
    url = namespace.forwarded("deployment/loadtest", 8089)
    assert "Locust" in urllib.request.urlopen(url, timeout=60).read().decode()
    load = {"user_count": USERS, "spawn_rate": USERS, "load_profile": "as-entered"}
    request = urllib.request.Request(f"{url}/swarm", urllib.parse.urlencode(load).encode(), {"Origin": url})
    answer = json.loads(urllib.request.urlopen(request, timeout=60).read())
    assert answer["success"], answer
    eventually("load", lambda: namespace.sample(MASTER, "loadtest_requests_total") > USERS, True, PATIENCE_S)
    eventually("more workers", lambda: workers() > 2, True, PATIENCE_S)
