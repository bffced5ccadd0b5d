"""Things that vanish: requests without a response, tasks that raise, users that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadtest.exceptions import ExitCode

from .conftest import Referee

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import RunReport

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

GET = """
wait_time = constant(0.2)

@task
def get(self):
    self.client.get("/ok")
"""
ABOUT_THE_TEST = {"unfinished_requests", "task_exceptions", "load_not_reached", "dropped_iterations", "completeness"}
CLOSED = ("--users", "10", "--spawn-rate", "10", "--run-time", "6s")


def test_an_honest_run_is_believed(run_scenario: Callable[..., RunReport]) -> None:
    """Requests received, answered and recorded are the same number, and no check fails."""
    referee = Referee()
    report = run_scenario(GET, *CLOSED, service=referee)
    assert report.rules & ABOUT_THE_TEST == set(), report.output  # a busy machine fails rules about itself
    assert report.requests("/ok") == (referee.received["/ok"], 0) == (referee.answered["/ok"], 0)


def test_one_endpoint_never_answers_and_holds_every_user(run_scenario: Callable[..., RunReport]) -> None:
    """Lie 5: the request that hangs is in the table, and the run is not trustworthy."""
    referee = Referee(lambda path, _age_s: path == "/hang")
    body = GET + '\n@task\ndef hang(self):\n    self.client.get("/hang")\n'
    report = run_scenario(body, *CLOSED, service=referee)
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    assert report.requests("/hang") == (referee.received["/hang"], referee.received["/hang"])
    assert report.requests("/ok") == (referee.received["/ok"], 0)
    assert "GET /hang" in report.sentence("unfinished_requests")


@pytest.mark.parametrize("users", ["our client", "stock FastHttpUser"])
def test_answers_cut_by_the_end_of_the_run_are_counted(run_scenario: Callable[..., RunReport], users: str) -> None:
    """Lie 26: a service that stops responding is not fast; each request that it received is counted."""
    referee = Referee(lambda _path, age_s: age_s > 2)
    stock = "from locust import FastHttpUser as HttpUser\n" if users != "our client" else ""
    report = run_scenario(GET, *CLOSED, service=referee, imports=stock)
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    unfinished = referee.received["/ok"] - referee.answered["/ok"]
    assert unfinished == 10
    assert report.requests("/ok") == (referee.received["/ok"], unfinished)
    assert report.document["total"]["errors"] == {"unfinished": unfinished}


def test_arrivals_without_an_answer_are_counted(run_scenario: Callable[..., RunReport]) -> None:
    """Lie 26, open model: every arrival is answered, unfinished or dropped."""
    referee = Referee(lambda _path, age_s: age_s > 2)
    report = run_scenario(
        GET, "--profile", "constant-arrival-rate", "--rate", "10", "--run-time", "6s", service=referee
    )
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    requests, failures = report.requests("/ok")
    assert (requests, failures) == (referee.received["/ok"], referee.received["/ok"] - referee.answered["/ok"])
    assert requests + sum(one["dropped"] for one in report.document["scenarios"]) == 60


TWO_OF_THREE_RAISE = """
wait_time = constant(0.2)

@task
def good(self):
    self.client.get("/ok")

@task
def before(self):
    {"a": 1}["b"]
    self.client.get("/ok")

@task
def after(self):
    self.client.get("/ok")
    self.client.get("/ok").json()["nothing"]
"""


def test_tasks_that_raise_are_named(run_scenario: Callable[..., RunReport]) -> None:
    """Lies 3 and 4: tasks that raise before or after their request make the run not trustworthy."""
    report = run_scenario(TWO_OF_THREE_RAISE, *CLOSED)
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    raised = {(row["exception"], row["place"].rpartition(" in ")[2]) for row in report.document["exceptions"]}
    assert raised == {("KeyError", "before"), ("KeyError", "after")}
    begun = {row["task"]: row["begun"] for row in report.document["tasks"]}
    for row in report.document["exceptions"]:
        assert row["occurrences"] == begun[f"Lie.{row['place'].rpartition(' in ')[2]}"]
        assert "lie.py:" in row["place"]
    for text in (report.output, report.summary, report.junit):
        assert "KeyError" in text
    assert "lie.py:" in report.sentence("task_exceptions")


SOME_DIE = """
wait_time = constant(0.2)
made = 0

