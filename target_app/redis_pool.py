"""A bounded pool of connections to Redis that costs little per command.

Connecting, authentication, TLS, timeouts and parsing are redis-py's own. What is left out is its client's layer above
them, which took two thirds of a command's CPU time: retries, telemetry, cluster maintenance, reply callbacks.
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
    """What the pool needs of redis-py's connections."""

    @property
    def is_connected(self) -> bool:
        """Whether it is open, as far as this side knows."""

    def can_read(self, timeout: float = 0) -> bool:
        """Return whether there is unexpected data to read; raises at the end of the stream."""

    def disconnect(self) -> None:
        """Close; the next command connects again."""

    def send_packed_command(self, command: list[bytes], check_health: bool = True) -> None:
        """Send encoded commands, after connecting if need be."""

    def read_response(self, disable_decoding: bool = False) -> Any:
        """Return the next reply."""


class RedisPool:
    """A fixed number of connections, opened when they are first needed, the last used one taken first."""

    def __init__(self, url: str, size: int, timeout_s: float) -> None:
        """Prepare the pool; nothing is connected yet.

        Args:
            url: where Redis is, in redis-py's form.
            size: the number of connections; a caller beyond it waits.
            timeout_s: limit for a connect, for a reply, and for the wait for a connection, each.
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
        """Hold a connection that is usable or not yet open.

        Raises:
            redis.ConnectionError: none was given back in time.
        """
        connection = self._take()
        try:
            yield connection
        finally:
            self._idle.put(connection)

    def run(self, *command: Any) -> Any:
        """Send one command, once, and return its reply, text as bytes.

        Raises:
            redis.RedisError: Redis is away, too slow, or answered with an error (ResponseError).
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
            connection.disconnect()  # the next command connects; on this connection it would be lost
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
    """Send several commands at once on one connection, and return their replies.

    Raises:
        redis.RedisError: as `RedisPool.run`, for the first that fails; the connection is then closed.
    """
    (replies,) = exchanges(connection, [commands])
    return replies


def exchanges(connection: Connection, batches: Iterable[Sequence[Command]]) -> Iterator[list[Any]]:
    """Send each batch of commands before the replies to the one before it are read, and yield the replies.

    Raises:
        redis.RedisError: as `exchange`.
    """
    sent: int | None = None
    try:
        for commands in batches:
            # As one text: redis-py would make a system call of each command.
            connection.send_packed_command([b"".join(map(hiredis.pack_command, commands))], check_health=False)
            if sent is not None:
                yield _read(connection, sent)
            sent = len(commands)
        if sent is not None:
            yield _read(connection, sent)
    except BaseException:
        connection.disconnect()  # the other replies must not answer the next command
        raise


def _read(connection: Connection, count: int) -> list[Any]:
    return [connection.read_response(disable_decoding=True) for _ in range(count)]
