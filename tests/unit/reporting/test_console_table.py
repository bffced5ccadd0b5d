"""Tables on the terminal are complete at any width."""

import io
import os
import pty
import re

import pytest
from rich.console import Console

from loadtest.progress import PrintableConsole
from loadtest.reporting.console_table import ConsoleTable, print_line


def printed(width: int, names: int = 2) -> list[str]:
    """The lines of a table on a terminal of this width."""
    table = ConsoleTable(
        "0:10 of load", ("method", "name"), ("requests", "failed", "per s", "p50", "p95", "p99", "max")
    )
    for number in range(names):
        figures = ("1,234,567", "0", "20.0", "1.23", "45.6", "789", f"{1000 + number}")
        table.add_row(("GET", f"documents/a-rather-long-name/{number}"), figures, "red" if number else "")
    file = io.StringIO()
    PrintableConsole(file=file, width=width, soft_wrap=True, highlight=False).print(table)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [120, 80, 60, 40, 20])
def test_a_table_is_whole_at_any_width(width: int) -> None:
    """No line is wider than the terminal, and no figure or part of a name is missing."""
    lines = printed(width)
    assert max(map(len, lines)) <= width
    text = "".join("".join(lines).split())
    for part in ("documents/a-rather-long-name/1", "1,234,567", "45.6", "789", "1001", "requests"):
        assert part in text
    assert "…" not in text


def test_a_narrow_terminal_gets_the_figures_below_the_name() -> None:
    """Columns stay columns."""
    assert printed(60) == [
        "0:10 of load",
        "",
        "   requests  failed  per s   p50   p95  p99   max",
        "GET documents/a-rather-long-name/0",
        "  1,234,567       0   20.0  1.23  45.6  789  1000",
        "GET documents/a-rather-long-name/1",
        "  1,234,567       0   20.0  1.23  45.6  789  1001",
        "",
    ]


def test_a_sentence_is_broken_beside_its_word_on_a_terminal_only() -> None:
    """A log keeps each sentence on one line, so that it can be searched."""
    text = "the service shares the 2 cores of its machine with the load generator; they were busy " * 2
    terminal, end = pty.openpty()
    with os.fdopen(end, "w") as file:
        print_line(Console(file=file, force_terminal=True, width=60, soft_wrap=True, highlight=False), "note", text)
    lines = os.read(terminal, 65_536).decode().splitlines()
    os.close(terminal)
    assert max(map(len, lines)) <= 60
    assert [bool(re.match(r"note {9}\S| {13}\S", line)) for line in lines] == [True] * len(lines)
    log = io.StringIO()
    print_line(PrintableConsole(file=log, width=60, soft_wrap=True, highlight=False), "note", text)
    assert log.getvalue() == f"note         {text}\n"