def on_start(self):
    Lie.made += 1
    if Lie.made % 5:
        raise RuntimeError("no ticket left")

@task
def get(self):
    self.client.get("/ok")
"""


def test_users_that_die_in_on_start_are_named(run_scenario: Callable[..., RunReport]) -> None:
    """Lie 2: four of five users raise in on_start, and the run says so."""
    report = run_scenario(SOME_DIE, *CLOSED)
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    assert "8 users ended in an exception (8 x RuntimeError: no ticket left at" in report.sentence("task_exceptions")


def test_a_run_in_which_all_users_die_says_of_what(run_scenario: Callable[..., RunReport]) -> None:
    """A run without data names the exception as the reason."""
    report = run_scenario(SOME_DIE.replace("if Lie.made % 5", "if True"), *CLOSED)
    assert (report.exit_code, report.outcome) == (ExitCode.NO_DATA, "no data"), report.output
    assert "the scenario raised RuntimeError: no ticket left at" in report.output


def test_a_ramp_that_does_not_end_is_announced_and_not_believed(run_scenario: Callable[..., RunReport]) -> None:
    """Lie 1: the run ends before the ramp does."""
    report = run_scenario(GET, "--users", "40", "--spawn-rate", "4", "--run-time", "5s")
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    assert "at SPAWN_RATE=4 the run of 5 s reaches 20 of 40 users" in report.output
    assert "reached 20 of the 40 requested users" in report.sentence("load_not_reached")


ENDS_ITSELF = """
wait_time = constant(0.05)

@task
def get(self):
    self.client.get("/ok")
    self.done = getattr(self, "done", 0) + 1
    if self.done == 5:
        raise StopUser
"""


def test_users_that_end_themselves_are_missed(run_scenario: Callable[..., RunReport]) -> None:
    """Lie 2, another way: all users stop themselves early, and the rest of the run has no load."""
    report = run_scenario(ENDS_ITSELF, *CLOSED)
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    assert "of the users of the profile did not run" in report.sentence("load_not_reached")
    assert "(10 x StopUser: the user ended itself at " in report.sentence("load_not_reached")
    assert "lie.py:" in report.sentence("load_not_reached")
    for text in (report.output, report.summary, report.junit):
        assert "10 x the scenario raised StopUser: the user ended itself at" in text.replace("\\", "")


def test_a_listener_that_raises_on_a_worker_is_not_forgotten(run_scenario: Callable[..., RunReport]) -> None:
    """The data that test_start should have prepared is missing: the run is not trustworthy, and names the place."""
    prepare = """
from locust import events
from locust.runners import WorkerRunner

@events.test_start.add_listener
def prepare(environment, **_):
    if isinstance(environment.runner, WorkerRunner):
        raise RuntimeError("no test data")

"""
    report = run_scenario(GET, *CLOSED[:-1], "3s", imports=prepare)
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    assert "listener_exceptions" in report.rules
    assert "1 x RuntimeError: no test data at" in report.sentence("listener_exceptions")
    assert "lie.py:" in report.sentence("listener_exceptions")


STARTS_LATE = """
wait_time = constant(0.1)
made = 0

def on_start(self):
    Lie.made += 1
    if Lie.made > 1:
        gevent.sleep(7)

@task
def get(self):
    self.client.get("/ok")
"""


@pytest.mark.parametrize("stock", ["", "from locust import FastHttpUser as HttpUser\n"], ids=["our", "stock"])
def test_users_that_prepare_themselves_for_most_of_the_run_are_missed(
    run_scenario: Callable[..., RunReport], stock: str
) -> None:
    """Lie 45: nine of ten users are in on_start for most of the run, so the service has the load of one."""
    report = run_scenario(STARTS_LATE, *CLOSED[:-1], "8s", imports=stock)
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    assert report.sentence("load_not_reached").startswith("9 users took up to 7.")
    assert " s for on_start, and generated no load meanwhile: 63 s of the " in report.sentence("load_not_reached")


AT_THE_SAME_TIME = """
wait_time = constant(0.2)

