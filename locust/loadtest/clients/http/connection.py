"""One connection to a server: connect, send, receive, each bounded by a deadline.

What makes it lean: the socket is the interpreter's own, not gevent's wrapper; its read watcher is started once
and stays armed, so that a request costs no registration with the kernel; waiting is a switch to the hub and
back. While no request is under way, readiness means that the server closed the connection or sent something
nobody asked for; the connection then counts as stale and is replaced before the next request.
"""

import errno
import os
import socket
from _socket import socket as RawSocket  # noqa: N812 -- gevent leaves this one unpatched, which is the point
from time import perf_counter
from typing import TYPE_CHECKING, Any

import gevent
from gevent.socket import getaddrinfo
from greenlet import getcurrent, greenlet

from loadtest.clients.deadlines import FOREVER_S, DeadlineExpired, DeadlineSweeper
from loadtest.clients.http.errors import ClosedAddressError, ConnectError, DnsError
from loadtest.settings.addresses import is_closed

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.clients.http.url import Origin

RECEIVE_BYTES = 65536
_LONGEST_RESOLUTION_S = 3600.0
_READ, _WRITE = 1, 2  # libev's event bits


class Connection:
    """A connected stream.

    Attributes:
        waiter: The greenlet that waits for this connection, or None.
        deadline_s: Until when it may wait, in seconds of ``time.perf_counter``.
        armed: Whether the read watcher is on. Off while idle means stale.
        served: Responses completed on this connection.
        idle_since_s: When the last of them was completed.
        ragged: Whether the stream ended without its end mark; only TLS has one.
        early: Bytes that arrived while a request was still being sent.
        switch_out: Switches to the hub without gevent's check that this is not the hub already.
        send: Sends some bytes, returns how many; raises BlockingIOError when the kernel takes none.
        receive_now: Receives up to n bytes, b"" at the end; raises BlockingIOError when there are none.
    """

    __slots__ = (
        "__weakref__",
        "_hub_switch",
        "_loop",
        "_sock",
        "_sweeper",
        "_watcher",
        "armed",
        "deadline_s",
        "early",
        "idle_since_s",
        "receive_now",
        "send",
        "served",
        "switch_out",
        "waiter",
    )

    ragged = False

    def __init__(self, sock: RawSocket) -> None:
        """Take over a non-blocking socket that is connected or connecting."""
        hub = gevent.get_hub()
        self._sock = sock
        self._loop = hub.loop
        self._hub_switch: Callable[[], Any] = hub.switch
        self.switch_out: Callable[[], Any] = greenlet.switch.__get__(hub)
        self.send: Callable[[bytes | memoryview], int] = sock.send
        self.receive_now: Callable[[int], bytes] = sock.recv
        self.waiter: Any = None
        self.deadline_s = FOREVER_S
        self.served = 0
        self.idle_since_s = 0.0
        self.early = b""
        self._watcher: Any = hub.loop.io(sock.fileno(), _READ)
        self.armed = False
        self._sweeper = DeadlineSweeper.current()
        self._sweeper.add(self)

    def arm(self) -> None:
        """Start the read watcher if it is off."""
        if not self.armed:
            self.armed = True
            self._watcher.start(self._on_readable)

    def _on_readable(self) -> None:
        """Runs in the hub: wake the greenlet that waits, or note that the peer disturbs an idle connection."""
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            waiter.switch()
        elif self._on_idle_input():
            self.armed = False
            self._watcher.stop()

    def _on_idle_input(self) -> bool:
        """Tell whether input without a request makes the connection stale; it does."""
        return True

    def wait_readable(self) -> None:
        """Wait until there is something to receive.

        Raises:
            DeadlineExpired: deadline_s has passed.
        """
        self.arm()
        self.waiter = getcurrent()
        try:
            self._hub_switch()
        finally:
            self.waiter = None

    def receive(self) -> bytes:
        """The next bytes, b"" at the end of the stream.

        Raises:
            DeadlineExpired: deadline_s has passed.
            OSError: The connection broke.
        """
        while True:
            try:
                return self.receive_now(RECEIVE_BYTES)
            except BlockingIOError:
                self.wait_readable()

    def wait_writable(self) -> bool:
        """Wait until bytes can be sent, or until some arrive.

        Returns:
            True if the socket takes bytes, False if there is something to receive first.

        Raises:
            DeadlineExpired: deadline_s has passed.
        """
        watcher = self._loop.io(self._sock.fileno(), _WRITE)
        writable = False
        waiter = getcurrent()

        def on_writable() -> None:
            nonlocal writable
            writable = True
            watcher.stop()
            if self.waiter is waiter:
                self.waiter = None
                waiter.switch()

        self.waiter = waiter
        watcher.start(on_writable)
        try:
            self._hub_switch()
        finally:
            self.waiter = None
            watcher.stop()
            watcher.close()
        return writable

    def send_all(self, payload: bytes, stops_for_answer: bool = True) -> bool:
        """Send everything, unless the server answers before it has got everything.

        Returns:
            True when all bytes are with the kernel; False when the server's bytes, now in ``early``, came first.

        Raises:
            DeadlineExpired: deadline_s has passed.
            OSError: The connection broke.
        """
        rest = memoryview(payload)
        while True:
            try:
                rest = rest[self.send(rest) :]
                if not rest:
                    return True
            except BlockingIOError:
                if not self.wait_writable() and stops_for_answer and self._take_early():
                    return False

    def _take_early(self) -> bool:
        """Receive what arrived during a send; True if it is more than interim responses."""
        try:
            received = self.receive_now(RECEIVE_BYTES)
        except BlockingIOError:
            return False
        if not received:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        self.early += received
        return not self.early.startswith(b"HTTP/1.1 1")

    def take_early(self) -> bytes:
        """What arrived during a send, once."""
        early, self.early = self.early, b""
        return early

    def is_stale(self, look: bool) -> bool:
        """Tell whether the peer has closed or disturbed the connection while it was idle.

        Args:
            look: Ask the kernel too; the event loop may not have come round yet. Costs a system call.
        """
        return not self.armed or (look and self._has_input())

    def _has_input(self) -> bool:
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def detach(self) -> RawSocket:
        """Give the socket away; this object is of no more use."""
        self._release_watcher()
        return self._sock

    def close(self) -> None:
        """Close the connection; closing twice is harmless."""
        self._release_watcher()
        self._sock.close()

    def _release_watcher(self) -> None:
        self.armed = False
        self._sweeper.discard(self)
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None


