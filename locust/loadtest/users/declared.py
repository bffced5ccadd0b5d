"""Declared: the tasks of User classes with their shares, so that a task that never begins can be reported."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypedDict

from locust import TaskSet, User
from locust.user.task import is_markov_taskset

from loadtest.measuring.users import name_of_task, scenario_of
from loadtest.users.base import LoadUser

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator


class DeclaredTask(TypedDict):
    """A task of a User class."""

    scenario: str
    user: str
    """The User class."""
    task: str
    """The name under which it is counted."""
    share: float
    """Its share of the class's iterations by weight, above 0 and at most 1."""


def tasks(user_classes: Iterable[type[User]]) -> list[DeclaredTask]:
    """Return the tasks of these classes; classes with a loop of their own are skipped, since their tasks are not
    counted."""
    return [
        DeclaredTask(scenario=scenario_of(kind), user=kind.__name__, task=task, share=share)
        for kind in user_classes
        if kind.run in (User.run, LoadUser.run)
        for task, share in _shares(kind, 1.0, ())
    ]


def _shares(holder: Any, whole: float, outer: tuple[Any, ...]) -> Iterator[tuple[str, float]]:
    """Yield the task functions of a User or TaskSet class, including those of nested TaskSets."""
    for task, times in Counter(holder.tasks).items():
        share = whole * times / len(holder.tasks)
        if not (isinstance(task, type) and issubclass(task, TaskSet)):
            yield name_of_task(task), share
        elif task.run is TaskSet.run and not is_markov_taskset(task) and task not in outer:
            yield from _shares(task, share, (*outer, task))


def absent(user_classes: Iterable[type[User]], taking_part: Collection[type[User]]) -> Iterator[str]:
    """Report User classes of a scenario that have no users, or not as many as their fixed_count suggests.

    Args:
        user_classes: those of the scenario.
        taking_part: those of the test.
    """
    for kind in user_classes:
        if kind not in taking_part:
            yield f"no users of {kind.__name__} ran: {'it was not chosen' if kind.weight else 'its weight is 0'}"
        elif vars(kind).get("fixed_count") == 0:
            yield f"fixed_count = 0 of {kind.__name__} fixes no number: its users ran by its weight, {kind.weight:g}"
