"""LoadUser runs tasks as Locust's own User does: waits, weights, tags, TaskSets, starts, stops and interrupts."""

import random
from collections import Counter
from time import perf_counter

import gevent
import pytest
from gevent.pool import Group
from locust import (
    SequentialTaskSet,
    TaskSet,
    between,
    constant,
    constant_pacing,
    constant_throughput,
    tag,
    task,
)
from locust.env import Environment
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopUser
from locust.user.markov_taskset import MarkovTaskSet, transition

from loadtest import task_loop
from loadtest.user import LoadUser


def started(user_class: type[LoadUser], **environment) -> tuple[LoadUser, gevent.Greenlet]:
    """A user of a fresh environment, running."""
    user = user_class(Environment(user_classes=[user_class], **environment))
    return user, user.start(Group())


def run_until_stopped(user_class: type[LoadUser], **environment) -> LoadUser:
    """A user that has run until it raised StopUser, at most ten seconds."""
    user, greenlet = started(user_class, **environment)
    greenlet.join(timeout=10)
    assert greenlet.ready()
    return user


class Stopping(LoadUser):
    """Counts its tasks in ``log`` and stops after ``limit`` of them."""

    abstract = True
    limit = 1000

    def __init__(self, environment):
        super().__init__(environment)
        self.log = []

    def note(self, what):
        """Remember what ran."""
        self.log.append(what)
        if len(self.log) >= self.limit:
            raise StopUser


def test_weights_decide_how_often_a_task_runs():
    """@task(3) runs three times as often as @task; so do dict and list of tasks."""

    class Decorated(Stopping):
        limit = 4000

        @task
        def rare(self):
            self.note("rare")

        @task(3)
        def often(self):
            self.note("often")

    def rare(user):
        user.note("rare")

    def often(user):
        user.note("often")

    class Mapped(Stopping):
        limit = 4000
        tasks = {rare: 1, often: 3}  # noqa: RUF012 -- Locust's form

    class Listed(Stopping):
        limit = 4000
        tasks = [(rare, 1), (often, 3)]  # noqa: RUF012

    random.seed(1)
    for user_class in (Decorated, Mapped, Listed):
        found = Counter(run_until_stopped(user_class).log)
        assert found["rare"] == pytest.approx(1000, abs=120)


def test_tasks_of_base_classes_run_too():
    """A subclass has its base's tasks and its own."""

    class Base(Stopping):
        abstract = True
        limit = 100

        @task
        def base(self):
            self.note("base")

    class Derived(Base):
        @task
        def own(self):
            self.note("own")

    assert set(run_until_stopped(Derived).log) == {"base", "own"}


def test_tags_choose_tasks():
    """Only tasks with a wanted tag run, none with an excluded one, in nested TaskSets too."""

    class Tagged(Stopping):
        limit = 50

        @tag("a")
        @task
        def first(self):
            self.note("a")

        @tag("b")
        @task
        def second(self):
            self.note("b")

        @tag("a", "c")
        @task
        def third(self):
            self.note("ac")

        @task
        class Nested(TaskSet):
            @tag("a")
            @task
            def inner(self):
                self.user.note("inner")
                self.interrupt()

            @task
            def untagged(self):
                self.user.note("untagged")
                self.interrupt()

    user_class = Tagged
    environment = Environment(user_classes=[user_class], tags=["a"], exclude_tags=["c"])
    environment._filter_tasks_by_tags()
    user = user_class(environment)
    user.start(Group()).join(timeout=10)
    assert set(user.log) == {"a", "inner"}


def test_on_start_runs_before_and_on_stop_after_the_tasks():
    """on_start, tasks, on_stop, each TaskSet's inside its user's."""

    class Ordered(Stopping):
        def on_start(self):
            self.log.append("user on_start")

        def on_stop(self):
            self.log.append("user on_stop")

        @task
        class Nested(TaskSet):
            def on_start(self):
                self.user.log.append("set on_start")

            def on_stop(self):
                self.user.log.append("set on_stop")

            @task
            def work(self):
                self.user.log.append("task")
                raise StopUser

    log = run_until_stopped(Ordered).log
    assert log == ["user on_start", "set on_start", "task", "set on_stop", "user on_stop"]


