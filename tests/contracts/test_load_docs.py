"""The reference of profiles and thresholds agrees with the code."""

import re
import tomllib

import pytest
from locust.argument_parser import get_empty_argument_parser

from loadtest import scenarios
from loadtest.judging.metric import METRICS, UNITS
from loadtest.judging.threshold_parser import OPTIONS, parse
from loadtest.profiles import chart as profile_chart
from loadtest.profiles import profile
from loadtest.profiles.profile import read_profiles
from loadtest.progress import clock
from loadtest.settings.config import Config
from loadtest.web.start_form import StartForm
from loadtest.workload import description, distributions
from loadtest.workload.operations import OPERATIONS
from tests.contracts.test_docs import ROOT, table

PROFILES = "docs/reference/profiles.md"
THRESHOLDS = "docs/reference/thresholds.md"
WORKLOADS = "docs/reference/workloads.md"


def test_every_shipped_profile_is_documented() -> None:
    """The table of profiles has each profile's model, load and length."""
    expected = []
    for name, shipped in read_profiles().items():
        load = profile_chart.summary(shipped).removesuffix(f", {clock(shipped.run_time_s)}")
        expected.append([f"`{name}`", shipped.model, load, clock(shipped.run_time_s)])
    assert table(PROFILES, "Shipped profiles") == expected


def test_every_key_of_a_profile_is_documented() -> None:
    """The tables of keys have each key of both models, with its allowed values."""
    text = (ROOT / PROFILES).read_text().split("## Keys\n", 1)[1].split("\n## ", 1)[0]
    of_profiles, of_stages = text.split("A stage:")
    documented = dict(re.findall(r"^\| `(\w+)` \| (?:both|closed|open) \| (.*?) \|", of_profiles, re.MULTILINE))
    schemas = (profile._ClosedFlat, profile._ClosedStages, profile._OpenFlat, profile._OpenStages)
    keys = {key for schema in schemas for key in schema.model_fields}
    assert documented == {key: profile._ALLOWED[key] for key in keys}
    stage_keys = {key for schema in (profile._UserStage, profile._RateStage) for key in schema.model_fields}
    assert set(re.findall(r"^\| `(\w+)` \|", of_stages, re.MULTILINE)) == stage_keys


@pytest.mark.parametrize("number", [0, 1])
def test_examples_of_profiles_are_valid(tmp_path, number: int) -> None:
    """Each example of the reference can be parsed."""
    example = re.findall(r"```toml\n(.*?)```", (ROOT / PROFILES).read_text(), re.DOTALL)[number]
    file = tmp_path / "profiles.toml"
    file.write_text(example)
    assert set(read_profiles(file)) == set(tomllib.loads(example))


def test_every_field_of_the_start_form_is_documented() -> None:
    """The table has each field that the form declares, in its order."""
    parser = get_empty_argument_parser()
    before = len(parser._actions)
    StartForm(Config.load({}, environ={}, file=ROOT / "none"), scenarios.load("documents")).declare(parser)
    declared = [f"`{action.dest}`" for action in parser._actions[before:]]
    assert [row[0] for row in table(PROFILES, "In the web UI")] == declared


def test_every_metric_is_documented() -> None:
    """The table of metrics has each metric with its kind, its labels and its meaning."""
    expected = [
        [f"`{name}`", metric.kind, ", ".join(metric.labels), metric.meaning] for name, metric in METRICS.items()
    ]
    assert table(THRESHOLDS, "Metrics") == expected


def test_every_unit_and_option_is_documented() -> None:
    """The tables list all units and options."""
    assert table(THRESHOLDS, "Units") == [[kind, ", ".join(units)] for kind, units in UNITS.items()]
    assert {row[0].strip("`") for row in table(THRESHOLDS, "Options")} == set(OPTIONS)


def test_examples_of_rules_are_valid() -> None:
    """Every rule in the reference can be parsed."""
    text = (ROOT / THRESHOLDS).read_text()
    shown = [
        *tomllib.loads(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])["thresholds"],
        *re.findall(r"(?:THRESHOLD=|--threshold )'(.*?)'", text),
        *re.findall(r"^    (p99.*)$", text, re.MULTILINE),
    ]
    assert len(shown) == 6
    assert [rule for rule in shown if not parse(rule, "here")] == []


def test_every_key_of_a_workload_is_documented() -> None:
    """The table has each key of the file once, with its allowed values."""
    rows = {row[0].strip("`"): row[2] for row in table(WORKLOADS, "Keys")}
    assert rows == {key: said for key, said in description.ALLOWED.items() if key not in {"keys", "values"}}
    schemas = (description.Description, description.Keys, description.Values)
    assert set(description.ALLOWED) == {key for schema in schemas for key in schema.model_fields}


def test_every_operation_and_distribution_of_a_workload_is_documented() -> None:
    """The table gives command and effect of each, in their order."""
    rows = [tuple(cell.strip("`") for cell in row[:3]) for row in table(WORKLOADS, "Operations")]
    assert rows == [(name, one.command, one.effect) for name, one in OPERATIONS.items()]
    named = [row[0].strip("`") for row in table(WORKLOADS, "Distributions")]
    assert [text.partition(" with ")[0] for text in distributions.ALLOWED.split("; ")] == named


@pytest.mark.parametrize("number", [0, 1])
def test_examples_of_workloads_are_valid(tmp_path, number: int) -> None:
    """Each example of the reference can be parsed."""
    file = tmp_path / "workload.toml"
    file.write_text(re.findall(r"```toml\n(.*?)```", (ROOT / WORKLOADS).read_text(), re.DOTALL)[number])
    assert description.read(file).shares
