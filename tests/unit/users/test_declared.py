"""The tasks that User classes declare."""

import pytest
from locust import HttpUser, TaskSet, User, task
from locust.env import Environment

from loadtest.clients.http import HttpUser as OurUser
from loadtest.users import declared


class Browse(TaskSet):
    """Two tasks, one of them twice as often."""

    @task(2)
    def look(self) -> None:
        """Look."""

    @task
    def leave(self) -> None:
        """Leave."""


def test_the_tasks_of_nested_task_sets_have_their_part_of_the_whole() -> None:
    """Weights multiply; a TaskSet itself is not a task."""

    class Shopper(OurUser):
        scenario = "shop"
        tasks = [Browse]  # noqa: RUF012

        @task(2)
        def buy(self) -> None:
            """Buy."""

    found = {one["task"].rpartition(".")[2]: one for one in declared.tasks([Shopper])}
    assert {name: one["share"] for name, one in found.items()} == pytest.approx(
        {"buy": 2 / 3, "look": 2 / 9, "leave": 1 / 9}
    )
    assert {(one["scenario"], one["user"]) for one in found.values()} == {("shop", "Shopper")}


def test_a_user_with_a_loop_of_its_own_declares_nothing_that_is_counted() -> None:
    """Its tasks, if any, are not counted."""

    class Loop(User):
        tasks = [Browse]  # noqa: RUF012

        def run(self) -> None:
            """Do something else."""

    assert declared.tasks([Loop]) == []
    assert [one["task"] for one in declared.tasks([type("Stock", (HttpUser,), {"tasks": [Browse]})])]


def test_a_task_set_within_itself_is_visited_once() -> None:
    """Locust allows it."""
    kind = type("Circle", (TaskSet,), {"tasks": [Browse]})
    kind.tasks.append(kind)
    user_class = type("Visitor", (OurUser,), {"tasks": [kind]})
    assert [one["task"].rpartition(".")[2] for one in declared.tasks([user_class])] == ["look", "leave"]


def test_classes_without_users_are_said_with_the_cause() -> None:
    """Locust leaves out those of weight 0; a fixed_count of 0 counts as none, and excludes no class."""
    left_out, chosen, not_chosen, unfixed = (
        type(name, (OurUser,), {"tasks": [Browse], **more})
        for name, more in (("LeftOut", {"weight": 0}), ("Chosen", {}), ("Other", {}), ("Unfixed", {"fixed_count": 0}))
    )
    taking_part = Environment(user_classes=[left_out, chosen, unfixed]).user_classes
    assert list(declared.absent([left_out, chosen, not_chosen, unfixed], taking_part)) == [
        "no users of LeftOut ran: its weight is 0",
        "no users of Other ran: it was not chosen",
        "fixed_count = 0 of Unfixed fixes no number: its users ran by its weight, 1",
    ]
