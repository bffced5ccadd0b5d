"""The exported figures of a run's names: exact extremes, and failures by class and status, both bounded."""

import pytest
from locust.env import Environment

from loadtest.exporting.exposition import MAX_SERIES, Exposition
from loadtest.exporting.run_names import MAX_FAILURES, status_of
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_rows import ErrorRow
from loadtest.measuring.recorder import Recorder
from tests.swarms import record_keeper
from tests.unit.exporting.samples import record, samples_of, scrape, total, value

LOWEST, HIGHEST = "loadtest_run_response_time_min_seconds", "loadtest_run_response_time_max_seconds"
FAILURES = "loadtest_run_failures"


@pytest.fixture
def run(environment: Environment) -> RunRecord:
    """Return the record of a run that has begun."""
    keeper = record_keeper(environment)
    keeper.begin()
    assert keeper.record is not None
    return keeper.record


def bring(environment: Environment, run: RunRecord) -> None:
    """Add the recorded samples to the totals and to the run."""
    measured = Recorder.of(environment).take()
    record_keeper(environment).totals.add(measured)
    run.add(measured, 0)


def test_extremes_are_those_of_the_record(environment: Environment, run: RunRecord) -> None:
    """They are exact to the nanosecond, unlike bucket bounds; those of an earlier run are in the totals only."""
    record(environment, "read", [0.0001, 9.0])
    record_keeper(environment).totals.add(Recorder.of(environment).take())
    assert total(scrape(environment), HIGHEST) == 0
    for name, times_s in (("read", [0.0123, 0.2, 0.0456]), ("write", [1.5])):
        record(environment, name, times_s)
    bring(environment, run)
    samples = scrape(environment)
    for name, lowest_s, highest_s in (("read", 0.0123, 0.2), ("write", 1.5, 1.5)):
        labels = {"run_id": run.run_id, "scenario": "mine", "method": "GET", "name": name}
        assert value(samples, LOWEST, **labels) == pytest.approx(lowest_s, abs=2e-9)
        assert value(samples, HIGHEST, **labels) == pytest.approx(highest_s, abs=2e-9)
    (series,) = [one for one in run.series() if one.name == "read"]
    labels = {"run_id": run.run_id, "scenario": "mine", "method": "GET", "name": "read"}
    assert value(samples, HIGHEST, **labels) == series.response_time.max_s


def test_failures_have_their_status(environment: Environment, run: RunRecord) -> None:
    """Several messages with one status count together, and failures without a response have none."""
    series = Recorder.of(environment).series("mine", "GET", "read")
    for error_class, message in (
        ("status_5xx", "status 503"),
        ("status_5xx", "status 503"),
        ("status_5xx", "HTTPError('503 Server Error: busy for url: /a')"),
        ("status_5xx", "status 500"),
        ("check", "status 404, expected 200"),
        ("timeout_read", "no answer within 500 ms"),
    ):
        series.failure(1.0, 1.0, 2.0, 10, error_class, message)
    bring(environment, run)
    labels = {"run_id": run.run_id, "scenario": "mine", "method": "GET", "name": "read"}
    samples = scrape(environment)
    found = {
        (error_class, status): value(samples, FAILURES, **labels, class_=error_class, status=status)
        for error_class, status in (
            ("status_5xx", "503"),
            ("status_5xx", "500"),
            ("check", "404"),
            ("timeout_read", ""),
        )
    }
    assert found == {("status_5xx", "503"): 3, ("status_5xx", "500"): 1, ("check", "404"): 1, ("timeout_read", ""): 1}
    assert total(samples, FAILURES) == run.failures


@pytest.mark.parametrize(
    ("error_class", "message", "status"),
    [
        ("status_4xx", "404 Client Error: Not Found for url: /items/500", "404"),
        ("assertion", "500 items expected", ""),
        ("status_other", "(further messages)", ""),
    ],
)
def test_a_number_elsewhere_is_no_status(error_class: str, message: str, status: str) -> None:
    """The first number in a text that states a status counts, other numbers do not."""
    assert status_of(ErrorRow("s", "GET", "n", error_class, message, 1, 0.0, 0.0)) == status


def test_names_and_kinds_are_bounded(environment: Environment, run: RunRecord) -> None:
    """Beyond the limits everything counts as other, and no failure is lost."""
    recorder = Recorder.of(environment)
    for number in range(1_000):
        series = recorder.series("mine", "GET", f"name {number}")
        series.failure(1.0, 1.0, 2.0, 10, "status_5xx", f"status {500 + number % 90}")
        series.success(1.0, 1.0, 1.1 + number, 10)
    bring(environment, run)
    samples = samples_of(Exposition(environment).text().decode())
    assert len(samples) <= MAX_SERIES
    kinds = [labels for metric, labels in samples if metric == FAILURES]
    assert len(kinds) <= MAX_FAILURES + 1
    assert total(samples, FAILURES) == 1_000
    others = {"run_id": run.run_id, "scenario": "mine", "method": "GET", "name": "other"}
    assert value(samples, HIGHEST, **others) == pytest.approx(999.1)


def test_before_the_first_run_there_are_none(environment: Environment) -> None:
    """Without a measurement there is no value."""
    names = {metric for metric, _ in scrape(environment)}
    assert names.isdisjoint({LOWEST, HIGHEST, FAILURES})
