"""The behaviours of users, TaskSets and tags in Locust's own tests: stock users and ours behave the same.

A journey makes a User class from a given base class and logs the user's actions. Further behaviours of the loop
are in test_task_walker.py and test_task_loop.py, those of the HTTP client in clients/http/test_locusts_behaviours.py.
"""

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import gevent
import pytest
from gevent.pool import Group
from locust import SequentialTaskSet, TaskSet, User, constant, tag, task
from locust.env import Environment
from locust.exception import InterruptTaskSet, StopUser
from locust.user.inspectuser import get_ratio
from locust.user.markov_taskset import MarkovTaskSet, transition, transitions

from loadtest.users.base import LoadUser

Log = list[Any]
Journey = Callable[[type[User], Log], type[User]]


def of(base: type[User], *holders: Any, **attributes: Any) -> type[User]:
    """A User class with these tasks."""
    return type("Someone", (base,), {"tasks": list(holders), **attributes})


def noting(log: Log, *words: Any, last: Callable[[Any], Any] | None = None) -> list[Callable[[Any], None]]:
    """A task per word, which logs it; the last one ends as specified."""

    def noted(word: Any) -> Callable[[Any], None]:
        def work(holder: Any) -> None:
            log.append(word)
            if word == words[-1] and last is not None:
                last(holder)

        return work

    return [noted(word) for word in words]


def stop(_holder: Any) -> None:
    """End the user."""
    raise StopUser


def sequence_of_a_list(base: type[User], log: Log) -> type[User]:
    """The order of the list."""
    return of(base, type("Steps", (SequentialTaskSet,), {"tasks": noting(log, 1, 2, 3, last=stop)}))


def sequence_of_a_mapping(base: type[User], log: Log) -> type[User]:
    """Each comes as often as its weight, one after the other."""
    one, two, three = noting(log, 1, 2, 3, last=stop)
    return of(base, type("Steps", (SequentialTaskSet,), {"tasks": {one: 3, two: 2, three: 1}}))


def sequence_of_methods_and_a_list(base: type[User], log: Log) -> type[User]:
    """They come in the order of their definition."""

    class Steps(SequentialTaskSet):
        @task
        def one(self) -> None:
            log.append(1)

        tasks = noting(log, 101, 102)

        @task
        def last(self) -> None:
            log.append(3)
            raise StopUser

    return of(base, Steps)


def sequence_with_inheritance(base: type[User], log: Log) -> type[User]:
    """The base's steps come first."""

    class Basic(SequentialTaskSet):
        @task
        def one(self) -> None:
            log.append(1)

        tasks = noting(log, 30)

    class Further(Basic):
        tasks = noting(log, 20)

        @task
        def two(self) -> None:
            log.append(2)
            raise StopUser

    return of(base, Further)


def sequence_again(base: type[User], log: Log) -> type[User]:
    """After the last step the first one follows."""

    class Steps(SequentialTaskSet):
        @task
        def one(self) -> None:
            log.append(1)

        @task
        def two(self) -> None:
            log.append(2)
            if len(log) == 6:
                raise StopUser

    return of(base, Steps)


def markov_chain(base: type[User], log: Log) -> type[User]:
    """Each step leads to the next."""

    class Chain(MarkovTaskSet):
        @transition("two")
        def one(self) -> None:
            log.append(1)

        @transition("three")
        def two(self) -> None:
            log.append(2)

        @transition("one")
        def three(self) -> None:
            log.append(3)
            if len(log) == 6:
                raise StopUser

    return of(base, Chain)


def markov_chain_with_weights(base: type[User], log: Log) -> type[User]:
    """Only existing transitions occur, and each of them eventually."""
    visited: Log = []

    class Chain(MarkovTaskSet):
        @transition("two", weight=1)
        def one(self) -> None:
            visited.append(1)

        @transitions({"one": 2, "three": 1})
        def two(self) -> None:
            visited.append(2)

        @transitions(["one"])
        def three(self) -> None:
            visited.append(3)
            if len(visited) > 200:
                log.extend(sorted(set(pairwise(visited))))
                raise StopUser

    return of(base, Chain)


def interruptions(base: type[User], log: Log) -> type[User]:
    """on_start and on_stop at each visit; what on_stop raises ends the user; the second step is never reached."""

    class Visit(SequentialTaskSet):
        def on_start(self) -> None:
            log.append("on_start")

        @task
        def first(self) -> None:
            log.append("first")
            self.interrupt(reschedule=len(log) % 2 == 0)

        @task
        def second(self) -> None:
            log.append("second")

        def on_stop(self) -> None:
            log.append("on_stop")
            if log.count("on_stop") == 2:
                raise StopUser

    return of(base, Visit, wait_time=constant(0))


