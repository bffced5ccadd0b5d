"""The education scenario: visits by weight, a session per student, a token that is renewed."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from locust import constant
from locust.env import Environment

from loadtest import scenarios
from loadtest.clients.http.errors import UnfinishedError
from loadtest.scenarios import education
from loadtest.scenarios.education import Session, StudentUser
from loadtest.settings.credentials import Account
from target_app import education_data
from tests.journeys import run_each_task_once

WEIGHTS = {"refresh": 1, "dashboard": 3, "tools_and_template": 2, "library": 2, "help_articles": 1}
"""The request that each task set makes once in a visit, and the task set's weight."""
VISITS = 450
HIGHEST_CHI_SQUARE = 18.47
"""What chance exceeds once in a thousand times, at four degrees of freedom."""


@contextmanager
def student(host: str, **attributes: Any) -> Iterator[tuple[StudentUser, list[tuple[str, BaseException | None]]]]:
    """Yield a student who is not running, and the name and error of each request so far."""
    requests: list[tuple[str, BaseException | None]] = []
    environment = Environment(user_classes=[StudentUser])
    environment.events.request.add_listener(
        lambda name, exception, **_: requests.append((name.removeprefix("education/"), exception))
    )
    user = type("Student", (StudentUser,), {"host": host, **attributes})(environment)
    yield user, requests
    user.close()


def test_what_is_declared_is_what_is_requested_and_nothing_fails(target_url: str) -> None:
    """Each step of each visit, run once, makes the declared requests, and all succeed."""
    scenario = scenarios.load("education")
    requests = run_each_task_once(StudentUser, target_url)
    assert {(request.method, request.name) for request in requests} == set(scenario.requests)
    assert [request for request in requests if request.error] == []


def test_it_makes_the_same_requests_on_locusts_own_client(target_url: str) -> None:
    """LOADTEST_CLIENT=locust uses FastHttpUser, without a failure."""
    code = (
        "import gevent.monkey; gevent.monkey.patch_all(); import sys; sys.path.insert(0, '.'); "
        "from tests.journeys import run_each_task_once; from loadtest.scenarios import load; "
        f"requests = run_each_task_once(load('education').user_classes[0], '{target_url}'); "
        "print(len({request.name for request in requests}), [each for each in requests if each.error])"
    )
    command = [sys.executable, "-c", code]
    environment, folder = {"LOADTEST_CLIENT": "locust"}, Path(__file__).parents[3]
    answer = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)
    assert answer.stdout.strip() == f"{len(education.scenario.requests)} []", answer.stderr


def test_each_task_set_gets_its_share(target_url: str) -> None:
    """Visits to the five parts are as 1:3:2:2:1, by the chi-square test; no part keeps the student."""
    random.seed(7)
    with student(target_url, wait_time=constant(0)) as (user, requests):

        def visits() -> Counter[str]:
            return Counter(name for name, _ in requests if name in WEIGHTS)

        running = gevent.spawn(user.run)
        with gevent.Timeout(60):
            while visits().total() < VISITS:
                gevent.sleep(0.01)
        running.kill()
        counted = visits()
    unit = counted.total() / sum(WEIGHTS.values())
    chi_square = sum((counted[name] - weight * unit) ** 2 / (weight * unit) for name, weight in WEIGHTS.items())
    assert chi_square < HIGHEST_CHI_SQUARE, counted
    stopped_in_flight = [error for _, error in requests if isinstance(error, UnfinishedError)]
    assert [error for _, error in requests if error] == stopped_in_flight


def test_students_think_for_one_to_three_seconds() -> None:
    """The wait between two steps, and between two visits, is 1 to 3 s."""
    waits_s = [StudentUser.wait_time(None) for _ in range(200)]
    assert min(waits_s) >= 1
    assert max(waits_s) <= 3


def test_a_token_is_renewed_when_it_expires(target_url: str) -> None:
    """One sign-in serves until the token expires; then the refresh token is exchanged for the next one, once."""
    with student(target_url) as (user, requests):
        user.on_start()
        first = user.session.headers()
        assert user.session.headers() == first
        user.session._renew_at_s = 0.0
        assert user.client.get("/api/dashboard/", headers=user.session.headers()).status_code == 200
    assert [name for name, _ in requests] == ["sign_up", "sign_in", "refresh", "/api/dashboard/"]


def test_a_refused_refresh_signs_in_again(target_url: str) -> None:
    """When the session is revoked, the student signs in again and continues."""
    with student(target_url) as (user, requests):
        user.on_start()
        user.session._refresh = "no token"
        user.session.refresh()
        assert user.session.headers()
    assert [name for name, _ in requests] == ["sign_up", "sign_in", "refresh", "sign_in"]


def test_a_student_without_a_session_skips_the_step(target_url: str) -> None:
    """A failed sign-in is counted, no request without a token follows it, and the student continues."""
    with student(target_url, wait_time=constant(0)) as (user, requests):
        user.on_start = lambda: setattr(user, "session", Session(user.client, Account("no@body.example", "wrong one")))
        running = gevent.spawn(user.run)
        gevent.sleep(0.5)
        running.kill()
    failed = Counter(name for name, error in requests if error)
    assert {"sign_in", "refresh"} >= set(failed)
    assert failed["sign_in"] > 2


def test_searched_subjects_and_words_are_in_the_library() -> None:
    """Searches find items."""
    assert set(education._SUBJECTS) <= set(education_data.SUBJECTS)
    words = {word for _, item in education_data.documents() if "title" in item for word in item["title"].split()}
    assert set(education._WORDS) <= words


def test_accounts_of_a_file_are_used_instead_of_new_ones(target_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ACCOUNTS_FILE no student signs up."""
    monkeypatch.setattr(education, "accounts", lambda: (Account("ada@example.com", "long enough"),))
    with student(target_url) as (user, requests):
        user.on_start()
    assert (requests[0][0], user.session.account.login) == ("sign_in", "ada@example.com")
