"""`loadtest compare`, `history` and `baseline` on folders of runs."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from loadtest.cli import main
from loadtest.comparing import commands, history
from loadtest.exceptions import ExitCode
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_rows import Interruption
from loadtest.reporting import document as run_document
from loadtest.reporting import files
from loadtest.run_folder import RECORD
from tests import reports


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five runs: two alike, one slower, one interrupted, one empty; and two folders that hold none."""
    folder = tmp_path_factory.mktemp("runs")
    made = {
        "monday": reports.record(60, per_s=60),
        "tuesday": reports.record(60, per_s=60, seed=2),
        "slow": reports.record(60, per_s=60, slower=1.3),
        "short": reports.record(60, per_s=60, seed=3),
        "empty": RunRecord("empty", 1_600_000_000.0, {"scenario": "documents", "profile": "quick"}),
    }
    made["short"].interruption = Interruption("Ctrl-C", 60.0, 60.0, 600.0)
    for number, (name, record) in enumerate(made.items()):
        record.run_id, record.started_at = name, record.started_at + number
        (folder / name).mkdir()
        assert files.write(folder / name, files.of(reports.run_document(record))) == []
    (folder / "torn").mkdir()
    (folder / "torn" / RECORD).write_text('{"format": 3')
    (folder / "notes").mkdir()
    return folder


def loadtest(runs_dir: Path, *arguments: str) -> Result:
    """Run the command line in this process."""
    return CliRunner(env={"LOADTEST_RUNS_DIR": str(runs_dir)}).invoke(main, arguments)


def test_a_regression_has_an_exit_code(runs_dir: Path) -> None:
    """A run that is 30 % slower is worse, in the table and, on request, in the exit code."""
    plain = loadtest(runs_dir, "compare", "monday", "slow")
    gate = loadtest(runs_dir, "compare", "monday", "slow", "--fail-on-regression")
    assert (plain.exit_code, gate.exit_code) == (0, ExitCode.THRESHOLD_FAILED), gate.output
    assert "GET a: p50 worse, " in plain.output
    assert "comparison   worse" in plain.output


def test_equal_runs_pass_the_gate(runs_dir: Path) -> None:
    """The same system passes, and so does one that became faster."""
    for base, new, verdict in (("monday", "tuesday", "same"), ("slow", "monday", "better")):
        done = loadtest(runs_dir, "compare", base, new, "--fail-on-regression")
        assert (done.exit_code, f"comparison   {verdict}" in done.output) == (0, True), done.output


def test_a_gate_that_knows_nothing_says_so(runs_dir: Path) -> None:
    """When it is forced to compare empty runs, the gate ends with no data instead of passing."""
    done = loadtest(runs_dir, "compare", "empty", "empty", "--force", "--fail-on-regression")
    assert done.exit_code == ExitCode.NO_DATA, done.output
    assert "note         not comparable: empty is no data" in done.output


def test_runs_that_are_not_comparable_are_refused(runs_dir: Path) -> None:
    """Without --force the exit code is that of a usage error, and the message has the reason and the next step."""
    done = loadtest(runs_dir, "compare", "monday", "empty")
    assert done.exit_code == ExitCode.USAGE
    assert "empty is no data" in done.stderr
    assert "Next: " in done.stderr


def test_a_run_that_cannot_be_read_is_named(runs_dir: Path) -> None:
    """A torn record is an error of the run; an unknown name is a usage error."""
    for name, code, words in (
        ("torn", ExitCode.ERROR, "truncated or damaged"),
        ("nowhere", ExitCode.USAGE, "there is no run in"),
    ):
        done = loadtest(runs_dir, "compare", "monday", name)
        assert (done.exit_code, words in done.stderr) == (code, True), done.output


