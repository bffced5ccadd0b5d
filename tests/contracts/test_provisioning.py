"""Grafana's provisioning and Prometheus' configuration are well-formed and fit the Compose file."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROVISIONING = ROOT / "grafana" / "provisioning"
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PROMETHEUS: dict[str, Any] = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
RULES = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))

DATASOURCES_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "datasources"],
    "properties": {
        "apiVersion": {"const": 1},
        "prune": {"type": "boolean"},
        "datasources": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "uid", "type", "access", "url", "isDefault", "editable", "jsonData"],
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "uid": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"},
                    "type": {"const": "prometheus"},
                    "access": {"const": "proxy"},
                    "url": {"type": "string", "format": "uri"},
                    "isDefault": {"type": "boolean"},
                    "editable": {"const": False},
                    "jsonData": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["timeInterval"],
                        "properties": {
                            "timeInterval": {"type": "string", "pattern": "^[0-9]+s$"},
                            "httpMethod": {"enum": ["GET", "POST"]},
                        },
                    },
                },
            },
        },
    },
}
PROVIDERS_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "providers"],
    "properties": {
        "apiVersion": {"const": 1},
        "providers": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "type", "allowUiUpdates", "options"],
                "properties": {
                    "name": {"type": "string"},
                    "type": {"const": "file"},
                    "folder": {"type": "string"},
                    "allowUiUpdates": {"const": False},
                    "disableDeletion": {"const": True},
                    "updateIntervalSeconds": {"type": "integer", "minimum": 10},
                    "options": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["path"],
                        "properties": {"path": {"type": "string", "pattern": "^/"}},
                    },
                },
            },
        },
    },
}


@pytest.mark.parametrize(("folder", "schema"), [("datasources", DATASOURCES_SCHEMA), ("dashboards", PROVIDERS_SCHEMA)])
def test_provisioning_files_follow_the_schema(folder: str, schema: dict[str, Any]) -> None:
    """Each folder has one kind of file, with known keys and values only."""
    files = sorted((PROVISIONING / folder).iterdir())
    assert len(files) == 1
    jsonschema.validate(yaml.safe_load(files[0].read_text()), schema)


def test_grafana_gets_the_folders_that_its_files_name() -> None:
    """The provisioning, the dashboards and the home dashboard are mounted where Grafana looks for them."""
    mounts = dict(volume.split(":")[1::-1] for volume in SERVICES["grafana"]["volumes"])
    assert mounts["/etc/grafana/provisioning"] == "./grafana/provisioning"
    provider = yaml.safe_load((PROVISIONING / "dashboards" / "loadtest.yml").read_text())["providers"][0]
    folder = mounts[provider["options"]["path"]]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / folder / Path(home).name).is_file()
    assert provider["options"]["path"] == str(Path(home).parent)


@pytest.mark.parametrize("folder", ["plugins", "alerting"])
def test_grafana_finds_the_folders_that_it_looks_for(folder: str) -> None:
    """They are empty; without them Grafana's log would begin with errors."""
    assert [path.name for path in (PROVISIONING / folder).iterdir()] == [".gitkeep"]


def test_grafana_asks_nobody_outside() -> None:
    """It does not look for updates, news, plugins or their keys, and reports no usage."""
    given = SERVICES["grafana"]["environment"]
    off = ("ANALYTICS_REPORTING", "ANALYTICS_CHECK_FOR_UPDATES", "NEWS_NEWS_FEED", "SNAPSHOTS_EXTERNAL")
    assert {given.get(f"GF_{name}_ENABLED", given.get(f"GF_{name}")) for name in off} == {"false"}
    disabled = ("PLUGINS_PREINSTALL", "PLUGINS_PUBLIC_KEY_RETRIEVAL")
    assert {given[f"GF_{name}_DISABLED"] for name in disabled} == {"true"}


def test_grafana_asks_prometheus_through_no_proxy() -> None:
    """Docker sets proxy variables in every container if its own settings name a proxy, unless the service sets them."""
    given = SERVICES["grafana"]["environment"]
    assert (given["HTTP_PROXY"], given["http_proxy"]) == ("", "")


