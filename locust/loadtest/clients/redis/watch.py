"""RedisWatch: notices during a run that its Redis went away, was restarted or lost its data.

Tested in tests/native/test_redis_watch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import gevent
import redis

from loadtest.settings.redis_url import server_of

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S: Final = 1.0
_TIMEOUT_S: Final = 2.0


class RedisWatch:
    """Asks once a second, on a connection of its own, which Redis process answers, and how many keys it has.

    Args:
        url: the Redis; for a cluster, the node to ask.
        note: called with each event as a sentence.
        on_loss: called when more than half of the keys disappear between two checks, as when a Redis without
            persistence is restarted, or is flushed.
    """

    def __init__(self, url: str, note: Callable[[str], None], on_loss: Callable[[], None]) -> None:
        self._client = server_of(url, _TIMEOUT_S)
        self._note = note
        self._on_loss = on_loss
        self._process = ""
        self._keys: int | None = None
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
        """Check once."""
        try:
            process, keys = self._process_id(), self._client.dbsize()
        except redis.RedisError:
            if self._answers and self._keys is not None:
                self._note("Redis does not answer")
            self._answers = False
            return
        if process != self._process and self._keys is not None:
            self._note("Redis was restarted")
        elif self._keys is not None and not self._answers:
            self._note("Redis answers again")
        lost = self._keys is not None and keys < self._keys / 2
        self._process, self._keys, self._answers = process, keys, True
        if lost:
            self._on_loss()

    def _process_id(self) -> str:
        """Return an id that changes with each start; empty for a Redis without one."""
        try:
            return str(self._client.info("server").get("run_id", ""))
        except redis.exceptions.NoPermissionError:
            return ""