def connect(origin: "Origin", deadline_s: float) -> Connection:
    """Open a TCP or Unix connection.

    Every address that the name resolves to is tried in order until the deadline.

    Raises:
        DnsError: The name does not resolve.
        ClosedAddressError: It resolves to an address that no request may go to.
        ConnectError: No address accepted; the text is the last one's reason.
        DeadlineExpired: deadline_s has passed.
    """
    reason: OSError | None = None
    for family, address in _addresses(origin, deadline_s):
        try:
            return _connect_to(family, address, deadline_s)
        except OSError as error:
            reason = error
    raise ConnectError(f"cannot connect to {origin!r}: {reason}") from reason


def _addresses(origin: "Origin", deadline_s: float) -> list[tuple[int, Any]]:
    """Family and address pairs of an origin."""
    if origin.scheme == "http+unix":
        return [(socket.AF_UNIX, origin.host)]
    # The resolver has no deadline of its own: getaddrinfo runs in gevent's thread pool.
    patience_s = min(max(deadline_s - perf_counter(), 0), _LONGEST_RESOLUTION_S)
    with gevent.Timeout(patience_s, DeadlineExpired):
        try:
            found = getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise DnsError(f"the host name {origin.host!r} does not resolve: {error}") from error
    # Each address that a connection is made to, so neither a redirect nor a second answer of the resolver gets past.
    if closed := [address[0] for _, _, _, _, address in found if is_closed(str(address[0]))]:
        raise ClosedAddressError(f"{origin!r} leads to {closed[0]}, where machines keep their own credentials")
    return [(family, address) for family, _, _, _, address in found]


def _connect_to(family: int, address: Any, deadline_s: float) -> Connection:
    """Connect to one address.

    Raises:
        OSError: It did not accept.
        DeadlineExpired: deadline_s has passed.
    """
    sock = RawSocket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = Connection(sock)
    connection.deadline_s = deadline_s
    try:
        code = sock.connect_ex(address)
        if code in (errno.EINPROGRESS, errno.EAGAIN):
            connection.wait_writable()
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except BaseException:
        connection.close()
        raise
    if code:
        connection.close()
        raise OSError(code, os.strerror(code))
    connection.arm()
    return connection
