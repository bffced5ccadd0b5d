"""Connections: those of the master's socket, and the memory that they fill.

ZeroMQ takes whatever arrives, and holds it until it is a whole message that the master takes. It can bound a message,
but not its parts, and a queue that it bounds can end the process: a connection that breaks while its queue is full,
with a ping behind, fails an assertion of ZeroMQ. So no queue is bounded, but the memory of the process is: where it
grows by `MOST_HELD_BYTES` while messages wait or are incomplete, nobody is let in any more, the connections of which
most waits are closed, and what waits of them is dropped. At `_BEYOND` times as much, whoever sends anything is closed.
Who is closed connects again at once, and would fill more each time until that is seen: so it has to wait at the door,
where ZeroMQ takes no message yet. Workers that were closed come back by themselves.

Bytes alone say too little: an empty part is 2 of them on the wire, and 64 in memory. Memory alone does too: a master
fills it itself when it reads test data.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import gevent
import gevent.monkey
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
_BEYOND: Final = 1.5
"""How many times as much may be held until whoever sends anything at all is closed."""
_MOST_PER_BYTE: Final = 32
"""The most memory that a byte on the wire fills, when it is of an empty part: those are 2 bytes there, and 64 here."""
_LOOK_EVERY_S: Final = 0.05
_COUNT_EVERY: Final = 10
"""Of how many looks one counts the bytes of each connection, while memory does not grow."""
_TRIM_EVERY: Final = 20
"""Of how many looks one sees whether there is room again, while there is none."""
_SMALL_BYTES: Final = 64 * 1024
"""What may wait of each connection while memory is taken for calm."""
_LONGEST_MESSAGE_S: Final = 60.0
"""How long a connection may hold more of a message that is not whole; calm would be put off for as long as it likes."""
_BYTES_RECEIVED: Final = slice(128, 136)
"""tcpi_bytes_received in Linux's struct tcp_info (include/uapi/linux/tcp.h); its first byte is the state."""
_ESTABLISHED: Final = 1
# gevent's belong to the greenlets of one thread
_Socket: Final = gevent.monkey.get_original("socket", "socket")
_close: Final = gevent.monkey.get_original("os", "close")
_sleep: Final = gevent.monkey.get_original("time", "sleep")
_start_thread: Final = gevent.monkey.get_original("_thread", "start_new_thread")