def test_on_stop_runs_when_a_waiting_user_is_killed():
    """Stopping a user that waits kills it at once; every on_stop runs, and close() last."""

    class Waiting(Stopping):
        wait_time = constant(60)

        def on_stop(self):
            self.log.append("on_stop")

        def close(self):
            self.log.append("close")

        @task
        def work(self):
            self.log.append("task")

    user, greenlet = started(Waiting)
    gevent.sleep(0.02)
    assert user.stop() is True
    greenlet.join(timeout=5)
    assert user.log == ["task", "on_stop", "close"]


def test_running_task_ends_before_a_graceful_stop():
    """stop() lets the running task finish; no further one begins. That is what stop_timeout waits for."""

    class Busy(Stopping):
        def on_stop(self):
            self.log.append("on_stop")

        @task
        def work(self):
            self.log.append("begun")
            gevent.sleep(0.05)
            self.log.append("ended")

    user, greenlet = started(Busy)
    gevent.sleep(0.02)
    assert user.stop() is False
    greenlet.join(timeout=5)
    assert user.log == ["begun", "ended", "on_stop"]


def test_forced_stop_interrupts_the_task():
    """stop(force=True) ends the task where it is, and on_stop still runs."""

    class Busy(Stopping):
        def on_stop(self):
            self.log.append("on_stop")

        @task
        def work(self):
            self.log.append("begun")
            gevent.sleep(60)
            self.log.append("ended")

    user, greenlet = started(Busy)
    gevent.sleep(0.02)
    assert user.stop(force=True) is True
    greenlet.join(timeout=5)
    assert user.log == ["begun", "on_stop"]


@pytest.mark.parametrize("nested", [False, True])
def test_runner_with_stop_timeout_waits_for_tasks(nested):
    """Under Locust's runner with a stop timeout every begun task ends, in TaskSets too."""
    log = []

    def work(_self):
        log.append("begun")
        gevent.sleep(0.05)
        log.append("ended")

    holder = type("Tasks", (TaskSet,), {"tasks": [work]})
    user_class = type("Busy", (LoadUser,), {"tasks": [holder] if nested else [work], "wait_time": constant(0)})
    environment = Environment(user_classes=[user_class], stop_timeout=2)
    runner = environment.create_local_runner()
    runner.start(5, spawn_rate=100)
    gevent.sleep(0.12)
    runner.stop()
    assert runner.user_count == 0
    assert log.count("begun") == log.count("ended") >= 5


def test_nested_task_set_keeps_its_user_until_interrupted():
    """A TaskSet runs task after task until interrupt(); then the user's own tasks go on."""

    class Nesting(Stopping):
        limit = 30

        @task
        def outer(self):
            self.note("outer")

        @task
        class Nested(TaskSet):
            def on_start(self):
                self.runs = 0

            @task
            def inner(self):
                assert self.parent is self.user
                self.runs += 1
                self.user.note(f"inner {self.runs}")
                if self.runs == 3:
                    self.interrupt()

    log = run_until_stopped(Nesting).log
    text = " ".join(log)
    assert "outer" in text
    for at, what in enumerate(log[:-2]):
        if what == "inner 1":
            assert log[at + 1 : at + 3] == ["inner 2", "inner 3"]


def test_task_set_in_a_task_set_hands_back_to_its_parent():
    """interrupt() of the innermost TaskSet continues with the one around it."""

    class Deep(Stopping):
        @task
        class Outer(SequentialTaskSet):
            @task
            def first(self):
                self.user.note("first")

            @task
            class Inner(TaskSet):
                @task
                def innermost(self):
                    self.user.note("innermost")
                    self.interrupt()

            @task
            def last(self):
                self.user.note("last")
                raise StopUser

    assert run_until_stopped(Deep).log == ["first", "innermost", "last"]


