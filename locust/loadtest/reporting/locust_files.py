"""LocustFiles: Locust's own reports: locust.html, locust.json, locust_{stats,failures,exceptions}.csv.

They are made from Locust's statistics, not from the document, and so only at the end of a run. Importing Locust
replaces the standard library's sockets, which the other files must not do to a process that only reports.

Tested in tests/native/test_report.py.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from locust.html import get_html_report
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV

from loadtest.reporting.csv_tables import cell
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from locust.env import Environment


def of(environment: Environment) -> dict[str, Callable[[], str]]:
    """Return a function for each file that makes its text, by the file's name."""
    entries = environment.stats.entries  # Locust's own serialize_stats() resets them
    shown = _Shown(environment)
    statistics = PlainTables(StatsCSV(environment, PERCENTILES_TO_REPORT))
    return {
        "locust.html": lambda: get_html_report(shown, show_download_link=False),  # type: ignore[no-untyped-call]
        "locust.json": lambda: json.dumps([entry.serialize() for entry in entries.values()], indent=4),
        "locust_stats.csv": lambda: _csv(statistics.requests_csv),
        "locust_failures.csv": lambda: _csv(statistics.failures_csv),
        "locust_exceptions.csv": lambda: _csv(statistics.exceptions_csv),
    }


class _Shown:
    """An Environment as a report may show it: without what signs in at its host."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        named = {kind.host for kind in environment.user_classes}
        host = environment.host or (named.pop() if len(named) == 1 else None)  # as Locust's report has it
        self.host = host and without_credentials(host)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environment, name)


class PlainTables:
    """Locust's writer of tables, whose cells are no formulas; otherwise as it is."""

    def __init__(self, tables: Any) -> None:
        self._tables = tables

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tables, name)

    def requests_csv(self, writer: Any) -> None:
        """Write the table of requests."""
        self._tables.requests_csv(_PlainWriter(writer))

    def failures_csv(self, writer: Any) -> None:
        """Write the table of failures."""
        self._tables.failures_csv(_PlainWriter(writer))

    def exceptions_csv(self, writer: Any) -> None:
        """Write the table of exceptions."""
        self._tables.exceptions_csv(_PlainWriter(writer))


class _PlainWriter:
    """What Locust uses of `csv.writer`."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def writerow(self, row: Iterable[Any]) -> None:
        """Write a row."""
        self._writer.writerow(map(cell, row))

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Write rows."""
        self._writer.writerows(map(cell, row) for row in rows)


def _csv(rows: Callable[[Any], None]) -> str:
    file = io.StringIO()
    rows(csv.writer(file))
    return file.getvalue()
