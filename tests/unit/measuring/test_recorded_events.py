"""Locust's request event: how requests of stock users reach the recorder."""

import math
import time

import gevent
import pytest
from locust import User, task
from locust.env import Environment
from locust.exception import CatchResponseError

from loadtest.clients.http.errors import UnfinishedError
from loadtest.measuring.error_classes import ERROR_CLASSES
from loadtest.measuring.labels import SeriesKey
from loadtest.measuring.measurements import LISTENERS, Measurements
from loadtest.measuring.recorder import Recorder
from tests.http_harness import StatusError


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
    """A request of a stock user is recorded under its user's scenario, but not by Locust's own listener."""
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
    """Without a record nothing is stored for one, and Locust's own listener receives the clients' events."""
    environment = Environment(user_classes=[Shopper])
    environment.create_local_runner()
    recorder = Recorder.alongside_locust(environment)
    assert Recorder.of(environment) is recorder
    run_for_a_moment(environment)  # a stock user beside
    series = recorder.series("shop", "GET", "look")
    request = {"request_type": "GET", "name": "look", "response_time": 7.0, "response_length": 3, "context": {}}
    series.success(1.0, 1.0, 1.007, 3)
    recorder.notify(**request, exception=None)
    series.failure(1.0, 1.0, 1.007, 3, "reset", "gone")
    recorder.notify(**request, exception=ConnectionResetError("gone"))
    recorder.notify(**request, exception=UnfinishedError())  # Locust does not count it, and would end with code 1
    counted = environment.stats.get("look", "GET")
    assert (counted.num_requests, counted.num_failures, counted.avg_response_time) == (2, 1, 7.0)
    assert environment.stats.get("buy", "POST").num_requests >= 5
    assert recorder.waiting() == 0
    assert recorder.take().series == ()


def test_a_user_made_before_the_runner_is_recorded() -> None:
    """Locust's statistics do not exist yet, so counting cannot be left to them."""
    environment = Environment(user_classes=[Shopper])
    recorder = Recorder.alongside_locust(environment)
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
    """The hook itself, its fire() and its add_listener(), referenced before there is a recorder, work as before."""
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
    """Two environments with the same events count a request once, in the one with the latest recorder."""
    first = Environment(user_classes=[Shopper])
    before = Recorder.of(first)
    after = Recorder.of(Environment(user_classes=[Shopper], events=first.events))
    first.events.request.fire(request_type="GET", name="a", response_time=1.0, response_length=0)
    assert (list(before.take().requests), [int(n) for n in after.take().requests]) == ([], [1])


def fire(environment: Environment, **arguments: object) -> Measurements:
    """Fire one request and return what was recorded."""
    counts = Recorder.of(environment)
    complete = {"request_type": "GET", "name": "n", "response_time": 1.0, "response_length": 0} | arguments
    environment.events.request.fire(**complete)
    return counts.take()


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
    """A stock client's exception is counted under a class of the bounded vocabulary."""
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
    """It ends no user, affects no other request, and is named with its place in the record."""
    environment = Environment()
    assert fire(environment, response_length=7).response_bytes.tolist() == [7]
    taken = fire(environment, **{part: value})
    (lost,) = taken.exceptions
    assert (lost.scenario, lost.exception, lost.occurrences) == (LISTENERS, "UnrecordedRequest", 1)
    assert lost.message.startswith("GET n is in no figure: ")
    assert "test_recorded_events.py:" in lost.place
    assert not len(taken.series)
    assert "could not be recorded" in caplog.text
    assert fire(environment, response_length=7).requests.tolist() == [1]


def test_an_event_without_what_it_should_tell_is_a_finding() -> None:
    """A custom client may fire anything."""
    environment = Environment()
    counts = Recorder.of(environment)
    environment.events.request.fire(request_type="GET", name="n")
    (lost,) = counts.take().exceptions
    assert (lost.scenario, lost.exception) == (LISTENERS, "UnrecordedRequest")


@pytest.mark.parametrize(("length", "size_bytes"), [(None, 0), (2.5, 2), ("12", 12), (1 << 50, 1 << 50)])
def test_a_size_counts_in_whole_bytes(length: object, size_bytes: int) -> None:
    """A client may give the size in any form."""
    taken = fire(Environment(), response_length=length)
    assert (taken.response_bytes.tolist(), taken.exceptions) == ([size_bytes], ())


def test_an_intended_start_is_consumed_by_the_first_request() -> None:
    """The first request of a stock user takes the intended start of its iteration; later ones do not."""
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
