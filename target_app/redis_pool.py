"""A bounded Redis connection pool with little overhead per command.

Connecting, authentication, TLS, timeouts and parsing are left to redis-py. Its client layer above them, which took two
thirds of a command's CPU time, is not used: retries, telemetry, cluster maintenance, reply callbacks.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, LifoQueue
from typing import Any, Protocol

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

Command = tuple[Any, ...]


class Connection(Protocol):
    """The part of redis-py's connections that the pool needs."""

    @property
    def is_connected(self) -> bool:
        """Whether it is open, as far as this side can tell."""

    def can_read(self, timeout: float = 0) -> bool:
        """Return whether there is unexpected data to read; raise an error at the end of the stream."""

    def disconnect(self) -> None:
        """Close the connection; the next command reconnects."""

    def send_packed_command(self, command: list[bytes], check_health: bool = True) -> None:
        """Send encoded commands, after connecting if necessary."""

    def read_response(self, disable_decoding: bool = False) -> Any:
        """Return the next reply."""


class RedisPool:
    """A fixed number of connections, opened on first use; the most recently used one is taken first."""

    def __init__(self, url: str, size: int, timeout_s: float) -> None:
        """Prepare the pool without connecting.

        Args:
            url: the URL of Redis, in redis-py's form.
            size: the number of connections; further callers wait.
            timeout_s: the limit, in seconds, of each connect, reply, and wait for a connection.
        """
        factory = redis.ConnectionPool.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # with RESP3 some JSON commands answer with arrays instead of JSON text
        )
        self._timeout_s = timeout_s
        self._size = size
        self._idle: LifoQueue[Connection] = LifoQueue()
        for _ in range(size):
            self._idle.put(factory.make_connection())

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Borrow a connection that is usable or not yet open.

        Raises:
            redis.ConnectionError: when none is returned in time.
        """
        connection = self._take()
        try:
            yield connection
        finally:
            self._idle.put(connection)

    def run(self, *command: Any) -> Any:
        """Send one command, once, and return its reply, with text as bytes.

        Raises:
            redis.RedisError: when Redis is unavailable or too slow, or returns an error (ResponseError).
        """
        connection = self._take()
        try:
            connection.send_packed_command([hiredis.pack_command(command)], check_health=False)
            return connection.read_response(disable_decoding=True)
        finally:
            self._idle.put(connection)

    def _take(self) -> Connection:
        try:
            connection = self._idle.get(timeout=self._timeout_s)
        except Empty:
            raise redis.ConnectionError(f"all {self._size} connections are in use") from None
        if connection.is_connected and _has_ended(connection):
            connection.disconnect()  # the next command reconnects; on this connection it would be lost
        return connection

    def close(self) -> None:
        """Close every idle connection."""
        for connection in list(self._idle.queue):
            connection.disconnect()


def _has_ended(connection: Connection) -> bool:
    """Return whether Redis has closed an idle connection, or has sent unexpected data."""
    try:
        return connection.can_read()
    except (redis.ConnectionError, OSError):
        return True


def exchange(connection: Connection, *commands: Command) -> list[Any]:
    """Send several commands together on one connection, and return their replies.

    Raises:
        redis.RedisError: as for `RedisPool.run`, for the first that fails; the connection is then closed.
    """
    (replies,) = exchanges(connection, [commands])
    return replies


def exchanges(connection: Connection, batches: Iterable[Sequence[Command]]) -> Iterator[list[Any]]:
    """Send each batch of commands before the replies to the previous batch are read, and yield the replies.

    Raises:
        redis.RedisError: as for `exchange`.
    """
    sent: int | None = None
    try:
        for commands in batches:
            # As one text: redis-py would make a system call for each command.
            connection.send_packed_command([b"".join(map(hiredis.pack_command, commands))], check_health=False)
            if sent is not None:
                yield _read(connection, sent)
            sent = len(commands)
        if sent is not None:
            yield _read(connection, sent)
    except BaseException:
        connection.disconnect()  # the remaining replies must not be taken for those of the next command
        raise


def _read(connection: Connection, count: int) -> list[Any]:
    return [connection.read_response(disable_decoding=True) for _ in range(count)]
