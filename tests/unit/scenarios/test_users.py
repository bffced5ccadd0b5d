"""The base classes of the built-in scenarios' users."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("client", "base"), [("", "loadtest.clients.http.user"), ("locust", "locust.contrib.fasthttp")]
)
def test_the_environment_chooses_the_http_client(client: str, base: str) -> None:
    """LOADTEST_CLIENT=locust puts the HTTP users on FastHttpUser, except those whose streams it cannot time."""
    code = (
        "import gevent.monkey; gevent.monkey.patch_all(); from loadtest import scenarios; "
        "print({base.__module__ for name in scenarios.names() if not scenarios.streams_of(name)"
        " for user in scenarios.load(name).user_classes"
        " for base in user.__mro__ if base.__name__ in {'HttpUser', 'FastHttpUser'}})"
    )
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, env={"LOADTEST_CLIENT": client}, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == f"{{'{base}'}}"
