"""The pool of an open-model worker: growth, limits, drops, and the life cycle of Locust's users."""

import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import gevent
import pytest
from locust import SequentialTaskSet, TaskSet, User, tag, task
from locust.env import Environment
from locust.exception import StopUser

from loadtest.exceptions import UsageError
from loadtest.measuring.labels import ITERATION
from loadtest.measuring.recorder import Recorder
from loadtest.users.base import LoadUser
from loadtest.users.pool import UserPool, check_user_class

said: list[str] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Clear the log of earlier users."""
    said.clear()


def until(is_so: Callable[[], bool]) -> None:
    """Let other greenlets run until a condition is true, for at most 20 s, since machines differ."""
    with gevent.Timeout(20):
        while not is_so():
            gevent.sleep(0.001)


class Worker:
    """A runner with a pool, and a way to start arrivals like the pacer, from the event loop's greenlet."""

    def __init__(self, *user_classes: type[User], **options: Any) -> None:
        self.environment = Environment(user_classes=list(user_classes), **options)
        self.runner = self.environment.create_local_runner()
        self.pool = UserPool(self.runner)

    def arrive(self, count: int = 1, intended_s: float = 1.0) -> None:
        """Start this many arrivals and let their users run."""
        left = [count]

        def start() -> None:
            left[0] -= 1
            self.pool.start(intended_s)

        for _ in range(count):
            gevent.get_hub().loop.run_callback(start)
        until(lambda: not left[0] and not self.pool._orders and not any(p.waiting for p in self.pool._pools.values()))
        gevent.sleep(0.03)

    def grow_to(self, users: int) -> None:
        """Create users, and wait until they are ready."""
        self.pool.grow_to(users)
        until(lambda: self.pool.is_prepared)

    def dropped(self) -> int:
        """Return the number of iterations dropped since the last call."""
        return int(Recorder.of(self.environment).take().dropped.sum())

    def end(self) -> None:
        """Stop as Locust does."""
        self.pool.close()
        self.runner.stop_users(self.runner.user_classes_count)
        self.runner.quit()


@pytest.fixture
def worker_of() -> Iterator[Any]:
    """Yield a way to make workers, which are ended afterwards."""
    workers: list[Worker] = []

    def make(*user_classes: type[User], **options: Any) -> Worker:
        workers.append(Worker(*user_classes, **options))
        return workers[-1]

    yield make
    for worker in workers:
        worker.end()


class Quick(LoadUser):
    """Logs its actions, without delay."""

    def on_start(self) -> None:
        """Log it."""
        said.append("start")

    def on_stop(self) -> None:
        """Log it."""
        said.append("stop")

    @task
    def work(self) -> None:
        """Log the intended start."""
        said.append(f"work {self.intended_start_s}")


class Slow(LoadUser):
    """Is busy for a while."""

    @task
    def work(self) -> None:
        """Take half a second."""
        gevent.sleep(0.5)
        said.append("done")


def test_a_user_executes_one_task_per_arrival(worker_of: Any) -> None:
    """An arrival is one task, started with its intended start; the wait time is ignored; one user is enough."""
    worker = worker_of(Quick)
    worker.pool.set_limits({"Quick": 10})
    worker.arrive(intended_s=1.5)
    worker.arrive(intended_s=2.5)
    assert said == ["start", "work 1.5", "work 2.5"]
    assert (worker.runner.user_count, worker.dropped()) == (1, 0)


def test_an_iteration_takes_from_its_arrival_to_the_end_of_its_task(worker_of: Any) -> None:
    """Each arrival counts once, separately from the requests, even for a TaskSet with its own loop."""

    class Looping(TaskSet):
        def run(self) -> None:
            said.append("loop")

    class Waiting(Quick):
        tasks: ClassVar[list[Any]] = [Looping, Quick.work]

    worker = worker_of(Waiting)
    worker.pool.set_limits({"Waiting": 1})
    for _ in range(20):
        worker.arrive(intended_s=time.perf_counter() - 50.0)
    taken = Recorder.of(worker.environment).take()
    assert [(key.name, key.phase) for key in taken.series] == [("", ITERATION)]
    assert (taken.requests.tolist(), taken.response_time.row(0).min_s >= 50) == ([20], True)
    assert {"loop", "start"} <= set(said)


