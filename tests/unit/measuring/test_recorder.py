"""From requests to counts, and how the recorder takes its place in Locust."""

import json
import math
import time

import gevent
import numpy as np
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from locust import User, task
from locust.env import Environment
from locust.exception import CatchResponseError

from loadtest.clients.http.errors import UnfinishedError
from loadtest.measuring import labels
from loadtest.measuring import series as measuring_series
from loadtest.measuring.error_classes import ERROR_CLASSES
from loadtest.measuring.histogram import Histogram
from loadtest.measuring.labels import SeriesKey
from loadtest.measuring.measurements import FURTHER_MESSAGES, LISTENERS, MAX_MESSAGES, Measurements
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_dict import as_dict
from loadtest.measuring.recorder import FOLD_PAYS, FOLD_SLICE, SERIES_SLICE, Recorder
from loadtest.measuring.stock_requests import mark_counted
from loadtest.measuring.tallies import leads_nowhere


def series_of(measured: Measurements) -> dict[SeriesKey, int]:
    """Requests by series."""
    return dict(zip(measured.series, measured.requests.tolist(), strict=True))


def test_a_request_is_counted_with_its_three_times() -> None:
    """Response time runs from the intended start, service time from the send, schedule lag is the difference."""
    counts = Recorder()
    series = counts.series("documents", "GET", "documents/read")
    series.success(10.0, 10.25, 11.0, 123)
    taken = counts.take()
    assert series_of(taken) == {SeriesKey("documents", "GET", "documents/read"): 1}
    assert taken.response_time.total() == Histogram.of([1.0])
    assert taken.service_time.total() == Histogram.of([0.75])
    assert taken.schedule_lag.total() == Histogram.of([0.25])
    assert taken.scenarios == ("documents",)
    assert taken.response_bytes.tolist() == [123]
    assert taken.failures.tolist() == [0]


def test_no_failure_leaves_evidence_where_none_is_kept() -> None:
    """It counts all the same, and is not even made."""
    counts = Recorder()
    counts.keep_evidence(False)
    counts.series("s", "GET", "n").failure(1.0, 1.0, 2.0, 0, "check", "no", lambda: pytest.fail("it is made"))
    (error,) = counts.take().errors
    assert (error.occurrences, error.evidence) == (1, None)


def test_a_request_without_an_intended_start_has_no_lag() -> None:
    """When the intended start is the send, response and service time are one, and there is no lag to count."""
    counts = Recorder()
    sent = 10.0
    counts.series("s", "GET", "n").success(sent, sent, 10.5, 0)
    taken = counts.take()
    assert taken.service_time is None
    assert taken.response_time.total() == Histogram.of([0.5])
    assert taken.schedule_lag.count == 0


def test_a_send_before_the_intended_start_is_not_late() -> None:
    """A request sent early has lag 0, and its response time is its service time."""
    counts = Recorder()
    counts.series("s", "GET", "n").success(10.5, 10.25, 11.0, 0)
    taken = counts.take()
    assert Histogram.of([0.75]) == taken.response_time.total() == taken.service_time.total()
    assert taken.schedule_lag.total() == Histogram.of([0.0])


sample = st.tuples(
    st.integers(0, 4),
    st.one_of(st.none(), st.floats(0.0, 3.0)),
    st.floats(0.0, 10.0),
    st.integers(0, 1 << 40),
    st.booleans(),
)


@given(st.lists(st.lists(sample, max_size=40), max_size=5))
def test_no_sample_is_lost_or_counted_twice(takes: list[list[tuple[int, float | None, float, int, bool]]]) -> None:
    """Whatever is recorded between takes, all takes together hold each sample exactly once."""
    counts = Recorder()
    response, service, lag = Histogram(), Histogram(), Histogram()
    taken_response, taken_service, taken_lag = Histogram(), Histogram(), Histogram()
    totals = np.zeros(3, np.int64)
    expected = np.zeros(3, np.int64)
    for samples in takes:
        for name, late, duration, size, failed in samples:
            series = counts.series("s", "GET", str(name))
            intended = 1000.0
            sent = intended if late is None else intended + late
            end = sent + duration
            if failed:
                series.failure(intended, sent, end, size, "timeout_read", "slow")
            else:
                series.success(intended, sent, end, size)
            response.add(end - sent if late is None else (sent - intended) + (end - sent))
            service.add(end - sent)
            if late is not None:
                lag.add(sent - intended)
            expected += (1, failed, size)
        taken = counts.take()
        taken_response.merge(taken.response_time.total())
        taken_service.merge((taken.service_time or taken.response_time).total())
        taken_lag.merge(taken.schedule_lag.total())
        totals += [column.sum() for column in (taken.requests, taken.failures, taken.response_bytes)]
        assert sum(error.occurrences for error in taken.errors) == taken.failures.sum()
    assert totals.tolist() == expected.tolist()
    assert (taken_response, taken_service, taken_lag) == (response, service, lag)
    assert not counts.take()


