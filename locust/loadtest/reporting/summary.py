"""Summary: a run on the terminal, at its end or at any later time.

Tested in tests/unit/reporting/test_files.py and tests/fuzz/test_inputs.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from loadtest.judging.outcome import NOT_JUDGED, Outcome
from loadtest.progress import clock, one_line
from loadtest.reporting.console_table import ConsoleTable, print_line
from loadtest.reporting.document import (
    STREAM_HEADS,
    STREAM_TIMES,
    by_name,
    failure_reasons,
    interval_ms,
    iteration_sentences,
    load_s,
    met,
    name_of,
    notes,
    outcome_of,
    percentile_ms,
    rate_per_s,
    setup_sentence,
    stream_rows,
    target_sentence,
    times_apart,
    times_sentences,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from loadtest.reporting.document import Document, Times

VERDICT_BYTES: Final = 4096
"""Bytes of a termination message that Kubernetes keeps. It would cut the beginning, the verdict, off a longer one."""
_COLOURS = {Outcome.PASSED.value: "green", NOT_JUDGED: "yellow"}
_TIMES = ("p50_s", "p95_s", "p99_s", "max_s")
_INTERVAL = "… 95 % interval"
"""The label of a row of intervals, below the row of their percentiles."""


def show(document: Document, console: Console) -> None:
    """Print what was loaded, the figures by request name, the outcome of each threshold, and the verdict."""
    print_line(console, "results", f"run {document['run_id']}")
    print_line(console, "target", target_sentence(document))
    console.print(_table(document))
    if document["streams"]:
        console.print(_streams(document))
    if sentence := setup_sentence(document):
        print_line(console, "set-up", sentence)
    _print_lines(console, "iterations", iteration_sentences(document))
    if document.get("transactions"):
        console.print(_transactions(document))
    if document.get("checks"):
        console.print(_checks(document))
    if document["thresholds"]:
        console.print(_thresholds(document["thresholds"]))
    _print_lines(console, "percentiles", times_sentences(document, _TIMES))
    _print_lines(console, "failures", failure_reasons(document))
    print_line(console, "verdict", document["verdict"]["name"])
    for reason in document["verdict"]["reasons"]:
        print_line(console, "", reason)
    for note in notes(document):
        print_line(console, "note", note)


def _print_lines(console: Console, head: str, lines: Iterable[str]) -> None:
    for number, line in enumerate(lines):
        print_line(console, "" if number else head, line)


def verdict(document: Document) -> str:
    """Return the verdict in a few lines: its name, then its reasons, or the outcome of each threshold of a passed run.

    They are at most `VERDICT_BYTES` long.
    """
    reasons = document["verdict"]["reasons"] or [one["sentence"] for one in document["thresholds"]]
    first = f"{document['verdict']['name']}: run {document['run_id']}"
    text = "".join(f"{one_line(line)}\n" for line in (first, *reasons))
    return text.encode(errors="replace")[:VERDICT_BYTES].decode(errors="ignore")


def _table(document: Document) -> ConsoleTable:
    title = f"{clock(load_s(document))} of load, response times in ms"
    table = ConsoleTable(title, ("method", "name"), ("requests", "failed", "per s", "p50", "p95", "p99", "max"))
    for series in by_name(document):
        table.add_row((series["method"], series["title"]), _figures(series, document), _style(series))
        _add_intervals(table, ("", _INTERVAL), 3, _times_of(series))
        for part in times_apart(series):
            table.add_row(("", f"… {part['name']}"), _figures(part, document), "dim")
            _add_intervals(table, ("", _INTERVAL), 3, _times_of(part))
    if document["total"]["requests"]:
        table.add_row(("", "all"), _figures(document["total"], document), _style(document["total"]))
        _add_intervals(table, ("", _INTERVAL), 3, _times_of(document["total"]))
    return table


def _times_of(series: dict[str, Any]) -> list[tuple[Times, str]]:
    return [(series["response_time"], figure) for figure in _TIMES]


def _add_intervals(table: ConsoleTable, labels: Sequence[str], counts: int, times: Sequence[tuple[Times, str]]) -> None:
    """Add a row with the intervals of the times in the previous row, whose first cells are counts; none without any."""
    spreads = [interval_ms(one, figure) for one, figure in times]
    if any(spreads):
        table.add_row(labels, (*[""] * counts, *spreads), "dim")


def _streams(document: Document) -> ConsoleTable:
    table = ConsoleTable("streamed responses, times in ms", ("name",), STREAM_HEADS)
    for one, figures in stream_rows(document):
        table.add_row((name_of(one),), figures)
        times = [(one[kind], figure) for kind, figure in STREAM_TIMES]
        _add_intervals(table, (_INTERVAL,), len(STREAM_HEADS) - len(STREAM_TIMES), times)
    return table


def _figures(series: dict[str, Any], document: Document) -> list[str]:
    return [
        f"{series['requests']:,}",
        f"{series['failures']:,}",
        f"{rate_per_s(series, document):,.1f}",
        *(percentile_ms(*one) for one in _times_of(series)),
    ]


def _style(series: dict[str, Any]) -> str:
    return "red" if series["failures"] else ""


def _transactions(document: Document) -> ConsoleTable:
    table = ConsoleTable("transactions, in ms", ("name",), ("made", "failed", "p50", "p95", "p99", "max"))
    for one in document["transactions"]:
        times = (percentile_ms(*time) for time in _times_of(one))
        table.add_row((one["name"],), (f"{one['made']:,}", f"{one['failures']:,}", *times), _style(one))
        _add_intervals(table, (_INTERVAL,), 2, _times_of(one))
    return table


def _checks(document: Document) -> ConsoleTable:
    table = ConsoleTable("checks", ("name",), ("made", "failed", "met"))
    for one in document["checks"]:
        table.add_row((one["name"],), (f"{one['made']:,}", f"{one['failures']:,}", met(one)), _style(one))
    return table


def _thresholds(results: Iterable[dict[str, Any]]) -> ConsoleTable:
    table = ConsoleTable("thresholds", ("rule",), ("value", "95 % interval", "outcome"))
    for result in results:
        colour = _COLOURS.get(result["outcome"], "red")
        figures = (result["worded"], result.get("spread") or "-", Text(one_line(outcome_of(result)), style=colour))
        table.add_row((result["rule"],), figures)
    return table
