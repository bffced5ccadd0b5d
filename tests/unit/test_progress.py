"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import io
import json
import os
import pty

import pytest
from rich.table import Table
from rich.text import Text

from loadtest import progress
from loadtest.measuring.in_flight import InFlight
from loadtest.measuring.snapshot import Snapshot
from loadtest.progress import Steps


@pytest.mark.parametrize(
    ("oldest_s", "ending"), [(1.9, "p99 3.00 ms"), (12.4, "p99 3.00 ms  7 unanswered, up to 12 s")]
)
def test_a_hang_is_seen_while_it_lasts(oldest_s: float, ending: str) -> None:
    """The line has the number of waiting requests, and their age, once one has waited for seconds."""
    line = progress.progress_text(
        Snapshot(20.0, 10, 0.0, 0, 0.001, 0.002, 0.003, in_flight=InFlight(7, oldest_s)), 60.0
    )
    assert line.endswith(ending)


def test_the_line_says_how_far_the_run_is_and_what_fails() -> None:
    """The line has the completed share, the time left and the most frequent class of errors."""
    line = progress.progress_text(Snapshot(20.0, 10, 1234.4, 17, 0.001, 0.02, 0.3, "timeout_read"), 60.0)
    assert line == (
        "0:20/1:00 33% 0:40 left  users 10  1,234 requests/s  errors 17 timeout_read  p50 1.00 p95 20.0 p99 300 ms"
    )
    assert progress.progress_text(Snapshot(20.0, 0, 0, 0, 0, 0, 0), None).startswith("0:20  users 0")


@pytest.mark.parametrize(("number", "words"), [(0, "0 requests"), (1, "1 request"), (1_200, "1,200 requests")])
def test_one_is_singular(number: int, words: str) -> None:
    """A noun agrees with its number."""
    assert progress.counted(number, "request") == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (1_234, "1.23 kB"), (999_600, "1 MB"), (52_100_000_000, "52.1 GB")]
)
def test_bytes_have_three_digits(count: int, words: str) -> None:
    """The unit of a size is chosen so that it has three digits."""
    assert progress.size(count) == words


def test_elsewhere_steps_are_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a build's log a line shows the progress, at most every few seconds."""
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
    """A bar with both numbers is drawn, and removed when the work is done."""
    monkeypatch.setenv("TERM", "xterm")
    terminal, end = pty.openpty()
    with os.fdopen(end, "w") as file, Steps("comparing", file) as steps:
        steps.show(3, 40)
        steps._bar.refresh()
        written = ""
        while "3/40" not in written:  # without output this hangs until the test's timeout
            written += os.read(terminal, 65_536).decode()
    os.close(terminal)
    assert "3/40" in written
    assert "━" in written


HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31mname\u202egnp\r\x08"


def test_text_that_no_encoding_has_is_shown() -> None:
    """JSON may contain lone surrogates, and file names bytes that are invalid in their encoding."""
    file = io.TextIOWrapper(io.BytesIO(), "utf-8")
    progress.output(file).print("a\ud800b\udcffc", markup=False)
    file.seek(0)
    assert file.read() == "a?b?c\n"
    assert json.loads(progress.printable_json('"\udcff"')) == "\udcff"


def test_text_from_elsewhere_commands_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of requests, folders and errors are shown without control characters; our own colours stay."""
    monkeypatch.setenv("TERM", "xterm")
    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: True)
    console = progress.output(file)
    table = Table("name")
    table.add_row(Text(HOSTILE))
    for shown in (HOSTILE, Text(HOSTILE), table, Text("red", style="red")):
        console.print(shown, markup=False)
    console = progress.PrintableConsole(file=file, force_terminal=True, color_system="standard")
    console.print(Text(HOSTILE, style="red"))
    written = file.getvalue()
    assert [mark in written for mark in ("\x1b]", "\x1b[2J", "\x9b", "\x07", "\x08", "\u202e")] == [False] * 6
    assert ("name" in written, "\x1b[31m" in written) == (True, True)


def test_a_name_from_elsewhere_begins_no_line() -> None:
    """Every line break becomes a space; CRLF becomes one."""
    shown = progress.one_line("a\r\nb\rc\nd\ve\x85f\u2028g\u2029h\x1b[2J\ti")
    assert (shown, len(shown.splitlines())) == ("a b c d e f g h?[2J\ti", 1)


def test_json_commands_no_terminal() -> None:
    """The JSON has the same meaning, with escapes for the characters that a terminal may not get."""
    text = json.dumps({"a": HOSTILE, "b": [1, "é"]}, ensure_ascii=False, indent=1)
    shown = progress.printable_json(text)
    assert (json.loads(shown), progress.printable(shown)) == (json.loads(text), shown)


def test_a_line_from_elsewhere_is_printable() -> None:
    """Line breaks, tabs and letters of all languages are kept."""
    assert progress.printable(f"é\t語\n{HOSTILE}") == "é\t語\n?]0;title??[2J?31mname?gnp??"
