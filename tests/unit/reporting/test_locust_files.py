"""Locust's own tables: as Locust writes them, and no cell is a formula."""

import csv
import io
from typing import TYPE_CHECKING

import pytest
from locust.env import Environment
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV

from loadtest.reporting import locust_files
from loadtest.reporting.locust_files import PlainTables

if TYPE_CHECKING:
    from collections.abc import Callable

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\uff1d1")


@pytest.fixture
def environment() -> Environment:
    """One whose statistics have hostile names."""
    made = Environment()
    made.create_local_runner()
    for name in FORMULAS:
        made.stats.log_request("GET", name, 10, 10)
        made.stats.log_error("GET", name, name)
        made.runner.log_exception("local", name, name)
    return made


def test_no_cell_is_a_formula(environment: Environment) -> None:
    """Neither in the files of a run nor in the web UI's downloads."""
    tables = PlainTables(StatsCSV(environment, PERCENTILES_TO_REPORT))
    texts = [text() for name, text in locust_files.of(environment).items() if name.endswith(".csv")]
    writers: tuple[Callable[..., None], ...] = (tables.requests_csv, tables.failures_csv, tables.exceptions_csv)
    for write in writers:
        file = io.StringIO()
        write(csv.writer(file))
        texts.append(file.getvalue())
    assert len(texts) == 6
    for text in texts:
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert [cell for cell in cells if cell in FORMULAS] == []
        assert {f"'{name}" for name in FORMULAS} <= set(cells)


def test_everything_else_is_locusts(environment: Environment) -> None:
    """Other attributes are those of Locust's writer."""
    tables = StatsCSV(environment, PERCENTILES_TO_REPORT)
    assert PlainTables(tables).requests_csv_columns == tables.requests_csv_columns
