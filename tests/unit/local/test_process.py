"""ManagedProcess: what it says of a program that ended; the rest is in tests/native/test_local_stack.py."""

import sys
from pathlib import Path

import pytest

from loadtest.exceptions import StackError, UsageError
from loadtest.local.process import ManagedProcess

ERROR = "[2026-11-26 21:39:27,905] vm/ERROR/loadtest: LOCUST_TAGS=raed: no task has the tag 'raed'."
INFO = "[2026-11-26 21:39:27,910] vm/INFO/locust.runners: one (index 0) reported as ready. 1 workers connected."


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ([INFO, ERROR], f"“{ERROR}”."),
        ([ERROR, INFO], f"“{ERROR}”."),
        ([INFO], f"“{INFO}”."),
        ([INFO, "Traceback", '  File "shop.py", line 3', "KeyError: 'token'", INFO], "“KeyError: 'token'” (File"),
        ([], "(the log is empty)."),
    ],
)
def test_a_program_that_ended_is_explained_by_its_error(tmp_path: Path, log: list[str], said: str) -> None:
    """The line that says why is not always the last one: other parts of the program may still log."""
    (tmp_path / "lines").write_text("\n".join(log))
    program = f"import sys; sys.stderr.write(open({str(tmp_path / 'lines')!r}).read()); sys.exit(1)"
    process = ManagedProcess("master", [sys.executable, "-c", program], tmp_path / "log")
    with pytest.raises(StackError) as raised:
        process.wait_until(lambda: False, 30)
    assert str(raised.value).startswith(f"master ended with exit code 1 before it was ready: {said}")


def test_a_program_that_refused_its_settings_is_wrong_usage(tmp_path: Path) -> None:
    """A tag that no task has is found by the master, and `loadtest run` ends with the master's exit code."""
    process = ManagedProcess("master", [sys.executable, "-c", "import sys; sys.exit(2)"], tmp_path / "log")
    with pytest.raises(UsageError, match="master ended with exit code 2"):
        process.wait_until(lambda: False, 30)
