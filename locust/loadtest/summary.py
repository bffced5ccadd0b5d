"""Summary: a run's record as a table for people, while its master ends and at any time later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table

from loadtest.progress import clock, milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from loadtest.measuring.record import RunRecord, SeriesView

_QUANTILES = (0.5, 0.95, 0.99)


def table(record: RunRecord) -> Table:
    """Return each request's counts, rate and response times, and those of all together."""
    made = Table(title=f"{clock(_load_s(record))} of load, response times in ms", title_justify="left", box=SIMPLE)
    for heading in ("method", "name"):
        made.add_column(heading, no_wrap=True)
    for heading in ("requests", "failed", "per s", "p50", "p95", "p99", "max"):
        made.add_column(heading, justify="right", no_wrap=True)
    for series in sorted(record.series(), key=lambda series: (series.name, series.method)):
        if series.requests:
            made.add_row(series.method, series.name, *_figures(series, record), style=_style(series))
    made.add_section()
    total = record.total()
    if total.requests:
        made.add_row("", "all", *_figures(total, record), style=_style(total))
    return made


def show_verdict(outcome: str, reasons: Sequence[str], console: Console) -> None:
    """Print the verdict, and a line for each of its reasons."""
    console.print(f"verdict      {outcome}", markup=False)
    for reason in reasons:
        console.print(f"             {reason}", markup=False)


def _figures(series: SeriesView, record: RunRecord) -> list[str]:
    rate = series.requests / _load_s(record) if _load_s(record) else 0.0
    times = [*series.response_time.quantiles(_QUANTILES), series.response_time.max_s]
    return [f"{series.requests:,}", f"{series.failures:,}", f"{rate:,.1f}", *map(milliseconds, times)]


def _load_s(record: RunRecord) -> float:
    return record.load_s or float(record.duration_s)


def _style(series: SeriesView) -> str | None:
    return "red" if series.failures else None