def on_start(self):
    self.closed = gevent.event.Event()
    gevent.spawn(self.read_events)

def on_stop(self):
    self.closed.set()

def read_events(self):
    self.closed.wait()
    raise ConnectionError("closed, since the run is over")

@task
def get(self):
    gevent.joinall([gevent.spawn(self.buy) for _ in range(2)])

def buy(self):
    self.client.get("/ok").json()["price"]
    self.client.get("/never")
"""


def test_what_greenlets_of_a_task_raise_is_named(run_scenario: Callable[..., RunReport]) -> None:
    """Lie 43: concurrent requests have their own greenlets, whose exceptions no task sees."""
    referee = Referee()
    report = run_scenario(AT_THE_SAME_TIME, *CLOSED[:-1], "4s", service=referee)
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    assert "x KeyError: 'price' at " in report.sentence("task_exceptions")
    [row] = report.document["exceptions"]
    under_way = 2 * int(CLOSED[1])  # at the end, two requests per user
    assert referee.received["/ok"] - under_way <= row["occurrences"] <= report.requests("/ok")[0] + under_way
    assert referee.received["/ok"] > 5 * under_way
    for text in (report.output, report.summary, report.junit):
        assert "KeyError: 'price'" in text


WATCHING = """
import gevent
from locust import events
from locust.runners import MasterRunner

@events.test_start.add_listener
def watch(environment, **_):
    def look():
        gevent.sleep(1)
        environment.stats.total.failure_ratio
    if isinstance(environment.runner, MasterRunner):
        gevent.spawn(look)

"""


def test_what_watches_the_run_and_raises_is_not_forgotten(run_scenario: Callable[..., RunReport]) -> None:
    """Lie 43, on the master: a greenlet that should abort a run with too many failures died itself."""
    report = run_scenario(GET, *CLOSED[:-1], "4s", imports=WATCHING)
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    assert "no attribute 'failure_ratio' at " in report.sentence("listener_exceptions")


def test_too_few_users_for_the_arrival_rate_are_reported(run_scenario: Callable[..., RunReport]) -> None:
    """Lie 14: an open model with too few users drops arrivals; each arrival is either started or dropped."""
    slow = GET.replace('self.client.get("/ok")', 'self.client.get("/ok"); gevent.sleep(1.0)')
    arguments = ("--profile", "constant-arrival-rate", "--rate", "10", "--users", "2", "--run-time", "6s")
    report = run_scenario(slow, *arguments)
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    assert "dropped_iterations" in report.rules
    dropped = sum(one["dropped"] for one in report.document["scenarios"])
    assert sum(one["begun"] for one in report.document["tasks"]) + dropped == 60


def test_a_service_that_stands_still_is_noticed(run_scenario: Callable[..., RunReport]) -> None:
    """The service does not respond for three seconds; percentiles hardly show it, but the run reports it."""

    class Standing(Referee):
        def answer_after_s(self, age_s: float) -> float:
            return max(0.0, 6.5 - age_s) if age_s > 3.0 else 0.0

    report = run_scenario(
        GET.replace("0.2", "0.05"), "--users", "10", "--spawn-rate", "10", "--run-time", "12s", service=Standing()
    )
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    assert "no request was answered for" in report.sentence("stall")


def test_a_success_with_an_error_in_its_body_is_a_failure_where_the_scenario_says_what_it_expects(
    run_scenario: Callable[..., RunReport],
) -> None:
    """Lie 7: the service returns 200, but not the expected content."""
    body = GET.replace('"/ok")', '"/ok", expect=Expect(json={"status": "ok"}))')
    report = run_scenario(body, *CLOSED[:-1], "3s", imports="from loadtest.clients.http import Expect\n")
    requests, failures = report.requests("/ok")
    assert requests == failures > 0, report.output
    assert set(report.document["total"]["errors"]) == {"check"}
    assert report.outcome in {"failed", "not trustworthy"}  # on a busy machine
    assert "check: json has no status" in report.output


def test_a_declared_request_that_no_user_makes_is_named(run_scenario: Callable[..., RunReport]) -> None:
    """It is named in a note next to the verdict in every output."""
    report = run_scenario(GET.replace('"/ok")', '"/ok", name="other")'), *CLOSED)
    for text in (report.output, report.summary, report.junit):
        assert "1 of 1 declared requests were never made: GET /ok" in text


DO_NOTHING = """
wait_time = constant(0.2)
made = 0