@pytest.mark.parametrize(("reschedule", "waits"), [(True, 0), (False, 1)])
def test_interrupt_waits_only_without_reschedule(reschedule, waits):
    """interrupt(reschedule=True) begins the parent's next task at once; False waits first."""

    class Interrupted(Stopping):
        def wait_time(self):
            self.log.append("wait")
            return 0

        @task
        class Nested(TaskSet):
            @task
            def work(self):
                self.user.log.append("work")
                if self.user.log.count("work") == 2:
                    raise StopUser
                self.interrupt(reschedule=reschedule)

    assert run_until_stopped(Interrupted).log == ["work", *["wait"] * waits, "work"]


def test_on_start_of_a_task_set_may_interrupt():
    """interrupt() in on_start returns to the parent before any task."""

    class Refusing(Stopping):
        @task
        class Nested(TaskSet):
            def on_start(self):
                self.user.log.append("on_start")
                if self.user.log.count("on_start") == 3:
                    raise StopUser
                self.interrupt()

            @task
            def never(self):
                self.user.log.append("never")

    assert run_until_stopped(Refusing).log == ["on_start"] * 3


def test_task_set_that_interrupts_itself_at_once_does_not_hold_the_process():
    """A user that never waits for anything still lets the others run."""

    class Selfish(LoadUser):
        @task
        class Nested(TaskSet):
            @task
            def work(self):
                self.interrupt()

    _, greenlet = started(Selfish)
    begun = perf_counter()
    gevent.sleep(0.05)
    assert perf_counter() - begun < 2
    greenlet.kill()


def test_task_that_waits_for_nothing_does_not_hold_the_process():
    """With a wait time of 0 and a task that never yields, other users still get their turn."""

    class Selfish(LoadUser):
        @task
        def work(self):
            pass

    _, greenlet = started(Selfish)
    begun = perf_counter()
    gevent.sleep(0.05)
    assert perf_counter() - begun < 2
    greenlet.kill()


def test_user_that_interrupts_its_task_sets_stops_gracefully():
    """stop() is heeded between two TaskSets even if each hands back at once."""

    class Interrupting(Stopping):
        limit = 50

        @task
        class Nested(TaskSet):
            @task
            def work(self):
                gevent.sleep(0.02)
                self.user.note("work")
                self.interrupt()

    user, greenlet = started(Interrupting)
    gevent.sleep(0.01)
    assert user.stop() is False
    greenlet.join(timeout=5)
    assert user.log == ["work"]


@pytest.mark.parametrize("raised", [RescheduleTask, RescheduleTaskImmediately])
def test_task_may_reschedule(raised):
    """RescheduleTask ends a task early, as return does, with or without the wait."""

    class Returning(Stopping):
        limit = 3

        def wait_time(self):
            self.log.append("wait")
            return 0

        @task
        def work(self):
            self.note("work")
            raise raised

    expected = ["work", "wait", "work"] if raised is RescheduleTask else ["work"] * 3
    assert run_until_stopped(Returning).log == expected


def test_error_in_a_task_is_reported_and_the_user_goes_on(caplog):
    """An exception is logged and fired as user_error; after the wait the next task runs."""
    errors = []

    class Failing(Stopping):
        limit = 2

        @task
        def work(self):
            self.note("work")
            raise RuntimeError("task broke")

    environment = Environment(user_classes=[Failing])
    environment.events.user_error.add_listener(lambda exception, **_: errors.append(str(exception)))
    user = Failing(environment)
    user.start(Group()).join(timeout=5)
    assert (user.log, errors) == (["work", "work"], ["task broke"])
    assert "task broke" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_error_in_a_task_ends_the_user_if_the_environment_says_so():
    """With catch_exceptions off the exception leaves the user."""

    class Failing(LoadUser):
        @task
        def work(self):
            raise RuntimeError("task broke")

    user = Failing(Environment(user_classes=[Failing], catch_exceptions=False))
    with pytest.raises(RuntimeError, match="task broke"):
        user.run()


