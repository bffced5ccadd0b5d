"""Connections to a server under gevent, without gevent's layer in the hot path.

A ``Wire`` is a connected, non-blocking stream: TCP, TLS or a Unix socket. Its ``send`` and ``recv_into`` are the
methods of the C object underneath, so that one request costs two system calls and no Python in between. Whoever
owns a wire has it polled for as long as it is open.

A ``Poller`` holds all wires of one hub in one epoll set and lets libev watch only that set: an arrival then costs a
dictionary look-up instead of a callback from libev, 7 % of a whole request's CPU. And a greenlet that begins to wait
does not go back to the hub as long as there are arrivals: it switches to whom the next one concerns, one switch of
greenlets where the way by the hub takes two, another 5 %. Linux only, as the rest is tuned for.

What the greenlets of one batch of arrivals have to send goes out together, ``_TOGETHER`` messages at a time: the server
is woken once and not for each, and the kernel's path stays in the caches, 5 to 10 % of a small request's CPU. A message
waits for the turns of at most so many users, some 10 µs each; without other arrivals it does not wait.
"""

import _socket
import contextlib
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import gevent
import gevent.monkey
import gevent.socket
from greenlet import greenlet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Buffer

_READABLE = 1  # the bit of libev and of epoll alike
_epoll = gevent.monkey.get_original("select", "epoll")  # gevent hides what can block; a poll of 0 s cannot
_BATCH = 256  # arrivals that are handled before libev gets a turn
_TOGETHER = 16

# The plain switch of greenlets. What gevent's adds to it, a look for a hook that nothing here has, costs 4 % of a
# request.
_switch = greenlet.switch


class TransportError(OSError):
    """A connection could not be opened.

    Attributes:
        error_class: ``dns``, ``connect``, ``timeout_connect`` or ``tls``.
    """

    def __init__(self, error_class: str, message: str) -> None:
        """Keep the class beside the text."""
        super().__init__(message)
        self.error_class = error_class


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens.

    Attributes:
        host: Name or address; an IPv6 address without brackets. Empty for a Unix socket.
        port: 1 to 65535; 0 for a Unix socket.
        path: File name of a Unix socket, else empty.
        tls: Context for TLS, made once and shared by all connections, or None for plain text.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        """The place as people write it in messages."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Waiter(Protocol):
    """Who waits for an arrival: a greenlet, or somebody who acts for one."""

    def switch(self) -> object:
        """Read what has arrived."""

    def throw(self, error: BaseException, /) -> object:
        """Wait no longer."""


class Polled(Protocol):
    """Whoever owns a wire that is polled.

    Attributes:
        waiter: Who is switched to when there is something to read, and then reads it; None if nobody waits.
    """

    waiter: Any  # a Waiter or None

    def read_unasked(self) -> None:
        """Read what has arrived while nobody waits. It runs in the hub or in any greenlet, and must not switch."""

    def transmit(self) -> None:
        """Send what was deferred. It runs in the hub or in any greenlet, and must not switch."""


class Poller:
    """Tells which wires of a hub can be read."""

    def __init__(self, hub: Any) -> None:
        """Make the poller of one hub; use ``current()`` to share it."""
        self._polled: dict[int, Polled] = {}
        self._arrivals: Iterator[tuple[int, int]] = iter(())
        self._is_dispatching = False
        self._deferred: list[Polled] = []
        self._switch_to_hub = _switch.__get__(hub)
        self._epoll = _epoll()
        self._poll = self._epoll.poll
        self._watcher = hub.loop.io(self._epoll.fileno(), _READABLE)
        self._process = os.getpid()

    @classmethod
    def current(cls) -> "Poller":
        """The poller of this thread's hub; a forked process gets its own."""
        hub = gevent.get_hub()
        poller: Poller | None = vars(hub).get("_loadtest_poller")
        if poller is None or poller._process != os.getpid():
            poller = vars(hub)["_loadtest_poller"] = cls(hub)
        return poller

    def __len__(self) -> int:
        """How many wires are polled."""
        return len(self._polled)

    def add(self, fileno: int, polled: Polled) -> None:
        """Switch to the waiter whenever there is something to read, until ``discard``."""
        if not self._polled:
            self._watcher.start(self._dispatch)
        self._polled[fileno] = polled
        self._epoll.register(fileno, _READABLE)

    def discard(self, fileno: int) -> None:
        """Watch a wire no longer; to be done before the descriptor is closed."""
        if self._polled.pop(fileno, None) is not None:
            self._epoll.unregister(fileno)
            if not self._polled:
                self._watcher.stop()  # or an event loop with nothing else to wait for would never end

    def defer(self, polled: Polled) -> bool:
        """Have ``transmit`` called together with others', if a batch of arrivals is being handled.

        The greenlet must ``wait`` next.

        Returns:
            Whether it will be called; otherwise the greenlet sends by itself.
        """
        if self._is_dispatching:
            self._deferred.append(polled)
        return self._is_dispatching

    def wait(self) -> None:
        """Wait until somebody switches to this greenlet. It may be in vain: the caller looks what has arrived."""
        if len(self._deferred) >= _TOGETHER:
            self._transmit()
        polled = self._polled
        for fileno, _ in self._arrivals:
            owner = polled.get(fileno)
            if owner is None:  # the wire was closed since
                continue
            waiter = owner.waiter
            if waiter is not None:
                waiter.switch()
                return
            owner.read_unasked()
        self._switch_to_hub()

    def _dispatch(self) -> None:
        """Handle what has arrived; greenlets that begin to wait meanwhile take their part of it."""
        polled = self._polled
        self._arrivals = arrivals = iter(self._poll(0, _BATCH))
        self._is_dispatching = True
        try:
            for fileno, _ in arrivals:
                owner = polled.get(fileno)
                if owner is None:
                    continue
                waiter = owner.waiter
                if waiter is not None:
                    waiter.switch()
                else:
                    owner.read_unasked()
        finally:
            self._is_dispatching = False
            self._transmit()

    def _transmit(self) -> None:
        """Send what was deferred."""
        deferred, self._deferred = self._deferred, []
        for owner in deferred:
            owner.transmit()


