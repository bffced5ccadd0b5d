"""Locust's own reports, as its users know them: locust.html, locust_stats.csv, locust_failures.csv and so on."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from locust.html import get_html_report
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment


def of(environment: Environment) -> dict[str, Callable[[], str]]:
    """Return what makes each file's text, by the file's name; they exist at a run's end only."""
    statistics = StatsCSV(environment, PERCENTILES_TO_REPORT)
    return {
        "locust.html": lambda: get_html_report(environment, show_download_link=False),  # type: ignore[no-untyped-call]
        "locust_stats.csv": lambda: _csv(statistics.requests_csv),
        "locust_failures.csv": lambda: _csv(statistics.failures_csv),
        "locust_exceptions.csv": lambda: _csv(statistics.exceptions_csv),
    }


def _csv(rows: Callable[[Any], None]) -> str:
    file = io.StringIO()
    rows(csv.writer(file))
    return file.getvalue()
