"""LocustFiles: Locust's own reports: locust.html, locust.json, locust_{stats,failures,exceptions}.csv.

They are made from Locust's statistics instead of the document, so they exist only at the end of a run. Importing Locust
replaces the standard library's sockets, which must not happen in a process that only reports; so the other files do not
import it.

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
    """Return functions that make the text of each file, by the file's name."""
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
    """An Environment in the form that a report may show: without the credentials in its host."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        named = {kind.host for kind in environment.user_classes}
        host = environment.host or (named.pop() if len(named) == 1 else None)  # as in Locust's report
        self.host = host and without_credentials(host)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environment, name)


class PlainTables:
    """Locust's writer of tables, with cells that are not formulas; otherwise unchanged."""

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
    """The part of `csv.writer` that Locust uses."""

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
