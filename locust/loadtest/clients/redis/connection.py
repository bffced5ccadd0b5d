"""One connection to a Redis: handshake, one exchange at a time, timeouts.

The hot path is ``exchange``: one ``send``, alone or together with those of other greenlets whose replies arrived at the
same time, one switch away, and one ``recv_into`` per arrival until the reply is complete (`ReplyParser`). The
connection is polled while it is open, so an idle one notices at once that the server has closed it, and the next
request opens a new one before it sends anything. Nothing is ever sent twice: a request whose outcome is unknown is an
error, not a retry.

Tested in tests/unit/clients/redis/test_faults.py.
"""

import random
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import gevent
import hiredis
from greenlet import getcurrent, greenlet

from loadtest.clients.redis.errors import ConnectionBroken, RequestTimeout, connect_error
from loadtest.clients.redis.reply_parser import ARRIVAL, INCOMPLETE, ReplyParser
from loadtest.clients.redis.settings import RESP3
from loadtest.clients.transport import own_limits
from loadtest.clients.transport.connection import Connection
from loadtest.clients.transport.deadlines import FOREVER_S, DeadlineExpired, DeadlineSweeper
from loadtest.clients.transport.endpoint import no_tally
from loadtest.clients.transport.stream import TransportError
from loadtest.measuring.error_classes import GENERATOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.clients.redis.settings import RedisSettings
    from loadtest.clients.transport.endpoint import Tally
    from loadtest.clients.transport.stream import Stream

BACKOFF_FIRST_S: Final = 0.05
BACKOFF_MAX_S: Final = 1.5

# A command up to this size may wait to be sent together with others. The kernel accepts it in one piece.
_SHORT_BYTES: Final = 2048

_ENDS: Final = (OSError, hiredis.HiredisError, ConnectionBroken)  # exceptions that end a connection
_MAX_BYTES: Final = 2**30
"""The longest reply; the longest value that Redis keeps by default is half of it."""


class _Unsent(Exception):  # noqa: N818 -- a signal, thrown into the greenlet that awaits the reply
    """The kernel did not accept a deferred command in one piece."""

    def __init__(self, sent_bytes: int) -> None:
        self.sent_bytes = sent_bytes