def test_a_fold_is_bounded_by_count() -> None:
    """No slice folds more than its bound, however much waits, and slices together fold everything."""
    counts = Recorder()
    quick, late = counts.series("s", "GET", "quick"), counts.series("s", "GET", "late")
    for _ in range(3 * FOLD_SLICE):
        quick.success(1.0, 1.0, 1.5, 1)
        late.success(1.0, 1.25, 1.5, 1)
    slices = 0
    more = True
    while more:
        before = counts.waiting()
        more = counts.fold_slice()
        assert before - counts.waiting() <= 2 * FOLD_SLICE  # a late sample is two numbers
        slices += 1
    assert counts.waiting() == 0
    assert slices >= 6
    assert counts.take().requests.sum() == 6 * FOLD_SLICE


def test_a_fold_is_bounded_by_series() -> None:
    """With many names a slice folds only some of them, and slices together fold all."""
    counts = Recorder()
    for number in range(3 * SERIES_SLICE):
        counts.series("s", "GET", str(number)).success(1.0, 1.0, 1.5, 1)
    waiting = []
    while counts.fold_slice():
        waiting.append(counts.waiting())
    assert waiting == [2 * SERIES_SLICE, SERIES_SLICE]
    assert counts.take().requests.sum() == 3 * SERIES_SLICE


def test_one_series_is_folded_in_pieces() -> None:
    """A series with more than a slice of both kinds of samples is folded piece by piece, none beyond the bound."""
    counts = Recorder()
    series = counts.series("s", "GET", "n")
    for _ in range(FOLD_SLICE + 10):
        series.success(1.0, 1.0, 1.5, 1)
        series.success(1.0, 1.25, 1.5, 1)
    waiting = [counts.waiting()]
    while counts.fold_slice():
        waiting.append(counts.waiting())
    assert waiting == [3 * (FOLD_SLICE + 10), 2 * FOLD_SLICE + 30, 40]
    taken = counts.take()
    assert 2 * (FOLD_SLICE + 10) == taken.response_time.count == taken.service_time.count
    assert taken.schedule_lag.count == FOLD_SLICE + 10


