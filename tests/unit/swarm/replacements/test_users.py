"""The replacements in Locust's users and their clients, with each replacement and without it."""

import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
import pytest
from gevent.pool import Group
from locust import FastHttpUser, HttpUser, User, constant, task
from locust.env import Environment
from locust.exception import StopUser

from loadtest.measuring.labels import ITERATION
from loadtest.measuring.measurements import OWN_END, Measurements
from loadtest.measuring.recorder import BROKEN_OFF, UNSTOPPED, Recorder
from loadtest.swarm.replacements import users
from tests.http_harness import ScriptedServer, always, ok
from tests.link_peers import eventually

pytestmark = pytest.mark.usefixtures("locust")


class Waiter(User):
    """Waits, and records its actions."""

    left = 0

    wait_time = constant(0.05)
    begun = 0
    ended = 0

    @task
    def work(self) -> None:
        """Take a little time, as a request does."""
        self.begun += 1
        gevent.sleep(0.01)
        self.ended += 1


def test_a_user_whose_timer_is_due_begins_nothing_when_it_is_stopped() -> None:
    """If a user is stopped in the turn in which its wait ends, it only wakes up to stop (replaces User.stop)."""
    user = Waiter(Environment(user_classes=[Waiter]))
    user.start(Group())
    gevent.sleep(0.02)  # it waits, until about 0.06 s
    stopping = gevent.spawn_later(0, user.stop)  # as Locust's runner does it
    busy_until(0.08)
    stopping.join(timeout=5)
    user.greenlet.join(timeout=5)
    assert (user.begun, user.ended) == (1, 1)


def test_what_a_user_does_when_it_stops_is_not_broken_off() -> None:
    """A user whose wait ends while it is stopped ends once: nothing is raised in the log-out of its on_stop."""

    class Leaver(Waiter):
        def on_stop(self) -> None:
            gevent.sleep(0.05)
            self.left += 1

    for early_s in (0.0, 0.01):  # the wait is over before or after the stop, in the same turn
        user = Leaver(Environment(user_classes=[Leaver]))
        user.start(Group())
        gevent.sleep(0.02)
        stopping = gevent.spawn_later(early_s, user.stop)
        busy_until(0.08)
        stopping.join(timeout=5)
        user.greenlet.join(timeout=5)
        assert (user.begun, user.ended, user.left) == (1, 1, 1)


class Beginner(HttpUser):
    """Logs in and out with requests of its own."""

    wait_time = constant(0.01)

    def on_start(self) -> None:
        """Log in."""
        self.client.get("/login")

    @task
    def work(self) -> None:
        """Make one request, and end."""
        self.client.get("/work")
        raise StopUser

    def on_stop(self) -> None:
        """Log out."""
        self.client.get("/logout")


def lived(user_class: type[User], host: str = "") -> Measurements:
    """The record of a user's whole life."""
    user_class.host = host
    environment = Environment(user_classes=[user_class])
    environment.create_local_runner()
    recorder = Recorder.of(environment)
    user = user_class(environment)
    user.start(Group())
    user.greenlet.join(timeout=10)
    environment.runner.quit()
    return recorder.take()


def test_what_a_stock_user_sends_in_on_start_and_on_stop_is_set_up() -> None:
    """Its tasks are load, and the place where it ended itself is recorded (replaces User.run)."""
    with ScriptedServer(always(ok())) as server:
        taken = lived(Beginner, server.url)
    phases = {key.name: key.phase for key in taken.series}
    assert phases == {"/login": "setup", "/work": "load", "/logout": "setup"}
    [end] = taken.exceptions
    assert (end.exception, end.message, end.ends_user) == ("StopUser", OWN_END, True)
    assert end.place.endswith(f"test_users.py:{Beginner.work.__code__.co_firstlineno + 4} in work")


def test_how_long_the_iterations_of_a_stock_user_take_is_recorded() -> None:
    """Where Locust's loop executes them; one that ends its user is none (replaces TaskSet.execute_next_task)."""

    class Ending(User):
        wait_time = constant(0)
        begun = 0

        @task
        def work(self) -> None:
            self.begun += 1
            if self.begun == 4:
                raise StopUser
            gevent.sleep(0.01)

    environment = Environment(user_classes=[Ending])
    recorder = Recorder.of(environment)
    user = Ending(environment)
    user.start(Group()).join(timeout=10)
    taken = recorder.take()
    assert [tuple(key) for key in taken.series] == [("Ending", "", "", ITERATION)]
    assert (taken.requests.tolist(), taken.response_time.row(0).min_s >= 0.009) == ([3], True)


