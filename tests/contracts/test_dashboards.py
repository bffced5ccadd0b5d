"""The dashboards are what their generator says, in plain core panels, over metrics that exist."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from loadtest.config import Config
from loadtest.exporting.metrics import METRICS
from loadtest.judging import thresholds
from target_app import create_app

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
CORE_PANELS = {"stat", "timeseries", "heatmap", "table", "bargauge", "gauge", "text", "piechart", "histogram"}

SCHEMA = {
    "type": "object",
    "required": ["uid", "title", "tags", "schemaVersion", "editable", "refresh", "time", "templating", "panels"],
    "properties": {
        "uid": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"},
        "title": {"type": "string", "minLength": 1},
        "editable": {"const": False},
        "refresh": {"type": "string", "pattern": "^[0-9]+s$"},
        "schemaVersion": {"type": "integer", "minimum": 36},
        "panels": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "type", "title", "gridPos"],
                "properties": {
                    "id": {"type": "integer", "minimum": 1},
                    "gridPos": {
                        "type": "object",
                        "required": ["h", "w", "x", "y"],
                        "properties": {"w": {"minimum": 1, "maximum": 24}, "x": {"minimum": 0, "maximum": 23}},
                    },
                },
            },
        },
        "templating": {"type": "object", "required": ["list"]},
    },
}


def generator() -> ModuleType:
    """Load grafana/generate.py, which is a program and no package."""
    spec = importlib.util.spec_from_file_location("grafana_generate", ROOT / "grafana" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path: Path) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    board: dict[str, Any] = json.loads(path.read_text())
    return board


def panels() -> list[Any]:
    """Return a parameter for every panel that draws something."""
    return [
        pytest.param(panel, id=f"{path.stem}: {panel['title']}")
        for path in DASHBOARDS
        for panel in read(path)["panels"]
        if panel["type"] != "row"
    ]


def expressions() -> list[str]:
    """Return the text of every query: of panels, of variables, of annotations."""
    found = []
    for board in map(read, DASHBOARDS):
        found += [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
        found += [annotation["expr"] for annotation in board["annotations"]["list"]]
        found += [variable["query"]["query"] for variable in board["templating"]["list"]]
    return found


# Grafana 11 and 12 read the classic schema; the SDK would rather have people use the next one.
@pytest.mark.filterwarnings("ignore:Prefer using dashboardv2:DeprecationWarning")
def test_committed_dashboards_are_the_generated_ones() -> None:
    """`make dashboards` would change nothing."""
    module = generator()
    assert {path.name: path.read_text() for path in DASHBOARDS} == {
        name: module.render(name) for name in module.DASHBOARDS
    }


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_follow_the_schema(path: Path) -> None:
    """A dashboard is read-only, refreshes by itself, and lays out panels with distinct ids that do not overlap."""
    board = read(path)
    jsonschema.validate(board, SCHEMA)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    cells = [
        (x, y)
        for position in (panel["gridPos"] for panel in board["panels"])
        for x in range(position["x"], position["x"] + position["w"])
        for y in range(position["y"], position["y"] + position["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23


@pytest.mark.parametrize("panel", panels())
def test_every_panel_explains_itself(panel: dict[str, Any]) -> None:
    """A panel is of Grafana's core, has a unit and a description, and asks the stack's data source."""
    assert panel["type"] in CORE_PANELS
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    for asked in (panel, *panel["targets"]):
        assert asked["datasource"] == {"type": "prometheus", "uid": "prometheus"}
    letters = [target["refId"] for target in panel["targets"]]
    assert len(set(letters)) == len(letters)


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_rates_are_taken_before_they_are_summed(expression: str) -> None:
    """A rate is over `$__rate_interval`, of one metric and never of a sum; a counter is never read raw."""
    for argument in re.findall(r"\b(?:rate|increase)\(([^()]*(?:\([^()]*\))?[^()]*)\)", expression):
        assert re.fullmatch(r"\w+(\{[^}]*\})?\[\$__rate_interval\]", argument)
    if "label_values" not in expression:
        counters = re.findall(r"\w+(?:_total|_bucket|_sum|_count)\b", expression)
        assert len(counters) == len(re.findall(r"\[\$__rate_interval\]", expression))


def test_every_metric_is_exported() -> None:
    """Our own metrics in the queries, and their labels, are those of the exporter and of the target."""
    names = {name for expression in expressions() for name in re.findall(r"\b(?:loadtest|target_app)_\w+", expression)}
    assert names <= _loadtest_names() | _target_names()
    labels = {label for metric in METRICS for label in metric.labels} | {"le", "route", "status", "cmd"}
    used = {
        label.strip()
        for expression in expressions()
        for labels_of in re.findall(r"\bby \(([^)]*)\)", expression)
        for label in labels_of.split(",")
    }
    assert used <= labels


def test_runs_are_marked() -> None:
    """Each dashboard marks the start of runs, at the time that the metric says."""
    for board in map(read, DASHBOARDS):
        (annotation,) = board["annotations"]["list"]
        assert "loadtest_run_start_time_seconds" in annotation["expr"]
        assert annotation["useValueForTime"] is True
        assert annotation["enable"] is True


def test_thresholds_are_drawn() -> None:
    """The panels of response times and of the error ratio draw the run's limits, dashed, over their own curves."""
    drawn = {}
    for panel in read(ROOT / "grafana" / "dashboards" / "load_run.json")["panels"]:
        for target in panel.get("targets", []):
            if "loadtest_threshold_limit" in target["expr"]:
                (dashed,) = panel["fieldConfig"]["overrides"]
                assert {"id": "byFrameRefID", "options": target["refId"]} == dashed["matcher"]
                assert "custom.lineStyle" in {one["id"] for one in dashed["properties"]}
                drawn[panel["title"]] = re.findall(r'metric=~"(.*?)"', target["expr"])
    expected = {"Response time beside service time": ["response_time|service_time"], "Error ratio": ["error_ratio"]}
    assert expected == drawn


def test_default_thresholds_can_be_drawn() -> None:
    """The shipped rules have a limit for each of those panels, so that no query of a default run is empty."""
    rules = thresholds.of(Config.load({}, environ={}, file=Path("none")))
    assert {"response_time", "error_ratio"} <= {line.metric for line in thresholds.lines(rules)}


def _loadtest_names() -> set[str]:
    kinds = {metric.name: metric.kind for metric in METRICS}
    parts = {
        f"{name}_{part}" for name, kind in kinds.items() if kind == "histogram" for part in ("bucket", "sum", "count")
    }
    return {name for name, kind in kinds.items() if kind != "histogram"} | parts


def _target_names() -> set[str]:
    client = create_app().test_client()
    client.get("/healthz/live")
    text = client.get("/metrics").get_data(as_text=True)
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