def test_an_arrival_that_sends_no_request_is_counted_as_such(worker_of: Any) -> None:
    """Its intended start, which the first request would take, is still there at its end."""

    class Sending(Quick):
        sent = 0

        @task
        def send(self) -> None:
            self.intended_start_s = None  # as a client does

    class Idle(Quick):
        pass

    worker = worker_of(Sending, Idle)
    worker.pool.set_limits({"Sending": 1, "Idle": 0})
    Sending.tasks = [Sending.send]
    for _ in range(2):
        worker.arrive()
    worker.pool.set_limits({"Sending": 0, "Idle": 1})
    for _ in range(3):
        worker.arrive()
    tasks = Recorder.of(worker.environment).take().tasks
    assert sorted((row.task.rpartition(".")[2], row.begun, row.idle) for row in tasks) == [
        ("send", 2, 0),
        ("work", 3, 3),
    ]


def test_the_pool_grows_and_then_drops(worker_of: Any) -> None:
    """Busy users make the pool grow to its limit; further arrivals are dropped and counted."""
    worker = worker_of(Slow)
    worker.pool.set_limits({"Slow": 3})
    worker.arrive(5)
    assert (worker.runner.user_count, worker.dropped()) == (3, 2)
    until(lambda: worker.pool.is_quiet)
    worker.arrive(1)
    until(lambda: worker.pool.is_quiet)
    assert (worker.runner.user_count, worker.dropped(), said) == (3, 0, ["done"] * 4)
    assert worker.pool.is_quiet


def test_an_arrival_prefers_a_user_that_becomes_idle(worker_of: Any) -> None:
    """A user that becomes idle in time takes the waiting arrivals, and no other is created."""

    class Brief(LoadUser):
        @task
        def work(self) -> None:
            gevent.sleep(0)
            said.append("done")

    worker = worker_of(Brief)
    worker.pool.set_limits({"Brief": 10})
    worker.arrive(1)
    worker.arrive(5)
    assert (worker.runner.user_count, len(said), worker.dropped()) == (1, 6, 0)


def test_users_can_be_there_before_they_are_needed(worker_of: Any) -> None:
    """Preallocated users have run on_start and wait."""
    worker = worker_of(Quick)
    worker.pool.set_limits({"Quick": 4})
    worker.grow_to(3)
    assert (worker.runner.user_count, said) == (3, ["start"] * 3)


def test_no_limit_means_no_start(worker_of: Any) -> None:
    """Without any user allowed, every arrival is dropped, including those that the pacer could not start."""
    worker = worker_of(Quick)
    worker.arrive(4)
    worker.pool.drop(3)
    assert worker.dropped() == 7


def test_a_lower_limit_ends_users(worker_of: Any) -> None:
    """Surplus users end: idle ones immediately, busy ones after their iteration."""
    worker = worker_of(Slow)
    worker.pool.set_limits({"Slow": 5})
    worker.grow_to(5)
    worker.arrive(4)
    worker.pool.set_limits({"Slow": 2})
    until(lambda: worker.runner.user_count == 4)
    until(lambda: worker.pool.is_quiet and worker.runner.user_count == 2)
    assert (worker.runner.user_count, said) == (2, ["done"] * 4)


def test_stopping_ends_each_user_with_on_stop(worker_of: Any) -> None:
    """Locust's stop calls on_stop of every user; waiting arrivals are counted as dropped."""
    worker = worker_of(Quick)
    worker.pool.set_limits({"Quick": 2})
    worker.grow_to(2)
    worker.pool.close()
    worker.runner.stop_users(worker.runner.user_classes_count)
    assert (said, worker.runner.user_count) == (["start", "start", "stop", "stop"], 0)


