"""The client accounts scenario: registrations and logins, together or separately."""

import pytest
from locust.env import Environment

from loadtest import scenarios
from loadtest.profiles.profile import all_profiles
from loadtest.scenarios import client_accounts
from loadtest.scenarios.client_accounts import ClientUser
from loadtest.settings.credentials import Account
from tests.journeys import run_each_task_once

PROFILES = {
    "normal": (50, 10, 300),
    "heavy": (100, 20, 600),
    "spike": (200, 50, 900),
    "baseline": (100, 10, 300),
    "login-stress": (500, 50, 600),
    "breaking-point": (1000, 100, 900),
}
"""Users, users per second and seconds of each."""


def test_clients_register_and_log_in_without_a_failure(target_url: str) -> None:
    """Each task, run once, makes the declared requests; a client registers before its first login."""
    requests = run_each_task_once(ClientUser, target_url)
    assert {(request.method, request.name) for request in requests} == set(scenarios.load("client_accounts").requests)
    assert [request for request in requests if request.error] == []


@pytest.mark.parametrize(("tag", "tasks"), [("login", {"log_in"}), ("registration", {"register"})])
def test_logins_or_registrations_can_be_run_alone(tag: str, tasks: set[str]) -> None:
    """Locust's tags select logins or registrations."""
    users = type("Users", (ClientUser,), {"tasks": list(ClientUser.tasks)})
    environment = Environment(user_classes=[users], tags=[tag])
    environment.create_local_runner()
    environment.assign_equal_weights()
    environment._filter_tasks_by_tags()
    assert {task.__name__ for task in users.tasks} == tasks


def test_accounts_of_a_file_are_used_instead_of_new_ones(target_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ACCOUNTS_FILE a login registers no client; the failure of a wrong password does not show it."""
    monkeypatch.setattr(client_accounts, "accounts", lambda: (Account("ada@example.com", "a very wrong one"),))
    requests = [each for each in run_each_task_once(ClientUser, target_url) if each.name.endswith("login")]
    assert len(requests) == 1
    assert "401" in str(requests[0].error)
    assert "a very wrong one" not in str(requests[0].error)


def test_its_profiles_have_the_known_numbers() -> None:
    """The six profiles have the documented users, rates and durations."""
    known = all_profiles()
    found = {name: (known[name].peak_users, known[name].spawn_rate_per_s, known[name].run_time_s) for name in PROFILES}
    assert found == PROFILES
