"""One connection to a Redis: handshake, one exchange at a time, timeouts.

The hot path is ``exchange``: one ``send``, by itself or together with those of other greenlets whose replies came at
the same time, one switch away, one ``recv_into`` per arrival until the reply is whole. The connection is polled for all
its life, so an idle one notices at once that the server has closed it, and the next request opens a new one before
anything is sent. Nothing is ever sent twice: a request whose fate is unknown is an error, not a retry.

A pipeline of n commands is read as one reply, an array of n: the array's header is fed to the parser before the
replies come, and the parser, written in C, does the rest. RESP3 may interleave push messages, which would be
counted as elements, so there the replies are collected one by one. Push messages are dropped.
"""

import random
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import gevent
import hiredis
from greenlet import getcurrent

from loadtest.clients.deadlines import FOREVER_S, DeadlineExpired, DeadlineSweeper
from loadtest.clients.redis.errors import ConnectionBroken, RequestTimeout, connect_error, reply_error
from loadtest.clients.redis.settings import RESP3
from loadtest.clients.transport import Poller, TransportError, Waiter, Wire, open_wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.clients.redis.settings import RedisSettings

BACKOFF_FIRST_S: Final = 0.05
BACKOFF_MOST_S: Final = 1.5

# A command up to this size may wait to be sent together with others'. The kernel takes it whole.
_SHORT_BYTES: Final = 2048

_INCOMPLETE: Final = object()
_ENDS: Final = (OSError, hiredis.HiredisError, ConnectionBroken)  # what ends a connection

# What has just arrived, for all connections of the process: it is parsed before anything else can run. It holds more
# than a TLS record (16 kB), so that the TLS layer keeps nothing back that polling could not see.
_ARRIVAL: Final = bytearray(256 * 1024)


class _Unsent(Exception):  # noqa: N818 -- a signal, thrown into the greenlet that waits for the reply
    """The kernel did not take a deferred command whole."""

    def __init__(self, sent_bytes: int) -> None:
        self.sent_bytes = sent_bytes


class _EarlyReader:
    """Reads in the place of a greenlet that still waits for room to send the rest of its command.

    Attributes:
        outcome: The reply, or what ended the connection, if it has come.
    """

    def __init__(self, take_in: "Callable[[], Any]", greenlet: Waiter) -> None:
        self.outcome: Any = _INCOMPLETE
        self.throw = greenlet.throw
        self._take_in = take_in
        self._is_needed = True

    def switch(self) -> None:
        """Take in what has arrived; the end of the connection ends the wait for room, in the hub's own time."""
        try:
            reply = self._take_in()
        except _ENDS as error:
            self.outcome = error
            gevent.get_hub().loop.run_callback(self._interrupt)
        else:
            if reply is not _INCOMPLETE:
                self.outcome = reply

    def retire(self) -> None:
        """Leave the greenlet alone from now on."""
        self._is_needed = False

    def _interrupt(self) -> None:
        if self._is_needed:
            self._is_needed = False
            self.throw(self.outcome)