def test_stop_timeout_lets_an_iteration_finish(worker_of: Any) -> None:
    """A busy user finishes its iteration within stop_timeout."""
    worker = worker_of(Slow, stop_timeout=2)
    worker.pool.set_limits({"Slow": 1})
    worker.arrive(1)
    worker.pool.close()
    worker.runner.stop_users(worker.runner.user_classes_count)
    assert (said, worker.runner.user_count) == (["done"], 0)


def test_classes_are_chosen_by_their_limits(worker_of: Any) -> None:
    """Two classes share the arrivals as Locust's dispatcher distributes users."""

    class Often(LoadUser):
        @task
        def work(self) -> None:
            said.append("often")

    class Seldom(LoadUser):
        @task
        def work(self) -> None:
            said.append("seldom")

    worker = worker_of(Often, Seldom)
    worker.pool.set_limits({"Often": 30, "Seldom": 10})
    worker.grow_to(10)
    worker.arrive(2000)
    assert len(said) == 2000
    assert said.count("often") / len(said) == pytest.approx(0.75, abs=0.05)


def test_tasks_are_chosen_by_weight(worker_of: Any) -> None:
    """Weights of tasks apply to arrivals too, and so do tags."""

    class Weighted(LoadUser):
        @task(4)
        def often(self) -> None:
            said.append("often")

        @task(1)
        def seldom(self) -> None:
            said.append("seldom")

        @tag("left out")
        @task(100)
        def never(self) -> None:
            said.append("never")

    worker = worker_of(Weighted, exclude_tags=["left out"])
    worker.environment._filter_tasks_by_tags()
    worker.pool.set_limits({"Weighted": 10})
    worker.grow_to(10)
    worker.arrive(2000)
    assert said.count("never") == 0
    assert said.count("often") / len(said) == pytest.approx(0.8, abs=0.05)


class Stage(SequentialTaskSet):
    """Three steps, then out."""

    def on_start(self) -> None:
        """Say so."""
        said.append("enter")

    def on_stop(self) -> None:
        """Say so."""
        said.append("leave")

    @task
    def first(self) -> None:
        """Say so."""
        said.append("first")

    @task
    def second(self) -> None:
        """Say so."""
        said.append("second")

    @task
    def third(self) -> None:
        """Leave."""
        self.interrupt(reschedule=False)


class Staged(LoadUser):
    """Is in the stage from its first arrival on."""

    tasks: ClassVar = [Stage]


def test_a_task_set_goes_on_from_arrival_to_arrival(worker_of: Any) -> None:
    """An arrival executes one step of the user's current TaskSet; interrupting it leads back to the parent."""
    worker = worker_of(Staged)
    worker.pool.set_limits({"Staged": 1})
    worker.arrive()
    assert said == ["enter", "first"]
    for _ in range(3):
        worker.arrive()
    assert said == ["enter", "first", "second", "leave", "enter", "first"]


def test_leaving_task_sets_when_stopped(worker_of: Any) -> None:
    """A user stopped inside nested TaskSets leaves them from the innermost on, before its own on_stop."""

    class Outer(TaskSet):
        def on_stop(self) -> None:
            said.append("leave outer")

        @task
        class Inner(TaskSet):
            def on_stop(self) -> None:
                said.append("leave inner")

            @task
            def work(self) -> None:
                said.append("work")

    class Nested(LoadUser):
        tasks: ClassVar = [Outer]

        def on_stop(self) -> None:
            said.append("stop")

    worker = worker_of(Nested)
    worker.pool.set_limits({"Nested": 1})
    worker.arrive()
    worker.arrive()
    worker.pool.close()
    worker.runner.stop_users(worker.runner.user_classes_count)
    assert said == ["work", "work", "leave inner", "leave outer", "stop"]