class Connections:
    """The connections of a master's socket, on Linux with a bound on the memory that they fill.

    Args:
        server: the socket.
        port: returns the port that it listens on.

    Attributes:
        has_room: whether there is room for what others send; nobody should be let in otherwise.
    """

    def __init__(self, server: Any, port: Callable[[], int]) -> None:
        self._server = server
        self._port = port
        self._received: dict[int, int] = {}
        self._waiting: dict[int, int] = {}
        """Bytes that came and were not taken, by the connection's file descriptor."""
        self._taken: defaultdict[int, int] = defaultdict(int)
        """Bytes that were taken since the last count."""
        self._taken_at_s: dict[int, float] = {}
        self._cut: set[int] = set()
        """Connections that were closed since there is no room."""
        self._arrived_bytes = 0
        """Since nothing waited: what waits is part of it."""
        self._looks = 0
        self._calm_bytes = self._trimmed_bytes = resident_bytes()
        """The process's memory when last nothing waited, and when last what was free of it was given back."""
        self.has_room = True
        self._ended = False
        monitor = Monitor.of(server)
        monitor.listen(ACCEPTED, self._on_accepted)
        monitor.listen(CLOSED, self._forget)
        self._greenlet = None
        if sys.platform == "linux":
            self._greenlet = gevent.spawn(self._watch)
            _start_thread(self._watch_beside, ())

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._received)

    def takes(self, descriptor: int, size_bytes: int) -> bool:
        """Note a message that was taken from ZeroMQ; return whether anybody wants to see it.

        While there is no room, what waits of connections that are gone is dropped, like what was on its way: to read it
        would keep workers out for as long. Their numbers are nobody else's meanwhile: nobody is let in.
        """
        self._taken[descriptor] += size_bytes
        return self.has_room or (descriptor in self._received and descriptor not in self._cut)

    def end(self) -> None:
        """Watch no longer."""
        self._ended = True
        if self._greenlet:
            self._greenlet.kill(block=False)

    def _on_accepted(self, descriptor: int) -> None:
        self._received[descriptor] = self._waiting[descriptor] = 0
        self._taken_at_s[descriptor] = time.monotonic()
        if len(self) > MOST:
            self._close([descriptor], f"there are {MOST} connections already")
        elif not self.has_room:
            self._close([descriptor], "the memory for messages that wait is full")

    def _forget(self, descriptor: int) -> None:
        for known in (self._received, self._waiting, self._taken_at_s):
            known.pop(descriptor, None)

    @property
    def _is_over(self) -> bool:
        return self._ended or bool(self._server.closed)

    def _watch(self) -> None:
        while True:
            gevent.sleep(_LOOK_EVERY_S)
            if self._is_over:
                return
            self._looks += 1
            grown_bytes = resident_bytes() - self._calm_bytes
            if grown_bytes > MOST_HELD_BYTES / 4 or self._looks % _COUNT_EVERY == 0:
                self._look()

    def _watch_beside(self) -> None:
        """Close whoever fills the memory while something else holds up the greenlets, as a long report does.

        It runs in a thread of its own. Nobody answers handshakes meanwhile, so that no further ones come in.
        """
        while not self._is_over:
            _sleep(_LOOK_EVERY_S)
            if resident_bytes() - self._calm_bytes > _BEYOND * MOST_HELD_BYTES:
                came = {one: (self._bytes_received(one) or 0) - before for one, before in list(self._received.items())}
                senders = {one for one, bytes_ in came.items() if bytes_ > 0}
                arrived_bytes = self._arrived_bytes + sum(came[one] for one in senders)
                if _MOST_PER_BYTE * arrived_bytes > _BEYOND * MOST_HELD_BYTES:
                    self._cut |= senders
                    self._shut(senders)

    def _look(self) -> None:
        all_taken = not int(self._server.get(zmq.EVENTS)) & zmq.POLLIN
        senders = self._count(all_taken=all_taken)
        self._cut_off(
            {
                one
                for one, taken_s in self._taken_at_s.items()
                if self._waiting[one] > _SMALL_BYTES and time.monotonic() - taken_s > _LONGEST_MESSAGE_S
            },
            f"a message was not whole after {_LONGEST_MESSAGE_S:g} s",
        )
        largest = max(self._waiting.values(), default=0)
        if largest <= _SMALL_BYTES and all_taken:
            self._calm_bytes = self._trimmed(min(self._calm_bytes, self._trimmed_bytes))
            self._arrived_bytes = 0
            self._let_in()
            return
        is_due = not self.has_room and self._looks % _TRIM_EVERY == 0
        grown_bytes = self._trimmed(0 if is_due else self._trimmed_bytes) - self._calm_bytes
        # What arrived may be little: then the memory is the master's own, as of test data that it reads.
        held_bytes = min(grown_bytes, _MOST_PER_BYTE * self._arrived_bytes)
        if held_bytes <= MOST_HELD_BYTES:
            if held_bytes <= MOST_HELD_BYTES / 2:
                self._let_in()
            return
        self.has_room = False
        why = f"messages that wait took {grown_bytes / 2**20:.0f} MiB of memory"
        if grown_bytes > _BEYOND * MOST_HELD_BYTES:
            self._cut_off(senders, why)
        elif _MOST_PER_BYTE * sum(self._waiting.values()) > MOST_HELD_BYTES:
            self._cut_off({one for one, bytes_ in self._waiting.items() if bytes_ >= largest / 2}, why)

    def _let_in(self) -> None:
        self._cut.clear()
        self.has_room = True

    def _cut_off(self, descriptors: set[int], why: str) -> None:
        self._cut |= descriptors
        self._close(descriptors, why)
        for descriptor in descriptors:
            self._forget(descriptor)

    def _trimmed(self, before_bytes: float) -> float:
        """Return the process's memory; where much was added to what it was, without what is free of it.

        Messages that were taken leave it, also while others wait, and each flood would add to it.
        """
        if resident_bytes() - before_bytes > MOST_HELD_BYTES / 4:
            _give_back_memory()
            self._trimmed_bytes = resident_bytes()
        return resident_bytes()

    def _count(self, *, all_taken: bool) -> set[int]:
        """Count what each connection sent, and return those that sent anything since the last count."""
        taken, self._taken = self._taken, defaultdict(int)
        senders, now_s = set(), time.monotonic()
        for descriptor, before in list(self._received.items()):
            now = self._bytes_received(descriptor)
            if now is None:  # another took its name: ZeroMQ keeps it, and does not tell that its peer left
                self._forget(descriptor)
                continue
            came = max(0, now - before)
            left = 0 if all_taken and taken[descriptor] else self._waiting[descriptor] - taken[descriptor]
            self._waiting[descriptor] = max(0, left + came)
            self._received[descriptor] = now
            self._arrived_bytes += came
            if taken[descriptor] or not all_taken:
                self._taken_at_s[descriptor] = now_s
            if came:
                senders.add(descriptor)
        return senders

    def _bytes_received(self, descriptor: int) -> int | None:
        with self._opened(descriptor) as connection:
            if connection is None:
                return None
            found = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.stop)
        return int.from_bytes(found[_BYTES_RECEIVED], sys.byteorder) if found[0] == _ESTABLISHED else None

    def _close(self, descriptors: Iterable[int], why: str) -> None:
        for _ in descriptors:
            refusals.refuse(refusals.HANDSHAKE, why)
        self._shut(descriptors)

    def _shut(self, descriptors: Iterable[int]) -> None:
        for descriptor in descriptors:
            with self._opened(descriptor) as connection, contextlib.suppress(OSError):
                if connection:
                    connection.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _opened(self, descriptor: int) -> Any:
        """Open a connection of ZeroMQ's once more; None where it closed it, and another file may have its number."""
        connection = None
        with contextlib.ExitStack() as opened:
            with contextlib.suppress(OSError):
                duplicate = os.dup(descriptor)
                opened.callback(_close, duplicate)
                connection = _Socket(fileno=duplicate)
                opened.callback(connection.detach)
            yield connection if connection is not None and self._is_own(connection) else None

    def _is_own(self, connection: Any) -> bool:
        with contextlib.suppress(OSError, IndexError):  # no socket; one of this machine's own, without a name
            return bool(connection.getsockname()[1] == self._port())
        return False


def _give_back_memory() -> None:
    """Have the C library return what was freed to the system."""
    with contextlib.suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
