"""The registry of scenarios."""

import subprocess
import sys

import pytest
from locust import User

from loadtest import scenarios
from loadtest.exceptions import UsageError


def test_rooms_are_found_by_name() -> None:
    """Every module is a scenario, except those that rooms share."""
    assert {"documents", "health"} <= set(scenarios.names())
    assert [] == [name for name in scenarios.names() if name.startswith("_")]


@pytest.mark.parametrize("name", scenarios.names())
def test_every_scenario_says_its_name_users_and_requests(name: str) -> None:
    """A scenario's name is its module's, its users record under it, and its requests are named after it."""
    scenario = scenarios.load(name)
    assert name == scenario.name
    assert {name} == {user_class.scenario for user_class in scenario.user_classes}
    assert [] == [user_class for user_class in scenario.user_classes if not issubclass(user_class, User)]
    assert {name} == {label.partition("/")[0] for _, label in scenario.requests}
    assert len(set(scenario.requests)) == len(scenario.requests)


@pytest.mark.parametrize(
    ("name", "advice"), [("document", "Did you mean documents?"), ("zzz", "LOADTEST_SCENARIO"), ("_users", "Allowed")]
)
def test_an_unknown_scenario_is_a_usage_error_that_helps(name: str, advice: str) -> None:
    """The message names the value, what exists and the nearest name."""
    with pytest.raises(UsageError) as raised:
        scenarios.load(name)
    message = str(raised.value)
    assert [] == [part for part in (repr(name), "documents, ", "health", advice) if part not in message]


@pytest.mark.parametrize(("client", "base"), [("", "loadtest.clients.http"), ("locust", "locust.contrib.fasthttp")])
def test_the_environment_chooses_the_http_client(client: str, base: str) -> None:
    """LOADTEST_CLIENT=locust puts every HTTP user on FastHttpUser; otherwise it is the lean client."""
    code = (
        "import gevent.monkey; gevent.monkey.patch_all(); from loadtest import scenarios; "
        "print({user.__mro__[1].__module__ for name in scenarios.names() for user in scenarios.load(name).user_classes"
        " if 'Resp' not in user.__name__})"
    )
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, env={"LOADTEST_CLIENT": client}, capture_output=True, text=True, check=True)
    assert f"{{'{base}'}}" == answer.stdout.strip()
