"""Records of runs that would exhaust a machine: many rows, many seconds, and figures that fill the memory."""

import base64
import copy
import json
import time
import zlib
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import numpy as np
import pytest
from click.testing import CliRunner, Result

from loadtest.cli import main
from loadtest.comparing import history
from loadtest.comparing.commands import Baseline, end_with_comparison
from loadtest.measuring import record_file
from loadtest.measuring.packed import PackedMeasurements
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_file import RecordFile
from loadtest.measuring.recorder import Recorder
from loadtest.reporting import document as run_document
from loadtest.reporting import files
from loadtest.run_folder import RECORD, STREAM
from loadtest.settings.config import Config
from tests import reports

LONGEST_S = 10.0
"""Of processor time, on a slow machine."""


def invoke(runs: Path, *arguments: str) -> Result:
    """Return what a command on a folder of runs prints."""
    free = dict.fromkeys(("LOADTEST_EXPORTER_PORT", "LOADTEST_TARGET_PORT"), "0")
    return CliRunner(env={"LOADTEST_RUNS_DIR": str(runs), **free}).invoke(main, list(arguments))


def document(run_id: str) -> dict[str, Any]:
    """Return the document of a run."""
    return {**json.loads(files.json_text(reports.run_document(reports.record(8, per_s=20)))), "run_id": run_id}


def write(runs: Path, run_id: str, made: dict[str, Any]) -> None:
    """Write the document of a run."""
    (runs / run_id).mkdir()
    (runs / run_id / RECORD).write_text(json.dumps(made))


def packed(*columns: Any) -> str:
    """Return columns as they are packed in a document's blocks."""
    return base64.b64encode(zlib.compress(np.array(columns, "<u4").tobytes(), 1)).decode()


