"""The task loop works like Locust's: it chooses by weight, waits, reschedules, and keeps the intended start."""

import random
from collections import Counter
from time import perf_counter

import gevent
import pytest
from locust import SequentialTaskSet, TaskSet, between, constant, constant_pacing, constant_throughput, task
from locust.env import Environment
from locust.exception import RescheduleTask, RescheduleTaskImmediately, StopUser

from loadtest.measuring.labels import ITERATION
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.users import task_loop
from loadtest.users.base import LoadUser
from tests.event_loop import looks_at_sockets
from tests.stopping_users import Stopping, run_until_stopped, started


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


def test_tasks_that_wait_for_nothing_do_not_keep_answers_from_being_read():
    """Between two tasks of a user that only computes, arrived data of others is read."""
    tasks = 0

    class Computing(LoadUser):
        @task
        def compute(self):
            nonlocal tasks
            tasks += 1
            if tasks > 20:
                raise StopUser

    with looks_at_sockets() as looks:
        _, greenlet = started(Computing)
        greenlet.join(timeout=10)
    assert tasks == 21
    assert len(looks) >= 19


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
    """constant, between, constant_pacing and constant_throughput keep their intervals."""

    class Paced(Stopping):
        limit = 4

        @task
        def work(self):
            self.note(perf_counter())
            gevent.sleep(duration_s)

    Paced.wait_time = wait_time
    averages_s = []
    for _ in range(3):  # a busy machine stretches a run; one undisturbed run is enough
        times = run_until_stopped(Paced).log
        averages_s.append((times[-1] - times[0]) / 3)
        if averages_s[-1] == pytest.approx(expected_s, abs=0.05):
            break
    assert averages_s[-1] == pytest.approx(expected_s, abs=0.05)


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
    """After a wait, the iteration's intended start is the planned end of the wait; without a wait there is none."""

    class Watching(Stopping):
        limit = 3
        wait_time = constant(0.03)

        @task
        def work(self):
            self.note((self.intended_start_s, perf_counter()))

    log = run_until_stopped(Watching).log
    assert log[0][0] is None
    lags_s = [begun_s - intended_s for intended_s, begun_s in log[1:]]
    assert 0 <= min(lags_s) < 0.05  # a busy machine may be late once
    assert log[1][0] - log[0][1] == pytest.approx(0.03, abs=0.005)

    class Eager(Watching):
        wait_time = constant(0)

    assert [intended for intended, _ in run_until_stopped(Eager).log] == [None] * 3


@pytest.mark.parametrize("wait_s", [0.0, 0.01])
def test_iterations_that_send_no_request_are_counted(wait_s):
    """After a wait the intended start is unused; without a wait nothing was sent. One that raises does not count."""

    class Thinking(Stopping):
        limit = 7
        wait_time = constant(wait_s)
        sent_s = 0.0

        def last_request_s(self):
            return self.sent_s

        @task
        def work(self):
            self.note("here")
            if len(self.log) in {2, 5}:
                self.intended_start_s = None  # like a request with a response within one turn
                self.sent_s = perf_counter()
            if len(self.log) == 3:
                raise KeyError("price")

    [row] = Recorder.of(run_until_stopped(Thinking).environment).take().tasks
    assert (row.begun, row.idle) == (7, 2)  # the first one's requests are unknown; the seventh ended the user


def test_an_iteration_takes_from_its_intended_start_to_the_end_of_its_task():
    """The wait before it is excluded, its lateness included; one that raises counts, one ending its user does not."""

    class Late(Stopping):
        limit = 4

        def wait_time(self):
            self.intended_start_s = perf_counter() - 100.0
            return 0.001

        @task
        def work(self):
            self.note("work")
            self.intended_start_s = None  # as the first request leaves it
            if len(self.log) == 2:
                raise KeyError("price")

    record = RunRecord()
    record.add(Recorder.of(run_until_stopped(Late).environment).take(), 0)
    [view] = record.of_phase(ITERATION).series()
    times = view.response_time
    assert (view.scenario, times.count, times.min_s < 100 <= times.quantile(0.5), record.requests) == (
        "Late",
        3,
        True,
        0,
    )


def test_wait_time_may_set_the_intended_start_itself():
    """A pacing with a schedule may set an intended start, even in the past, which is kept."""

    class Scheduled(Stopping):
        limit = 2

        def wait_time(self):
            self.intended_start_s = 123.0
            return 0.001

        @task
        def work(self):
            self.note(self.intended_start_s)

    assert run_until_stopped(Scheduled).log == [None, 123.0]


def test_tasks_may_be_replaced_while_the_user_runs():
    """The list of tasks is read for each choice."""

    class Changing(Stopping):
        limit = 3

        @task
        def old(self):
            self.tasks = [Changing.new]
            self.note("old")

        def new(self):
            self.note("new")

    assert run_until_stopped(Changing).log == ["old", "new", "new"]


def test_loop_knows_which_task_sets_it_may_run():
    """Stock TaskSets run in this loop; those that override a method of Locust's loop do not."""
    own = type("Own", (TaskSet,), {"wait": lambda _self: None})
    assert [task_loop.has_own_loop(kind) for kind in (TaskSet, SequentialTaskSet, own)] == [False, False, True]


def test_error_in_the_wait_time_ends_the_user_and_is_reported():
    """A wait_time that fails is reported once, and does not block the process."""
    errors = []

    class Failing(LoadUser):
        def wait_time(self):
            raise ValueError("no wait time")

        @task
        def work(self):
            pass

    environment = Environment(user_classes=[Failing])
    environment.events.user_error.add_listener(lambda exception, **_: errors.append(str(exception)))
    with pytest.raises(ValueError, match="no wait time"):
        Failing(environment).run()
    assert errors == ["no wait time"]