def test_an_interruption_without_a_request_takes_the_next_task(worker_of: Any) -> None:
    """A TaskSet that only interrupts costs no arrival as long as no request was sent; an endless one ends."""

    class Left(TaskSet):
        @task
        def leave(self) -> None:
            said.append("leave")
            self.interrupt()

    class Leaving(LoadUser):
        tasks: ClassVar = [Left]

    worker = worker_of(Leaving)
    worker.pool.set_limits({"Leaving": 1})
    worker.arrive()
    assert said == ["leave"] * 10

    class Requested(TaskSet):
        @task
        def leave(self) -> None:
            said.append("request")
            self.user.intended_start_s = None  # as a client does when it sends
            self.interrupt()

    class Requesting(LoadUser):
        tasks: ClassVar = [Requested]

    said.clear()
    worker = worker_of(Requesting)
    worker.pool.set_limits({"Requesting": 1})
    worker.arrive()
    assert said == ["request"]


def test_an_error_in_a_task_is_reported_and_the_user_goes_on(worker_of: Any) -> None:
    """An exception fires Locust's user_error event; the user takes the next arrival."""

    class Failing(LoadUser):
        @task
        def work(self) -> None:
            raise ValueError("broken task")

    worker = worker_of(Failing)
    errors: list[str] = []
    worker.environment.events.user_error.add_listener(lambda exception, **_: errors.append(str(exception)))
    worker.pool.set_limits({"Failing": 1})
    worker.arrive()
    worker.arrive()
    assert (errors, worker.runner.user_count) == (["broken task"] * 2, 1)


def test_a_user_that_stops_itself_is_replaced(worker_of: Any) -> None:
    """StopUser ends a user; another one is created for the next arrival."""

    class Once(LoadUser):
        @task
        def work(self) -> None:
            said.append("work")
            raise StopUser

    worker = worker_of(Once)
    worker.pool.set_limits({"Once": 1})
    worker.arrive()
    assert worker.runner.user_count == 0
    worker.arrive()
    assert (said, worker.dropped()) == (["work", "work"], 0)


@pytest.mark.parametrize("where", ["__init__", "on_start"])
def test_arrivals_are_dropped_when_no_user_can_be_made(worker_of: Any, where: str) -> None:
    """An error in the constructor or in on_start costs the waiting arrivals, which are counted."""

    class Broken(LoadUser):
        def __init__(self, environment: Environment) -> None:
            super().__init__(environment)
            if where == "__init__":
                raise ValueError("no such file")

        def on_start(self) -> None:
            raise ValueError("no login")

        @task
        def work(self) -> None:
            said.append("work")

    worker = worker_of(Broken)
    # The greenlet of a user that fails in on_start ends with its error, as in Locust; its print is not for the tests.
    gevent.get_hub().handle_error = lambda *_: None
    worker.pool.set_limits({"Broken": 2})
    worker.arrive(5)
    del gevent.get_hub().handle_error
    taken = worker.pool._recorder.take()
    assert (said, int(taken.dropped.sum()), worker.runner.user_count) == ([], 5, 0)
    assert {(one.exception, one.ends_user) for one in taken.exceptions} == {("ValueError", True)}


def test_stock_locust_users_take_arrivals(worker_of: Any) -> None:
    """A User class of Locust's own runs unchanged, and its first request counts from the intended start."""

    class Stock(User):
        @task
        def work(self) -> None:
            for _ in range(2):
                self.environment.events.request.fire(
                    request_type="GET", name="x", response_time=1.0, response_length=1, exception=None, context={}
                )

    worker = worker_of(Stock)
    worker.pool.set_limits({"Stock": 1})
    worker.arrive(intended_s=0.0)
    taken = Recorder.of(worker.environment).take().by_phase()
    assert (taken["load"].requests.sum(), taken["load"].schedule_lag.count) == (2, 1)
    assert taken[ITERATION].requests.tolist() == [1]


def test_a_class_with_its_own_loop_is_refused() -> None:
    """A User class that overrides run() is refused, and the error has its name and the next step."""

    class Looping(User):
        def run(self) -> None:
            """Loop."""

    with pytest.raises(UsageError, match=r"Looping overrides run\(\).*Next: "):
        check_user_class(Looping)