def test_error_in_on_start_ends_the_user_and_is_reported():
    """A user whose on_start fails never runs a task."""
    errors = []

    class Failing(Stopping):
        def on_start(self):
            raise RuntimeError("start broke")

        @task
        def work(self):
            self.log.append("work")

    environment = Environment(user_classes=[Failing])
    environment.events.user_error.add_listener(lambda exception, **_: errors.append(str(exception)))
    user = Failing(environment)
    with pytest.raises(RuntimeError):
        user.run()
    assert (user.log, errors) == ([], ["start broke"])


def test_user_stopped_during_the_wait_after_an_error_gets_its_on_stop():
    """Stopping a user that waits because its task failed runs the TaskSet's on_stop too."""

    class Failing(Stopping):
        wait_time = constant(60)

        @task
        class Nested(TaskSet):
            def on_stop(self):
                self.user.log.append("set on_stop")

            @task
            def work(self):
                raise RuntimeError("x")

    user, greenlet = started(Failing)
    gevent.sleep(0.02)
    user.stop()
    greenlet.join(timeout=5)
    assert user.log == ["set on_stop"]


def test_user_without_tasks_says_so(caplog):
    """A User class without tasks logs what is missing, as Locust does."""

    class Empty(LoadUser):
        wait_time = constant(60)

    _, greenlet = started(Empty)
    gevent.sleep(0.02)
    greenlet.kill()
    assert "No tasks defined on Empty" in caplog.text


@pytest.mark.parametrize(
    ("wait_time", "duration_s", "expected_s"),
    [
        (constant(0.2), 0.1, 0.3),
        (between(0.19, 0.21), 0.1, 0.3),
        (constant_pacing(0.3), 0.1, 0.3),
        (constant_pacing(0.1), 0.3, 0.3),
        (constant_throughput(1 / 0.3), 0.1, 0.3),
    ],
)
def test_wait_times_space_the_iterations(wait_time, duration_s, expected_s):
    """constant, between, constant_pacing and constant_throughput keep the distance they promise."""

    class Paced(Stopping):
        limit = 4

        @task
        def work(self):
            self.note(perf_counter())
            gevent.sleep(duration_s)

    Paced.wait_time = wait_time
    averages_s = []
    for _ in range(3):  # a busy machine stretches a run; one that it left alone is enough
        times = run_until_stopped(Paced).log
        averages_s.append((times[-1] - times[0]) / 3)
        if averages_s[-1] == pytest.approx(expected_s, abs=0.05):
            break
    assert averages_s[-1] == pytest.approx(expected_s, abs=0.05)


def test_wait_time_of_a_task_set_overrides_its_users():
    """A TaskSet with a wait_time of its own uses it; others use the user's."""

    class Mixed(Stopping):
        limit = 3
        wait_time = constant(60)

        @task
        class Quick(TaskSet):
            wait_time = constant(0)

            @task
            def work(self):
                self.user.note("work")

    begun = perf_counter()
    assert run_until_stopped(Mixed).log == ["work"] * 3
    assert perf_counter() - begun < 5


def test_wait_in_a_task_waits():
    """self.wait() inside a task sleeps for the wait time."""

    class Resting(Stopping):
        wait_time = constant(0.05)

        @task
        def work(self):
            begun = perf_counter()
            self.wait()
            self.log.append(perf_counter() - begun)
            raise StopUser

    assert run_until_stopped(Resting).log[0] >= 0.05


