"""The users of the coin queue as RedisJSON documents, written in pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
import redis

from loadtest.exceptions import StackError
from loadtest.settings.urls import without_credentials
from target_app.coin_queue import QUEUE_KEY, new_queue, user_key
from target_app.redis_pool import exchange
from target_app.store import KEY_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

_TIMEOUT_S: Final = 10.0
_SCAN_COUNT: Final = 5_000


class RedisStore:
    """Users in the Redis of a sample target; a context manager that closes its connection.

    Every method raises a StackError when Redis is away, refuses us, or has no RedisJSON.

    Args:
        url: ``redis://…``, ``rediss://…`` or ``unix://…``.
    """

    def __init__(self, url: str) -> None:
        self.name = without_credentials(url)
        self._redis = redis.Redis.from_url(
            url, protocol=2, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        )
        self._connection = self._redis.connection_pool.make_connection()  # costs a third of a pipeline's CPU time

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.disconnect()
        self._redis.close()

    def write(self, users: Sequence[dict[str, Any]]) -> int:
        """Write the users who are not there yet; return how many that were. The others stay as they are."""
        commands = [("JSON.SET", _key(user["id"]), "$", orjson.dumps(user), "NX") for user in users]
        try:
            return sum(reply is not None for reply in exchange(self._connection, *commands))
        except redis.RedisError as error:
            raise self._failed(error) from error

    def finish(self) -> None:
        """Open a queue, unless there is one."""
        self._open_queue("NX")

    def open_queue(self) -> None:
        """Open a new queue: nobody has a place in it."""
        self._open_queue()

    def ids(self) -> list[str]:
        """Return the ids of all users, sorted, as a scan has no order."""
        start = len(_key(""))
        try:
            keys = self._redis.scan_iter(match=_key("*"), count=_SCAN_COUNT)
            return sorted({key.decode()[start:] for key in keys})
        except redis.RedisError as error:
            raise self._failed(error) from error

    def _open_queue(self, *condition: str) -> None:
        try:
            self._redis.execute_command("JSON.SET", KEY_PREFIX + QUEUE_KEY, "$", orjson.dumps(new_queue()), *condition)
        except redis.RedisError as error:
            raise self._failed(error) from error

    def _failed(self, error: redis.RedisError) -> StackError:
        return StackError(
            f"the Redis at {self.name} does not serve ({without_credentials(str(error))}). Allowed: a running Redis "
            "with RedisJSON. Next: start it or correct its address, then do the same again; what is written stays."
        )


def _key(user_id: str) -> str:
    return KEY_PREFIX + user_key(user_id)
