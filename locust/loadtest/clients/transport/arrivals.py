"""Arrivals: the time at which bytes reached this machine, however late the process reads them.

A process that waits for a core reads bytes long after their arrival. The kernel timestamps the arrival with the wall
clock (SO_TIMESTAMPNS, socket(7)), and its age is computed when the bytes are read. If the server has closed the
connection since, the close counts as the arrival: it is never later than the read. The kernel begins to timestamp some
milliseconds after the first socket of a machine has requested it; until then bytes count as arriving when they are
read.

Tested in tests/unit/clients/transport/test_arrivals.py.
"""

import _socket
import struct
import time
from time import perf_counter
from typing import Final

_SO_TIMESTAMPNS: Final = 35
"""Linux's constant, which Python's socket module lacks."""
_NOTE: Final = struct.Struct("qq")
"""Seconds and nanoseconds."""
_ROOM_BYTES: Final = _socket.CMSG_SPACE(_NOTE.size)
_NS_PER_S: Final = 1_000_000_000


class Arrivals:
    """Receives from a stream, and knows when the bytes arrived.

    Args:
        stream: That is connected.
    """

    __slots__ = ("_arrived_s", "_read_s", "_receive")

    def __init__(self, stream: _socket.socket) -> None:
        """Have the kernel timestamp arrivals from now on."""
        stream.setsockopt(_socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._receive = stream.recvmsg
        self._arrived_s = self._read_s = perf_counter()

    def recv(self, size: int) -> bytes:
        """Receive up to this many bytes from the socket itself.

        Raises:
            OSError: As raised by ``recv``.
        """
        data, notes, _, _ = self._receive(size, _ROOM_BYTES)
        now_s, before_s = perf_counter(), self._read_s
        self._arrived_s = self._read_s = now_s
        if notes:
            seconds, nanoseconds = _NOTE.unpack(notes[0][2])
            ago_s = (time.time_ns() - seconds * _NS_PER_S - nanoseconds) / _NS_PER_S
            # A value outside of this was measured across a step of the wall clock.
            self._arrived_s = min(max(now_s - ago_s, before_s), now_s)
        return data

    def last_s(self) -> float:
        """Return when the last received bytes arrived, in seconds of ``time.perf_counter``."""
        return self._arrived_s
