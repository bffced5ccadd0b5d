"""What a run leaves for people and machines: the summary on the screen and the files in runs/<id>/.

- record.json: the whole record, from which everything else can be made again;
- record.stream: the record as it grew, readable even when the master was killed;
- junit.xml: the thresholds and the trust in the generator as test cases, for a build's page;
- locust.html, locust_stats.csv, locust_failures.csv, locust_exceptions.csv: Locust's own reports.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from locust.html import get_html_report
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from loadtest import summary
from loadtest.archive import DOCUMENT
from loadtest.judging import junit
from loadtest.judging.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from locust.env import Environment
    from rich.console import Console

    from loadtest.judging.judge import Result
    from loadtest.judging.verdict import Verdict
    from loadtest.measuring.record import RunRecord


def show(record: RunRecord, verdict: Verdict, console: Console) -> None:
    """Print the summary table, what became of each threshold, and the verdict with its reasons."""
    console.print(summary.table(record))
    if verdict.results:
        console.print(_thresholds(verdict.results))
    summary.show_verdict(verdict.outcome.value, verdict.reasons, console)


def _thresholds(results: Sequence[Result]) -> Table:
    table = Table(title="thresholds", title_justify="left", box=SIMPLE)
    table.add_column("rule", overflow="fold")
    table.add_column("value", justify="right")
    table.add_column("outcome")
    for result in results:
        rule = result.threshold
        value = "-" if result.value is None else rule.worded(result.value)
        colour = "green" if result.outcome is Outcome.PASSED else "red"
        table.add_row(Text(str(rule)), value, Text(result.outcome.value, style=colour))
    return table


def write(folder: Path, record: RunRecord, verdict: Verdict, environment: Environment) -> list[str]:
    """Write every file, and return a sentence for each one that could not be written."""
    document = {
        **record.as_dict(),
        "verdict": {"name": verdict.outcome.value, "reasons": list(verdict.reasons)},
        "thresholds": [result.as_dict() for result in verdict.results],
    }
    statistics = StatsCSV(environment, PERCENTILES_TO_REPORT)
    files: dict[str, Callable[[], str]] = {
        DOCUMENT: lambda: json.dumps(document, indent=1, ensure_ascii=False),
        "junit.xml": lambda: junit.document(record, verdict),
        "locust.html": lambda: get_html_report(environment, show_download_link=False),  # type: ignore[no-untyped-call]
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
