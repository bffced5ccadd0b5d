"""Monitor: ZeroMQ's events about the connections of a socket, passed on to any number of listeners.

ZeroMQ allows one monitor per socket, and each event can be read only once. So one greenlet reads for all listeners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import gevent
import zmq.green as zmq
from zmq.utils.monitor import parse_monitor_message

if TYPE_CHECKING:
    from collections.abc import Callable

ACCEPTED: Final = int(zmq.EVENT_ACCEPTED)
CLOSED: Final = int(zmq.EVENT_DISCONNECTED)
FAILED: Final = int(
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

_monitors: WeakKeyDictionary[Any, Monitor] = WeakKeyDictionary()


class Monitor:
    """Calls listeners when a connection was accepted, was closed, or could not be made. Use `of`."""

    def __init__(self, socket: Any) -> None:
        """Called by `of` only."""
        self._events = socket.get_monitor_socket(ACCEPTED | CLOSED | FAILED)
        self._listeners: list[tuple[int, Callable[[int], None]]] = []
        self._greenlet = gevent.spawn(self._read)

    @classmethod
    def of(cls, socket: Any) -> Monitor:
        """Return the monitor of this socket, creating it on first use."""
        monitor = _monitors.get(socket)
        if monitor is None:
            monitor = _monitors[socket] = cls(socket)
        return monitor

    def listen(self, kind: int, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call the listener at each event of this kind: `ACCEPTED`, `CLOSED` or `FAILED`. The listener must not block.

        Args:
            kind: the kind of event.
            listener: called with the file descriptor of the connection, or with the error number for `FAILED`.

        Returns:
            A function that removes the listener.
        """
        entry = (kind, listener)
        self._listeners.append(entry)
        return lambda: self._listeners.remove(entry)

    def _read(self) -> None:
        while True:
            try:
                found = parse_monitor_message(self._events.recv_multipart())
            except zmq.ZMQError:  # the monitored socket was closed, and the monitor with it
                return
            for kind, listener in list(self._listeners):
                if found["event"] & kind:
                    listener(int(found["value"]))
