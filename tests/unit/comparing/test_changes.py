"""Changes: the figure that moved, the runs and versions between which it moved, and the gate."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner, Result

from loadtest.cli import main
from loadtest.comparing import baselines, changes, run_figures, trend
from loadtest.comparing.run_figures import RunFigures
from loadtest.estimating.blocked_run import ALL, BlockedRun
from loadtest.estimating.resampling import segment_lengths
from loadtest.exceptions import ExitCode
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.reporting import run_page
from tests import reports
from tests.histories import CONDITIONS, GET, folder_of, runs

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "reference" / "record.schema.json").read_text())


def loadtest(runs_dir: Path, *arguments: str) -> Result:
    """Run the command line in this process."""
    return CliRunner(env={"LOADTEST_RUNS_DIR": str(runs_dir)}).invoke(main, arguments)


def test_a_change_names_its_figure_runs_and_versions() -> None:
    """A figure of one name changed between night 19 and night 20, and so did the service's version."""
    (history,) = changes.histories(runs())
    (one,) = history.changed
    assert (one.before.run_id, one.first.run_id, one.is_worse) == ("night-19", "night-20", True)
    ((name, difference),) = one.changes
    assert (name, difference.metric) == (GET, "p50")
    assert difference.low < np.expm1(0.1) < difference.high
    assert difference.change == pytest.approx(np.expm1(0.1), abs=0.02)


def test_a_run_that_ends_belongs_to_the_history_of_those_that_were_read(tmp_path: Path) -> None:
    """Its figures come from its own measurements, those of the other runs from their files."""
    made = reports.run_document(reports.record(60))
    earlier = folder_of(
        tmp_path, [replace(RunFigures.of(made, "other"), run_id=f"night-{night}") for night in range(3)]
    )
    assert trend.of(earlier, RunFigures.of(made, "own"))["sentence"].startswith("4 runs; ")


def test_a_run_too_short_for_its_fluctuations_has_errors_all_the_same() -> None:
    """Its noise is unknown with so few seconds, which must not make it the most exact run of all."""
    recorder, record = Recorder(), RunRecord("wavering", 1_700_000_000.0)
    for second, is_slow in enumerate((0, 0, 0, 1, 0, 1, 0, 1, 1, 0, 0)):  # the first and last seconds are left out
        for request in range(60):
            recorder.series("shop", "GET", "a").success(0.0, 0.0, 0.01 * (1 + is_slow) * (1 + request / 300), 0)
        record.add(recorder.take(), second)
    record.load_s, record.ended = 11.0, True
    made = reports.run_document(record)
    assert segment_lengths(BlockedRun.of(made))["p50"] == 9
    assert RunFigures.of(made, "wavering").figures[ALL]["p50"][1] > 0.05


def test_runs_under_other_conditions_are_another_history() -> None:
    """The twenty slower runs were made on another machine: neither history has a change."""
    made = [replace(run, conditions={**CONDITIONS, "cpu": "other"}) if n >= 20 else run for n, run in enumerate(runs())]
    assert [(len(one.runs), one.changed) for one in changes.histories(made)] == [(20, ()), (20, ())]


@pytest.mark.parametrize("verdict", ["interrupted", "not trustworthy", "no data"])
def test_runs_that_measured_nothing_are_in_no_history(verdict: str) -> None:
    """A run that cannot be compared is not a point of a series."""
    made = [replace(run, verdict=verdict) if n >= 20 else run for n, run in enumerate(runs())]
    (history,) = changes.histories(made)
    assert (len(history.runs), history.changed) == (20, ())


def test_the_order_is_that_of_time() -> None:
    """Runs are in order of time, whatever the names of their folders."""
    (history,) = changes.histories(list(reversed(runs())))
    assert [one.first.run_id for one in history.changed] == ["night-20"]


def test_less_throughput_and_more_failures_are_worse() -> None:
    """The direction depends on the figure."""
    made = runs(slower_from=None)
    for n, run in enumerate(made):
        if n >= 15:
            run.figures[ALL]["throughput"] = (run.figures[ALL]["throughput"][0] - 0.2, 0.01)
            run.figures[ALL]["error_ratio"] = (0.05, 0.001)
    (history,) = changes.histories(made)
    found = {difference.metric: difference for _, difference in history.changed[0].changes}
    assert {metric: one.conclusion.value for metric, one in found.items()} == {
        "throughput": "worse",
        "error_ratio": "worse",
    }
    assert found["error_ratio"].change == pytest.approx(0.05, abs=0.002)


