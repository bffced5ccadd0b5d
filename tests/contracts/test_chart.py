"""deploy/kubernetes/chart renders the same objects as deploy/kubernetes, field by field, and refuses invalid values."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadtest import __version__
from loadtest.kubernetes.kustomization import MANIFESTS, Kustomization

CHART = MANIFESTS / "chart"
RULE = """p99(response_time){name="buy"} < 250ms, 'x' $HOME "  """
TEMPLATE = "# a scenario: {{ not a template }}\n"

pytestmark = pytest.mark.usefixtures("cluster_tools")


def helm(*words: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm with values."""
    given = [f"--set-json={name}={json.dumps(value)}" for name, value in (values or {}).items()]
    return subprocess.run(["helm", *words, *given], capture_output=True, text=True, check=False)


def by_chart(values: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Return the objects that the chart renders from values, by kind and name."""
    done = helm("template", "loadtest", str(CHART), values=values)
    assert done.returncode == 0, done.stderr
    return normal(done.stdout)


def by_kustomize(folder: Path) -> dict[tuple[str, str], Any]:
    """Return the objects that a kustomization renders, by kind and name."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return normal(done.stdout)


def normal(rendered: str) -> dict[tuple[str, str], Any]:
    """Return objects by kind and name, without content hashes and release numbers in names."""
    text = re.sub(r"\b(loadtest-settings|loadtest-scenarios)-[a-z0-9]{10}\b", r"\1", rendered)
    found = {}
    for one in filter(None, yaml.safe_load_all(text)):
        if one["kind"] == "Job":
            one["metadata"]["name"] = re.sub(r"-\d+$", "", one["metadata"]["name"])
        if one["kind"] == "PersistentVolumeClaim" and "annotations" in one["metadata"]:
            assert one["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        found[one["kind"], one["metadata"]["name"]] = one
    return found


def test_chart_and_kustomization_are_the_same() -> None:
    """Without any values every object and field is the same."""
    assert by_chart({}) == {**by_kustomize(MANIFESTS / "base"), **by_kustomize(MANIFESTS / "results")}


def test_values_change_what_a_kustomization_changes(tmp_path: Path) -> None:
    """Image, number of workers, settings and scenarios with special characters, and the user left to OpenShift."""
    (tmp_path / "shop.py").write_text(TEMPLATE)
    own = Kustomization(
        MANIFESTS / "base", "host:5000/loadtest:1.2", True, 7,
        (("LOADTEST_PROFILE", "quick"), ("LOADTEST_SCENARIO", "scenarios/shop.py"), ("LOADTEST_THRESHOLD", RULE)),
        (tmp_path / "shop.py",),
    )  # fmt: skip
    (tmp_path / "own").mkdir()
    own.write(tmp_path / "own")
    values = {
        "image.name": "host:5000/loadtest",
        "image.tag": "1.2",
        "openshift": True,
        "workers": 7,
        "settings": dict(own.settings),
        "scenarios": {"shop.py": TEMPLATE},
        "results.create": False,
    }
    assert by_chart(values) == by_kustomize(tmp_path / "own")


def test_an_autoscaler_may_own_the_number_of_workers(tmp_path: Path) -> None:
    """An upgrade does not reset it; the rest of the Deployment is that of the component."""
    own = Kustomization(MANIFESTS / "base")
    own.write(tmp_path)
    whole = json.loads((tmp_path / "kustomization.yaml").read_text())
    whole["components"] = [f"{whole['resources'][0]}/../autoscaled"]
    (tmp_path / "kustomization.yaml").write_text(json.dumps(whole))
    name = ("Deployment", "locust-worker")
    assert by_chart({"autoscaled": True})[name] == by_kustomize(tmp_path)[name]
    assert "replicas" not in by_chart({"autoscaled": True})[name]["spec"]


@pytest.mark.parametrize("names", [("upload",), ("metrics",), ("metrics", "upload")])
def test_a_value_is_a_component(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Job, Service and network policies are those of the components."""
    Kustomization(MANIFESTS / "base").write(tmp_path)
    whole = json.loads((tmp_path / "kustomization.yaml").read_text())
    whole["components"] = [f"{whole['resources'][0]}/../{name}" for name in names]
    (tmp_path / "kustomization.yaml").write_text(json.dumps(whole))
    made = by_kustomize(tmp_path)
    assert {("NetworkPolicy", f"loadtest-{name}") for name in names} <= set(made)
    assert made["Job", "loadtest"] != by_kustomize(MANIFESTS / "base")["Job", "loadtest"]
    assert by_chart({**dict.fromkeys(names, True), "results.create": False}) == made


def test_other_settings_are_other_pods() -> None:
    """Their ConfigMap gets another name, so that an upgrade replaces the workers."""
    names = set()
    for profile in ("quick", "smoke"):
        done = helm("template", "loadtest", str(CHART), values={"settings.LOADTEST_PROFILE": profile})
        names |= set(re.findall(r"loadtest-settings-[a-z0-9]{10}", done.stdout))
    assert len(names) == 2


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"workers": 0}, "/workers"),
        ({"workers": "2"}, "/workers"),
        ({"wokers": 2}, "wokers"),
        ({"settings.LOADTEST_USERS": 10}, "/settings/LOADTEST_USERS"),
        ({"settings.PROFILE": "smoke"}, "PROFILE"),
        ({"image.name": "a b"}, "/image/name"),
        ({"scenarios": {"a/b.py": ""}}, "a/b.py"),
        ({"resources.worker.limits.cpu": "1"}, "/resources/worker/limits"),
        ({"results.size": "1 GB"}, "/results/size"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: dict[str, Any], named: str) -> None:
    """The schema refuses them, and names them."""
    done = helm("template", "loadtest", str(CHART), values=values)
    assert (done.returncode, named in done.stderr) == (1, True), done.stderr


def test_lint_finds_nothing() -> None:
    """There is no warning either."""
    done = helm("lint", "--strict", "--quiet", str(CHART))
    assert done.returncode == 0, done.stdout


def test_the_chart_has_the_version_of_its_image() -> None:
    """Chart and image are released together."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
