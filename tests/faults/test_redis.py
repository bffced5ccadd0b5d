"""Redis is killed while users continue to send commands."""

import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from tests.redis_harness import Recorded, private_redis, running_user

pytestmark = pytest.mark.timeout(60)

AWAY_S = 3.0


@pytest.fixture
def restarted(redis_url: str, tmp_path: Path) -> Iterator[tuple[float, int, dict[str, int]]]:
    """When requests succeeded again after Redis was back; the number and classes of failures until then."""
    with private_redis(redis_url, tmp_path) as server, running_user(server.url) as user:
        user.client.ping()

        def ask() -> bool:
            try:
                return bool(user.client.ping())
            except Exception:
                return False

        server.process.kill()
        killed_s, failed = time.monotonic(), 0
        while time.monotonic() < killed_s + AWAY_S:
            failed += not ask()
            gevent.sleep(0.01)
        server.start()
        back_s = time.monotonic()
        while not ask():
            gevent.sleep(0.01)
        yield time.monotonic() - back_s, failed, Recorded(user).errors


def test_redis_that_restarts_is_found_again(restarted: tuple[float, int, dict[str, int]]) -> None:
    """Requests succeed within 2 s of Redis's return; until then failures are counted, and attempts throttled."""
    recovered_after_s, failed, errors = restarted
    assert recovered_after_s < 2
    assert set(errors) <= {"connect", "closed", "reset"}
    assert failed <= sum(errors.values())
    assert 1 <= failed < AWAY_S / 0.01 / 2
