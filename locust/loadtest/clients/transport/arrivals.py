"""Arrivals: when bytes reached this machine, however late the process reads them.

A process that waits for a core reads late what has arrived long ago. The kernel notes when that was, by the wall clock
(SO_TIMESTAMPNS, socket(7)); how long ago it is, is known at the moment of reading. Where the server has closed the
connection meanwhile, that is the arrival: it is never later than the moment of reading. The kernel begins to note some
milliseconds after a machine's first socket has asked for it; until then bytes arrive when they are read.

Tested in tests/unit/clients/transport/test_arrivals.py.
"""

import _socket
import struct
import time
from time import perf_counter
from typing import Final

_SO_TIMESTAMPNS: Final = 35
"""Linux's number, which Python's module does not have."""
_NOTE: Final = struct.Struct("qq")
"""Seconds and nanoseconds."""
_ROOM_BYTES: Final = _socket.CMSG_SPACE(_NOTE.size)
_NS_PER_S: Final = 1_000_000_000


class Arrivals:
    """Receives from a stream, and knows when what it received had arrived.

    Args:
        stream: That is connected.
    """

    __slots__ = ("_arrived_s", "_read_s", "_receive")

    def __init__(self, stream: _socket.socket) -> None:
        """Have the kernel note arrivals from now on."""
        stream.setsockopt(_socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._receive = stream.recvmsg
        self._arrived_s = self._read_s = perf_counter()

    def recv(self, size: int) -> bytes:
        """Receive up to this many bytes from the socket itself.

        Raises:
            OSError: As of ``recv``.
        """
        data, notes, _, _ = self._receive(size, _ROOM_BYTES)
        now_s, before_s = perf_counter(), self._read_s
        self._arrived_s = self._read_s = now_s
        if notes:
            seconds, nanoseconds = _NOTE.unpack(notes[0][2])
            ago_s = (time.time_ns() - seconds * _NS_PER_S - nanoseconds) / _NS_PER_S
            # What is outside was measured across a step of the wall clock.
            self._arrived_s = min(max(now_s - ago_s, before_s), now_s)
        return data

    def last_s(self) -> float:
        """Return when the last bytes received had arrived, in seconds of ``time.perf_counter``."""
        return self._arrived_s
