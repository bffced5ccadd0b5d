"""The connections of the master's socket, and a bound on the memory that their messages fill.

ZeroMQ accepts everything that arrives and holds it until the master takes it, message by message. It can limit the size
of a message part but not the number of parts, and limiting its queues is dangerous: a connection that breaks while its
queue is full, with a ping behind the messages, fails an assertion and ends the process. So the queues are unbounded and
the process's memory is bounded instead. When it grows by `MAX_HELD_BYTES` while messages are queued or incomplete, new
connections are refused, the connections with the largest backlogs are closed, and their backlogs are dropped. At
`_BEYOND` times that, every connection that sends anything is closed. A closed peer reconnects immediately and would add
to the backlog each time, which is why new ones are refused at the handshake, where ZeroMQ accepts no messages yet.
Workers that were closed reconnect once there is room.

Neither bytes nor memory alone is enough: an empty part is 2 bytes on the wire and 64 in memory, and the master also
fills memory itself, for example when it reads test data.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import gevent
import gevent.monkey
import zmq.green as zmq

from loadtest.measuring.machine import resident_bytes
from loadtest.swarm import refusals, tcp
from loadtest.swarm.monitor import ACCEPTED, CLOSED, Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_CONNECTIONS: Final = 1_000
"""The maximum number of connections, twice that of the largest stack on one machine; further ones are closed."""
MAX_HELD_BYTES: Final = 256 * 1024 * 1024
"""The maximum memory for queued messages of all connections together; a master's container has 2 GiB."""
_BEYOND: Final = 1.5
"""The multiple of `MAX_HELD_BYTES` beyond which every connection that sends anything is closed."""
_MAX_PER_BYTE: Final = 32
"""The maximum memory per byte on the wire: an empty message part takes 2 bytes on the wire and 64 in memory."""
_LOOK_EVERY_S: Final = 0.05
_COUNT_EVERY: Final = 10
"""The number of looks per count of each connection's bytes, while memory does not grow."""
_TRIM_EVERY: Final = 20
"""The number of looks per check for room, while there is none."""
_SMALL_BYTES: Final = 64 * 1024
"""The largest backlog of a connection, in bytes, with which the queues still count as empty."""
_LONGEST_MESSAGE_S: Final = 60.0
"""How long a connection may leave a message incomplete; otherwise the queues might never count as empty."""
# gevent's versions work only with the greenlets of one thread
_sleep: Final = gevent.monkey.get_original("time", "sleep")
_start_thread: Final = gevent.monkey.get_original("_thread", "start_new_thread")