class RespConnection(Connection):
    """A connection, opened by the first exchange and reopened after each loss.

    Attributes:
        ready: Whether it is open, and neither waited on nor reserved.
        received_bytes: Size of the last reply on the wire.
        tally: Called when it is opened: see `loadtest.measuring.tallies`.
    """

    __slots__ = (
        "_connect_timeout_s",
        "_defer",
        "_deferred",
        "_failures",
        "_opening",
        "_parse",
        "_parser",
        "_recv_into",
        "_reply_timeout_s",
        "_reserved",
        "_retry_at_s",
        "_send",
        "_settings",
        "ready",
        "received_bytes",
        "tally",
    )

    def __init__(self, settings: "RedisSettings") -> None:
        """Prepare a connection; nothing is opened yet."""
        super().__init__()
        self._settings = settings
        self._reply_timeout_s = settings.read_timeout_s
        self._connect_timeout_s = settings.connect_timeout_s
        self._opening = False
        self._reserved = False
        self._failures = 0
        self._retry_at_s = 0.0
        self._parser: ReplyParser
        self._parse: Callable[[int], Any]
        self._send: Callable[[bytes | memoryview], int]
        self._recv_into: Callable[[memoryview], int]
        self._defer: Callable[[RespConnection], bool]
        self._deferred: bytes | None = None
        self.ready = False
        self.received_bytes = 0
        self.tally: Tally = no_tally

    @property
    def busy(self) -> bool:
        """Whether it is being opened, waited on or reserved."""
        return self._opening or self._reserved or self.waiter is not None

    @property
    def last_sent_s(self) -> float:
        """When a request was last sent, in seconds of ``time.perf_counter``; 0 before that."""
        return self.deadline_s - self._reply_timeout_s if self.deadline_s < FOREVER_S else 0.0

    @property
    def is_open(self) -> bool:
        """Whether there is an open connection."""
        return self.stream is not None

    def reserve(self) -> None:
        """Reserve the connection for one transaction, from WATCH to EXEC."""
        self._reserved = True
        self.ready = False

    def release(self) -> None:
        """End a reservation."""
        self._reserved = False
        self.ready = self.stream is not None and self.waiter is None

    def exchange(self, data: bytes, sent_s: float) -> Any:
        """Send one command and wait for its reply.

        Args:
            data: The encoded command.
            sent_s: Now, in seconds of ``time.perf_counter``; the reply's deadline counts from here.

        Returns:
            The reply as hiredis parses it; an error reply is an exception object, not raised.

        Raises:
            ConnectionBroken, RequestTimeout: The request failed, but Redis may have executed it.
            redis.exceptions.RedisError: The handshake of a new connection was refused.
        """
        if self.stream is None:
            self._open()
        self.ready = False
        self.received_bytes = 0
        self.deadline_s = sent_s + self._reply_timeout_s
        defer, wait, reply = self._defer, self.wait, INCOMPLETE
        try:
            self.waiter = getcurrent()
            if len(data) <= _SHORT_BYTES and defer(self):
                self._deferred = data
            else:
                sent_bytes = self._send_now(data)
                if sent_bytes != len(data):
                    reply = self._send_rest(data, sent_bytes)
            while reply is INCOMPLETE:
                try:
                    wait()
                except _Unsent as unsent:
                    reply = self._send_rest(data, unsent.sent_bytes)
                else:
                    reply = self._receive()
        except BaseException as error:
            self.waiter = None
            self.close()
            if isinstance(error, DeadlineExpired):
                message = f"no reply from {self._settings.endpoint} in {self._reply_timeout_s:g} s"
                raise RequestTimeout("timeout_read", message) from None
            if isinstance(error, (OSError, hiredis.HiredisError)):
                raise _broken(error) from error
            raise
        self.waiter = None
        self.ready = not self._reserved
        return reply

    def exchange_many(self, data: bytes, count: int, sent_s: float) -> list[Any]:
        """Send several commands at once and wait for all replies; otherwise like ``exchange``.

        Args:
            data: The encoded commands.
            count: The number of commands, at least 1.
            sent_s: Now, in seconds of ``time.perf_counter``; the last reply's deadline counts from here.
        """
        if self.stream is None:
            self._open()
        self._parser.expect(count)
        return self.exchange(data, sent_s)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the connection; the next exchange opens it again."""
        super().close()
        self.ready = False
        self._deferred = None
        if self.waiter is not None:  # another greenlet, which is notified once it can run
            error = ConnectionBroken("closed", "the connection was closed by its own client")
            gevent.get_hub().loop.run_callback(self._wake, self.waiter, error)

    def await_turn(self) -> bool:
        """Sleep for the back-off after failed attempts to connect.

        The back-off doubles from ``BACKOFF_FIRST_S`` to ``BACKOFF_MAX_S`` with a random jitter of up to half, so that
        a thousand users do not reconnect in the same instant.

        Returns:
            Whether there was a pause; another greenlet may have taken the connection meanwhile.
        """
        pause_s = self._retry_at_s - perf_counter()
        if self.stream is not None or pause_s <= 0:
            return False
        gevent.sleep(pause_s)
        return True

    def send_deferred(self) -> None:
        """Send the deferred command, unless the request has been abandoned since. Called by the poller."""
        data, self._deferred = self._deferred, None
        if data is None:
            return
        signal: Exception
        try:
            sent_bytes = self._send_now(data)
        except OSError as error:
            signal = error
        else:
            if sent_bytes == len(data):
                return
            signal = _Unsent(sent_bytes)
        gevent.get_hub().loop.run_callback(self._wake, self.waiter, signal)

    def _send_now(self, data: bytes) -> int:
        """Send as much as the kernel accepts, and return how much that was."""
        try:
            return self._send(data)
        except BlockingIOError:
            return 0

    def _send_rest(self, data: bytes, sent_bytes: int) -> Any:
        """Send the rest of a command that the kernel accepted in part.

        Returns:
            The reply, if it has already arrived.
        """
        reply = INCOMPLETE
        rest = memoryview(data)[sent_bytes:]
        while rest:
            try:
                rest = rest[self._send(rest) :]
            except BlockingIOError:
                if self.wait_writable():
                    continue
                arrived = self._receive()
                if arrived is not INCOMPLETE and reply is not INCOMPLETE:
                    raise self._parser.excess() from None
                reply = arrived if reply is INCOMPLETE else reply
        self.waiter = getcurrent()
        return reply

    def _open(self) -> None:
        """Connect and shake hands.

        Raises:
            ConnectionBroken, RequestTimeout, redis.exceptions.RedisError: With the error class of the failure.
        """
        started_s = perf_counter()
        timeout_s = self._connect_timeout_s
        self._opening = True
        try:
            self._find()
            self._start(self._settings.endpoint.connect(timeout_s, tally=self.tally))
            self._shake_hands(started_s + timeout_s)
        except BaseException as error:
            self.waiter = None
            self.close()
            self._failures += 1
            pause_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(self._failures - 1, 30))
            self._retry_at_s = perf_counter() + pause_s * random.uniform(0.5, 1.0)  # noqa: S311 -- no secret
            if isinstance(error, TransportError):
                raise connect_error(error) from error
            raise
        finally:
            self._opening = False
        self._failures = 0
        self._retry_at_s = 0.0

    def _find(self) -> None:
        """Return the server's endpoint, from the settings."""

    def _start(self, stream: "Stream") -> None:
        """Take over a new stream with a new parser."""
        self.attach(stream)
        self._send, self._recv_into, self._defer = stream.send, stream.recv_into, self._poller.defer
        self._parser = ReplyParser(self._settings.endpoint, collects=self._settings.protocol == RESP3)
        self._parse = self._parser.parse
        DeadlineSweeper.current().allow_for(min(self._reply_timeout_s, self._connect_timeout_s))

    def _shake_hands(self, deadline_s: float) -> None:
        """Authenticate, select the database and set the client's name, in one round trip.

        Raises:
            redis.exceptions.RedisError: The server refused a command.
        """
        commands = _handshake(self._settings)
        if not commands:
            return
        reply_timeout_s = self._reply_timeout_s
        sent_s = perf_counter()
        self._reply_timeout_s = max(0.0, deadline_s - sent_s)
        try:
            replies = self.exchange_many(
                b"".join(hiredis.pack_command(each) for each in commands), len(commands), sent_s
            )
        except RequestTimeout as error:
            message = f"{self._settings.endpoint} did not answer the handshake within {self._connect_timeout_s:g} s"
            raise RequestTimeout("timeout_connect", message) from error
        finally:
            self._reply_timeout_s = reply_timeout_s
        self._check(replies)

    def _check(self, replies: list[Any]) -> None:
        """Check the replies to the handshake.

        Raises:
            redis.exceptions.RedisError: The server refused a command.
        """
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply

    def on_unsolicited_input(self) -> None:
        """Read input that arrives while no greenlet waits, mostly the end of the connection."""
        try:
            reply = self._receive()
        except _ENDS:
            self.close()
        else:
            if reply is not INCOMPLETE:
                self.close()  # or the next request would get a reply that is not its own

    def _receive(self) -> Any:
        """Read what has arrived and parse it.

        Returns:
            The reply, if it is complete now.

        Raises:
            ConnectionBroken: The stream has ended, contains more than was requested, or a map with a list as a key.
            OSError, hiredis.HiredisError: The connection broke, or the data is not RESP.
        """
        try:
            arrived_bytes = self._recv_into(ARRIVAL)
        except BlockingIOError:
            return INCOMPLETE
        if not arrived_bytes:
            raise ConnectionBroken("closed", f"{self._settings.endpoint} closed the connection")
        self.received_bytes += arrived_bytes
        try:
            reply = self._parse(arrived_bytes)
        except TypeError as error:  # hiredis turns a map into a dictionary
            raise ConnectionBroken("protocol", f"{self._settings.endpoint} sent a map with a key of many") from error
        if reply is INCOMPLETE and self.received_bytes > _MAX_BYTES:
            raise self._parser.too_large(f"{_MAX_BYTES} bytes")
        return reply

    def _wake(self, waiter: greenlet | None, error: Exception) -> None:
        """Throw an error into a greenlet that is still waiting."""
        if waiter is not None and self.waiter is waiter:
            self.waiter = None
            waiter.throw(error)


