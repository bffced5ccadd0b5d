"""Summary: a run as a table for people, while its master ends and at any time later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from loadtest.judging.outcome import Outcome
from loadtest.progress import clock, milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from loadtest.reporting.document import Document

_TIMES = ("p50_s", "p95_s", "p99_s", "max_s")


def show(document: Document, console: Console) -> None:
    """Print the summary table, what became of each threshold, and the verdict with its reasons."""
    console.print(_table(document))
    if document["thresholds"]:
        console.print(_thresholds(document["thresholds"]))
    console.print(f"verdict      {document['verdict']['name']}", markup=False)
    for reason in document["verdict"]["reasons"]:
        console.print(f"             {reason}", markup=False)


def load_s(document: Document) -> float:
    """Return how long there was load, in seconds."""
    return float(document["load_s"] or document["duration_s"])


def rate_per_s(series: dict[str, Any], document: Document) -> float:
    """Return the requests per second of a series over the run; 0 without load."""
    seconds = load_s(document)
    return float(series["requests"]) / seconds if seconds else 0.0


def by_name(document: Document) -> list[dict[str, Any]]:
    """Return the series in the order that every report shows."""
    return sorted(document["series"], key=lambda one: (one["name"], one["method"], one["scenario"]))


def _table(document: Document) -> Table:
    title = f"{clock(load_s(document))} of load, response times in ms"
    made = Table(title=title, title_justify="left", box=SIMPLE)
    for heading in ("method", "name"):
        made.add_column(heading, no_wrap=True)
    for heading in ("requests", "failed", "per s", "p50", "p95", "p99", "max"):
        made.add_column(heading, justify="right", no_wrap=True)
    for series in by_name(document):
        made.add_row(Text(series["method"]), Text(series["name"]), *_figures(series, document), style=_style(series))
    made.add_section()
    if document["total"]["requests"]:
        made.add_row("", "all", *_figures(document["total"], document), style=_style(document["total"]))
    return made


def _figures(series: dict[str, Any], document: Document) -> list[str]:
    times = [series["response_time"][time] for time in _TIMES]
    return [
        f"{series['requests']:,}",
        f"{series['failures']:,}",
        f"{rate_per_s(series, document):,.1f}",
        *("-" if time is None else milliseconds(time) for time in times),
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
