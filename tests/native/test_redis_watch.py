"""RedisWatch: a Redis that goes away and comes back is noted in the run's events."""

from pathlib import Path

from loadtest.clients.redis.watch import RedisWatch
from tests.redis_harness import PrivateRedis


def test_a_restart_is_noted_once(tmp_path: Path) -> None:
    """Gone, then another process: two events, however often one looks."""
    server = PrivateRedis("", tmp_path, ())
    messages: list[str] = []
    watch = RedisWatch(server.url, messages.append)
    watch.look()
    assert messages == []
    server.process.kill()
    server.process.stop()
    watch.look()
    watch.look()
    server.start()
    watch.look()
    watch.look()
    watch.stop()
    server.close()
    assert messages == ["Redis does not answer", "Redis was restarted"]
