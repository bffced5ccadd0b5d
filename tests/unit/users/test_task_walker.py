"""TaskSets of a LoadUser run as in Locust: nested, interrupted, scheduled, and of other kinds.

How the walker serves arrivals is tested in test_pool.py, on_start, on_stop and errors in test_base.py.
"""

from time import perf_counter

import gevent
import pytest
from locust import SequentialTaskSet, TaskSet, constant, task
from locust.env import Environment
from locust.exception import InterruptTaskSet, RescheduleTaskImmediately, StopUser
from locust.user.markov_taskset import MarkovTaskSet, transition

from loadtest.users.base import LoadUser
from tests.stopping_users import Stopping, run_until_stopped, started


def test_nested_task_set_keeps_its_user_until_interrupted():
    """A TaskSet runs task after task until interrupt(); then the user's own tasks continue."""

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
                assert self.user is self.parent
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
    """interrupt() in the innermost TaskSet continues with the outer one."""

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
    """interrupt(reschedule=True) starts the parent's next task immediately; False waits first."""

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

    assert ["work", *["wait"] * waits, "work"] == run_until_stopped(Interrupted).log


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
    """A user that never waits still lets the others run."""

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


def test_user_that_interrupts_its_task_sets_stops_gracefully():
    """stop() takes effect between two TaskSets even if each returns immediately."""

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


def test_wait_time_of_a_task_set_overrides_its_users():
    """A TaskSet with its own wait_time uses it; others use the user's."""

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
    """A TaskSet that overrides a method of Locust's loop keeps its behaviour."""

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
    """schedule_task() puts a task, or a bound method, before randomly chosen ones."""

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


def test_tasks_are_scheduled_for_a_user_without_task_set():
    """Those scheduled first precede waiting ones, and all precede randomly chosen ones."""

    class Planned(Stopping):
        limit = 4

        def on_start(self):
            for name, first in (("second", False), ("third", False), ("first", True)):
                self._taskset_instance.schedule_task(lambda user, name=name: user.note(name), first=first)

        @task
        def work(self):
            self.note("work")

    assert run_until_stopped(Planned).log == ["first", "second", "third", "work"]


def test_interrupt_of_a_user_without_task_set_leaves_it():
    """Interrupting the outermost level ends the user with the exception, as in Locust."""

    class Outermost(LoadUser):
        @task
        def work(self):
            raise InterruptTaskSet

    with pytest.raises(RescheduleTaskImmediately):
        Outermost(Environment(user_classes=[Outermost])).run()
