"""Summary: a run on the terminal, at its end or at any later time.

Tested in tests/unit/reporting/test_files.py and tests/fuzz/test_inputs.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from loadtest.judging.outcome import Outcome
from loadtest.progress import clock, milliseconds
from loadtest.reporting.document import by_name, load_s, notes, rate_per_s, setup_sentence, target_sentence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from loadtest.reporting.document import Document

_TIMES = ("p50_s", "p95_s", "p99_s", "max_s")


def show(document: Document, console: Console) -> None:
    """Print what was loaded, the figures by request name, the outcome of each threshold, and the verdict."""
    console.print(f"results      run {document['run_id']}", markup=False)
    console.print(f"target       {target_sentence(document)}", markup=False)
    console.print(_table(document))
    if sentence := setup_sentence(document):
        console.print(f"set-up       {sentence}", markup=False)
    if document["thresholds"]:
        console.print(_thresholds(document["thresholds"]))
    console.print(f"verdict      {document['verdict']['name']}", markup=False)
    for reason in document["verdict"]["reasons"]:
        console.print(f"             {reason}", markup=False)
    for note in notes(document):
        console.print(f"note         {note}", markup=False)


def console_table(title: str, left: Iterable[str], right: Iterable[str]) -> Table:
    """Return an empty table with columns of text on the left and of numbers on the right."""
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for heading in left:
        table.add_column(heading, no_wrap=True)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _table(document: Document) -> Table:
    title = f"{clock(load_s(document))} of load, response times in ms"
    table = console_table(title, ("method", "name"), ("requests", "failed", "per s", "p50", "p95", "p99", "max"))
    for series in by_name(document):
        table.add_row(Text(series["method"]), Text(series["name"]), *_figures(series, document), style=_style(series))
    table.add_section()
    if document["total"]["requests"]:
        table.add_row("", "all", *_figures(document["total"], document), style=_style(document["total"]))
    return table


def _figures(series: dict[str, Any], document: Document) -> list[str]:
    return [
        f"{series['requests']:,}",
        f"{series['failures']:,}",
        f"{rate_per_s(series, document):,.1f}",
        *(milliseconds(series["response_time"][time]) for time in _TIMES),
    ]


def _style(series: dict[str, Any]) -> str | None:
    return "red" if series["failures"] else None


def _thresholds(results: Iterable[dict[str, Any]]) -> Table:
    table = Table(title="thresholds", title_justify="left", box=SIMPLE)
    table.add_column("rule", overflow="fold")
    table.add_column("value", justify="right")
    table.add_column("outcome")
    for result in results:
        colour = "green" if result["outcome"] == Outcome.PASSED.value else "red"
        table.add_row(Text(result["rule"]), result["worded"], Text(result["outcome"], style=colour))
    return table
