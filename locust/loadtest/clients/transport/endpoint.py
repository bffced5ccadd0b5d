"""Where a server listens, and how a stream to it is opened: name resolution, address checks, connect, TLS."""

import errno
import os
import ssl
from _socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    AI_NUMERICHOST,
    IPPROTO_TCP,
    SO_ERROR,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
    getaddrinfo,
    inet_pton,
)
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from select import POLLOUT
from time import perf_counter
from typing import Any, NamedTuple

import gevent
import gevent.monkey
import gevent.socket

from loadtest.clients.transport import own_limits
from loadtest.clients.transport.deadlines import FOREVER_S
from loadtest.clients.transport.poller import WRITABLE
from loadtest.clients.transport.stream import Stream, TlsStream, TransportError, tls_reason
from loadtest.measuring.error_classes import GENERATOR
from loadtest.measuring.labels import CONNECT, DNS, TLS
from loadtest.measuring.tallies import CONNECTION, LOOKUP
from loadtest.measuring.turn import wait_for_any
from loadtest.settings.hosts import is_closed, is_inside

Tally = Callable[[str, str, float], None]
"""Called with each event: its kind, one of `tallies.TALLIES` or `labels.CONNECTION_PHASES`, a detail (for a phase, the
endpoint), and its duration in seconds."""

_poll = gevent.monkey.get_original("select", "poll")  # gevent hides blocking functions; a poll of 0 ms cannot block
_FULL_BACKLOG_PAUSE_S = 0.005
_NEXT_ADDRESS_AFTER_S = 0.25  # RFC 8305's Connection Attempt Delay
_ADVICE = {
    "host.docker.internal": "; a service of the machine itself has to listen on 0.0.0.0, because no container reaches "
    "its 127.0.0.1"
}
"""The advice for a host of this name that accepts no connection."""


