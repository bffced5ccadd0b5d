"""The files of a run: each is made from its document, whole or not at all, whatever the disk does."""

import io
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from loadtest.measuring.labels import ITERATION
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.progress import PrintableConsole, printable
from loadtest.reporting import document, files, summary
from tests import reports

NAMES = {"record.json", "report.html", "summary.md", "junit.xml", "stats.csv", "steps.csv", "timeline.csv"}


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, with 28 KiB left; only root can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    (folder / "ballast").write_bytes(bytes(36 * 1024))
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_everything_is_made_again_from_the_record(tmp_path: Path) -> None:
    """From record.json alone the same files are made as at the run's end."""
    made = reports.run_document(reports.record(failing="b"))
    assert files.write(tmp_path, files.of(made)) == []
    assert {path.name for path in tmp_path.iterdir()} == NAMES
    again = {name: text() for name, text in files.of(document.read(tmp_path)).items()}
    assert again == {name: (tmp_path / name).read_text() for name in NAMES}


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of one's own takes root")
def test_a_full_disk_is_named_and_leaves_no_torn_file(full_disk: Path) -> None:
    """Files that do not fit are named, others are written, none is torn, and the verdict is still shown."""
    made = reports.run_document()
    problems = files.write(full_disk, files.of(made))
    written = {path.name for path in full_disk.iterdir()} - {"ballast"}
    named = {Path(one.split(" could not")[0]).name for one in problems}
    assert (named | written, named & written) == (NAMES, set())
    assert "report.html" in named
    assert "summary.md" in written
    assert all("No space left on device" in one and "Next: free some space" in one for one in problems)
    console = Console(file=io.StringIO(), width=120)
    summary.show(made, console)
    assert "verdict      failed" in console.file.getvalue()


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of one's own takes root")
@pytest.mark.parametrize("is_streamed", [True, False])
def test_reporting_again_is_advised_only_where_the_disk_holds_the_run(full_disk: Path, is_streamed: bool) -> None:
    """If neither record.json nor record.stream could be written whole, the advice is to repeat the run."""
    (full_disk / "more_ballast").write_bytes(bytes(22 * 1024))
    problems = files.write(full_disk, files.of(reports.run_document()), is_streamed=is_streamed)
    assert any("record.json could not be written" in one for one in problems)
    assert ["let `loadtest report` write it again" in one for one in problems] == [is_streamed] * len(problems)
    assert ["repeat the run: record.stream has a part of it only" in one for one in problems] == [
        not is_streamed
    ] * len(problems)


@pytest.mark.parametrize(
    ("run", "first"),
    [
        (reports.record(10), "p50(response_time) < 1us: failed with "),
        (RunRecord("run-1", 0.0), "the run measured no request. Next: check the workers' logs"),
    ],
    ids=["failed", "no data"],
)
def test_the_verdict_is_written_into_a_file_that_is_there(tmp_path: Path, run: RunRecord, first: str) -> None:
    """It has name, run and reasons, and is written in place, because a pod's file is mounted."""
    (file := tmp_path / "termination-log").touch()
    place = file.stat().st_ino
    made = reports.run_document(run)
    assert files.write_verdict(file, made) == []
    lines = file.read_text().splitlines()
    assert lines[0] == f"{made['verdict']['name']}: run run-1"
    assert lines[1].startswith(first)
    assert file.stat().st_ino == place


def test_the_verdict_of_a_pass_says_what_its_thresholds_came_to(tmp_path: Path) -> None:
    """A pass has no reasons."""
    made = reports.run_document(reports.record(10))
    made["verdict"] = {"name": "passed", "reasons": []}
    files.write_verdict(tmp_path / "verdict", made)
    assert (tmp_path / "verdict").read_text() == "".join(
        f"{line}\n" for line in ("passed: run run-1", *(one["sentence"] for one in made["thresholds"]))
    )


def test_what_a_service_sent_commands_no_terminal_that_shows_the_verdict(tmp_path: Path) -> None:
    """A reason may quote the service under test."""
    made = reports.run_document(reports.record(10))
    made["verdict"]["reasons"] = ["most often with \x1b]0;title\x07"]
    files.write_verdict(tmp_path / "verdict", made)
    assert "\x1b" not in (tmp_path / "verdict").read_text()


