"""The service for which a worker's pod waits."""

import socket

import pytest

from loadtest.exceptions import UsageError
from loadtest.kubernetes.target_check import check
from loadtest.local.process import free_port
from loadtest.settings.config import Config


def settings(**given: str) -> Config:
    """Return the settings of a pod."""
    return Config.load(given, environ={})


def test_a_target_that_accepts_connections_is_let_pass() -> None:
    """It is HOST, or else the sample target."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check(settings(host=f"http://127.0.0.1:{port}"), 0)
        check(settings(sample_target=f"http://127.0.0.1:{port}"), 0)


@pytest.mark.parametrize("address", [f"127.0.0.1:{free_port()}", "shop.nowhere.invalid"])
def test_one_that_does_not_is_named_when_the_time_is_over(address: str) -> None:
    """It refuses connections, or its name does not resolve."""
    with pytest.raises(UsageError, match=f"HOST=http://{address} does not accept connections"):
        check(settings(host=f"http://{address}"), 0)


def test_users_may_know_their_own_target() -> None:
    """No host is set, or one that only their client understands."""
    check(settings(), 0)
    check(settings(host="broker-1"), 0)
