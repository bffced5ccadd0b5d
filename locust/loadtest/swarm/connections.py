"""Connections: those of the master's socket, and the memory that they fill.

ZeroMQ takes whatever arrives, and holds it until it is a whole message that the master takes. It can bound a message,
but not its parts, and a queue that it bounds can end the process: a connection that breaks while its queue is full,
with a ping behind, fails an assertion of ZeroMQ. So no queue is bounded, but the memory of the process is: where it
grows by `MOST_HELD_BYTES` while messages wait or are incomplete, the connections that sent most since their last
message are closed. Bytes alone say too little: an empty part is 2 of them on the wire, and 64 in memory.
Memory alone does too: a master fills it itself when it reads test data.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

import gevent
import zmq.green as zmq

from loadtest.measuring.machine import resident_bytes
from loadtest.swarm import refusals
from loadtest.swarm.monitor import ACCEPTED, CLOSED, Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST: Final = 1_000
"""Connections at a time, twice those of the largest stack of one machine; further ones are closed."""
MOST_HELD_BYTES: Final = 256 * 1024 * 1024
"""What may wait in memory, of all connections together; a master's container has 2 GiB."""
_MOST_PER_BYTE: Final = 32
"""The most memory that a byte on the wire fills, when it is of an empty part: those are 2 bytes there, and 64 here."""
_LOOK_EVERY_S: Final = 0.05
_COUNT_EVERY: Final = 10
"""Of how many looks one counts the bytes of each connection, while memory does not grow."""
_SMALL_BYTES: Final = 64 * 1024
"""What a connection may send between two messages, or from one look to the next, without being blamed."""
_BYTES_RECEIVED: Final = slice(128, 136)
"""tcpi_bytes_received in Linux's struct tcp_info (include/uapi/linux/tcp.h)."""


class Connections:
    """The connections of a master's socket, on Linux with a bound on the memory that they fill.

    Args:
        server: the socket.
        port: returns the port that it listens on.
    """

    def __init__(self, server: Any, port: Callable[[], int]) -> None:
        self._server = server
        self._port = port
        self._received: dict[int, int] = {}
        self._unfinished: dict[int, int] = {}
        """Bytes since the last message, by the connection's file descriptor."""
        self._heard: set[int] = set()
        self._arrived_bytes = 0
        """Since nothing waited: what waits is part of it."""
        self._looks = 0
        self._calm_bytes = self._trimmed_bytes = resident_bytes()
        """The process's memory when last nothing waited, and when last what was free of it was given back."""
        self._is_full = False
        monitor = Monitor.of(server)
        monitor.listen(ACCEPTED, self._on_accepted)
        monitor.listen(CLOSED, self._on_closed)
        self._greenlet = gevent.spawn(self._watch) if sys.platform == "linux" else None

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._received)

    def heard(self, descriptor: int) -> None:
        """Note that a whole message came over a connection."""
        self._heard.add(descriptor)

    def end(self) -> None:
        """Watch no longer."""
        if self._greenlet:
            self._greenlet.kill(block=False)

    def _on_accepted(self, descriptor: int) -> None:
        self._received[descriptor] = self._unfinished[descriptor] = 0
        if len(self) > MOST:
            self._close([descriptor], f"there are {MOST} connections already")
        elif self._is_full:
            self._close([descriptor], "the memory for messages that wait is full")

    def _on_closed(self, descriptor: int) -> None:
        self._received.pop(descriptor, None)
        self._unfinished.pop(descriptor, None)

    def _watch(self) -> NoReturn:
        while True:
            gevent.sleep(_LOOK_EVERY_S)
            self._looks += 1
            grown_bytes = resident_bytes() - self._calm_bytes
            if grown_bytes > MOST_HELD_BYTES / 4 or self._looks % _COUNT_EVERY == 0:
                self._look()

    def _look(self) -> None:
        self._count()
        largest = max(self._unfinished.values(), default=0)
        if largest <= _SMALL_BYTES and not int(self._server.get(zmq.EVENTS)) & zmq.POLLIN:
            self._calm_bytes = self._trimmed(min(self._calm_bytes, self._trimmed_bytes))
            self._is_full, self._arrived_bytes = False, 0
            return
        grown_bytes = self._trimmed(self._trimmed_bytes) - self._calm_bytes
        # What arrived may be little: then the memory is the master's own, as of test data that it reads.
        self._is_full = min(grown_bytes, _MOST_PER_BYTE * self._arrived_bytes) > MOST_HELD_BYTES
        if self._is_full:
            guilty = [one for one, sent in self._unfinished.items() if sent >= min(largest, _SMALL_BYTES)]
            self._close(guilty, f"messages that wait took {grown_bytes / 2**20:.0f} MiB of memory")

    def _trimmed(self, before_bytes: float) -> float:
        """Return the process's memory; where much was added to what it was, without what is free of it.

        Messages that were taken leave it, also while others wait, and each flood would add to it.
        """
        if resident_bytes() - before_bytes > MOST_HELD_BYTES / 4:
            _give_back_memory()
            self._trimmed_bytes = resident_bytes()
        return resident_bytes()

    def _count(self) -> None:
        heard, self._heard = self._heard, set()
        for descriptor, before in self._received.items():
            now = max(before, self._bytes_received(descriptor))
            self._unfinished[descriptor] = now - before + (0 if descriptor in heard else self._unfinished[descriptor])
            self._received[descriptor] = now
            self._arrived_bytes += now - before

    def _bytes_received(self, descriptor: int) -> int:
        with self._opened(descriptor) as connection:
            found = (
                connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.stop) if connection else b""
            )
        return int.from_bytes(found[_BYTES_RECEIVED], sys.byteorder)

    def _close(self, descriptors: Iterable[int], why: str) -> None:
        for descriptor in descriptors:
            refusals.refuse(refusals.HANDSHAKE, why)
            with self._opened(descriptor) as connection, contextlib.suppress(OSError):
                if connection:
                    connection.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _opened(self, descriptor: int) -> Any:
        """Open a connection of ZeroMQ's once more; None where it closed it meanwhile."""
        try:
            connection = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            yield None
            return
        with connection:
            yield connection if self._is_own(connection) else None

    def _is_own(self, connection: socket.socket) -> bool:
        with contextlib.suppress(OSError):
            return bool(connection.getsockname()[1] == self._port())
        return False


def _give_back_memory() -> None:
    """Have the C library return what was freed to the system."""
    with contextlib.suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
