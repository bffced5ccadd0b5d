"""The dashboards match their generator, and use core panels and existing metrics only."""

import importlib
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from loadtest.exporting.metrics import METRICS, RECENT
from loadtest.judging import thresholds
from loadtest.settings.config import Config
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
        "schemaVersion": {"const": 39},
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


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """grafana/generate.py; its folder is on the path while it is imported."""
    monkeypatch.syspath_prepend(str(ROOT / "grafana"))
    return importlib.import_module("generate")


def read(path: Path) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    board: dict[str, Any] = json.loads(path.read_text())
    return board


def panels() -> list[Any]:
    """Return a parameter for every panel with a visualization."""
    return [
        pytest.param(panel, id=f"{path.stem}: {panel['title']}")
        for path in DASHBOARDS
        for panel in read(path)["panels"]
        if panel["type"] not in {"row", "text"}
    ]


def expressions() -> list[str]:
    """Return the text of every query: of panels, of variables, of annotations."""
    found = []
    for board in map(read, DASHBOARDS):
        found += [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
        found += [annotation["expr"] for annotation in board["annotations"]["list"]]
        found += [one["query"]["query"] for one in board["templating"]["list"] if one["type"] == "query"]
    return found


# Grafana 11, 12 and 13 read the classic schema; the SDK recommends the next one.
@pytest.mark.filterwarnings("ignore:Prefer using dashboardv2:DeprecationWarning")
def test_committed_dashboards_are_the_generated_ones(generator: ModuleType) -> None:
    """`make dashboards` would change nothing."""
    assert {name: generator.render(name) for name in generator.DASHBOARDS} == {
        path.name: path.read_text() for path in DASHBOARDS
    }


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_follow_the_schema(path: Path) -> None:
    """A dashboard is read-only, refreshes automatically, and lays out panels with distinct ids that do not overlap."""
    board = read(path)
    jsonschema.validate(board, SCHEMA)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    cells = [
        (x, y)
        for position in (panel["gridPos"] for panel in board["panels"])
        for x in range(position["x"], position["x"] + position["w"])
        for y in range(position["y"], position["y"] + position["h"])
    ]
    assert len(cells) == len(set(cells))
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
    assert len(letters) == len(set(letters))


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_rates_are_taken_before_they_are_summed(expression: str) -> None:
    """A rate is of one metric, never of a sum, over `$__rate_interval` or the whole range; no counter is shown raw."""
    for argument in re.findall(r"\b(?:rate|increase)\(([^()]*(?:\([^()]*\))?[^()]*)\)", expression):
        assert re.fullmatch(r"\w+(\{[^}]*\})?\[\$__(rate_interval|range)\]( offset \$\{shift\}s)?", argument)
    if "label_values" not in expression:
        gauges = {"redis_keys_count"}
        counters = [
            name for name in re.findall(r"\w+(?:_total|_bucket|_sum|_count)\b", expression) if name not in gauges
        ]
        assert len(re.findall(r"\b(?:rate|increase)\(", expression)) == len(counters)


@pytest.mark.parametrize("expression", sorted({one for one in expressions() if "histogram_quantile" in one}))
def test_a_quantile_of_nothing_is_a_gap(expression: str) -> None:
    """Prometheus returns NaN, which a tooltip would show: values that are not above 0 are left out."""
    whole = re.findall(r"histogram_quantile\([^,]+, sum by \([^)]*\) \(rate\([^\]]*\][^)]*\)\)\)( > 0)?", expression)
    assert whole == [" > 0"] * expression.count("histogram_quantile")


def test_every_metric_is_exported() -> None:
    """Our metrics in the queries, and their labels, are exported by the exporter or the target."""
    names = {name for expression in expressions() for name in re.findall(r"\b(?:loadtest|target_app)_\w+", expression)}
    assert names <= _loadtest_names() | _target_names()
    labels = {label for metric in METRICS for label in metric.labels}
    labels |= {"le", "route", "status", "kind", "cmd", "key", "job", "alertname"}
    used = {
        label.strip()
        for expression in expressions()
        for labels_of in re.findall(r"\bby \(([^)]*)\)", expression)
        for label in labels_of.split(",")
    }
    assert used <= labels


def test_every_metric_is_shown() -> None:
    """Each of our metrics is on a dashboard or raises an alert, except those that are only in the reference."""
    rules = "".join(path.read_text() for path in (ROOT / "prometheus" / "rules").glob("*.yml"))
    asked = " ".join([*expressions(), rules])
    names = {metric: {metric.name, RECENT[metric].name} if metric in RECENT else {metric.name} for metric in METRICS}
    unseen = {
        metric.name
        for metric, shown in names.items()
        if not re.search(rf"\b({'|'.join(shown)})(_bucket|_count|_sum)?\b", asked)
    }
    assert unseen == {"loadtest_link_refused_total", "loadtest_setup_requests_total", "loadtest_stream_bytes_total"}


def test_a_quantile_can_be_chosen() -> None:
    """The choice is p50 to p99.9, by default p95; curves and tables by name follow it."""
    board = read(ROOT / "grafana" / "dashboards" / "load_run.json")
    (one,) = [one for one in board["templating"]["list"] if one["name"] == "quantile"]
    assert (one["type"], one["query"], one["current"]["value"]) == ("custom", "0.5, 0.9, 0.95, 0.99, 0.999", "0.95")
    follow = {
        panel["title"]
        for panel in board["panels"]
        for target in panel.get("targets", [])
        if re.search(r'histogram_quantile\(\$quantile, |quantile="\$quantile"', target["expr"])
    }
    assert follow == {
        "Names",
        "Response time by name",
        "Iteration time",
        "Transactions",
        "Transaction time",
        "Response time",
        "Connection phases",
    }


def test_quantiles_over_time_are_those_of_the_record() -> None:
    """No curve of ours interpolates between buckets, except where exemplars need it."""
    for board in map(read, DASHBOARDS):
        for panel in (one for one in board["panels"] if one["type"] == "timeseries"):
            for target in panel["targets"]:
                interpolated = re.search(r"histogram_quantile\(.*loadtest_", target["expr"])
                assert not interpolated or (target.get("exemplar") and "_recent_" in target["expr"])


def test_the_quantile_of_all_is_one_curve() -> None:
    """Sums have no name: they come first if all names are selected, and are left out of the curves by name."""
    panels_of = read(ROOT / "grafana" / "dashboards" / "load_run.json")["panels"]
    (asked,) = [one["targets"][0]["expr"] for one in panels_of if one["title"] == "Response time"]
    selectors = re.findall(r"_recent_seconds\{([^}]*)\}", asked)
    assert [selector.count('=""') for selector in selectors] == [2, 1, 0]
    (asked,) = [one["targets"][0]["expr"] for one in panels_of if one["title"] == "Response time by name"]
    assert 'name!=""' in asked


def test_a_run_begins_with_one_overview() -> None:
    """Load, requests, failures and p95 on one time axis, as wide as the page; then the run in figures."""
    board = read(ROOT / "grafana" / "dashboards" / "load_run.json")
    first, *others = [one for one in board["panels"] if one["type"] != "row"]
    assert (first["type"], first["gridPos"]["w"], first["gridPos"]["x"]) == ("timeseries", 24, 0)
    assert [one["legendFormat"] for one in first["targets"]] == ["users", "requests/s", "failed/s", "p95", "p95 before"]
    assert {one["type"] for one in others[:12]} == {"stat"}
    assert {"Requests", "Stage", "Time of load"} <= {one["title"] for one in others[:12]}


@pytest.mark.parametrize(
    ("board", "title", "columns"),
    [
        ("load_run", "Names", "method name quantile p50 p95 p99 mean min max requests per_s failed"),
        ("load_run", "Errors by name", "method name class status failed of_all_failed"),
        ("load_run", "Transactions", "transaction quantile p50 mean made failed"),
        ("load_run", "Checks", "check failed made"),
        ("home", "Runs", "run scenario profile verdict started ended until duration requests failed p95"),
        ("history", "Runs", "run scenario profile verdict started ended until duration requests failed p95"),
    ],
)
def test_tables_have_what_a_reader_looks_for(board: str, title: str, columns: str) -> None:
    """Each figure has a column."""
    found = [one for one in read(ROOT / "grafana" / "dashboards" / f"{board}.json")["panels"] if one["title"] == title]
    (table,) = [one for one in found if one["type"] == "table"]
    options = table["transformations"][1]["options"]
    titles = [options["renameByName"][one] for one in sorted(options["indexByName"], key=options["indexByName"].get)]
    assert [one.replace(" ", "_") for one in titles] == columns.split()


def test_tables_by_name_have_what_the_record_has() -> None:
    """Lowest and highest times and failures by status are gauges of the run; buckets and classes would say less."""
    panels_of = read(ROOT / "grafana" / "dashboards" / "load_run.json")["panels"]
    asked = {one["title"]: [target["expr"] for target in one["targets"]] for one in panels_of if one["type"] == "table"}
    for which in ("min", "max"):
        gauge = f"{which} by (method, name) (last_over_time(loadtest_run_response_time_{which}_seconds{{"
        (found,) = [expression for expression in asked["Names"] if expression.startswith(gauge)]
        assert " and on (method, name) (" in found  # no row for a name without requests in the time range
    for expression in asked["Errors by name"]:
        assert expression.startswith("sum by (method, name, class, status) (last_over_time(loadtest_run_failures{")


def test_runs_are_marked() -> None:
    """Each dashboard marks start, end, stages, lost workers and changes, each at the time that its metric gives."""
    times = {
        "Run starts": "loadtest_run_start_time_seconds",
        "Run ends": "loadtest_run_end_time_seconds",
        "Stages": "loadtest_run_stage_start_time_seconds",
        "Workers lost": "loadtest_worker_lost_time_seconds",
        "Changes": "loadtest_run_change_time_seconds",
    }
    for board in map(read, DASHBOARDS):
        marks = board["annotations"]["list"]
        assert [mark["name"] for mark in marks] == list(times)
        for mark in marks:
            assert times[mark["name"]] in mark["expr"]
            assert mark["useValueForTime"] is True
            assert mark["enable"] is True


def test_a_run_is_compared_with_the_one_before_of_the_same_scenario() -> None:
    """The default is the latest run that began before it, shifted by the seconds between them; others can be chosen."""
    for path in DASHBOARDS:
        variables = {one["name"]: one for one in read(path)["templating"]["list"]}
        before, shift = variables["before"], variables["shift"]
        assert 'loadtest_run_start_time_seconds{run_id!=""}[30d])) < scalar(' in before["query"]["query"]
        assert "and on (scenario)" in before["query"]["query"]
        assert before["sort"] == 2  # by name, descending: a run's name begins with its time
        assert shift["query"]["query"].endswith(" or vector(0))")
        assert (shift["hide"], shift["skipUrlSync"]) == (
            2,
            True,
        )  # it follows from the runs; a link would keep the old value
        found = [re.search(one["regex"].strip("/"), '{run_id="b"} 90 1700000000000')[1] for one in (before, shift)]
        assert found == ["b", "90"]


def test_what_is_of_the_run_before_is_moved_to_this_one() -> None:
    """Every query of the run before has the offset at each of its selectors, and no other query has it."""
    for expression in expressions():
        if "query_result" not in expression:
            selectors = re.findall(r"\w+\{[^}]*\$before[^}]*\}(?:\[[^]]*\])?", expression)
            assert all(f"{one} offset ${{shift}}s" in expression for one in selectors)
            assert ("offset" in expression) == bool(selectors) or "[$__range] offset" in expression


def test_there_are_six_dashboards_and_a_home() -> None:
    """Their uids are the names of their files, and the targets of the links."""
    boards = {path.stem: read(path) for path in DASHBOARDS}
    assert set(boards) == {"home", "load_run", "compare", "history", "generator", "target", "redis"}
    assert {stem: stem for stem in boards} == {stem: board["uid"] for stem, board in boards.items()}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_links_keep_time_range_and_variables(path: Path) -> None:
    """Each links to all others with the variables, which all have, and the time range, unless that spans days."""
    board = read(path)
    assert [
        f"/d/{uid}"
        for uid in ("home", "load_run", "compare", "history", "generator", "target", "redis")
        if uid != path.stem
    ] == [link["url"] for link in board["links"]]
    assert all(link["includeVars"] and link["type"] == "link" for link in board["links"])
    # In a range of days a run would be too narrow to see.
    assert {link["keepTime"] for link in board["links"]} == {path.stem not in {"home", "history"}}
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert list(variables) == ["run", "scenario", "name", "quantile", "before", "shift"]
    text = json.dumps(board["panels"])
    for name, one in variables.items():
        used = f"${name}" in text
        assert used or one["hide"] == 2, f"{name} is shown and does nothing"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_choice_of_runs_holds_for_every_panel(path: Path) -> None:
    """Where a run can be selected, every query about the load filters by it, or says that it covers the range."""
    board = read(path)
    (run,) = [one for one in board["templating"]["list"] if one["name"] == "run"]
    if run["hide"] == 2:
        return
    about_load = re.compile(r"loadtest_(requests|response|service|errors|users|run_|schedule|iterations)")
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            chosen = 'run_id=~"$run"' in target["expr"] or 'run_id=~"$before"' in target["expr"]
            if about_load.search(target["expr"]) and not chosen:
                assert "[$__range]" in target["expr"]
                assert "in the time range" in panel["description"]


@pytest.mark.parametrize("panel", [one for one in panels() if one.values[0]["type"] in {"stat", "table"}])
def test_figures_of_the_load_outlast_it(panel: dict[str, Any]) -> None:
    """A rate at the end of the time range is 0 once the load has ended: figures are per run, or per whole range."""
    for target in panel["targets"]:
        assert target["instant"]
        if "loadtest_" in target["expr"]:
            assert "$__rate_interval" not in target["expr"]


@pytest.mark.parametrize("panel", [one for one in panels() if one.values[0]["type"] == "stat"])
def test_no_figure_is_blank_or_praised_for_nothing(panel: dict[str, Any]) -> None:
    """Without a response a tile shows a word, neither green nor red; a panel of names always has one."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert (steps[0]["value"], steps[0]["color"]) == (None, "text")
    assert panel["fieldConfig"]["defaults"]["noValue"]
    if panel["options"].get("textMode") == "name":
        (target,) = panel["targets"]
        assert re.search(r'or on \(\) label_replace\(vector\(1\), "\w+", "[a-z ]+", "", ""\)$', target["expr"])


@pytest.mark.parametrize("panel", [one for one in panels() if "ALERTS{" in one.values[0]["targets"][0]["expr"]])
def test_alerts_lead_to_prometheus(panel: dict[str, Any]) -> None:
    """Alerts are named, and a click on one opens the page that describes them."""
    (look,) = [one for one in panel["fieldConfig"]["overrides"] if one["matcher"]["id"] == "byRegexp"]
    assert [link["url"] for one in look["properties"] for link in one["value"]] == ["http://127.0.0.1:9090/alerts"]
    assert panel["options"]["textMode"] == "name"


def test_figures_of_several_runs_are_never_mixed() -> None:
    """Both sides of a division are of one run, since a point of a long time range covers several runs."""
    history = read(ROOT / "grafana" / "dashboards" / "history.json")
    for target in (target for panel in history["panels"] for target in panel.get("targets", [])):
        for side in re.findall(r"(?:sum|max) (?:by \(([^)]*)\) )?\(last_over_time", target["expr"]):
            assert "run_id" in side or " / " not in target["expr"]


def test_a_run_is_opened_at_its_time() -> None:
    """Its link has both ends as numbers: as text they would be in the reader's time zone, which a URL does not know."""
    home = read(ROOT / "grafana" / "dashboards" / "home.json")
    (runs,) = [panel for panel in home["panels"] if panel["type"] == "table"]
    columns = runs["transformations"][1]["options"]["renameByName"].values()
    looks = [look for one in runs["fieldConfig"]["overrides"] for look in one["properties"]]
    (url,) = [look["value"][0]["url"] for look in looks if look["id"] == "links"]
    used = re.findall(r"\$\{__data\.fields\.(\w+)(\.numeric)?\}", url)
    assert used == [("started", ".numeric"), ("until", ".numeric")]
    shown = {"started", "ended", "until", "verdict", "duration", "requests", "failed", "p95"}
    assert shown <= set(columns)


@pytest.mark.parametrize(
    "zone", [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-9.5))], ids=str
)
def test_a_run_is_opened_at_its_time_in_every_time_zone(zone: timezone) -> None:
    """For responses of a real Prometheus, the link has the run's start and end, however its columns are formatted."""
    home = read(ROOT / "grafana" / "dashboards" / "home.json")
    answers = json.loads((ROOT / "grafana" / "preview" / "answers.json").read_text())["instant"]
    (table,) = [panel for panel in home["panels"] if panel["type"] == "table"]
    titles = table["transformations"][1]["options"]["renameByName"]
    columns = {titles[f"Value #{one['refId']}"]: answers[one["expr"]] for one in table["targets"]}
    looks = [look for one in table["fieldConfig"]["overrides"] for look in one["properties"]]
    (url,) = [look["value"][0]["url"] for look in looks if look["id"] == "links"]
    ended = {row["metric"]["run_id"]: row["value"] for row in columns["ended"]}
    assert ended
    for started in columns["started"]:
        run_id = started["metric"]["run_id"]

        def shown(field: re.Match[str], run_id: str = run_id) -> str:
            (value_ms,) = [row["value"] for row in columns[field[1]] if row["metric"]["run_id"] == run_id]
            local = datetime.fromtimestamp(value_ms / 1000, zone)
            return str(value_ms) if field[2] else f"{local:%Y-%m-%d %H:%M:%S}"

        link = re.sub(r"\$\{__data\.fields\.(\w+)(\.numeric)?\}", shown, url)
        from_ms, to_ms = (int(value) for value in re.findall(r"&(?:from|to)=([^&]*)", link))
        assert from_ms == started["value"] < ended[run_id] < to_ms <= ended[run_id] + 60_000


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_nothing_hides_in_a_menu(path: Path) -> None:
    """Links and annotations are next to the variables, and the refresh picker offers Prometheus' scrape interval."""
    assert '"placement": "inControlsMenu"' not in path.read_text()
    board = read(path)
    assert board["timepicker"]["refresh_intervals"][0] == "2s"
    assert board["time"]["from"] == {"home": "now-24h", "history": "now-7d"}.get(path.stem, "now-5m")


