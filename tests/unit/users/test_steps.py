"""Transactions and checks: counted in addition to the requests, from the intended start, failed if a part failed."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import gevent
import pytest
from gevent.pool import Group
from locust import task
from locust.env import Environment
from locust.exception import InterruptTaskSet, StopUser

from loadtest.exceptions import UsageError
from loadtest.measuring.labels import CHECK, TRANSACTION
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.users.base import LoadUser
from loadtest.users.steps import check
from tests.http_harness import ScriptedServer, always, ok, running_user

BAD = ok(b"").replace(b"200 OK", b"503 Service Unavailable")


def lived(work: Callable[[Any], None]) -> RunRecord:
    """The record of a user that did this once."""

    class Doing(LoadUser):
        @task
        def do(self) -> None:
            try:
                work(self)
            finally:
                self.environment.done = True
            raise StopUser

    environment = Environment(user_classes=[Doing])
    recorder = Recorder.of(environment)
    Doing(environment).start(Group()).join(timeout=10)
    record = RunRecord()
    record.add(recorder.take(), 0)
    return record


def outcomes(record: RunRecord, phase: str) -> dict[str, tuple[int, int]]:
    """The number of runs and failures of each transaction or check."""
    return {view.name: (view.requests, view.failures) for view in record.of_phase(phase).series()}


def reasons(record: RunRecord) -> list[tuple[str, str, str]]:
    """Name, class and message of each failed transaction."""
    return [(one.name, one.error_class, one.message) for one in record.of_phase(TRANSACTION).errors()]


def test_a_check_counts_and_returns_what_it_was_given() -> None:
    """Met and unmet checks count by name, and in no figure of the requests."""
    returned = []
    record = lived(lambda _: returned.extend([check("has an id", "id"), check("has an id", []), check("is new", 1)]))
    assert returned == [True, False, True]
    assert outcomes(record, CHECK) == {"has an id": (2, 1), "is new": (1, 0)}
    assert (record.requests, record.failures, record.errors()) == (0, 0, [])


def test_a_check_counts_for_the_user_that_spawned_its_greenlet() -> None:
    """Its first argument may be anything."""
    record = lived(lambda _: gevent.joinall([gevent.spawn(check, name, True) for name in ("a", "b")]))
    assert outcomes(record, CHECK) == {"a": (1, 0), "b": (1, 0)}


def test_a_check_that_nothing_would_count_is_refused() -> None:
    """Outside of a user there is no scenario for which it could count."""
    with pytest.raises(UsageError, match=r"check\('x'\) is called outside of a user.*Next: call it there"):
        check("x", True)


def test_a_transaction_is_measured_from_the_intended_start() -> None:
    """It begins at the intended start of the iteration; a second one begins when it is called."""

    def work(user: Any) -> None:
        user.intended_start_s = perf_counter() - 5.0
        with user.transaction("late"):
            user.intended_start_s = None  # as the first request leaves it
            gevent.sleep(0.02)
        with user.transaction("next"):
            gevent.sleep(0.02)

    record = lived(work)
    times = {view.name: view.response_time.min_s for view in record.of_phase(TRANSACTION).series()}
    assert times["late"] >= 5.02
    assert 0.02 <= times["next"] < times["late"]
    assert record.schedule_lag == {"Doing": record.schedule_lag["Doing"]}
    assert record.schedule_lag["Doing"].count == 0


def fails_check(_: Any) -> None:
    """A check in it fails."""
    check("holds", False)


def fails_inside(user: Any) -> None:
    """A transaction in it fails, whose exception it catches."""
    with pytest.raises(KeyError), user.transaction("inner"):
        raise KeyError("id")


def raises(_: Any) -> None:
    """An exception leaves it."""
    raise ValueError("no id")


def is_killed(_: Any) -> None:
    """Its user is killed in it."""
    raise gevent.GreenletExit


PART = ("outer", "other", "a request, a check or a transaction in it failed")
FAILING = {
    "a check": (fails_check, [PART]),
    "a transaction": (fails_inside, [("inner", "exception", "KeyError: 'id'"), PART]),
    "an exception": (raises, [("outer", "exception", "ValueError: no id")]),
    "an end": (is_killed, [("outer", "unfinished", "not complete when the user was stopped")]),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_transaction_fails_with_a_part_of_it(case: str) -> None:
    """A later transaction without that part does not fail."""
    part, expected = FAILING[case]

    def work(user: Any) -> None:
        try:
            with user.transaction("outer"):
                part(user)
        except (ValueError, gevent.GreenletExit):
            pass
        with user.transaction("later"):
            pass

    record = lived(work)
    assert sorted(reasons(record)) == sorted(expected)
    assert outcomes(record, TRANSACTION)["later"] == (1, 0)
    assert (record.requests, record.failures) == (0, 0)


@pytest.mark.parametrize(("end", "counted"), [(StopUser, {}), (InterruptTaskSet, {"left": (1, 0)})])
def test_a_transaction_that_a_stop_cut_off_is_not_counted(end: type[Exception], counted: dict[str, Any]) -> None:
    """It is shorter than it would have been; one that the scenario leaves on its own is complete."""

    def work(user: Any) -> None:
        with user.transaction("left"):
            raise end

    assert outcomes(lived(work), TRANSACTION) == counted


@pytest.mark.parametrize(("answer", "failed"), [(ok(b"{}"), 0), (BAD, 1)])
def test_a_transaction_fails_with_a_request_of_it(answer: bytes, failed: int) -> None:
    """The requests are unchanged, and the transaction is an additional figure."""
    with ScriptedServer(always(answer)) as server, running_user(server.url) as user:
        with user.transaction("checkout"):
            user.client.get("/cart")
            user.client.get("/order")
        record = RunRecord()
        record.add(user.recorder.take(), 0)
    assert outcomes(record, TRANSACTION) == {"checkout": (1, failed)}
    assert (record.requests, record.failures) == (2, 2 * failed)
    (transaction,) = record.of_phase(TRANSACTION).series()
    assert transaction.response_time.max_s >= record.total().response_time.max_s
