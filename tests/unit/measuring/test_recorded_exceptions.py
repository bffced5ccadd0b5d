"""Exceptions raised by a scenario's code, as the recorder counts them."""

import json

import requests

from loadtest.measuring.measurements import MAX_MESSAGES
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.stock_requests import mark_counted
from tests.http_harness import StatusError


class Raising:
    """Stands for a user whose task raises."""

    scenario = "shop"

    def task(self) -> None:
        """Raise from within a library."""
        json.loads("{")


def test_an_exception_is_counted_where_the_scenario_raised_it() -> None:
    """The place is the last line of the scenario's own code, not the library's; equal exceptions count together."""
    recorder = Recorder()
    for _ in range(3):
        try:
            Raising().task()
        except ValueError as error:
            recorder.on_user_error(Raising(), error, error.__traceback__)
    [counted] = recorder.take().exceptions
    line = Raising.task.__code__.co_firstlineno + 2
    assert (counted.scenario, counted.exception, counted.occurrences) == ("shop", "JSONDecodeError", 3)
    assert counted.place == f"tests/unit/measuring/test_recorded_exceptions.py:{line} in task"
    assert recorder.take().exceptions == ()


def test_an_exception_that_says_how_a_request_failed_is_that_requests() -> None:
    """raise_for_status() raises for a request that is already counted as failed: of our clients, and of stock ones."""
    recorder = Recorder()
    ours, theirs = StatusError(503), requests.HTTPError("503", response=requests.Response())
    mark_counted(ours)
    recorder.on_request("GET", "page", 1.0, 0, requests.HTTPError("503"), response=theirs.response)
    for failure in (ours, theirs):
        recorder.on_user_error(None, failure)
    assert recorder.take().exceptions == ()


def test_an_exception_of_a_request_that_nobody_counted_is_one_of_the_scenario() -> None:
    """Examples are a body that was cut off after its head, and a client that reports nothing."""
    recorder = Recorder()
    for failure in (StatusError(503), requests.HTTPError("503", response=requests.Response())):
        recorder.on_user_error(None, failure)
    assert [counted.exception for counted in recorder.take().exceptions] == ["StatusError", "HTTPError"]


def test_distinct_exceptions_are_bounded_and_none_is_lost() -> None:
    """Beyond the bound the message is dropped, but never the count."""
    recorder = Recorder()
    for number in range(3 * MAX_MESSAGES):
        recorder.on_user_error(None, KeyError(number))
    counted = recorder.take().exceptions
    assert len(counted) == MAX_MESSAGES + 1
    assert sum(one.occurrences for one in counted) == 3 * MAX_MESSAGES