SCREEN_PX, MARGIN_PX, LETTER_PX = 1280, 32, 7.6
"""The width of a small laptop, of what Grafana needs around the panels, and of a letter of a title (mean, 14 px)."""
HEADER_PX = 16 + 24
"""In a panel's header, its padding and the mark that shows the description."""


@pytest.mark.parametrize("panel", panels())
def test_no_title_is_cut_off_on_a_laptop(panel: dict[str, Any]) -> None:
    """Titles fit above their panels and are not displaced by links; the columns of a table fit side by side."""
    width_px = panel["gridPos"]["w"] * (SCREEN_PX - MARGIN_PX) / 24 - 8
    assert len(panel["title"]) * LETTER_PX <= width_px - HEADER_PX
    assert not panel.get("links")
    if panel["type"] == "stat":
        assert panel["gridPos"]["w"] >= 4
    if panel["type"] == "table":
        properties = [one for look in panel["fieldConfig"]["overrides"] for one in look["properties"]]
        columns_px = [one["value"] for one in properties if one["id"] == "custom.width"]
        hidden = [one for one in properties if one["id"] == "custom.hidden"]
        columns = panel["transformations"][1]["options"]["renameByName"]
        assert len(columns_px) + len(hidden) == len(columns)
        wrapped = [one["value"]["wrapText"] for one in properties if one["id"] == "custom.cellOptions"]
        assert len(wrapped) == len(columns) - len(panel["targets"])  # for names and runs, which may be longer
        assert sum(columns_px) <= width_px - 16