@pytest.mark.parametrize("how", ["a timeout of its own", "its stop()", "an error in on_stop"])
def test_however_a_stock_user_ends_itself_it_is_reported(how: str) -> None:
    """No way to end a user goes unnoticed."""

    class Ending(User):
        wait_time = constant(0.01)

        @task
        def end(self) -> None:
            if how == "its stop()":
                self.stop()
            elif how == "a timeout of its own":
                raise gevent.Timeout(0.1)
            else:
                raise StopUser

        def on_stop(self) -> None:
            if how == "an error in on_stop":
                raise KeyError("gone")

    expected = {"a timeout of its own": "Timeout", "its stop()": "stop()", "an error in on_stop": "KeyError"}
    assert expected[how] in {one.exception for one in lived(Ending).exceptions}


class Clinging(User):
    """Catches whatever ends it, until the test releases it."""

    wait_time = constant(0.01)
    is_let_go = False

    @task
    def cling(self) -> None:
        """Never end."""
        while not Clinging.is_let_go:
            with suppress(BaseException):
                gevent.sleep(0.01)


class Hanging(User):
    """Hangs when it is stopped."""

    wait_time = constant(60)

    @task
    def work(self) -> None:
        """Do nothing."""

    def on_stop(self) -> None:
        """Wait for something that never happens."""
        gevent.sleep(60)


def test_users_that_do_not_end_hold_up_nobody_and_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends, with the place of each user (replaces Runner.stop_users)."""
    monkeypatch.setattr(users, "ENDING_S", 0.3)
    environment = Environment(user_classes=[Clinging, Hanging])
    environment.stop_timeout = 0.2
    runner = environment.create_local_runner()
    recorder = Recorder.of(environment)
    runner.start(2, 100)
    eventually(lambda: len([one for one in runner.user_greenlets if one.started]) == 2)
    gevent.sleep(0.05)
    stopping = gevent.spawn(runner.stop)
    stopping.join(timeout=4)
    is_over = stopping.ready()
    Clinging.is_let_go = True
    stopping.kill(block=False)
    runner.user_greenlets.kill(timeout=1)
    assert is_over
    told = {(one.message, one.place.rpartition(" in ")[2]) for one in recorder.take().exceptions}
    assert told == {(UNSTOPPED, "cling"), (BROKEN_OFF, "on_stop")}


def busy_until(seconds: float) -> None:
    """Occupy the process, as folding and other users do, so that timers become due."""
    import time  # noqa: PLC0415 - the one place that must not yield

    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        pass


def unfinished(user_class: type[User], call: Callable[[Any], None]) -> tuple[list[tuple[str, str, str, int]], float]:
    """The errors, and the longest time, of a user that is killed while its request is in flight."""
    environment = Environment(user_classes=[user_class])
    environment.create_local_runner()
    recorder = Recorder.of(environment)
    user = user_class(environment)
    victim = gevent.spawn(call, user)
    gevent.sleep(0.3)
    victim.kill()
    environment.runner.quit()
    taken = recorder.take()
    user.client.close() if isinstance(user, HttpUser) else user.client.client.close()  # type: ignore[attr-defined]
    gc.collect()
    keys = [taken.series[error.series] for error in taken.errors]
    errors = [
        (key.method, key.name, error.error_class, error.occurrences)
        for key, error in zip(keys, taken.errors, strict=True)
    ]
    return errors, float(taken.response_time.summaries.max() / 1e9)


def test_a_request_of_a_stock_user_that_is_killed_is_unfinished() -> None:
    """It counts under its name, with its age (replaces HttpSession.request)."""
    with ScriptedServer(lambda peer: [peer.read_request(), gevent.sleep(5)]) as server:
        user_class = type("Stock", (HttpUser,), {"host": server.url})
        errors, age_s = unfinished(user_class, lambda user: user.client.get("/hang", name="hang"))
    assert errors == [("GET", "hang", "unfinished", 1)]
    assert 0.2 < age_s < 2


def test_a_request_of_a_stock_fast_user_that_is_killed_is_unfinished() -> None:
    """It counts under its URL where it has no name (replaces FastHttpSession.request)."""
    with ScriptedServer(lambda peer: [peer.read_request(), gevent.sleep(5)]) as server:
        user_class = type("Fast", (FastHttpUser,), {"host": server.url})
        errors, age_s = unfinished(user_class, lambda user: user.client.post("/hang", "x"))
    assert errors == [("POST", "/hang", "unfinished", 1)]
    assert 0.2 < age_s < 2