def test_a_verdict_is_no_longer_than_kubernetes_keeps(tmp_path: Path) -> None:
    """Of many reasons the first are kept, and no character is cut in two."""
    made = reports.run_document(reports.record(10))
    made["verdict"]["reasons"] = ["€" * 100] * 100
    files.write_verdict(tmp_path / "verdict", made)
    text = (tmp_path / "verdict").read_text()
    assert text.startswith("failed: run run-1\n€")
    assert 4090 < len(text.encode()) <= 4096


def test_a_verdict_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error has the setting with the file's name, and the reason."""
    (problem,) = files.write_verdict(tmp_path / "gone" / "verdict", reports.run_document())
    assert problem.startswith(f"VERDICT_FILE={tmp_path}/gone/verdict could not be written (No such file or directory).")


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    """Without the folder, every file is named."""
    problems = files.write(tmp_path / "gone", files.of(reports.run_document()))
    assert (len(problems), all("No such file" in one for one in problems)) == (len(NAMES), True)


def made_of(name: str) -> dict[str, str]:
    """The texts and the output of a run with this name in all its parts, by file."""
    made = reports.run_document(reports.add_steps(reports.record(10, names=(name, "b"), failing=name, streamed=name)))
    made |= {"run_id": name, "verdict": {"name": name, "reasons": [name], "notes": [name]}}
    made["thresholds"][0] |= dict.fromkeys(("rule", "worded", "spread", "sentence", "outcome"), name)
    console = PrintableConsole(file=io.StringIO(), width=1_000, soft_wrap=True, highlight=False)
    summary.show(made, console)
    texts = {file: make() for file, make in files.of(made).items() if file != "report.html"}
    return texts | {"terminal": console.file.getvalue(), "verdict": summary.verdict(made)}


def test_no_name_begins_a_line_or_commands_a_terminal() -> None:
    """Every text of a run has the same lines as with a plain name, and no control character for a terminal."""
    plain, hostile = made_of("a"), made_of("a\r\n| b\rc\vd\x85e\u2028f\x1b[2J\x9b31m\u202eg")
    for file, text in hostile.items():
        assert text.count("\n") == plain[file].count("\n"), file
        assert text == printable(text), file


def test_hostile_names_survive_in_the_document(tmp_path: Path) -> None:
    """A request's name may be any string, even a lone surrogate."""
    made = reports.run_document(reports.record(3, names=(reports.HOSTILE, "\udc00")))
    assert files.write(tmp_path, files.of(made)) == []
    names = {one["name"] for one in json.loads((tmp_path / "record.json").read_text())["series"]}
    assert names == {reports.HOSTILE, "?"}


def test_iterations_have_intervals_in_text_and_in_junit() -> None:
    """Like requests, they have them if the run is long enough."""
    record, recorder, chance = reports.record(60), Recorder(), Random(5)
    for second in range(60):
        for _ in range(40):
            recorder.series("documents", "", "", ITERATION).success(0.0, 0.0, 0.2 + 0.1 * chance.random(), 0)
        record.add(recorder.take(), second)
    made = reports.run_document(record)
    (one,) = made["scenarios"]
    low, high = one["iteration_time"]["intervals"]["p50_s"]
    assert 0.24 < low < one["iteration_time"]["p50_s"] < high < 0.26
    (sentence,) = document.iteration_sentences(made)
    assert re.search(r"p50 2\d\d ms \(95 % interval 24\d to 2[56]\d\), p95 ", sentence)
    assert sentence in files.of(made)["junit.xml"]()


def test_the_terminal_has_tables_of_transactions_and_checks() -> None:
    """Both follow the requests, with their failures."""
    console = Console(file=io.StringIO(), width=120)
    summary.show(reports.run_document(reports.add_steps(reports.record())), console)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["check", "out", "100", "20", "500", "500", "-", "500"] in lines
    assert ["400", "1", "99.75%"] in [line[-3:] for line in lines]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_terminal_says_how_many_iterations_there_were(width: int) -> None:
    """This has its own line, however narrow the terminal is."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    summary.show(reports.run_document(reports.add_iterations(reports.record(10))), console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    told = " ".join(text[text.index("iterations   ") :].split())
    assert told.startswith("iterations 400 of documents, 7 dropped; p50 250 ms, p95 250 ms, p99 250 ms")