class Connections:
    """The connections of a master's socket, on Linux with a bound on the memory that their messages fill.

    Args:
        server: the socket.
        port: returns the port on which the socket listens.

    Attributes:
        has_room: whether new connections may be accepted.
    """

    def __init__(self, server: Any, port: Callable[[], int]) -> None:
        self._server = server
        self._port = port
        self._received: dict[int, int] = {}
        self._waiting: dict[int, int] = {}
        """Bytes that have arrived but not been taken from ZeroMQ, by the connection's file descriptor."""
        self._taken: defaultdict[int, int] = defaultdict(int)
        """Bytes taken from ZeroMQ since the last count, by file descriptor."""
        self._taken_at_s: dict[int, float] = {}
        self._cut: set[int] = set()
        """Connections that were closed for lack of room, until there is room again."""
        self._arrived_bytes = 0
        """Bytes that have arrived since the queues were last empty, and so an upper bound of what is queued."""
        self._looks = 0
        self._calm_bytes = self._trimmed_bytes = resident_bytes()
        """The process's memory when the queues were last empty, and when free memory was last given back."""
        self.has_room = True
        self._ended = False
        monitor = Monitor.of(server)
        monitor.listen(ACCEPTED, self._on_accepted)
        monitor.listen(CLOSED, self._forget)
        self._greenlet = None
        if sys.platform == "linux":
            self._greenlet = gevent.spawn(self._watch)
            _start_thread(self._watch_in_thread, ())

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._received)

    def takes(self, descriptor: int, size_bytes: int) -> bool:
        """Note a message that was taken from ZeroMQ; return whether it should be handled.

        While there is no room, messages of closed connections are dropped: handling them would keep workers out for as
        long as that takes. Their descriptors cannot belong to other connections yet, because new ones are refused.
        """
        self._taken[descriptor] += size_bytes
        return self.has_room or (descriptor in self._received and descriptor not in self._cut)

    def end(self) -> None:
        """Stop watching."""
        self._ended = True
        if self._greenlet:
            self._greenlet.kill(block=False)

    def _on_accepted(self, descriptor: int) -> None:
        self._received[descriptor] = self._waiting[descriptor] = 0
        self._taken_at_s[descriptor] = time.monotonic()
        if len(self) > MAX_CONNECTIONS:
            self._close([descriptor], f"there are {MAX_CONNECTIONS} connections already")
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
            if grown_bytes > MAX_HELD_BYTES / 4 or self._looks % _COUNT_EVERY == 0:
                self._look()

    def _watch_in_thread(self) -> None:
        """Close every sender when memory fills up while a long task, such as a report, blocks the event loop.

        No handshake is answered meanwhile, so no new connection can send.
        """
        while not self._is_over:
            _sleep(_LOOK_EVERY_S)
            if resident_bytes() - self._calm_bytes > _BEYOND * MAX_HELD_BYTES:
                self._cut_off_senders()

    def _cut_off_senders(self) -> None:
        port = self._port()
        came = {one: (tcp.bytes_received(one, port) or 0) - before for one, before in list(self._received.items())}
        senders = {one for one, bytes_ in came.items() if bytes_ > 0}
        arrived_bytes = self._arrived_bytes + sum(came[one] for one in senders)
        if _MAX_PER_BYTE * arrived_bytes > _BEYOND * MAX_HELD_BYTES:
            self._cut |= senders
            tcp.shut_down(senders, port)

    def _look(self) -> None:
        """Update the counts, and close connections if their messages hold too much memory."""
        all_taken = not int(self._server.get(zmq.EVENTS)) & zmq.POLLIN
        senders = self._count(all_taken=all_taken)
        self._cut_off_stalled()
        largest = max(self._waiting.values(), default=0)
        if largest <= _SMALL_BYTES and all_taken:
            self._calm_bytes = self._trimmed(min(self._calm_bytes, self._trimmed_bytes))
            self._arrived_bytes = 0
            self._accept_again()
        else:
            self._bound_memory(senders, largest)

    def _cut_off_stalled(self) -> None:
        """Close connections that have left a message incomplete for too long."""
        earliest_s = time.monotonic() - _LONGEST_MESSAGE_S
        stalled = {
            one
            for one, taken_s in self._taken_at_s.items()
            if self._waiting[one] > _SMALL_BYTES and taken_s < earliest_s
        }
        self._cut_off(stalled, f"a message was not whole after {_LONGEST_MESSAGE_S:g} s")

    def _bound_memory(self, senders: set[int], largest: int) -> None:
        """Refuse connections, and close some, if messages hold too much memory.

        Args:
            senders: the connections that sent something since the last count.
            largest: the largest backlog of a connection, in bytes.
        """
        is_due = not self.has_room and self._looks % _TRIM_EVERY == 0
        grown_bytes = self._trimmed(0 if is_due else self._trimmed_bytes) - self._calm_bytes
        # If little arrived, the master filled the memory itself, for example with test data.
        held_bytes = min(grown_bytes, _MAX_PER_BYTE * self._arrived_bytes)
        if held_bytes <= MAX_HELD_BYTES:
            if held_bytes <= MAX_HELD_BYTES / 2:
                self._accept_again()
            return
        self.has_room = False
        why = f"messages that wait took {grown_bytes / 2**20:.0f} MiB of memory"
        if grown_bytes > _BEYOND * MAX_HELD_BYTES:
            self._cut_off(senders, why)
        elif _MAX_PER_BYTE * sum(self._waiting.values()) > MAX_HELD_BYTES:
            self._cut_off({one for one, bytes_ in self._waiting.items() if bytes_ >= largest / 2}, why)

    def _accept_again(self) -> None:
        self._cut.clear()
        self.has_room = True

    def _cut_off(self, descriptors: set[int], why: str) -> None:
        self._cut |= descriptors
        self._close(descriptors, why)
        for descriptor in descriptors:
            self._forget(descriptor)

    def _trimmed(self, before_bytes: float) -> float:
        """Return the process's memory; if it grew much beyond ``before_bytes``, return free memory to the system first.

        The C library keeps what handled messages free, even while others are queued, so each flood would add to it.
        """
        if resident_bytes() - before_bytes > MAX_HELD_BYTES / 4:
            _give_back_memory()
            self._trimmed_bytes = resident_bytes()
        return resident_bytes()

    def _count(self, *, all_taken: bool) -> set[int]:
        """Count what each connection sent, and return those that sent anything since the last count."""
        taken, self._taken = self._taken, defaultdict(int)
        senders, now_s = set(), time.monotonic()
        for descriptor, before in list(self._received.items()):
            now = tcp.bytes_received(descriptor, self._port())
            if now is None:  # another has its descriptor: ZeroMQ keeps it without noticing that the peer left
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

    def _close(self, descriptors: Iterable[int], why: str) -> None:
        for _ in descriptors:
            refusals.refuse(refusals.HANDSHAKE, why)
        tcp.shut_down(descriptors, self._port())


def _give_back_memory() -> None:
    """Make the C library return freed memory to the system."""
    with contextlib.suppress(AttributeError):  # the C library is not glibc
        ctypes.CDLL(None).malloc_trim(0)
