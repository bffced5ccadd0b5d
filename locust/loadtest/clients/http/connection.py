"""A connection to an HTTP server: send and receive, each bounded by a deadline.

The connection stays polled while it is idle. Input while idle means that the server closed the connection or sent data
that belongs to no request: the connection is stale and is replaced before the next request.

Tested in tests/unit/clients/http/test_client.py and test_hostile.py.
"""

from time import perf_counter
from typing import TYPE_CHECKING

from greenlet import getcurrent

from loadtest.clients.transport.connection import Connection
from loadtest.clients.transport.stream import RECEIVE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.clients.http.url import Origin
    from loadtest.clients.transport.arrivals import Arrivals
    from loadtest.clients.transport.stream import Stream


class HttpConnection(Connection):
    """A connected stream. While it is idle, ``polled`` turns False when it becomes stale.

    Attributes:
        origin: The server it leads to.
        idle_since_s: When its last response was complete, in seconds of ``time.perf_counter``.
        source: Where bytes are received from: the stream, or a wrapper that knows when they arrived.
        received_s: When the last bytes were read, in seconds of ``time.perf_counter``.
    """

    __slots__ = ("idle_since_s", "origin", "received_s", "source")

    stream: "Stream"

    def __init__(self, stream: "Stream", origin: "Origin") -> None:
        """Take over a connected stream."""
        super().__init__()
        self.origin = origin
        self.attach(stream)
        self.source: Stream | Arrivals = stream
        self.received_s: Callable[[], float] = perf_counter
        self.idle_since_s = 0.0

    def time_arrivals(self) -> None:
        """Count bytes as received when they reach this machine, however late they are read."""
        self.source, self.received_s = self.stream.time_arrivals()

    def on_unsolicited_input(self) -> None:
        """Stop polling: an idle connection is stale; one that is being read slowly will be polled again."""
        if self.stream.has_input():
            self.stop_polling()

    def receive(self) -> bytes:
        """The next bytes, b"" at the end of the stream.

        Raises:
            DeadlineExpired: deadline_s has passed.
            OSError: The connection broke.
        """
        while True:
            try:
                return self.source.recv(RECEIVE_BYTES)
            except BlockingIOError:
                self._wait_readable()

    def _wait_readable(self) -> None:
        self.poll()
        self.waiter = getcurrent()
        try:
            self.wait()
        finally:
            self.waiter = None

    def is_stale(self, look: bool) -> bool:
        """Tell whether the server has closed the connection or sent something while it was idle.

        Args:
            look: Also ask the kernel, since the event loop may not have noticed yet; costs a system call.
        """
        return not self.polled or (look and self.stream.has_input())
