"""RunFigures: computed from the record once, and again when the stored ones cannot be used."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadtest.comparing.run_figures import FILE, RunFigures
from loadtest.estimating.blocked_run import ALL, Name
from loadtest.exceptions import RecordError
from loadtest.reporting import files
from loadtest.reporting.sections import generator
from tests import reports


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder; "b" has failures."""
    path = tmp_path / "run-1"
    path.mkdir()
    assert files.write(path, files.of(reports.run_document(reports.record(30, per_s=40, failing="b")))) == []
    return path


def test_figures_are_those_of_the_record(folder: Path) -> None:
    """Times and throughput as logarithms, failures as a share; a p99 needs 1,000 requests."""
    found = RunFigures.read(folder)
    assert (found.run_id, found.key, found.verdict) == ("run-1", "documents/quick", "failed")
    of_b = found.figures[Name("documents", "GET", "b")]
    assert math.exp(of_b["throughput"][0]) == pytest.approx(40.0)
    assert math.exp(of_b["p50"][0]) == pytest.approx(0.030, rel=0.05)
    assert of_b["error_ratio"][0] == pytest.approx(0.2)
    assert {"p95", "p99"} <= set(found.figures[ALL])


def test_a_run_of_few_requests_has_no_high_percentile(tmp_path: Path) -> None:
    """A figure that a comparison leaves out is not in a history, either."""
    (tmp_path / "few").mkdir()
    files.write(tmp_path / "few", files.of(reports.run_document(reports.record(20, per_s=2))))
    assert set(RunFigures.read(tmp_path / "few").figures[Name("documents", "GET", "a")]) == {
        "throughput",
        "error_ratio",
        "p50",
    }


def test_figures_are_kept_beside_the_record(folder: Path) -> None:
    """The second reading gives the same, from the stored figures."""
    first = RunFigures.read(folder)
    assert RunFigures.read(folder) == first
    kept = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps({**kept, "verdict": "passed"}))
    assert RunFigures.read(folder).verdict == "passed"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: {**kept, "format": 0},
        lambda kept: {**kept, "figures": [[*kept["figures"][0][:3], [float("nan"), 0.1], None, None, None, None]]},
        lambda kept: {**kept, "figures": [[*kept["figures"][0][:3], [1.0, -1.0], None, None, None, None]]},
        lambda kept: {**kept, "figures": 1},
        lambda kept: [kept],
    ],
    ids=["another format", "not a number", "a negative error", "no list", "no object"],
)
def test_kept_figures_that_are_wrong_are_computed_again(folder: Path, spoil: Callable[[Any], Any]) -> None:
    """A file of another version, a damaged one and one with impossible numbers are replaced."""
    first = RunFigures.read(folder)
    kept = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps(spoil(kept)))
    assert RunFigures.read(folder) == first
    assert json.loads((folder / FILE).read_text()) == kept


def test_figures_older_than_the_record_are_computed_again(folder: Path) -> None:
    """A record that was replaced has other figures."""
    RunFigures.read(folder)
    (folder / FILE).write_text((folder / FILE).read_text().replace('"failed"', '"passed"'))
    record = (folder / "record.json").stat().st_mtime_ns
    os.utime(folder / FILE, ns=(record - 1, record - 1))
    assert RunFigures.read(folder).verdict == "failed"


def test_a_folder_without_a_record_is_an_error(tmp_path: Path) -> None:
    """This is so for every other reader of a run, too."""
    with pytest.raises(RecordError, match="there is no run in"):
        RunFigures.read(tmp_path / "none")


@pytest.mark.parametrize(
    ("setting", "named", "version"),
    [("2.1", ["9"], "2.1"), (None, ["41ab"], "41ab"), (None, ["a", "b", "c", "d"], "a, b, c"), (None, [], None)],
)
def test_the_version_of_the_service_is_the_setting_or_what_it_named(
    setting: str | None, named: list[str], version: str | None
) -> None:
    """LOADTEST_VERSION has precedence; of several versions in responses, up to three are shown."""
    made = reports.run_document(reports.record(20))
    made["configuration"]["version"], made["service_versions"] = setting, named
    assert RunFigures.of(made, "run").versions["service"] == version
    assert (f"<dd>{version}</dd>" in generator.made_with(made)) is (version is not None)
