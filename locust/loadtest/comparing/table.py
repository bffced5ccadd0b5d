"""Table: a comparison in the terminal, and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from loadtest.comparing import wording
from loadtest.comparing.comparison import Comparison, Difference, Finding

if TYPE_CHECKING:
    from rich.console import Console

STYLES: Final = {
    Finding.WORSE: "bold red",
    Finding.BETTER: "bold green",
    Finding.SAME: "",
    Finding.CANNOT_TELL: "dim",
}


def show(comparison: Comparison, console: Console) -> None:
    """Print a row for each request name, each difference that is decided, and the verdict."""
    table = Table(title=f"{comparison.base} → {comparison.new}", title_justify="left", box=SIMPLE)
    table.add_column("request", no_wrap=True)
    for head in wording.HEADS.values():
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for name in comparison.names:
        cells = [Text(_cell(one), style=STYLES[one.finding]) for one in name.differences]
        finding = name.finding
        table.add_row(Text(wording.label(name.name)), *cells, Text(finding.value, style=STYLES[finding]))
    console.print(table)
    for name_of, difference in wording.decided(comparison, Finding.WORSE, Finding.BETTER):
        console.print(Text(wording.sentence(name_of, difference), style=STYLES[difference.finding]))
    for note in comparison.notes:
        console.print(f"note         {note}", markup=False)
    console.print(f"method       {wording.method(comparison)}", markup=False)
    console.print(f"comparison   {comparison.finding.value}", markup=False)


def _cell(difference: Difference) -> str:
    mark = {Finding.WORSE: " ✗", Finding.BETTER: " ✓", Finding.SAME: " =", Finding.CANNOT_TELL: " ?"}
    shown = wording.change(difference, difference.change).removesuffix(" points")
    return f"{shown}{mark[difference.finding]}"
