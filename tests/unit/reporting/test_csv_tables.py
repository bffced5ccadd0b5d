"""stats.csv, steps.csv and timeline.csv."""

import csv
import io

import pytest

from loadtest import progress
from loadtest.measuring.record import RunRecord
from loadtest.reporting import csv_tables
from tests import reports


def rows(text: str) -> list[dict[str, str]]:
    """Return a table's rows."""
    return list(csv.DictReader(io.StringIO(text)))


def test_every_name_has_a_row_and_all_together_the_last() -> None:
    """The rows have counts, rates and times; the total has no name."""
    found = rows(csv_tables.stats(reports.run_document(reports.record(10, failing="b"))))
    assert [(row["name"], row["requests"], row["failures"]) for row in found] == [
        ("a", "200", "0"),
        ("b", "200", "40"),
        ("", "400", "40"),
    ]
    assert (
        found[1]["error_ratio"],
        found[1]["requests_per_s"],
        round(float(found[1]["response_time_min_s"]), 3),
    ) == ("0.2", "20.0", 0.02)


def test_every_transaction_and_check_has_a_row() -> None:
    """The rows have their counts; a check has no times, and neither is among the requests."""
    run = reports.run_document(reports.add_steps(reports.record(10)))
    buy, check = rows(csv_tables.steps(run))
    assert [buy[name] for name in ("kind", "name", "made", "failures", "error_ratio")] == [
        *("transaction", "check out", "100", "20", "0.2")
    ]
    assert round(float(buy["response_time_p50_s"]), 2) == 0.5
    assert [check[name] for name in ("kind", "name", "made", "failures", "response_time_p50_s")] == [
        *("check", progress.one_line(reports.HOSTILE), "400", "1", "")
    ]
    assert "check out" not in csv_tables.stats(run)
    assert rows(csv_tables.steps(reports.run_document())) == []


def test_every_point_has_a_row() -> None:
    """Seconds are in order with their rate; an empty run has none."""
    found = rows(csv_tables.timeline(reports.run_document(reports.record(3))))
    assert [(row["second"], row["requests_per_s"]) for row in found] == [("0", "40.0"), ("1", "40.0"), ("2", "40.0")]
    assert rows(csv_tables.timeline(reports.run_document(RunRecord("none", 0.0)))) == []


def test_a_name_commands_no_terminal() -> None:
    """Tables are also shown with `cat` and `column`."""
    found = rows(csv_tables.stats(reports.run_document(reports.record(1, names=("a\x1b]0;b\x07",)))))
    assert found[0]["name"] == "a?]0;b?"


def test_a_name_is_no_formula() -> None:
    """A spreadsheet shows a name that begins like a formula as text."""
    found = rows(csv_tables.stats(reports.run_document(reports.record(1, names=('=HYPERLINK("x")',)))))
    assert found[0]["name"] == '\'=HYPERLINK("x")'


def test_iterations_are_steps_too() -> None:
    """Dropped iterations are included; iterations do not fail."""
    (row,) = rows(csv_tables.steps(reports.run_document(reports.add_iterations(reports.record(10)))))
    shown = {name: row[name] for name in ("kind", "scenario", "name", "made", "dropped", "failures", "error_ratio")}
    assert shown == {
        "kind": "iteration", "scenario": "documents", "name": "", "made": "400", "dropped": "7",
        "failures": "", "error_ratio": "",
    }  # fmt: skip
    assert float(row["response_time_p50_s"]) == pytest.approx(0.25, rel=0.01)
