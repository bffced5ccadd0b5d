"""The contents of Redis after a run with KEEP_DATA."""

import signal
from pathlib import Path

import pytest

from tests.redis_harness import private_redis

from .conftest import Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(150)]


def test_a_run_keeps_its_data_on_request(stack: Stack, redis_url: str, tmp_path: Path) -> None:
    """Users and queue of the coin queue, and the notes of their creators, stay, also after Ctrl-C."""
    with private_redis(redis_url, tmp_path) as server:
        options = ("--scenario", "coin_queue", "--users", "2", "--run-time", "60s", "--redis-url", server.url)
        seen = stack.start(*options, "--keep-data").read_until("keys in place")
        stack.process.send_signal(signal.SIGINT)
        _, rest = stack.end()
        left = server.admin.dbsize()
    assert ("keys removed" in seen + rest, left) == (False, 10_003), rest