def _handshake(settings: "RedisSettings") -> list[tuple[Any, ...]]:
    """The commands with which a connection begins."""
    commands: list[tuple[Any, ...]] = []
    known = bool(settings.username or settings.password)  # a Redis user may have no password
    if settings.protocol == RESP3:
        identity = ("AUTH", settings.username or "default", settings.password) if known else ()
        commands.append(("HELLO", RESP3, *identity))
    elif known:
        commands.append(("AUTH", *filter(None, (settings.username,)), settings.password))
    if settings.client_name:
        commands.append(("CLIENT", "SETNAME", settings.client_name))
    if settings.read_from_replicas:
        commands.append(("READONLY",))
    if settings.db:
        commands.append(("SELECT", settings.db))
    if settings.sentinel:
        commands.append(("ROLE",))
    return commands


def _broken(error: OSError | hiredis.HiredisError) -> ConnectionBroken | RequestTimeout:
    """The exception for a connection that broke during a request."""
    if isinstance(error, TransportError):
        return connect_error(error)
    if isinstance(error, hiredis.HiredisError):
        return ConnectionBroken("protocol", f"the data received is not a reply: {error}")
    if limit := own_limits.reached(error):
        return ConnectionBroken(GENERATOR, f"the connection broke: {limit}")
    return ConnectionBroken("reset", f"the connection broke: {error.strerror or error}")
