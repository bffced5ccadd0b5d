"""The output at the end of a run's processes; tests/native supervises real ones."""

from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode
from loadtest.local.supervisor import _show_statistics
from loadtest.run_folder import RunFolder


def test_statistics_that_are_missing_are_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The disk may be full, or the run may have been interrupted before it began, in which case its exit code stays."""
    folder = RunFolder(tmp_path)
    for code, expected in ((ExitCode.PASSED, 1), (ExitCode.INTERRUPTED, 130), (ExitCode.THRESHOLD_FAILED, 3)):
        assert _show_statistics(folder, code) == expected
        assert "locust.json cannot be read (No such file or directory)" in capsys.readouterr().err
    (tmp_path / "locust.json").write_text("[]")
    assert (_show_statistics(folder, ExitCode.PASSED), capsys.readouterr().out) == (0, "[]\n")