def test_the_page_and_the_json_say_the_same(runs_dir: Path, tmp_path: Path) -> None:
    """--html writes a page without scripts, --json every difference."""
    page = tmp_path / "comparison.html"
    done = loadtest(runs_dir, "compare", "monday", "slow", "--json", "--html", str(page), "--margin", "2")
    found = json.loads(done.stdout)
    assert (found["verdict"], found["margin"]) == ("worse", 0.02)
    text = page.read_text()
    assert "Worse: at least one request got worse" in text
    assert "<script" not in text
    assert sum(one["low"] is not None for name in found["names"] for one in name["differences"]) == text.count("<svg")


def test_a_comparison_fits_a_terminal_of_80_columns(runs_dir: Path) -> None:
    """No line of the table is wider, and the five figures of a request are side by side."""
    lines = loadtest(runs_dir, "compare", "monday", "slow").stdout.splitlines()
    (row,) = [line for line in lines if line.strip().startswith("GET a ")]
    assert max(map(len, lines[: lines.index(row) + 1])) <= 80
    assert [cell for cell in row.split() if cell in "✗✓=?"] == ["=", "=", "✗", "✗", "✗"]


def test_a_plan_says_what_will_be_found(runs_dir: Path) -> None:
    """For each request, and for all, it has the detectable change and the length of runs that gives a verdict."""
    shown = loadtest(runs_dir, "plan", "monday")
    assert (shown.exit_code, "GET a " in shown.stdout, "of all requests, " in shown.stdout) == (0, True, True)
    found = json.loads(loadtest(runs_dir, "plan", "monday", "--json").stdout)
    assert found["names"][0]["p50"]["found_from"] >= 0.05
    assert "will be inconclusive" in loadtest(runs_dir, "plan", "empty").stdout
    assert loadtest(runs_dir, "plan", "torn").exit_code == ExitCode.ERROR


def test_a_page_that_cannot_be_written_is_named(runs_dir: Path) -> None:
    """A missing folder is reported after the comparison has been shown."""
    done = loadtest(runs_dir, "compare", "monday", "slow", "--html", "/proc/none/page.html")
    assert done.exit_code == ExitCode.ERROR
    assert "comparison   worse" in done.stdout
    assert "/proc/none/page.html could not be written" in done.stderr


def test_a_baseline_stands_for_its_run(runs_dir: Path) -> None:
    """Set once, the word baseline means the run of the same scenario and profile; history marks it."""
    missing = loadtest(runs_dir, "compare", "baseline", "slow")
    assert (missing.exit_code, "loadtest baseline set RUN" in missing.stderr) == (ExitCode.USAGE, True)
    assert loadtest(runs_dir, "baseline", "set", "monday").exit_code == 0
    assert loadtest(runs_dir, "baseline", "list").output == "documents/quick: monday\n"
    assert "monday → slow" in loadtest(runs_dir, "compare", "baseline", "slow").output
    assert "monday (baseline)" in loadtest(runs_dir, "history").output


def test_history_lists_the_runs_in_order(runs_dir: Path) -> None:
    """The oldest is first, with sparklines; folders without a run are skipped, torn ones are named."""
    done = loadtest(runs_dir, "history", "--json")
    assert [entry["run_id"] for entry in json.loads(done.stdout)] == ["empty", "monday", "tuesday", "slow"]
    assert "skipped: " in done.stderr
    text = loadtest(runs_dir, "history").stdout
    assert "documents/quick" in text
    assert "  p50          ▁▁█" in text


def test_a_report_knows_the_earlier_runs_of_its_kind(tmp_path: Path) -> None:
    """These have the same scenario and profile, were not interrupted and are readable; the oldest is first."""
    made = reports.run_document()
    cases = {
        "b": {"started_at": "2026-01-02"},
        "a": {"started_at": "2026-01-03"},
        "other": {"configuration": {"scenario": "other", "profile": "quick"}},
        "cut": {"verdict": {**made["verdict"], "name": "interrupted"}},
        "run-1": {},
    }
    for name, changed in cases.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / RECORD).write_text(json.dumps({**made, "run_id": name, **changed}))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / RECORD).write_text("{")
    earlier = history.earlier(tmp_path, made)
    assert [(run["run_id"], run["started_at"]) for run in earlier] == [("b", "2026-01-02"), ("a", "2026-01-03")]
    assert earlier[0]["p95_s"] == made["total"]["response_time"]["p95_s"]
    assert history.earlier(tmp_path / "none", made) == []