def test_the_datasource_is_the_stacks_prometheus() -> None:
    """Grafana queries the service prometheus, under the fixed uid, with Prometheus' own scrape interval."""
    datasource = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    assert (datasource["uid"], datasource["url"]) == ("prometheus", "http://prometheus:9090")
    assert PROMETHEUS["global"]["scrape_interval"] == datasource["jsonData"]["timeInterval"]


def test_prometheus_scrapes_the_stack() -> None:
    """Prometheus scrapes master, target, Redis' exporter and itself, every 2 s, at their ports.

    Only the counting of keys, which walks over all of them, is done more seldom.
    """
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in PROMETHEUS["scrape_configs"]}
    expected = {
        "locust_master": ["locust_master:9646"],
        "target_app": ["target_app:5000"],
        "redis": ["redis_exporter:9121"],
        "redis_keys": ["redis_exporter:9121"],
        "prometheus": ["127.0.0.1:9090"],
    }
    assert targets == expected
    assert PROMETHEUS["global"]["scrape_interval"] == "2s"
    slower = {job["job_name"] for job in PROMETHEUS["scrape_configs"] if "scrape_interval" in job}
    assert slower == {"redis_keys"}
    for target in (target for (target,) in targets.values()):
        service, _, port = target.partition(":")
        published = {line.rpartition(":")[2] for line in SERVICES.get(service, {}).get("ports", [])}
        assert not published or port in published


def test_prometheus_loads_every_rule_file_and_no_test() -> None:
    """The glob of rule files matches the rules but not their tests, and each test of rules loads all of them."""
    found = [path for pattern in PROMETHEUS["rule_files"] for path in (ROOT / "prometheus").glob(pattern)]
    assert sorted(found) == RULES
    tests = yaml.safe_load((ROOT / "prometheus" / "rules" / "tests" / "loadtest.yml").read_text())
    assert set(tests["rule_files"]) == {f"../{path.name}" for path in RULES}


def test_every_alert_is_tested_and_explains_itself() -> None:
    """Each alert has a severity, a summary, a description, a row in the documentation, and a case that raises it."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    alerts = {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}
    for rule in alerts.values():
        assert rule["labels"]["severity"] in {"verdict", "trust"}
        assert set(rule["annotations"]) == {"summary", "description"}
    rows = [line.split("|") for line in (ROOT / "docs" / "dashboards.md").read_text().splitlines()]
    documented = {row[1].strip(): row[2].strip() for row in rows if len(row) > 3}
    assert {name: rule["labels"]["severity"] for name, rule in alerts.items()}.items() <= documented.items()
    tests = yaml.safe_load((ROOT / "prometheus" / "rules" / "tests" / "loadtest.yml").read_text())["tests"]
    raised = {case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case["exp_alerts"]}
    assert raised == set(alerts)


def test_prometheus_keeps_the_exemplars_that_grafana_asks_for() -> None:
    """In the Compose stack and in the demo on Kubernetes; one curve of the response times has the dots."""
    demo = [*yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "demo" / "prometheus.yaml").read_text())]
    (workload,) = [one for one in demo if one["kind"] == "Deployment"]
    for command in (SERVICES["prometheus"]["command"], workload["spec"]["template"]["spec"]["containers"][0]["args"]):
        assert "--enable-feature=exemplar-storage" in command
    board = json.loads((ROOT / "grafana" / "dashboards" / "load_run.json").read_text())
    asked = [query["expr"] for panel in board["panels"] for query in panel.get("targets", ()) if query.get("exemplar")]
    assert [expr.count("loadtest_response_time_seconds_bucket") > 0 for expr in asked] == [True]


def test_a_run_is_readable_a_week_later() -> None:
    """Time series are kept for 30 days, up to 5 GB, in a volume that outlives the containers."""
    command = SERVICES["prometheus"]["command"]
    kept = dict(word.removeprefix("--storage.tsdb.").split("=") for word in command if word.startswith("--storage"))
    assert (kept["retention.time"], kept["retention.size"]) == ("30d", "5GB")
    assert kept["path"] == "/prometheus"
    assert "prometheus_data:/prometheus" in SERVICES["prometheus"]["volumes"]