def on_start(self):
    Lie.made += 1
    self.is_stuck, self.rounds = Lie.made <= 2, 0

@task
def get(self):
    self.rounds += 1
    if self.rounds == 1:
        self.client.get("/ok")
    elif self.is_stuck:
        gevent.sleep(100)
"""


def test_users_that_run_and_do_nothing_are_noticed(run_scenario: Callable[..., RunReport]) -> None:
    """Most iterations return before their request, and two never end: none of them counts as load."""
    report = run_scenario(DO_NOTHING, *CLOSED[:-1], "8s", LOCUST_STOP_TIMEOUT="1")
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    assert "of Lie.get" in report.sentence("idle_iterations")
    assert "2 x GreenletExit: stopped in its own code" in report.sentence("task_exceptions")
    assert "lie.py:" in report.sentence("task_exceptions")
    [row] = report.document["tasks"]
    assert report.requests("/ok") == (10, 0)
    assert row["begun"] == row["idle"] + 10 + 2


def test_users_that_wait_for_longer_than_the_run_are_noticed(run_scenario: Callable[..., RunReport]) -> None:
    """Each makes one request in the first second, and the rest of the run has no load."""
    report = run_scenario(GET.replace("0.2", "100"), *CLOSED[:-1], "8s")
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    assert report.requests("/ok") == (10, 0)
    assert "no request was made in the last " in report.sentence("silence")


DO_NOT_END = """
wait_time = constant(0.2)
made = 0

def on_start(self):
    Lie.made += 1
    self.number = Lie.made

@task
def get(self):
    self.client.get("/ok")
    while self.number == 1:
        try:
            gevent.sleep(0.2)
        except BaseException:
            pass

def on_stop(self):
    if self.number == 2:
        gevent.sleep(100)
    if self.number == 3:
        raise KeyError("gone")
"""


def test_users_that_do_not_end_are_reported_and_nothing_is_missing(run_scenario: Callable[..., RunReport]) -> None:
    """One user catches the exception that should stop it, the on_stop of another hangs, and that of a third raises."""
    report = run_scenario(DO_NOT_END, *CLOSED[:-1], "3s", LOCUST_STOP_TIMEOUT="1")
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    sentence = report.sentence("task_exceptions")
    assert "3 users ended in an exception" in sentence
    assert "1 x GreenletExit: did not end when it was stopped: it catches the exception that ends it" in sentence
    assert "1 x GreenletExit: its on_stop had not ended by the stop timeout" in sentence
    assert "1 x KeyError: 'gone' at " in sentence
    assert sentence.count("lie.py:") == 3
    assert report.document["delivery"]["completeness"] == 1


DEAF = """
wait_time = constant(0.1)
began_s = time.monotonic()

@task
def get(self):
    self.client.get("/ok")
    while time.monotonic() > self.began_s + 4:
        pass
"""


def test_a_task_that_never_yields_is_reported(run_scenario: Callable[..., RunReport]) -> None:
    """Its worker does nothing else: no user runs, no report is sent, and it does not react to a stop."""
    report = run_scenario(DEAF, *CLOSED[:-1], "20s")
    assert (report.exit_code, report.outcome) == (ExitCode.INTERRUPTED, "interrupted"), report.output
    assert "the last worker stopped answering; look for a task that never yields" in report.output
