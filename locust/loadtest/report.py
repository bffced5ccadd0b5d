"""What a run leaves for people and machines: the summary on the screen and the files in runs/<id>/.

- record.json: the whole record, from which everything else can be made again;
- record.stream: the record as it grew, readable even when the master was killed;
- locust.html, locust_stats.csv, locust_failures.csv, locust_exceptions.csv: Locust's own reports.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from locust.html import get_html_report
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV
from rich.table import Table

from loadtest.progress import clock, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from locust.env import Environment
    from rich.console import Console

    from loadtest.record import RunRecord
    from loadtest.verdict import Judgement

STREAM = "record.stream"
_QUANTILES = (0.5, 0.95, 0.99)


def show(record: RunRecord, judged: Judgement, console: Console) -> None:
    """Print the summary table and the verdict with its reasons."""
    table = Table(title=f"{clock(record.duration_s)} of load, response times in ms", title_justify="left")
    table.add_column("request")
    for heading in ("requests", "failed", "per s", "p50", "p95", "p99", "max"):
        table.add_column(heading, justify="right")
    for series in sorted(record.series(), key=lambda series: (series.name, series.method)):
        if series.requests:
            times = [milliseconds(series.response_time.quantile(q)) for q in _QUANTILES]
            times.append(milliseconds(series.response_time.max_s))
            rate = series.requests / record.duration_s if record.duration_s else 0.0
            row = [
                f"{series.method} {series.name}",
                f"{series.requests:,}",
                f"{series.failures:,}",
                f"{rate:,.1f}",
                *times,
            ]
            table.add_row(*row, style="red" if series.failures else None)
    console.print(table)
    console.print(f"verdict      {judged.verdict.value}", markup=False)
    for reason in judged.reasons:
        console.print(f"             {reason}", markup=False)


def write(folder: Path, record: RunRecord, judged: Judgement, environment: Environment) -> list[str]:
    """Write every file, and return a sentence for each one that could not be written."""
    document = {**record.as_dict(), "verdict": {"name": judged.verdict.value, "reasons": list(judged.reasons)}}
    statistics = StatsCSV(environment, PERCENTILES_TO_REPORT)
    files: dict[str, Callable[[], str]] = {
        "record.json": lambda: json.dumps(document, indent=1, ensure_ascii=False),
        "locust.html": lambda: get_html_report(environment, show_download_link=False),
        "locust_stats.csv": lambda: _csv(statistics.requests_csv),
        "locust_failures.csv": lambda: _csv(statistics.failures_csv),
        "locust_exceptions.csv": lambda: _csv(statistics.exceptions_csv),
    }
    problems = []
    for name, text in files.items():
        path = folder / name
        try:
            path.write_text(text(), encoding="utf-8")
        except OSError as error:
            problems.append(f"{path} could not be written ({error.strerror}). Next: make room, then run again.")
    return problems


def _csv(rows: Callable[[Any], None]) -> str:
    file = io.StringIO()
    rows(csv.writer(file))
    return file.getvalue()