def test_a_fold_folds_all_that_waited() -> None:
    """However badly the series fill the slices, one fold leaves nothing behind."""
    counts = Recorder()
    for number in range(6):
        series = counts.series("s", "GET", str(number))
        for _ in range(FOLD_SLICE // 2 + 1):  # no two fit into a slice
            series.success(1.0, 1.0, 1.5, 1)
    counts.fold()
    assert counts.waiting() == 0


def test_taking_amid_a_fold_takes_everything() -> None:
    """Samples of series that a fold under way has behind it are taken too."""
    counts = Recorder()
    for number in range(2 * SERIES_SLICE):
        counts.series("s", "GET", str(number)).success(1.0, 1.0, 1.5, 1)
    assert counts.fold_slice()
    counts.series("s", "GET", "0").success(1.0, 1.0, 1.5, 1)
    assert counts.take().requests.sum() == 2 * SERIES_SLICE + 1


def test_folding_early_waits_until_it_pays() -> None:
    """A few samples of many names wait for the end of the second; many samples are folded at once."""
    counts = Recorder()
    quick, other = counts.series("s", "GET", "quick"), counts.series("s", "GET", "other")
    other.success(1.0, 1.0, 1.5, 1)
    counts.fold_early()
    assert counts.waiting() == 1
    for _ in range(2 * FOLD_PAYS):
        quick.success(1.0, 1.0, 1.5, 1)
    counts.fold_early()
    assert counts.waiting() == 0


def test_a_fold_gives_way_between_slices() -> None:
    """While a lot is folded, other greenlets run."""
    counts = Recorder()
    series = counts.series("s", "GET", "n")
    for _ in range(5 * FOLD_SLICE):
        series.success(1.0, 1.0, 1.5, 1)
    turns = []

    def other() -> None:
        while counts.waiting():
            turns.append(counts.waiting())
            gevent.sleep(0)

    running = gevent.spawn(other)
    gevent.sleep(0)
    counts.fold()
    running.join()
    assert len(turns) >= 5


@pytest.mark.parametrize("bad_end", [0.5, math.nan])
def test_an_impossible_duration_is_refused_and_the_request_counted(bad_end: float) -> None:
    """A negative duration or NaN does not enter the times; the request is counted all the same."""
    counts = Recorder()
    counts.series("s", "GET", "n").success(1.0, 1.0, bad_end, 0)
    taken = counts.take()
    assert taken.requests.tolist() == [1]
    assert (taken.response_time.count, taken.response_time.total().refused) == (0, 1)


def test_names_beyond_the_cap_count_as_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undeclared names cannot grow memory: beyond the cap they count as other, and totals stay exact."""
    monkeypatch.setattr(labels, "MAX_SERIES", 3)
    monkeypatch.setattr(labels, "MAX_OTHER_SERIES", 1)
    monkeypatch.setattr(measuring_series, "_LOOKED_UP", 6)
    counts = Recorder()
    for number in range(10):
        counts.series("s", "GET", f"/user/{number}").success(1.0, 1.0, 2.0, 1)
        counts.series("s", "PUT", f"/user/{number}").success(1.0, 1.0, 2.0, 1)
    taken = series_of(counts.take())
    assert sum(taken.values()) == 20
    kept = {SeriesKey("s", method, f"/user/{n}") for method, n in (("GET", 0), ("PUT", 0), ("GET", 1))}
    assert kept < set(taken)
    assert taken[SeriesKey("s", "PUT", "other")] == 9
    assert taken[SeriesKey("other", "other", "other")] == 8
    assert len(counts._by_key) == len(counts._series) == 5
    assert len(counts.by_labels) <= 6


def test_error_messages_are_bounded() -> None:
    """Distinct messages beyond the cap are counted under one, long ones are cut, addresses are left out."""
    counts = Recorder()
    series = counts.series("s", "GET", "n")
    for number in range(MAX_MESSAGES + 50):
        series.failure(1.0, 1.0, 2.0, 0, "exception", f"order {number} of <Thing at 0x7f{number:x}>" + "x" * 400)
    errors = counts.take().errors
    assert sum(error.occurrences for error in errors) == MAX_MESSAGES + 50
    assert next(error.occurrences for error in errors if error.message == FURTHER_MESSAGES) == 50
    assert all(len(error.message) <= measuring_series.MAX_MESSAGE_CHARS for error in errors)
    assert errors[0].message.startswith("order 0 of <Thing at 0x…>x")


def test_an_error_message_holds_no_secret_of_a_url() -> None:
    """What the library requests says of a failure has the URL in it, and so may what a scenario raises."""
    counts = Recorder()
    said = "Max retries exceeded with url: /x?access_token=hunter2 (Caused by a port)"
    counts.series("s", "GET", "n").failure(1.0, 1.0, 2.0, 0, "connect", said)
    counts.add_exception("s", ValueError("http://user:hunter2@host"))
    taken = counts.take()
    assert "hunter2" not in f"{taken.errors} {taken.exceptions}"
    assert taken.errors[0].message == said.replace("hunter2", "***")


def test_an_unknown_error_class_counts_as_other() -> None:
    """The label ``class`` keeps its vocabulary."""
    counts = Recorder()
    counts.series("s", "GET", "n").failure(1.0, 1.0, 2.0, 0, "my own class", "x")
    assert [error.error_class for error in counts.take().errors] == ["other"]


def test_dropped_iterations_are_counted_by_scenario() -> None:
    """Iterations that were never begun are counted once, by scenario."""
    counts = Recorder()
    counts.drop_iterations("a")
    counts.drop_iterations("b", 5)
    taken = counts.take()
    assert dict(zip(taken.scenarios, taken.dropped.tolist(), strict=True)) == {"a": 1, "b": 5}
    assert not counts.take()


class Shopper(User):
    """A stock Locust user."""

    scenario = "shop"

    @task
    def buy(self) -> None:
        """Fire a request, as any Locust client does."""
        self.environment.events.request.fire(
            request_type="POST",
            name="buy",
            response_time=20.0,
            response_length=7,
            exception=None,
            context={},
        )
        gevent.sleep(0.01)


def run_for_a_moment(environment: Environment) -> None:
    """Let one user of the local runner work for a moment."""
    runner = environment.create_local_runner() if environment.runner is None else environment.runner
    runner.start(1, 1)
    gevent.sleep(0.2)
    runner.quit()


def test_stock_users_are_recorded_in_the_place_of_locusts_statistics() -> None:
    """A request of a stock user is recorded under its user's scenario, and not by Locust's own listener."""
    environment = Environment(user_classes=[Shopper])
    environment.create_local_runner()
    counts = Recorder.of(environment)
    assert Recorder.of(environment) is counts
    run_for_a_moment(environment)
    taken = counts.take()
    assert list(taken.series) == [SeriesKey("shop", "POST", "buy"), SeriesKey("shop", "", "", "iteration")]
    taken = taken.by_phase()["load"]
    assert taken.requests[0] >= 5
    assert pytest.approx(taken.response_time.total().quantile(0.5), rel=0.01) == 0.02
    assert environment.stats.num_requests == 0


def test_a_recorder_made_before_the_runner_still_replaces_locusts_listener() -> None:
    """The order of making runner and recorder does not matter."""
    environment = Environment(user_classes=[Shopper])
    counts = Recorder.of(environment)
    run_for_a_moment(environment)
    assert len(counts.listeners) == 1
    assert environment.stats.num_requests == 0
    assert counts.take().requests[0] >= 5


def test_under_plain_locust_its_statistics_count_every_request() -> None:
    """Where nobody keeps a record, nothing is kept for one, and Locust's own listener gets what clients notify."""
    environment = Environment(user_classes=[Shopper])
    environment.create_local_runner()
    recorder = Recorder.beside_locusts(environment)
    assert Recorder.of(environment) is recorder
    run_for_a_moment(environment)  # a stock user beside
    series = recorder.series("shop", "GET", "look")
    request = {"request_type": "GET", "name": "look", "response_time": 7.0, "response_length": 3, "context": {}}
    series.success(1.0, 1.0, 1.007, 3)
    recorder.notify(**request, exception=None)
    series.failure(1.0, 1.0, 1.007, 3, "reset", "gone")
    recorder.notify(**request, exception=ConnectionResetError("gone"))
    recorder.notify(**request, exception=UnfinishedError())  # which Locust does not count, and would end with code 1
    counted = environment.stats.get("look", "GET")
    assert (counted.num_requests, counted.num_failures, counted.avg_response_time) == (2, 1, 7.0)
    assert environment.stats.get("buy", "POST").num_requests >= 5
    assert recorder.waiting() == 0
    assert recorder.take().series == ()


def test_a_user_made_before_the_runner_is_recorded() -> None:
    """There are no statistics of Locust's to leave the counting to."""
    environment = Environment(user_classes=[Shopper])
    recorder = Recorder.beside_locusts(environment)
    recorder.series("shop", "GET", "look").success(1.0, 1.0, 1.007, 3)
    assert list(recorder.take().requests) == [1]


def test_other_listeners_still_get_every_request() -> None:
    """Foreign listeners come after the recorder in a live list, and get Locust's arguments."""
    environment = Environment(user_classes=[Shopper])
    seen: list[dict] = []

    def before(**arguments: object) -> None:
        seen.append(arguments)

    environment.events.request.add_listener(before)
    counts = Recorder.of(environment)
    listeners = counts.listeners
    assert listeners[1:] == [before]
    run_for_a_moment(environment)
    assert counts.take().requests[0] == len(seen)
    assert tuple(seen[0][key] for key in ("request_type", "name", "response_time")) == ("POST", "buy", 20.0)
    environment.events.request.remove_listener(before)
    assert len(listeners) == 1


def test_whoever_held_the_event_before_the_recorder_still_feeds_it() -> None:
    """The hook itself, its fire() and its add_listener(), bound before there is a recorder, work as before."""
    environment = Environment(user_classes=[Shopper])
    hook, seen = environment.events.request, []
    request_fire, request_add = hook.fire, hook.add_listener
    counts = Recorder.of(environment)
    assert environment.events.request is hook
    request_add(lambda name, **_: seen.append(name))
    arguments = {"request_type": "GET", "response_time": 1.0, "response_length": 0}
    request_fire(name="a", **arguments)
    hook.fire(name="b", **arguments)
    counts.notify(name="c", **arguments)
    taken = counts.take()
    assert ([key.name for key in taken.series], list(taken.requests)) == (["a", "b"], [1, 1])
    assert seen == ["a", "b", "c"]


def test_the_last_recorder_of_shared_events_counts_alone() -> None:
    """Two environments with the same events count a request once, in the one whose recorder came last."""
    first = Environment(user_classes=[Shopper])
    before = Recorder.of(first)
    after = Recorder.of(Environment(user_classes=[Shopper], events=first.events))
    first.events.request.fire(request_type="GET", name="a", response_time=1.0, response_length=0)
    assert (list(before.take().requests), [int(n) for n in after.take().requests]) == ([], [1])


def fire(environment: Environment, **arguments: object) -> Measurements:
    """Fire one request and take what was recorded."""
    counts = Recorder.of(environment)
    complete = {"request_type": "GET", "name": "n", "response_time": 1.0, "response_length": 0} | arguments
    environment.events.request.fire(**complete)
    return counts.take()


class StatusError(Exception):
    """An error that carries a response, as requests' does."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.response = type("Response", (), {"status_code": status})()


@pytest.mark.parametrize(
    ("exception", "expected"),
    [
        (CatchResponseError("wrong"), "assertion"),
        (StatusError(404), "status_4xx"),
        (StatusError(503), "status_5xx"),
        (StatusError(302), "status_other"),
        (TimeoutError(), "timeout_read"),
        (ConnectionResetError(), "reset"),
        (ConnectionRefusedError(), "connect"),
        (KeyError("x"), "exception"),
        ("just a text", "exception"),
    ],
)
def test_errors_of_stock_users_get_a_class(exception: BaseException | str, expected: str) -> None:
    """What a stock client reports as exception is counted under a class of the bounded vocabulary."""
    taken = fire(Environment(), exception=exception)
    assert [error.error_class for error in taken.errors] == [expected]
    assert expected in ERROR_CLASSES
    assert taken.failures.tolist() == [1]


def test_a_request_without_duration_is_counted() -> None:
    """Locust allows a duration of None: the request counts, the duration does not."""
    taken = fire(Environment(), response_time=None, response_length=None)
    assert taken.requests.tolist() == [1]
    assert taken.response_time.count == 0


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("response_time", "fast"),
        ("response_time", 1j),
        ("response_length", "much"),
        ("response_length", -1),
        ("response_length", 1 << 63),
        ("response_length", math.inf),
        ("response_length", math.nan),
        ("response_length", [1]),
    ],
)
def test_a_request_that_nobody_can_count_is_a_finding(
    part: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends no user, spoils no other request, and is named with its place in the record."""
    environment = Environment()
    assert fire(environment, response_length=7).response_bytes.tolist() == [7]
    taken = fire(environment, **{part: value})
    (lost,) = taken.exceptions
    assert (lost.scenario, lost.exception, lost.occurrences) == (LISTENERS, "UnrecordedRequest", 1)
    assert lost.message.startswith("GET n is in no figure: ")
    assert "test_recorder.py:" in lost.place
    assert not len(taken.series)
    assert "could not be recorded" in caplog.text
    assert fire(environment, response_length=7).requests.tolist() == [1]


def test_an_event_without_what_it_should_tell_is_a_finding() -> None:
    """A client of one's own may fire anything."""
    environment = Environment()
    counts = Recorder.of(environment)
    environment.events.request.fire(request_type="GET", name="n")
    (lost,) = counts.take().exceptions
    assert (lost.scenario, lost.exception) == (LISTENERS, "UnrecordedRequest")


@pytest.mark.parametrize(("length", "size_bytes"), [(None, 0), (2.5, 2), ("12", 12), (1 << 50, 1 << 50)])
def test_a_size_counts_in_whole_bytes(length: object, size_bytes: int) -> None:
    """However a client gives it."""
    taken = fire(Environment(), response_length=length)
    assert (taken.response_bytes.tolist(), taken.exceptions) == ([size_bytes], ())


def test_an_intended_start_is_consumed_by_the_first_request() -> None:
    """A stock user's request takes the intended start of its iteration, once."""
    environment = Environment(user_classes=[Shopper])
    user = Shopper(environment)
    counts = Recorder()
    user.intended_start_s = time.perf_counter() - 1.0
    counts.on_request("GET", "n", 250.0, 0, user=user)
    counts.on_request("GET", "n", 250.0, 0, user=user)
    taken = counts.take()
    assert user.intended_start_s is None
    assert taken.schedule_lag.count == 1
    assert pytest.approx(taken.schedule_lag.total().max_s, abs=0.05) == 0.75
    assert pytest.approx(taken.response_time.total().max_s, abs=0.05) == 1.0
    assert pytest.approx(taken.service_time.total().max_s, abs=0.001) == 0.25


class Raising:
    """Stands for a user whose task raises."""

    scenario = "shop"

    def task(self) -> None:
        """Raise from within a library."""
        json.loads("{")


def test_an_exception_is_counted_where_the_scenario_raised_it() -> None:
    """The place is the last line of the scenario's own code, not the library's, and equal ones count together."""
    recorder = Recorder()
    for _ in range(3):
        try:
            Raising().task()
        except ValueError as error:
            recorder.on_user_error(Raising(), error, error.__traceback__)
    [counted] = recorder.take().exceptions
    line = Raising.task.__code__.co_firstlineno + 2
    assert (counted.scenario, counted.exception, counted.occurrences) == ("shop", "JSONDecodeError", 3)
    assert counted.place == f"tests/unit/measuring/test_recorder.py:{line} in task"
    assert recorder.take().exceptions == ()


def test_an_exception_that_says_how_a_request_failed_is_that_requests() -> None:
    """What raise_for_status() raises is counted already, as a failed request: of our clients, and of stock ones."""
    recorder = Recorder()
    ours, theirs = StatusError(503), requests.HTTPError("503", response=requests.Response())
    mark_counted(ours)
    recorder.on_request("GET", "page", 1.0, 0, requests.HTTPError("503"), response=theirs.response)
    for failure in (ours, theirs):
        recorder.on_user_error(None, failure)
    assert recorder.take().exceptions == ()


def test_an_exception_of_a_request_that_nobody_counted_is_one_of_the_scenario() -> None:
    """Such as that of a body which broke off behind its head, or of a client that reports nothing."""
    recorder = Recorder()
    for failure in (StatusError(503), requests.HTTPError("503", response=requests.Response())):
        recorder.on_user_error(None, failure)
    assert [counted.exception for counted in recorder.take().exceptions] == ["StatusError", "HTTPError"]


def test_an_attribute_of_the_scenario_is_no_phase() -> None:
    """A user may have a `phase` of its own; its requests are load."""
    recorder = Recorder()
    recorder.on_request("GET", "page", 1.0, 0, user=type("Shopper", (), {"phase": "checkout"})())
    recorder.series("shop", "GET", "page", "checkout").success(1.0, 1.0, 1.1, 0)
    assert {key.phase for key in recorder.take().series} == {"load"}


def test_distinct_exceptions_are_bounded_and_none_is_lost() -> None:
    """Beyond the bound the message goes, never the count."""
    recorder = Recorder()
    for number in range(3 * MAX_MESSAGES):
        recorder.on_user_error(None, KeyError(number))
    counted = recorder.take().exceptions
    assert len(counted) == MAX_MESSAGES + 1
    assert sum(one.occurrences for one in counted) == 3 * MAX_MESSAGES


@pytest.mark.parametrize(
    ("place", "expected"), [("", True), ("/a", True), ("/b", False), ("http://[", False), ("['/a', '/b']", False)]
)
def test_a_redirect_that_is_not_followed_leads_nowhere_or_to_another_place(place: str, expected: bool) -> None:
    """What is no URL is another place, and no reason to lose the request."""
    assert leads_nowhere(302, (), "http://127.0.0.1/a", place) is expected


def test_phases_of_connections_are_no_requests_and_bounded() -> None:
    """Each is kept by scenario and host, the first hosts apart; none is in a figure of requests, or a tally."""
    counts, record = Recorder(), RunRecord()
    series = counts.series("shop", "GET", "buy")
    series.tally(labels.DNS, "shop.example:443", 0.5)
    for number in range(labels.MAX_HOSTS + 5):
        series.tally(labels.CONNECT, "shop.example:443" if number == 0 else f"{number}.example:80", 0.25)
    series.success(1.0, 1.0, 2.0, 3)
    record.add(counts.take(), 0)
    (shop, *others) = as_dict(record)["connections"]
    assert (record.requests, record.tallies()) == (1, [])
    assert [shop[name] for name in ("scenario", "host", "tls")] == ["shop", "shop.example:443", None]
    assert [shop[phase]["max_s"] for phase in ("dns", "connect")] == [0.5, 0.25]
    assert len(others) == labels.MAX_HOSTS
    assert others[-1]["host"] == "other"
    assert others[-1]["connect"]["count"] == 5
