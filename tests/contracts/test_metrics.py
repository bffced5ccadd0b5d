"""The table of metrics, the rules and the dashboards name exactly the exported metrics."""

import re
from pathlib import Path

import yaml

from loadtest.exporting.exposition import MAX_SERIES
from loadtest.exporting.metrics import METRICS
from loadtest.exporting.scrape import MAX_RULES, MAX_WORKERS, QUANTILES, RUN_STATES, WORKER_STATES
from loadtest.exporting.series import BOUNDS_S
from loadtest.judging.outcome import Outcome
from loadtest.measuring.recent import RECENT_S

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference" / "metrics.md"
RULES = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))


def exported_names() -> set[str]:
    """Return every name that a query may use; a histogram has those of its buckets, sum and count."""
    names = {metric.name for metric in METRICS if metric.kind != "histogram"}
    for metric in METRICS:
        if metric.kind == "histogram":
            names |= {f"{metric.name}_{part}" for part in ("bucket", "sum", "count")}
    return names


def test_every_metric_is_documented() -> None:
    """The table lists each metric with its type, labels and meaning, in the order of the exposition."""
    rows = [line.strip("| ").split("|") for line in REFERENCE.read_text().splitlines() if line.startswith("| `")]
    expected = [[f"`{metric.name}`", metric.kind, ", ".join(metric.labels), metric.meaning] for metric in METRICS]
    assert [[cell.strip() for cell in row] for row in rows] == expected


def test_documented_numbers_are_the_codes() -> None:
    """The reference has the right numbers of buckets and series, and the states."""
    text = " ".join(REFERENCE.read_text().split())
    assert f"{len(BOUNDS_S)} buckets from {BOUNDS_S[0] * 1e6:.0f} µs to {BOUNDS_S[-1]:.1f} s" in text
    assert f"at most {MAX_SERIES:,} time series" in text
    assert f"quantiles of the last {RECENT_S} s: {', '.join(map(str, QUANTILES))}" in text
    assert f"those below {MAX_WORKERS} get figures" in text
    assert all(outcome.value in text for outcome in Outcome)
    assert f"At most {MAX_RULES} limits" in text
    assert f"{', '.join(RUN_STATES)}, and for workers missing" in text
    assert (*RUN_STATES, "missing") == WORKER_STATES


def test_metrics_follow_prometheus_conventions() -> None:
    """A counter ends in _total, a time is in seconds, and no name ends like a histogram's parts."""
    for metric in METRICS:
        assert metric.name.startswith("loadtest_")
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert not metric.name.endswith(("_bucket", "_sum", "_count", "_ms"))
        assert metric.meaning.endswith(".")


def test_rules_use_exported_metrics() -> None:
    """Every metric of ours in a rule is exported, or recorded by another rule."""
    rules = [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    used = {name for rule in rules for name in re.findall(r"(?<![:\w])loadtest_\w+", rule["expr"])}
    assert used <= exported_names()
    recorded = {rule["record"] for rule in rules if "record" in rule}
    assert {name for rule in rules for name in re.findall(r"\w+:\w+:\w+", rule["expr"])} <= recorded
