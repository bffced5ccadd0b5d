"""Declared tasks, users and requests that never occurred."""

import pytest

from loadtest.judging import declared
from loadtest.measuring.labels import OTHER
from loadtest.measuring.record import RunRecord


def record_of(begun: dict[str, int], shares: dict[str, float], user: str = "Shopper") -> RunRecord:
    """A record of one User class with these tasks."""
    tasks = [{"scenario": "shop", "user": user, "task": task, "share": share} for task, share in shares.items()]
    return RunRecord(context={"tasks": tasks}, tasks={("shop", task): times for task, times in begun.items()})


@pytest.mark.parametrize(("begun", "named"), [(28, False), (29, True)])
def test_a_task_that_was_never_begun_is_named_where_that_is_no_chance(begun: int, named: bool) -> None:
    """One of ten is missing from 28 iterations with a probability of 5.2 %, from 29 with 4.7 %."""
    notes = list(declared.notes(record_of({"look": begun}, {"look": 0.9, "buy": 0.1})))
    assert notes == (["1 of 2 tasks were never begun: buy"] if named else [])


def test_a_user_class_none_of_whose_users_began_a_task_is_named_with_all() -> None:
    """There was no user of it, as with a small weight among few users."""
    record = record_of({}, {"look": 0.9, "buy": 0.1}, user="Buyer")
    assert list(declared.notes(record)) == ["2 of 2 tasks were never begun: look, buy"]


def test_tasks_that_were_not_kept_apart_are_none_that_are_missing() -> None:
    """Beyond the cap, tasks count as other."""
    record = record_of({"look": 100}, {"look": 0.9, "buy": 0.1})
    record.tasks[OTHER, OTHER] = 1
    assert list(declared.notes(record)) == []


def test_declared_requests_that_were_never_made_are_named_up_to_five() -> None:
    """The number of the others is given."""
    record = RunRecord(context={"declared": [("GET", str(number)) for number in range(7)]})
    [note] = declared.notes(record)
    assert note == "7 of 7 declared requests were never made: GET 0, GET 1, GET 2, GET 3, GET 4 and 2 more"