@pytest.mark.parametrize("panel", [one for one in panels() if one.values[0]["type"] == "timeseries"])
def test_curves_have_readable_legends_and_axes(panel: dict[str, Any]) -> None:
    """Dozens of curves have a table as legend, without those that are 0; curves at 0 have no axis up to 100."""
    for target in panel["targets"]:
        if re.search(r"by \((?:method, (?:name|route)|class|kind|cmd)(?:, le)?\)", target["expr"]):
            assert " > 0" in target["expr"] or "_recent_" in target["expr"]  # which does not exist without a request
        if re.search(r"by \(method, name", target["expr"]):
            assert panel["options"]["legend"]["displayMode"] == "table"
    custom = panel["fieldConfig"]["defaults"]["custom"]
    assert custom["scaleDistribution"]["type"] == "log" if "scaleDistribution" in custom else custom["axisSoftMax"] <= 1


def test_heatmaps_have_one_hue() -> None:
    """A scheme of many colours looks inverted in the light theme."""
    drawn = [one.values[0]["options"]["color"] for one in panels() if one.values[0]["type"] == "heatmap"]
    assert [color["mode"] for color in drawn] == ["opacity"] * len(drawn)
    assert drawn


def test_thresholds_are_drawn() -> None:
    """The panels of response times and of the error ratio draw the run's limits, dashed, over their own curves."""
    drawn = {}
    for panel in read(ROOT / "grafana" / "dashboards" / "load_run.json")["panels"]:
        for target in panel.get("targets", []):
            if "loadtest_threshold_limit" in target["expr"]:
                (dashed,) = panel["fieldConfig"]["overrides"]
                assert dashed["matcher"] == {"id": "byFrameRefID", "options": target["refId"]}
                assert "custom.lineStyle" in {one["id"] for one in dashed["properties"]}
                drawn[panel["title"]] = re.findall(r'metric=~"(.*?)"', target["expr"])
    expected = {
        "Response time beside service time": ["response_time|service_time"],
        "Error ratio": ["error_ratio"],
        "Iteration time": ["iteration_time"],
        "Transaction time": ["transaction_time"],
        "Connection phases": ["(dns|connect|tls|waiting|receiving)_time"],
    }
    assert drawn == expected


def test_default_thresholds_can_be_drawn() -> None:
    """The shipped rules have a limit for each of those panels, so that no query of a default run is empty."""
    rules = thresholds.of(Config.load({}, environ={}, file=Path("none")))
    assert {"response_time", "error_ratio"} <= {rule.metric for rule in rules}


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
