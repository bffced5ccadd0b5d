"""RedisWatch: notices, while a run goes on, that its Redis went away or was restarted, and notes it in the record.

Tested in tests/native/test_redis_watch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import gevent
import redis

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S: Final = 1.0
_TIMEOUT_S: Final = 2.0


class RedisWatch:
    """Asks once a second, on a connection of its own, which Redis process answers.

    Args:
        url: the Redis.
        note: told each event as a sentence.
    """

    def __init__(self, url: str, note: Callable[[str], None]) -> None:
        self._client = redis.Redis.from_url(
            url, socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S, protocol=2
        )
        self._note = note
        self._process = ""
        self._answers = True
        self._greenlet = gevent.spawn(self._watch)

    def stop(self) -> None:
        """Stop watching."""
        self._greenlet.kill()
        self._client.close()

    def _watch(self) -> None:
        while True:
            self.look()
            gevent.sleep(EVERY_S)

    def look(self) -> None:
        """Ask once."""
        try:
            process = str(self._client.info("server").get("run_id", ""))
        except redis.RedisError:
            if self._answers and self._process:
                self._note("Redis does not answer")
            self._answers = False
            return
        if self._process and process != self._process:
            self._note("Redis was restarted")
        elif self._process and not self._answers:
            self._note("Redis answers again")
        self._process, self._answers = process, True
