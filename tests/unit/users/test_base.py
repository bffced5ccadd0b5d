"""LoadUser behaves like Locust's own User: tasks and tags, starts, stops, and errors."""

from time import perf_counter

import gevent
import pytest
from gevent.pool import Group
from locust import TaskSet, constant, tag, task
from locust.env import Environment
from locust.exception import StopUser

from loadtest.measuring import recorder
from loadtest.measuring.measurements import OWN_END
from loadtest.measuring.recorder import NOT_STARTED, STUCK, Recorder
from loadtest.users.base import LoadUser
from tests.stopping_users import Stopping, run_until_stopped, started


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


def test_a_user_runs_in_a_greenlet_that_keeps_little():
    """Locust finds the user in its arguments; the greenlet has no dictionary and no reference to its spawner."""

    class Waiting(Stopping):
        wait_time = constant(60)

        @task
        def once(self):
            self.note("once")

    user, greenlet = started(Waiting)
    gevent.sleep(0.01)
    assert greenlet is user._greenlet
    assert (greenlet.args, vars(greenlet), greenlet.spawning_stack) == ((user,), {}, None)
    greenlet.kill()
    assert (user.log, greenlet.ready()) == (["once"], True)


def test_tags_choose_tasks():
    """Only tasks with a wanted tag run, none with an excluded one, also in nested TaskSets."""

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
    """A waiting user is killed immediately; every on_stop runs, and close() last."""

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
    """stop() lets the running task finish, and no other one begins. This is what stop_timeout waits for."""

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
    """Under Locust's runner with a stop timeout every begun task ends, also in TaskSets."""
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
    """With catch_exceptions off the exception leaves the user, and is reported once, from a nested TaskSet too."""
    errors = []

    class Failing(LoadUser):
        @task
        class Nested(TaskSet):
            @task
            def work(self):
                raise RuntimeError("task broke")

    environment = Environment(user_classes=[Failing], catch_exceptions=False)
    environment.events.user_error.add_listener(lambda exception, **_: errors.append(str(exception)))
    with pytest.raises(RuntimeError, match="task broke"):
        Failing(environment).run()
    assert errors == ["task broke"]


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


@pytest.mark.parametrize("source", ["task", "on_stop"])
def test_whatever_ends_a_user_is_counted(source):
    """This includes exceptions outside of Exception, such as an expired gevent.Timeout, and those of on_stop."""

    class Ending(Stopping):
        @task
        def work(self):
            if source == "task":
                raise gevent.Timeout(0.1)
            raise StopUser

        def on_stop(self):
            if source == "on_stop":
                raise RuntimeError("stop broke")

    environment = Environment(user_classes=[Ending])
    with pytest.raises((gevent.Timeout, RuntimeError)):
        Ending(environment).run()
    raised = {(one.exception, one.ends_user) for one in Recorder.of(environment).take().exceptions}
    assert raised - {("StopUser", True)} == {("Timeout" if source == "task" else "RuntimeError", True)}


def test_a_user_that_ends_itself_is_counted_with_its_place():
    """If users ended themselves, the place in their code is reported; a user stopped from outside has none."""

    class Leaving(Stopping):
        @task
        def work(self):
            raise StopUser

    environment = Environment(user_classes=[Leaving])
    Leaving(environment).run()
    [end] = Recorder.of(environment).take().exceptions
    assert (end.exception, end.message, end.ends_user) == ("StopUser", OWN_END, True)
    assert end.place == f"tests/unit/users/test_base.py:{Leaving.work.__code__.co_firstlineno + 2} in work"
    user, greenlet = started(type("Waiting", (Stopping,), {"tasks": [lambda _user: gevent.sleep(60)]}))
    gevent.sleep(0)
    user.stop(force=True)
    greenlet.join(timeout=10)
    assert Recorder.of(user.environment).take().exceptions == ()


@pytest.mark.parametrize(("limit_s", "expected"), [(0.0, [NOT_STARTED]), (60.0, [])])
def test_a_user_that_is_stopped_in_its_on_start_never_began(limit_s, expected, monkeypatch):
    """It existed without making load; within the first seconds that means a run that ends during a login."""
    monkeypatch.setattr(recorder, "STARTING_S", limit_s)
    user, greenlet = started(type("Hanging", (Stopping,), {"on_start": lambda _user: gevent.sleep(60)}))
    gevent.sleep(0.01)
    user.stop(force=True)
    greenlet.join(timeout=10)
    assert [one.message for one in Recorder.of(user.environment).take().exceptions] == expected


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


def test_what_on_start_and_on_stop_send_is_set_up():
    """The recorder's series change with the user's state, not per request."""

    class Customer(Stopping):
        limit = 2

        def send(self, name):
            self.recorder.series("shop", "GET", name, self.phase).success(0.0, 0.0, 0.1, 1)

        def on_start(self):
            self.send("login")

        @task
        def buy(self):
            self.send("buy")
            self.note("bought")

        def on_stop(self):
            self.send("logout")

    user = run_until_stopped(Customer)
    taken = user.recorder.take()
    assert dict(zip(((key.name, key.phase) for key in taken.series), taken.requests.tolist(), strict=True)) == {
        ("login", "setup"): 1,
        ("buy", "load"): 2,
        ("", "iteration"): 1,
        ("logout", "setup"): 1,
    }


@pytest.mark.parametrize(("limit_s", "expected"), [(0.0, [STUCK]), (60.0, [])])
def test_a_user_that_is_stopped_in_its_own_code_was_no_load_for_as_long(limit_s, expected, monkeypatch):
    """For most of its life it was neither waiting nor in a request."""
    monkeypatch.setattr(recorder, "STARTING_S", limit_s)

    def work(user):
        user.log.append("here")
        gevent.sleep(60)

    user, greenlet = started(type("Stuck", (Stopping,), {"tasks": [work], "last_request_s": lambda _user: 0.0}))
    while not user.log:
        gevent.sleep(0.01)
    gevent.sleep(0.01)
    user.stop(force=True)
    greenlet.join(timeout=10)
    rows = Recorder.of(user.environment).take().exceptions
    assert [row.message for row in rows] == expected
    assert all(row.ends_user and row.place.endswith(" in work") for row in rows)


def test_a_user_that_sent_a_request_lately_is_not_stuck(monkeypatch):
    """Its own code may take some time between two requests."""
    monkeypatch.setattr(recorder, "STARTING_S", 0.0)

    def work(user):
        gevent.sleep(0.2)
        setattr(user, recorder.ANSWERED, perf_counter())
        user.log.append("here")
        gevent.sleep(60)

    user, greenlet = started(type("Busy", (Stopping,), {"tasks": [work]}))
    while not user.log:
        gevent.sleep(0.005)
    user.stop(force=True)
    greenlet.join(timeout=10)
    assert Recorder.of(user.environment).take().exceptions == ()
