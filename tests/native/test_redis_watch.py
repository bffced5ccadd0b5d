"""RedisWatch: a Redis that restarts is noted, and one that lost its data gets it again."""

from pathlib import Path

import redis

from loadtest.clients.redis.watch import RedisWatch
from tests.redis_harness import PrivateRedis


def test_a_restart_is_noted_once(tmp_path: Path) -> None:
    """When Redis disappears and another process takes its place, that is two events, however often it is checked."""
    server = PrivateRedis("", tmp_path, ())
    messages: list[str] = []
    watch = RedisWatch(server.url, messages.append, lambda: messages.append("lost"))
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


def test_lost_data_is_loaded_again(tmp_path: Path) -> None:
    """A Redis without its keys gets its data back once: after a restart without a file, and after a flush."""
    server = PrivateRedis("", tmp_path, ())
    client = redis.Redis.from_url(server.url)
    data = {f"loadtest:{number}": number for number in range(100)}
    losses: list[int] = []

    def load_again() -> None:
        losses.append(client.dbsize())
        client.mset(data)

    client.mset(data)
    watch = RedisWatch(server.url, lambda _text: None, load_again)
    watch.look()
    server.process.kill()
    server.process.stop()
    watch.look()
    server.start()
    watch.look()
    watch.look()
    assert (losses, client.dbsize()) == ([0], 100)
    client.flushall()
    watch.look()
    watch.look()
    assert (losses, client.dbsize()) == ([0, 0], 100)
    watch.stop()
    client.close()
    server.close()