def interruption_by_an_exception(base: type[User], log: Log) -> type[User]:
    """Raising InterruptTaskSet is interrupt()."""

    class Visit(TaskSet):
        @task
        def work(self) -> None:
            log.append("work")
            if len(log) == 3:
                raise StopUser
            raise InterruptTaskSet(reschedule=False)

    return of(base, Visit)


def parents(base: type[User], log: Log) -> type[User]:
    """Each TaskSet has the outer one and its user."""

    class Root(TaskSet):
        @task
        class Sub(TaskSet):
            def on_start(self) -> None:
                log.append((type(self.parent).__name__, self.user is self.parent.user))

            @task
            class Deepest(TaskSet):
                def on_start(self) -> None:
                    log.append((type(self.parent).__name__, self.user is self.parent.parent.user))

                @task
                def work(self) -> None:
                    raise StopUser

    return of(base, Root)


def user_of_a_task_set(base: type[User], log: Log) -> type[User]:
    """It cannot be set."""

    class Rebel(TaskSet):
        @task
        def work(self) -> None:
            try:
                self.user = "another"  # type: ignore[misc, assignment]
            except AttributeError:
                log.append("refused")
            raise StopUser

    return of(base, Rebel)


def tasks_scheduled_by_tasks(base: type[User], log: Log) -> type[User]:
    """A bound method that a task schedules comes next; tasks of the outer TaskSet come after the inner one."""

    class Planner(TaskSet):
        @task
        def plan(self) -> None:
            log.append("plan")
            self.schedule_task(self.do)

        def do(self) -> None:
            log.append("do")
            if len(log) == 4:
                raise StopUser

    return of(base, Planner)


def task_set_of_an_abstract_user(base: type[User], log: Log) -> type[User]:
    """It runs in the subclass."""

    class Abstract(base):  # type: ignore[misc, valid-type]
        abstract = True

        @task
        class Inner(TaskSet):
            @task
            def work(self) -> None:
                log.append("work")
                raise StopUser

    return type("Concrete", (Abstract,), {})


def wait_time_as_a_method(base: type[User], log: Log) -> type[User]:
    """A TaskSet's own wait_time may use its attributes; without one it is its user's, and that is 0 by default."""

    class Own(TaskSet):
        pause = 2

        def wait_time(self) -> float:
            return 1 + self.pause

        @task
        def work(self) -> None:
            log.extend([self.wait_time(), Default(self.user).wait_time(), self.user.wait_time()])
            raise StopUser

    class Default(TaskSet):
        @task
        def work(self) -> None:
            """Nothing."""

    return of(base, Own)


def stop_in_a_wait(base: type[User], log: Log) -> type[User]:
    """Every TaskSet that the user is in, from the innermost, and the user get their on_stop."""

    class Outer(TaskSet):
        @task
        class Inner(TaskSet):
            @task
            def work(self) -> None:
                log.append("work")
                gevent.spawn_later(0.01, self.user.stop)

            def on_stop(self) -> None:
                log.append("inner")

    class Someone(base):  # type: ignore[misc, valid-type]
        tasks = [Outer]  # noqa: RUF012 -- Locust's form
        wait_time = constant(60)

        def on_stop(self) -> None:
            log.append("user")

    return Someone


def no_tasks(base: type[User], log: Log) -> type[User]:
    """The error says so, and what may be meant by an attribute `task`."""
    for attributes in ({}, {"task": object()}):
        user_class = type("Idle", (base,), attributes)
        try:
            user_class(Environment(user_classes=[user_class], catch_exceptions=False)).run()
        except Exception as error:  # Locust chooses the kind
            log.append(str(error))
    return of(base, stop)


JOURNEYS: dict[Journey, Log] = {
    sequence_of_a_list: [1, 2, 3],
    sequence_of_a_mapping: [1, 1, 1, 2, 2, 3],
    sequence_of_methods_and_a_list: [1, 101, 102, 3],
    sequence_with_inheritance: [1, 30, 20, 2],
    sequence_again: [1, 2, 1, 2, 1, 2],
    markov_chain: [1, 2, 3, 1, 2, 3],
    markov_chain_with_weights: [(1, 2), (2, 1), (2, 3), (3, 1)],
    interruptions: ["on_start", "first", "on_stop"] * 2,
    interruption_by_an_exception: ["work"] * 3,
    parents: [("Root", True), ("Sub", True)],
    user_of_a_task_set: ["refused"],
    tasks_scheduled_by_tasks: ["plan", "do", "plan", "do"],
    task_set_of_an_abstract_user: ["work"],
    wait_time_as_a_method: [3, 0, 0],
    stop_in_a_wait: ["work", "inner", "user"],
}
"""Each with what the user does."""