def dense(run_id: str, names: int = 2_000, entries: int = 1_000_000) -> dict[str, Any]:
    """Return a document whose names have requests in every block, with times in as many bins as possible."""
    made, at = document(run_id), np.arange(entries)
    made["series"] = [{**copy.copy(made["series"][0]), "name": f"n{number}"} for number in range(names)]
    where = at % 600, (at // 600) % names
    made["blocks"] = {
        "width_s": 1,
        "counts": packed(*where, np.full(entries, 9), np.zeros(entries)),
        "response_time": packed(*where, (at * 7) % 1_500, np.full(entries, 9)),
    }
    return made


def stream(runs: Path, run_id: str, frames: bytes) -> None:
    """Write the stream of a run that was cut off."""
    RecordFile(runs / run_id / STREAM, RunRecord(run_id, 1.7e9, {})).close()
    with (runs / run_id / STREAM).open("ab") as file:
        file.write(frames)


def seconds(count: int) -> bytes:
    """Return frames of seconds that are far apart."""
    recorder = Recorder()
    recorder.series("s", "GET", "n").success(0.0, 0.0, 0.001, 10)
    measured = PackedMeasurements.of(recorder.take())
    return b"".join(
        record_file._frame(b"S", msgpack.packb(((number * 999_983) % 10**9, 1, measured))) for number in range(count)
    )


COMMANDS = [
    ("report", "bad"),
    ("report", "bad", "--json"),
    ("plan", "bad"),
    ("compare", "good", "bad", "--force"),
    ("compare", "bad", "good", "--force"),
    ("baseline", "set", "bad", "--force"),
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("rows", ["series", "errors", "timeline"])
def test_more_rows_than_are_kept_are_refused(arguments: tuple[str, ...], rows: str, tmp_path: Path) -> None:
    """Each name costs hundredths of a second in a comparison, and a line in every report."""
    write(tmp_path, "good", document("good"))
    made = document("bad")
    write(tmp_path, "bad", {**made, rows: [{"name": "n"}] * 100_001})
    began_s = time.process_time()
    done = invoke(tmp_path, *arguments)
    assert (done.exit_code, f"it holds 100001 {rows}; allowed are" in done.stderr) == (1, True), done.output
    assert time.process_time() - began_s < LONGEST_S


@pytest.mark.parametrize("arguments", [(), ("--changes",)], ids=str)
def test_a_record_that_takes_too_long_is_skipped(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are listed; a command on that record alone ends with a message."""
    monkeypatch.setattr(run_document, "_LONGEST_CPU_S", 1.0)
    monkeypatch.setattr(run_document, "_CPU_S_PER_MIB", 0.0)
    write(tmp_path, "good", document("good"))
    stream(tmp_path, "bad", seconds(8_000))
    listed, alone = invoke(tmp_path, "history", *arguments), invoke(tmp_path, "report", "bad")
    assert (listed.exit_code, listed.stderr.count("skipped: ")) == (0, 1), listed.output
    assert arguments or "good" in listed.stdout
    assert (alone.exit_code, "it takes more than 1 s of processor time" in alone.stderr) == (1, True), alone.output


@pytest.mark.parametrize("arguments", [("plan", "bad"), ("compare", "bad", "bad")], ids=" ".join)
def test_a_record_that_fills_the_memory_is_refused(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Its blocks may expand to no more than a run can have, with all its names and bins at once."""
    write(tmp_path, "bad", dense("bad"))
    done = invoke(tmp_path, *arguments)
    assert (done.exit_code, "GiB of memory" in done.stderr) == (1, True), done.output


def test_a_baseline_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    """The comparison is refused before the run."""
    load = {"scenario": "health", "profile": "smoke"}
    config = Config.load(load, environ={}, file=tmp_path / "none").model_dump(mode="json")
    write(tmp_path, "bad", {**dense("bad"), "configuration": config})
    done = invoke(tmp_path, "run", "--scenario", "health", "--profile", "smoke", "--baseline", "bad")
    assert (done.exit_code, "GiB of memory" in done.stderr) == (1, True), done.output


def test_a_comparison_that_fills_the_memory_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The comparison is refused after the run."""
    write(tmp_path, "new", document("new"))
    base = Baseline(tmp_path / "bad", dense("bad"))
    assert end_with_comparison(base, tmp_path / "new", 0) == 1
    assert "GiB of memory" in capsys.readouterr().out


def test_an_earlier_run_that_takes_too_long_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report reads the latest runs of the folder, in no more time than runs of their length take."""
    monkeypatch.setattr(run_document, "_LONGEST_CPU_S", 0.5)
    monkeypatch.setattr(run_document, "_CPU_S_PER_MIB", 0.0)
    write(tmp_path, "good", document("good"))
    bad = document("bad")
    bad["events"] = [{"second": 1, "kind": "x", "text": "y"}] * 600_000
    write(tmp_path, "bad", bad)
    began_s = time.process_time()
    assert [run["run_id"] for run in history.earlier(tmp_path, document("own"))] == ["good"]
    assert time.process_time() - began_s < 2.0


def test_states_that_others_replace_are_not_read(tmp_path: Path) -> None:
    """Each is several hundred times longer than its frame."""
    state = {"delivery": {"missing": []}, "workers": [{"subject": "x", "a": number} for number in range(100_000)]}
    stream(tmp_path, "bad", record_file._frame(b"W", json.dumps(state).encode()) * 300)
    began_s = time.process_time()
    assert len(record_file.read(tmp_path / "bad" / STREAM).workers) == 100_000
    assert time.process_time() - began_s < LONGEST_S


def test_a_state_before_a_reset_is_read(tmp_path: Path) -> None:
    """The reset adds an event to those in the state."""
    second = seconds(1)
    reset = record_file._frame(b"R", b'{"second": 1}')
    state = record_file._frame(
        b"W", json.dumps({"delivery": {"missing": []}, "workers": [{"subject": "x"}], "connections_peak": 7}).encode()
    )
    stream(tmp_path, "bad", second + state + reset)
    found = record_file.read(tmp_path / "bad" / STREAM)
    assert (found.workers, found.connections_peak) == (({"subject": "x"},), 0)
    assert [event.kind for event in found.events] == ["reset"]
