"""Locust's own tables: unchanged, except that no cell is a formula."""

import csv
import io
from typing import TYPE_CHECKING

import pytest
from locust import User
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
    """This applies to the files of a run and to the web UI's downloads."""
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


@pytest.mark.parametrize("place", ["the environment", "a class"])
def test_the_page_shows_no_password_of_a_host(place: str) -> None:
    """The page is shared, like the other reports."""
    url = "http://ann:hunter2@127.0.0.1:9"
    kind = type("Shopper", (User,), {"host": url, "tasks": [lambda _user: None]})
    environment = Environment(user_classes=[kind], host=url if place == "the environment" else None)
    environment.create_local_runner()
    page = locust_files.of(environment)["locust.html"]()
    assert ("hunter2" in page, "http://***@127.0.0.1:9" in page) == (False, True)
