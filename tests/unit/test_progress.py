"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import io
import os
import pty

import pytest

from loadtest import progress
from loadtest.progress import Steps


def test_elsewhere_steps_are_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a build's log a line says how far the work is, and not more often than every few seconds."""
    now_s = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now_s)
    file = io.StringIO()
    with Steps("comparing", file) as steps:
        steps.show(1, 40)
        now_s += progress.PLAIN_INTERVAL_S
        steps.show(1_200, 4_000)
        steps.show(1_300, 4_000)
    assert file.getvalue() == "comparing    1,200 of 4,000\n"


def test_on_a_terminal_steps_are_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar with both numbers is drawn, and gone when the work is done."""
    monkeypatch.setenv("TERM", "xterm")
    terminal, end = pty.openpty()
    with os.fdopen(end, "w") as file, Steps("comparing", file) as steps:
        steps.show(3, 40)
        steps._bar.refresh()
        written = ""
        while "3/40" not in written:  # what is not drawn hangs, and the test's time limit says so
            written += os.read(terminal, 65_536).decode()
    os.close(terminal)
    assert "3/40" in written
    assert "━" in written