def test_the_command_shows_changes_and_the_page_draws_them(tmp_path: Path) -> None:
    """The command prints a line for people and JSON for programs; the page has a strip with levels, names escaped."""
    folder = folder_of(tmp_path / "runs", runs())
    shown = loadtest(folder, "history", "--changes", "--html", str(tmp_path / "page.html"))
    assert shown.exit_code == 0, shown.output
    assert "shop/quick: 40 runs, 1 change\n" in shown.stdout
    assert "night-19 → night-20 (service a1 → b2)" in shown.stdout
    assert "GET /basket/<b>: p50 worse, " in shown.stdout
    page = (tmp_path / "page.html").read_text()
    assert ("<b>" in page, "&lt;b&gt;" in page, page.count("<svg"), page.count("h0'")) == (False, True, 1, 40)
    (as_json,) = json.loads(loadtest(folder, "history", "--changes", "--json").stdout)
    assert as_json["changed"][0]["first"]["service"] == "b2"
    assert as_json["changed"][0]["changes"][0]["finding"] == "worse"


def test_the_gate_fails_until_the_change_is_accepted(tmp_path: Path) -> None:
    """The exit code is 3 while a change for the worse is newer than the baseline."""
    folder = folder_of(tmp_path / "runs", runs())
    assert loadtest(folder, "history", "--fail-on-change").exit_code == ExitCode.THRESHOLD_FAILED
    for baseline, code in (("night-19", ExitCode.THRESHOLD_FAILED), ("night-20", ExitCode.PASSED)):
        (folder / baselines.FILE).write_text(json.dumps({"shop/quick": baseline}))
        assert loadtest(folder, "history", "--fail-on-change").exit_code == code


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (runs(by=-0.1), ExitCode.PASSED),
        (runs(slower_from=None), ExitCode.PASSED),
        (runs(9, 5), ExitCode.NO_DATA),
        ([], ExitCode.NO_DATA),
    ],
    ids=["quicker", "unchanged", "too few runs", "no runs"],
)
def test_the_gate_passes_only_when_it_can_tell(made: list[RunFigures], code: ExitCode, tmp_path: Path) -> None:
    """A history that is too short to contain a change must not look like one without."""
    assert loadtest(folder_of(tmp_path / "runs", made), "history", "--fail-on-change").exit_code == code


def test_a_report_shows_the_changes_of_its_history(tmp_path: Path) -> None:
    """It covers the comparable runs with figures, in words, as strips, and valid by the schema."""
    *earlier, own = runs()
    folder = folder_of(tmp_path, [*earlier, replace(runs()[0], run_id="other", key="other/quick")])
    (folder / "night-00" / run_figures.FILE).unlink()
    document = {**reports.run_document(), "changes": trend.of(folder, own)}
    jsonschema.validate(json.loads(json.dumps(document)), SCHEMA)
    assert document["changes"]["sentence"] == "39 runs, 1 change"
    html = run_page.html(document)
    assert "night-19 → night-20 (service a1 → b2)" in html
    assert (html.count("stroke-dasharray='3'"), html.count("h0'")) == (1, 3 * 39)  # two figures did not change
    assert "Changes <small>" not in run_page.html({**document, "changes": trend.of(tmp_path / "none", own)})


def test_a_report_of_a_run_that_measured_nothing_shows_the_history_before_it(tmp_path: Path) -> None:
    """The run itself is not in the history."""
    *earlier, last = runs()
    own = replace(last, verdict="not trustworthy")
    assert trend.of(folder_of(tmp_path, [*earlier, own]), own)["sentence"] == "39 runs, 1 change"


def test_what_makes_no_history_keeps_a_report_whole(tmp_path: Path) -> None:
    """Examples are damaged figures of another run, and a run of very many names, or without blocks."""
    *earlier, own = runs()
    folder = folder_of(tmp_path, earlier)
    (folder / "night-00" / run_figures.FILE).write_text("{")
    assert trend.of(folder, own)["sentence"] == "39 runs, 1 change"
    made = reports.run_document()
    kept = trend.figures(made, "run")
    assert kept is not None
    assert kept.run_id == "run"
    assert trend.figures({**made, "blocks": {}}, "run") is None
    assert trend.figures({**made, "series": made["series"] * (trend.MAX_NAMES + 1)}, "run") is None