def test_intended_start_is_the_end_of_the_wait():
    """After a wait the iteration's intended start is when the wait was to end; without one there is none."""

    class Watching(Stopping):
        limit = 3
        wait_time = constant(0.03)

        @task
        def work(self):
            self.note((self.intended_start_s, perf_counter()))

    log = run_until_stopped(Watching).log
    assert log[0][0] is None
    for intended_s, begun_s in log[1:]:
        assert 0 <= begun_s - intended_s < 0.05
    assert log[1][0] - log[0][1] == pytest.approx(0.03, abs=0.005)

    class Eager(Watching):
        wait_time = constant(0)

    assert [intended for intended, _ in run_until_stopped(Eager).log] == [None] * 3


def test_wait_time_may_set_the_intended_start_itself():
    """A pacing that knows the schedule sets the intended start, also in the past; it is left as it is."""

    class Scheduled(Stopping):
        limit = 2

        def wait_time(self):
            self.intended_start_s = 123.0
            return 0.001

        @task
        def work(self):
            self.note(self.intended_start_s)

    assert run_until_stopped(Scheduled).log == [None, 123.0]


def test_other_task_sets_of_locust_run():
    """SequentialTaskSet keeps its order, MarkovTaskSet follows its transitions."""

    class Sequence(SequentialTaskSet):
        @task
        def one(self):
            self.user.note(1)

        @task
        def two(self):
            self.user.note(2)

    class Markov(MarkovTaskSet):
        @transition("two")
        def one(self):
            self.user.note(1)

        @transition("one")
        def two(self):
            self.user.note(2)

    for holder in (Sequence, Markov):
        user_class = type("U", (Stopping,), {"tasks": [holder], "limit": 5})
        log = run_until_stopped(user_class).log
        assert log in ([1, 2, 1, 2, 1], [2, 1, 2, 1, 2])


def test_task_set_with_a_loop_of_its_own_runs_in_it():
    """A TaskSet that overrides a method of Locust's loop keeps its effect."""

    class Own(TaskSet):
        def execute_task(self, chosen):
            self.user.log.append("own")
            super().execute_task(chosen)

        @task
        def work(self):
            self.user.note("work")

    user_class = type("U", (Stopping,), {"tasks": [Own], "limit": 4})
    assert run_until_stopped(user_class).log == ["own", "work", "own", "work"]


def test_scheduled_tasks_run_first():
    """schedule_task() puts a task, a bound method too, before those chosen at random."""

    class Planned(Stopping):
        @task
        class Nested(TaskSet):
            def on_start(self):
                self.schedule_task(self.bound)
                self.schedule_task(Nested_first, first=True)

            def bound(self):
                self.user.note("bound")

            @task
            def work(self):
                self.user.note("work")
                raise StopUser

    def Nested_first(task_set):  # noqa: N802
        task_set.user.note("first")

    assert run_until_stopped(Planned).log == ["first", "bound", "work"]


def test_tasks_may_be_replaced_while_the_user_runs():
    """The list of tasks is read at each choice."""

    class Changing(Stopping):
        limit = 3

        @task
        def old(self):
            self.tasks = [Changing.new]
            self.note("old")

        def new(self):
            self.note("new")

    assert run_until_stopped(Changing).log == ["old", "new", "new"]


def test_interrupt_of_a_user_without_task_set_leaves_it():
    """Interrupting the outermost level ends the user with the exception, as in Locust."""

    class Outermost(LoadUser):
        @task
        def work(self):
            raise InterruptTaskSet

    with pytest.raises(RescheduleTaskImmediately):
        Outermost(Environment(user_classes=[Outermost])).run()


def test_loop_knows_which_task_sets_it_may_run():
    """Stock TaskSets run in the lean loop, those with a loop of their own do not."""
    own = type("Own", (TaskSet,), {"wait": lambda _self: None})
    assert task_loop._has_stock_loop(TaskSet)
    assert task_loop._has_stock_loop(SequentialTaskSet)
    assert not task_loop._has_stock_loop(own)