def no_tally(_kind: str, _detail: str, _seconds: float) -> None:
    """Ignore the event."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens.

    Attributes:
        host: Name or address; an IPv6 address without brackets. Empty for a Unix socket.
        port: 1 to 65535; 0 for a Unix socket.
        path: File name of a Unix socket, else empty.
        tls: Context for TLS, made once and shared by all connections, or None for plain text.
        from_elsewhere: Whether a service on another machine redirected there; it must not redirect to this machine.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    tls: ssl.SSLContext | None = None
    from_elsewhere: bool = False

    def __str__(self) -> str:
        """The endpoint for messages."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def connect(self, timeout_s: float, session: ssl.SSLSession | None = None, tally: Tally = no_tally) -> Stream:
        """Open a stream to the first of the name's addresses that accepts.

        Args:
            timeout_s: For name resolution, connecting and TLS handshake together; infinity for no limit.
            session: A TLS session to resume.
            tally: Called for the look-up, the connection, and its phases.

        Raises:
            TransportError: With the error class of the failure.
        """
        expiry = gevent.Timeout(None if timeout_s == FOREVER_S else max(timeout_s, 0.0))
        try:
            with expiry:
                return self._connect(session, tally)
        except gevent.Timeout as timeout:
            if timeout is not expiry:
                raise  # the caller's own timeout, around the whole request
            raise TransportError("timeout_connect", f"no connection to {self} within {timeout_s:g} s") from None
        except TransportError:
            raise
        except ssl.SSLError as error:
            raise TransportError("tls", f"TLS with {self} failed: {tls_reason(error)}") from error
        except OSError as error:
            raise self._refused({"": error}) from error

    def _connect(self, session: ssl.SSLSession | None, tally: Tally) -> Stream:
        began_s = perf_counter()
        addresses = self._addresses()
        found_s, place = perf_counter(), str(self)
        if not self.path and not is_address(self.host):
            tally(LOOKUP, self.host, found_s - began_s)
            tally(DNS, place, found_s - began_s)
        stream = self._first_to_accept(addresses)
        accepted_s = perf_counter()
        tally(CONNECT, place, accepted_s - found_s)
        if isinstance(stream, TlsStream) and self.tls is not None:
            try:
                stream.handshake(self.tls, self.host, session)
            except BaseException:
                stream.close()
                raise
            tally(TLS, place, perf_counter() - accepted_s)
        is_one_of_several = [family for family, _ in addresses].count(stream.family) > 1
        tally(CONNECTION, _peer(stream) if is_one_of_several else "", perf_counter() - began_s)
        return stream

    def _first_to_accept(self, addresses: list[tuple[int, Any]]) -> Stream:
        """A stream to the first address that accepts; while one is silent, the next is tried as well.

        Happy Eyeballs (RFC 8305, section 5), in the order of the resolver.
        """
        kind = Stream if self.tls is None else TlsStream
        if not addresses:
            raise OSError(f"{self.host!r} has no address")
        under_way: dict[int, _Attempt] = {}
        refusals: dict[Any, OSError] = {}
        try:
            for family, address in addresses:
                stream = kind(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
                under_way[stream.fileno()] = _Attempt(stream, address)
                accepted = _settle(under_way, _begin_connecting(stream, family, address), refusals)
                is_last = address is addresses[-1][1]
                while accepted is None and under_way:
                    settled = _await_any(under_way, None if is_last else _NEXT_ADDRESS_AFTER_S)
                    accepted = _settle(under_way, settled, refusals)
                    if not is_last:
                        break
                if accepted is not None:
                    return accepted
        finally:
            for attempt in under_way.values():
                attempt.stream.close()
        raise self._refused({address: refusals[address] for _, address in addresses})

    def _refused(self, refusals: Mapping[Any, OSError]) -> TransportError:
        """Explain why no address accepted; one that this machine has no route to is ignored if there is another.

        Args:
            refusals: the error of each address.
        """
        routed = {address: error for address, error in refusals.items() if len(refusals) == 1 or _has_way_to(address)}
        errors = routed or refusals
        if limits := sorted(filter(None, map(own_limits.reached, errors.values()))):
            return TransportError(GENERATOR, f"cannot connect to {self}: {limits[0]}")
        reasons = {
            address: os.strerror(error.errno) if error.errno else str(error) for address, error in errors.items()
        }
        reason = next(iter(reasons.values()))
        if len(set(reasons.values())) > 1:
            reason = ", ".join(f"{one} ({address[0]})" for address, one in reasons.items())
        return TransportError("connect", f"cannot connect to {self}: {reason}{_ADVICE.get(self.host, '')}")

    def _addresses(self) -> list[tuple[int, Any]]:
        """Family and address pairs.

        The check sees the same addresses that are then connected to, so neither a redirect nor a resolver that answers
        differently the second time can bypass it. A Unix socket has no address: access to it is decided where its URL
        comes from.
        """
        if self.path:
            return [(AF_UNIX, self.path)]
        try:
            self.host.encode("idna")  # gevent's thread prints a traceback for a name that fails here
            found = _look_up(self.host, self.port)
        except (OSError, UnicodeError) as error:
            if limit := own_limits.reached(error) or own_limits.out_of_files():
                raise TransportError(GENERATOR, f"cannot look up {self.host!r}: {limit}") from error
            reason = getattr(error, "strerror", None) or error
            raise TransportError("dns", f"the host name {self.host!r} does not resolve: {reason}") from error
        if closed := [address[0] for *_, address in found if is_closed(str(address[0]))]:
            raise TransportError(
                "connect",
                f"{self} leads to {closed[0]}, where clouds serve credentials; to load it anyway, "
                "add that address to LOADTEST_ALLOWED_HOSTS",
            )
        if self.from_elsewhere and (here := [address[0] for *_, address in found if is_inside(str(address[0]))]):
            raise TransportError(
                "connect",
                f"a redirect from elsewhere to {self} leads to {here[0]}, this machine itself; to follow it "
                "anyway, add that address to LOADTEST_ALLOWED_HOSTS",
            )
        return [(family, address) for family, *_, address in found]


class _Attempt(NamedTuple):
    """A stream that is being connected to an address."""

    stream: Stream
    address: Any


def _has_way_to(address: Any) -> bool:
    """Whether this machine has an address and a route to reach another one; this sends nothing."""
    family = AF_INET6 if ":" in address[0] else AF_INET
    try:
        with gevent.socket.socket(family, SOCK_DGRAM) as probe:
            probe.connect(address)
    except OSError:
        return False
    return True


def _look_up(host: str, port: int) -> list[tuple[Any, ...]]:
    """Return what ``getaddrinfo`` does.

    An address is not looked up in gevent's threads: that is slower, and needs so many frames that each user's stack
    would take a second page of 4 kB.
    """
    if is_address(host):
        return getaddrinfo(host, port, type=SOCK_STREAM, flags=AI_NUMERICHOST)
    return gevent.socket.getaddrinfo(host, port, type=SOCK_STREAM)


def is_address(host: str) -> bool:
    """Whether a host is given by its address, so that no resolver is asked."""
    for family in (AF_INET, AF_INET6):
        try:
            inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        return True
    return False


def _peer(stream: Stream) -> str:
    """The peer's address; empty if the peer has already closed."""
    with suppress(OSError):
        return str(stream.getpeername()[0])
    return ""


def _begin_connecting(stream: Stream, family: int, address: Any) -> dict[int, int]:
    """Begin to connect a new stream; return its file number and error code, 0 for none, unless it is pending."""
    if family != AF_UNIX:
        stream.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    while (code := stream.connect_ex(address)) == errno.EAGAIN:  # the queue of a Unix socket is full
        gevent.sleep(_FULL_BACKLOG_PAUSE_S)
    return {} if code == errno.EINPROGRESS else {stream.fileno(): code}


def _await_any(under_way: Mapping[int, _Attempt], timeout_s: float | None) -> dict[int, int]:
    """Wait for pending connects; return file number and error code of those that settled in time."""
    loop = gevent.get_hub().loop
    watchers: list[Any] = [loop.io(fileno, WRITABLE) for fileno in under_way]
    if timeout_s is not None:
        loop.update_now()
        watchers.append(loop.timer(timeout_s))
    wait_for_any(*watchers)
    poll = _poll()
    for fileno in under_way:
        poll.register(fileno, POLLOUT)
    settled = poll.poll(0)
    return {fileno: under_way[fileno].stream.getsockopt(SOL_SOCKET, SO_ERROR) for fileno, _ in settled}


def _settle(under_way: dict[int, _Attempt], settled: Mapping[int, int], refusals: dict[Any, OSError]) -> Stream | None:
    """Remove settled attempts; return the first that connected, and note the errors of the others."""
    for fileno, code in settled.items():
        stream, address = under_way.pop(fileno)
        if not code:
            return stream
        stream.close()
        refusals[address] = OSError(code, os.strerror(code))
    return None