def test_history_of_nothing_says_so(tmp_path: Path) -> None:
    """There is no folder, or no run."""
    assert loadtest(tmp_path / "none", "history").output == f"no runs in {tmp_path / 'none'}\n"
    shown = loadtest(tmp_path / "none", "history", "--changes", "--html", str(tmp_path / "changes.html"))
    assert f"no runs with trustworthy figures in {tmp_path / 'none'}\n" in shown.output
    assert "There are no runs with trustworthy figures." in (tmp_path / "changes.html").read_text()


def test_a_sparkline_goes_from_lowest_to_highest() -> None:
    """It has blanks where values are missing, and a flat line for equal ones."""
    assert history.sparkline([0.0, 0.5, 1.0, None, 0.0]) == "▁▅█ ▁"
    assert history.sparkline([3.0, 3.0]) == "▁▁"
    assert history.sparkline([None]) == ""


def test_a_baseline_that_cannot_be_saved_is_an_error(runs_dir: Path) -> None:
    """A runs folder that is not writable is named."""
    done = loadtest(Path("/proc"), "baseline", "set", str(runs_dir / "monday"))
    assert (done.exit_code, "/proc/baselines.json cannot be written" in done.stderr) == (ExitCode.ERROR, True)


def test_a_run_that_measured_nothing_is_no_baseline(runs_dir: Path) -> None:
    """No run can be compared with it: `baseline set` refuses it and gives the reasons, unless forced."""
    refused = loadtest(runs_dir, "baseline", "set", "empty")
    assert (refused.exit_code, "it is no data (" in refused.stderr) == (ExitCode.USAGE, True)
    assert loadtest(runs_dir, "baseline", "set", "empty", "--force").exit_code == 0


def test_an_interrupted_run_is_taken_only_on_request(runs_dir: Path) -> None:
    """`compare`, `baseline set` and `history` leave it out, say why, and include it with an option."""
    refused = loadtest(runs_dir, "compare", "monday", "short")
    assert (refused.exit_code, "short is interrupted" in refused.stderr) == (ExitCode.USAGE, True)
    assert loadtest(runs_dir, "compare", "monday", "short", "--force").exit_code == 0
    refused = loadtest(runs_dir, "baseline", "set", "short")
    assert (refused.exit_code, "interrupted after 60.0 s of 600 s" in refused.stderr) == (ExitCode.USAGE, True)
    listed = loadtest(runs_dir, "history")
    assert ("short" in listed.stdout, "1 interrupted" in listed.stderr) == (False, True)
    assert "short" in loadtest(runs_dir, "history", "--interrupted").stdout


def test_a_comparison_that_cannot_be_written_is_no_pass(
    runs_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program that reads it after a run must notice; a run that did not pass keeps its exit code."""
    shutil.copytree(runs_dir / "tuesday", tmp_path / "tuesday")
    base = commands.Baseline(runs_dir / "monday", run_document.read(runs_dir / "monday"))
    assert commands.end_with_comparison(base, tmp_path / "tuesday", ExitCode.PASSED) == ExitCode.PASSED
    (tmp_path / "tuesday" / commands.DATA).unlink()
    (tmp_path / "tuesday" / commands.DATA).mkdir()
    assert commands.end_with_comparison(base, tmp_path / "tuesday", ExitCode.PASSED) == ExitCode.ERROR
    assert commands.end_with_comparison(base, tmp_path / "tuesday", ExitCode.NO_DATA) == ExitCode.NO_DATA
    assert "comparison.json could not be written" in capsys.readouterr().out.replace("\n", "")