def lived(base: type[User], journey: Journey) -> Log:
    """The log of a user of this base class on its journey."""
    random.seed(7)
    log: Log = []
    user_class = journey(base, log)
    greenlet = user_class(Environment(user_classes=[user_class])).start(Group())
    greenlet.join(timeout=20)
    assert greenlet.ready()
    return log


@pytest.mark.parametrize("base", [User, LoadUser])
@pytest.mark.parametrize("journey", JOURNEYS, ids=lambda journey: journey.__name__)
def test_a_journey_goes_as_with_locusts_user(journey: Journey, base: type[User]) -> None:
    """The user behaves as in the table, on the stock base class and on ours."""
    assert lived(base, journey) == JOURNEYS[journey]


def test_a_user_without_tasks_says_the_same() -> None:
    """With our base class the error's text is Locust's own."""
    texts = lived(LoadUser, no_tasks)
    assert texts == lived(User, no_tasks)
    assert ["No tasks defined on Idle" in text for text in texts] == [True, True]


def tagged(base: type[User]) -> type[User]:
    """A User class whose tasks have tags, weights, and TaskSets with tags of their own and of their tasks."""

    def untagged(_holder: Any) -> None:
        """Nothing."""

    class Mixed(TaskSet):
        tasks = [untagged]  # noqa: RUF012

        @tag("a")
        @task(2)
        def twice(self) -> None:
            """Nothing."""

        @tag("b")
        @task
        def once(self) -> None:
            """Nothing."""

    @tag("a", "b")
    class Both(TaskSet):
        @task
        def any(self) -> None:
            """Nothing; it has the tags of its TaskSet."""

    class Tagged(base):  # type: ignore[misc, valid-type]
        tasks = {Mixed: 1, Both: 2, untagged: 3}  # noqa: RUF012

        @tag("a")
        @task
        def own(self) -> None:
            """Nothing."""

    return Tagged


def names_of(holder: Any) -> Log:
    """The names of a holder's tasks, those of a TaskSet after its own."""
    return [(each.__name__, names_of(each)) if isinstance(each, type) else each.__name__ for each in holder.tasks]


MIXED, BOTH = ("Mixed", ["untagged", "twice", "twice", "once"]), ("Both", ["any"])
TAGS: dict[tuple[str, str], Log] = {
    ("", ""): [MIXED, BOTH, BOTH, *["untagged"] * 3, "own"],
    ("a", ""): [("Mixed", ["twice", "twice"]), BOTH, BOTH, "own"],
    ("a b", ""): [("Mixed", ["twice", "twice", "once"]), BOTH, BOTH, "own"],
    ("", "a"): [("Mixed", ["untagged", "once"]), *["untagged"] * 3],
    ("b", "a"): [("Mixed", ["once"])],
    ("a", "b"): [("Mixed", ["twice", "twice"]), "own"],
}
"""Tags to take and to leave out, and what is left."""


@pytest.mark.parametrize("base", [User, LoadUser])
@pytest.mark.parametrize(("taken", "left_out"), TAGS)
def test_tags_leave_the_same_tasks(taken: str, left_out: str, base: type[User]) -> None:
    """This includes their weights, and nested TaskSets."""
    user_class = tagged(base)
    environment = Environment(
        user_classes=[user_class], tags=taken.split() or None, exclude_tags=left_out.split() or None
    )
    environment._filter_tasks_by_tags()
    assert names_of(user_class) == TAGS[taken, left_out]


def test_a_class_tells_the_same_of_itself() -> None:
    """This covers its full name, and the shares of its tasks that `--show-task-ratio` prints."""
    found = []
    for base in (User, LoadUser):
        user_class = tagged(base)
        name = user_class.fullname()
        found.append((name, get_ratio([user_class], {name.rpartition(".")[2]: 1}, total=True)))
    assert found[0] == found[1]
    assert found[0][0] == "tests.unit.users.test_locusts_behaviours.tagged.Tagged"