class Wire:
    """A connected, non-blocking stream.

    Attributes:
        send: ``send(data) -> int``, the bytes taken. Raises BlockingIOError when the kernel takes none now.
        recv_into: ``recv_into(buffer) -> int``, 0 at the end of the stream. Raises BlockingIOError when there
            is nothing to read now. With TLS the buffer must hold a record, 16 kB, or what is left of one is seen
            by no poll.
        fileno: The file descriptor, for a watcher.
    """

    __slots__ = ("_socket", "fileno", "recv_into", "send")

    def __init__(self, connected: gevent.socket.socket) -> None:
        """Take over a connected gevent socket."""
        self._socket: _socket.socket | ssl.SSLSocket
        self.send: Callable[[Buffer], int]
        self.recv_into: Callable[[Buffer], int]
        if isinstance(connected, ssl.SSLSocket):
            self._take_tls(connected)
        else:
            self._take_plain(connected)
        self.fileno = self._socket.fileno()

    def _take_plain(self, connected: gevent.socket.socket) -> None:
        """Keep the descriptor and leave gevent's wrapper, which weighs more than 1 kB, behind."""
        raw = _socket.socket(fileno=connected.detach())
        raw.setblocking(False)
        self._socket, self.send, self.recv_into = raw, raw.send, raw.recv_into

    def _take_tls(self, connected: ssl.SSLSocket) -> None:
        """Use the TLS object beneath the socket, whose errors say "would block" in words of their own."""
        self._socket = connected
        connected.setblocking(False)
        tls = connected._sslobj  # type: ignore[attr-defined]
        read, write = tls.read, tls.write

        def send(data: "Buffer") -> int:
            try:
                return int(write(data))
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise BlockingIOError from None

        def recv_into(buffer: "Buffer") -> int:
            try:
                return int(read(len(memoryview(buffer)), buffer))
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise BlockingIOError from None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return 0

        self.send, self.recv_into = send, recv_into

    def send_all(self, data: "Buffer", sent_bytes: int = 0, timeout_s: float | None = None) -> None:
        """Send what ``send`` has left, waiting while the kernel's buffer is full.

        Args:
            data: The whole message.
            sent_bytes: How many of its bytes are sent already.
            timeout_s: How long the kernel's buffer may stay full, in seconds; None for ever.

        Raises:
            TimeoutError: The server has read nothing for that long.
            OSError: The connection broke.
        """
        rest = memoryview(data)[sent_bytes:]
        while rest:
            try:
                rest = rest[self.send(rest) :]
            except BlockingIOError:
                gevent.socket.wait_write(self.fileno, timeout_s, TimeoutError("the server reads nothing"))

    def close(self) -> None:
        """Close the descriptor; stop every watcher on it first."""
        with contextlib.suppress(OSError):
            self._socket.close()


def open_wire(endpoint: Endpoint, timeout_s: float | None) -> Wire:
    """Connect, and shake hands if TLS is asked for.

    Args:
        endpoint: Where to.
        timeout_s: For name resolution, connecting and handshake together; None for ever.

    Raises:
        TransportError: With the class of what went wrong.
    """
    expiry = gevent.Timeout(timeout_s)
    try:
        with expiry:
            connected = _connect(endpoint)
            if endpoint.tls is None:
                return Wire(connected)
            return Wire(_secure(connected, endpoint.host, endpoint.tls))
    except gevent.Timeout as timeout:
        if timeout is not expiry:
            raise  # somebody else's, around the whole request
        message = f"no connection to {endpoint} within {timeout_s:g} s"
        raise TransportError("timeout_connect", message) from None
    except gevent.socket.gaierror as error:
        raise TransportError("dns", f"cannot resolve {endpoint.host!r}: {error.strerror}") from error
    except (ssl.SSLError, ssl.CertificateError) as error:
        raise TransportError("tls", f"TLS with {endpoint} failed: {error}") from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise TransportError("connect", f"cannot connect to {endpoint}: {reason}") from error


def _connect(endpoint: Endpoint) -> gevent.socket.socket:
    """Connect a gevent socket; try each of a name's addresses in turn."""
    if endpoint.path:
        return _connect_address(_socket.AF_UNIX, endpoint.path)
    refusal: OSError | None = None
    for family, _, _, _, address in gevent.socket.getaddrinfo(endpoint.host, endpoint.port, 0, _socket.SOCK_STREAM):
        try:
            connected = _connect_address(family, address)
        except OSError as error:
            refusal = error
        else:
            connected.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            return connected
    raise refusal or OSError(f"{endpoint.host!r} has no address")


def _connect_address(family: int, address: "str | tuple[Any, ...]") -> gevent.socket.socket:
    """Connect to one address; leave nothing open if that fails or is given up."""
    connecting = gevent.socket.socket(family, _socket.SOCK_STREAM)
    try:
        connecting.connect(address)
    except BaseException:
        connecting.close()
        raise
    return connecting


def _secure(connected: gevent.socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Shake hands; leave nothing open if that fails or is given up."""
    securing: gevent.socket.socket | ssl.SSLSocket = connected
    try:
        secured = securing = context.wrap_socket(connected, server_hostname=host, do_handshake_on_connect=False)
        secured.do_handshake()
    except BaseException:
        securing.close()
        raise
    return secured
