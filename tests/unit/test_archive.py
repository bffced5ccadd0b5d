"""Archive: a run's folder read back, however the run ended."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from loadtest import archive
from loadtest.exceptions import RecordError
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_file import RecordFile


def shown(folder: Path) -> str:
    """Return what is printed of a run."""
    console = Console(file=io.StringIO(), width=120)
    archive.show(folder, console)
    return console.file.getvalue()


@pytest.fixture
def cut_off(tmp_path: Path) -> Path:
    """The folder of a run whose master was killed."""
    RecordFile(tmp_path / archive.STREAM, RunRecord("cut", 1_700_000_000.0, {"scenario": "documents"})).close()
    return tmp_path


def test_a_run_that_was_cut_off_is_shown_as_interrupted(cut_off: Path) -> None:
    """Without the document there is no verdict, and the record shows until where it goes."""
    assert "verdict      interrupted" in shown(cut_off)
    assert "cut" == json.loads(archive.as_json(cut_off))["run_id"]


def test_a_reported_run_is_shown_with_its_verdict(cut_off: Path) -> None:
    """The verdict, its reasons and the rules are those of the report."""
    document = {
        "verdict": {"name": "failed", "reasons": ["p99 was too long"]},
        "thresholds": [{"rule": "p99(response_time) < 50ms", "outcome": "failed"}],
    }
    (cut_off / archive.DOCUMENT).write_text(json.dumps(document))
    text = shown(cut_off)
    assert "threshold    p99(response_time) < 50ms: failed" in text
    assert "verdict      failed\n             p99 was too long" in text
    assert document == json.loads(archive.as_json(cut_off))


def test_a_damaged_document_is_refused(cut_off: Path) -> None:
    """A truncated document is named, with the way to read the run all the same."""
    (cut_off / archive.DOCUMENT).write_text('{"verdict": ')
    with pytest.raises(RecordError, match=r"record\.json cannot be read .*Next: remove it"):
        shown(cut_off)


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    """A folder that is no run's says so."""
    with pytest.raises(RecordError, match=r"record\.stream cannot be read"):
        shown(tmp_path)