class RespConnection:
    """A connection, opened by the first exchange and again whenever it was lost.

    Attributes:
        ready: Whether it is open and nobody waits on it or has reserved it.
        received_bytes: Size of the last reply on the wire.
        deadline_s: When the waiting greenlet's patience ends, in seconds of ``time.perf_counter``.
        waiter: Who waits for a reply, or None.
    """

    __slots__ = (
        "__weakref__",
        "_collected",
        "_collects",
        "_defer",
        "_deferred",
        "_failures",
        "_feed",
        "_gets",
        "_has_data",
        "_opening",
        "_patience_s",
        "_recv_into",
        "_reserved",
        "_retry_at_s",
        "_send",
        "_settings",
        "_wait",
        "_wanted",
        "_wire",
        "deadline_s",
        "ready",
        "received_bytes",
        "waiter",
    )

    def __init__(self, settings: "RedisSettings") -> None:
        """Prepare a connection; nothing is opened yet."""
        self._settings = settings
        self._patience_s = FOREVER_S if settings.read_timeout_s is None else settings.read_timeout_s
        self._collects = settings.protocol == RESP3
        self._collected: list[Any] = []
        self._wanted = 0
        self._wire: Wire | None = None
        self.waiter: Waiter | None = None
        self._opening = False
        self._reserved = False
        self._failures = 0
        self._retry_at_s = 0.0
        self._send: Callable[[bytes], int]
        self._recv_into: Callable[[bytearray], int]
        self._feed: Callable[[Any, int, int], None]
        self._gets: Callable[[], Any]
        self._has_data: Callable[[], bool]
        self._wait: Callable[[], None]
        self._defer: Callable[[RespConnection], bool]
        self._deferred: bytes | None = None
        self.ready = False
        self.received_bytes = 0
        self.deadline_s = FOREVER_S

    @property
    def busy(self) -> bool:
        """Whether somebody opens it, waits on it or has reserved it."""
        return self._opening or self._reserved or self.waiter is not None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that nobody has closed."""
        return self._wire is not None

    def reserve(self) -> None:
        """Keep the connection for one transaction, between WATCH and EXEC."""
        self._reserved = True
        self.ready = False

    def release(self) -> None:
        """End a reservation."""
        self._reserved = False
        self.ready = self._wire is not None and self.waiter is None

    def exchange(self, data: bytes, sent_s: float) -> Any:
        """Send one command and wait for its reply.

        Args:
            data: The encoded command.
            sent_s: Now, in seconds of ``time.perf_counter``; the reply's deadline counts from here.

        Returns:
            The reply as hiredis parses it; an error reply is an exception object, not raised.

        Raises:
            ConnectionBroken, RequestTimeout: The request has failed. Redis may have executed it all the same.
            redis.exceptions.RedisError: The handshake of a new connection was refused.
        """
        if self._wire is None:
            self._open()
        self.ready = False
        self.received_bytes = 0
        self.deadline_s = sent_s + self._patience_s
        defer, wait, reply = self._defer, self._wait, _INCOMPLETE
        try:
            self.waiter = getcurrent()
            if len(data) <= _SHORT_BYTES and defer(self):
                self._deferred = data
            else:
                sent_bytes = self._send_now(data)
                if sent_bytes != len(data):
                    reply = self._send_rest(data, sent_bytes)
            while reply is _INCOMPLETE:
                try:
                    wait()
                except _Unsent as unsent:
                    reply = self._send_rest(data, unsent.sent_bytes)
                else:
                    reply = self._take_in()
        except BaseException as error:
            self.waiter = None
            self.close()
            if isinstance(error, DeadlineExpired):
                raise self._overdue() from None
            if isinstance(error, (OSError, hiredis.HiredisError)):
                raise _broken(error) from error
            raise
        self.waiter = None
        self.ready = not self._reserved
        return reply

    def exchange_many(self, data: bytes, count: int, sent_s: float) -> list[Any]:
        """Send several commands at once and wait for all replies; as ``exchange`` in all else.

        Args:
            data: The encoded commands.
            count: How many they are, at least 1.
            sent_s: Now, in seconds of ``time.perf_counter``; the last reply's deadline counts from here.
        """
        if self._wire is None:
            self._open()
        if self._collects:
            self._wanted, self._collected = count, []
            replies = self.exchange(data, sent_s)
            self._wanted = 0
        else:
            header = b"*%d\r\n" % count
            self._feed(header, 0, len(header))
            replies = self.exchange(data, sent_s)
        return replies  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the connection; the next exchange opens it again."""
        wire, self._wire = self._wire, None
        self.ready = False
        self._wanted = 0
        self._deferred = None
        if wire is not None:
            Poller.current().discard(wire.fileno)
            DeadlineSweeper.current().discard(self)
            wire.close()
        if self.waiter is not None:  # another greenlet, which learns of it in its own turn
            error = ConnectionBroken("closed", "the connection was closed by its own client")
            gevent.get_hub().loop.run_callback(self._wake, self.waiter, error)

    def await_turn(self) -> bool:
        """Sleep out the pause after failed attempts to connect.

        The pause doubles from ``BACKOFF_FIRST_S`` to ``BACKOFF_MOST_S`` and is shortened by up to half at random, so
        that a thousand users do not come back in the same instant.

        Returns:
            Whether there was a pause; somebody else may have taken the connection meanwhile.
        """
        pause_s = self._retry_at_s - perf_counter()
        if self._wire is not None or pause_s <= 0:
            return False
        gevent.sleep(pause_s)
        return True

    def transmit(self) -> None:
        """Send the command that was deferred, unless it was given up since. Called by the poller."""
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
        """Send as much as the kernel takes, and tell how much that is."""
        try:
            return self._send(data)
        except BlockingIOError:
            return 0

    def _send_rest(self, data: bytes, sent_bytes: int) -> Any:
        """Send the rest of a command that the kernel did not take whole.

        Returns:
            The reply, if it has come already.
        """
        greenlet = getcurrent()
        early = self.waiter = _EarlyReader(self._take_in, greenlet)
        patience_s = None if self._patience_s == FOREVER_S else self._patience_s
        assert self._wire is not None  # noqa: S101 -- for the type checker: an exchange has a wire
        try:
            self._wire.send_all(data, sent_bytes, patience_s)
        finally:
            early.retire()
        if isinstance(early.outcome, _ENDS):
            raise early.outcome
        self.waiter = greenlet
        return early.outcome

    def _overdue(self) -> RequestTimeout:
        """The exception for a reply that did not come in time."""
        return RequestTimeout("timeout_read", f"no reply from {self._settings.endpoint} in {self._patience_s:g} s")

    def _open(self) -> None:
        """Connect and shake hands.

        Raises:
            ConnectionBroken, RequestTimeout, redis.exceptions.RedisError: With the class of what went wrong.
        """
        started_s = perf_counter()
        timeout_s = self._settings.connect_timeout_s
        self._opening = True
        try:
            self._attach(open_wire(self._settings.endpoint, timeout_s))
            self._shake_hands(FOREVER_S if timeout_s is None else started_s + timeout_s)
        except BaseException as error:
            self.waiter = None
            self.close()
            self._failures += 1
            pause_s = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(self._failures - 1, 30))
            self._retry_at_s = perf_counter() + pause_s * random.uniform(0.5, 1.0)  # noqa: S311 -- no secret
            if isinstance(error, TransportError):
                raise connect_error(error) from error
            raise
        finally:
            self._opening = False
        self._failures = 0
        self._retry_at_s = 0.0

    def _attach(self, wire: Wire) -> None:
        """Make the wire this connection's own: a fresh parser, an armed watcher."""
        reader = hiredis.Reader(replyError=reply_error, notEnoughData=_INCOMPLETE)
        self._wire = wire
        self._send, self._recv_into = wire.send, wire.recv_into
        self._feed, self._gets, self._has_data = reader.feed, reader.gets, reader.has_data
        poller = Poller.current()
        poller.add(wire.fileno, self)
        self._wait, self._defer = poller.wait, poller.defer
        sweeper = DeadlineSweeper.current()
        sweeper.heed(min(self._patience_s, self._settings.connect_timeout_s or FOREVER_S))
        sweeper.add(self)

    def _shake_hands(self, deadline_s: float) -> None:
        """Say who we are and what we want, in one round trip.

        Raises:
            redis.exceptions.RedisError: What the server refused.
        """
        commands = _handshake(self._settings)
        if not commands:
            return
        patience_s = self._patience_s
        sent_s = perf_counter()
        self._patience_s = max(0.0, deadline_s - sent_s)
        try:
            replies = self.exchange_many(
                b"".join(hiredis.pack_command(each) for each in commands), len(commands), sent_s
            )
        except RequestTimeout as error:
            place, timeout_s = self._settings.endpoint, self._settings.connect_timeout_s
            raise RequestTimeout("timeout_connect", f"{place} did not greet within {timeout_s:g} s") from error
        finally:
            self._patience_s = patience_s
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply

    def read_unasked(self) -> None:
        """Take in what has arrived while nobody waits: mostly the end of the connection. Called by the poller."""
        try:
            reply = self._take_in()
        except _ENDS:
            self.close()
        else:
            if reply is not _INCOMPLETE:
                self.close()  # or the next request would get what was not meant for it

    def _take_in(self) -> Any:
        """Take in what has arrived.

        Returns:
            The reply, if it is whole now.

        Raises:
            ConnectionBroken: The stream has ended, or holds more than was asked for.
            OSError, hiredis.HiredisError: The connection broke, or what came is no RESP.
        """
        recv_into, feed, gets, has_data = self._recv_into, self._feed, self._gets, self._has_data
        try:
            arrived_bytes = recv_into(_ARRIVAL)
        except BlockingIOError:
            return _INCOMPLETE
        if not arrived_bytes:
            raise ConnectionBroken("closed", f"{self._settings.endpoint} closed the connection")
        self.received_bytes += arrived_bytes
        feed(_ARRIVAL, 0, arrived_bytes)
        reply = gets()
        if self._collects:
            return self._collect(reply)
        if reply is not _INCOMPLETE and has_data():
            raise ConnectionBroken("protocol", f"{self._settings.endpoint} sent more than it was asked for")
        return reply

    def _collect(self, reply: Any) -> Any:
        """Leave out push messages and gather a pipeline's replies; tell when they are complete."""
        while reply is not _INCOMPLETE:
            if type(reply) is not hiredis.PushNotification:
                if not self._wanted:
                    return reply
                self._collected.append(reply)
                if len(self._collected) == self._wanted:
                    return self._collected
            reply = self._gets()
        return reply

    def _wake(self, waiter: Waiter | None, error: Exception) -> None:
        """Tell a greenlet, if it still waits."""
        if waiter is not None and self.waiter is waiter:
            self.waiter = None
            waiter.throw(error)


def _handshake(settings: "RedisSettings") -> list[tuple[Any, ...]]:
    """The commands with which a connection begins."""
    commands: list[tuple[Any, ...]] = []
    known = bool(settings.username or settings.password)  # a user of Redis may need no password
    if settings.protocol == RESP3:
        identity = ("AUTH", settings.username or "default", settings.password) if known else ()
        commands.append(("HELLO", RESP3, *identity))
    elif known:
        commands.append(("AUTH", *filter(None, (settings.username,)), settings.password))
    if settings.client_name:
        commands.append(("CLIENT", "SETNAME", settings.client_name))
    if settings.db:
        commands.append(("SELECT", settings.db))
    return commands


def _broken(error: OSError | hiredis.HiredisError) -> ConnectionBroken | RequestTimeout:
    """The exception for a connection that broke under a request."""
    if isinstance(error, TimeoutError):
        return RequestTimeout("timeout_read", str(error))
    if isinstance(error, hiredis.HiredisError):
        return ConnectionBroken("protocol", f"what came is no reply: {error}")
    return ConnectionBroken("reset", f"the connection broke: {error.strerror or error}")
