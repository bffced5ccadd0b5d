"""promtool checks Prometheus' configuration, the rules, and the queries of the dashboards."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.stack.compose import PROMETHEUS_IMAGE, ROOT, filled
from tests.stack.conftest import answers, needed

DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))


@pytest.fixture(scope="session")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The arguments that begin a promtool command: the machine's own, or that of the stack's image."""
    if shutil.which("promtool"):
        return ["promtool"]
    needed("promtool, or a Docker engine to run it in", there=answers("docker", "info"))
    folders = (ROOT / "prometheus", tmp_path_factory.getbasetemp())
    mounts = [word for folder in folders for word in ("--volume", f"{folder}:{folder}:ro")]
    return ["docker", "run", "--rm", "--network", "none", *mounts, "--entrypoint", "/bin/promtool", PROMETHEUS_IMAGE]


def run(promtool: list[str], *words: str) -> str:
    """Run promtool and return its output."""
    done = subprocess.run([*promtool, *words], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_its_configuration(promtool: list[str]) -> None:
    """Configuration and rules are valid."""
    assert "2 rule files found" in run(promtool, "check", "config", f"{ROOT}/prometheus/prometheus.yml")


def test_rules_do_what_they_say(promtool: list[str]) -> None:
    """The unit tests of the rules pass: alerts fire when they should, and only then."""
    assert "SUCCESS" in run(promtool, "test", "rules", f"{ROOT}/prometheus/rules/tests/loadtest.yml")


def test_every_dashboard_query_parses(promtool: list[str], tmp_path: Path) -> None:
    """Each query of each panel and annotation is PromQL, as a rule of its own."""
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    queries = [target["expr"] for board in boards for panel in board["panels"] for target in panel.get("targets", [])]
    queries += [annotation["expr"] for board in boards for annotation in board["annotations"]["list"]]
    queries = [filled(query) for query in queries]
    rules = [{"record": f"dashboard:query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # the image reads it as another user
    assert f"{len(queries)} rules found" in run(promtool, "check", "rules", str(file))
