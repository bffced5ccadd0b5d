"""TCP connections that ZeroMQ owns, looked at through duplicates of their file descriptors. Linux only.

ZeroMQ opens and closes its connections in a thread of its own and reports only their descriptors. By the time one is
looked at, its number may belong to another file, so each function checks first that it is a connection to the port of
the socket in question, and otherwise does nothing.

Tested in tests/unit/swarm/test_connections.py.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

import gevent.monkey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BYTES_RECEIVED: Final = slice(128, 136)
"""tcpi_bytes_received in Linux's struct tcp_info (include/uapi/linux/tcp.h); its first byte is the state."""
_ESTABLISHED: Final = 1
# The interpreter's own: gevent's sockets belong to the greenlets of one thread, and its close takes effect late.
_Socket: Final = gevent.monkey.get_original("socket", "socket")
_close: Final = gevent.monkey.get_original("os", "close")


def bytes_received(descriptor: int, port: int) -> int | None:
    """Return how many bytes have arrived on a connection since it was opened; None if it is no longer established.

    Args:
        descriptor: the connection's file descriptor.
        port: the local port that it must have.
    """
    with opened(descriptor, port) as connection:
        if connection is None:
            return None
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.stop)
    return int.from_bytes(info[_BYTES_RECEIVED], sys.byteorder) if info[0] == _ESTABLISHED else None


def shut_down(descriptors: Iterable[int], port: int) -> None:
    """Shut connections down in both directions; ZeroMQ notices, and closes them.

    Args:
        descriptors: their file descriptors.
        port: the local port that they must have.
    """
    for descriptor in descriptors:
        with opened(descriptor, port) as connection, contextlib.suppress(OSError):
            if connection is not None:
                connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def opened(descriptor: int, port: int) -> Iterator[Any]:
    """Yield a socket on a duplicate of the descriptor; None if that is not a connection with this local port."""
    connection = None
    with contextlib.ExitStack() as closing:
        with contextlib.suppress(OSError):
            duplicate = os.dup(descriptor)
            closing.callback(_close, duplicate)
            connection = _Socket(fileno=duplicate)
            closing.callback(connection.detach)
        yield connection if connection is not None and _has_port(connection, port) else None


def _has_port(connection: Any, port: int) -> bool:
    with contextlib.suppress(OSError, IndexError):  # not a socket; a Unix socket, which has no name
        return bool(connection.getsockname()[1] == port)
    return False
