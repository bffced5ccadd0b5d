"""A stream on which a greenlet waits: the base of the HTTP and the RESP connection.

Tested by what is built on it: tests/unit/clients/http/ and tests/unit/clients/redis/test_faults.py.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import gevent
from greenlet import getcurrent

from loadtest.clients.transport.deadlines import FOREVER_S, DeadlineSweeper
from loadtest.clients.transport.poller import WRITABLE, Poller

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.clients.transport.stream import Stream


class Connection(ABC):
    """A stream, the greenlet that waits for it and until when.

    Attributes:
        stream: The stream, or None while there is none.
        waiter: The greenlet that waits for the stream, or None.
        deadline_s: Until when it may wait, in seconds of ``time.perf_counter``.
        polled: Whether arrivals are watched.
        wait: Switches to the hub, or to a greenlet with an arrival, until this greenlet is switched to. Set ``waiter``
            first. It may return although nothing has arrived.
    """

    __slots__ = ("__weakref__", "_poller", "deadline_s", "polled", "stream", "wait", "waiter")

    def __init__(self) -> None:
        """Start without a stream."""
        self.stream: Stream | None = None
        self.waiter: Any = None
        self.deadline_s = FOREVER_S
        self.polled = False
        self._poller: Poller
        self.wait: Callable[[], None]

    def attach(self, stream: "Stream") -> None:
        """Take over a connected stream."""
        self.stream = stream
        self._poller = Poller.current()
        self.wait = self._poller.wait
        self.poll()
        DeadlineSweeper.current().add(self)

    def poll(self) -> None:
        """Begin to watch for arrivals."""
        if not self.polled and self.stream is not None:
            self.polled = True
            self._poller.add(self.stream.fileno(), self)

    def stop_polling(self) -> None:
        """Stop watching for arrivals."""
        if self.polled and self.stream is not None:
            self.polled = False
            self._poller.discard(self.stream.fileno())

    def wait_writable(self) -> bool:
        """Wait until bytes can be sent, or until some arrive.

        Returns:
            True if the stream takes bytes, False if there is something to receive first.

        Raises:
            DeadlineExpired: deadline_s has passed.
        """
        assert self.stream is not None  # noqa: S101 -- for the type checker
        watcher = gevent.get_hub().loop.io(self.stream.fileno(), WRITABLE)
        writable = False
        waiter = self.waiter = getcurrent()

        def on_writable() -> None:
            nonlocal writable
            writable = True
            watcher.stop()
            if self.waiter is waiter:
                self.waiter = None
                waiter.switch()

        watcher.start(on_writable)
        try:
            self.wait()
        finally:
            self.waiter = None
            watcher.stop()
            watcher.close()
        return writable

    def detach(self) -> "Stream | None":
        """Hand over the stream as it is, or None."""
        self.stop_polling()
        DeadlineSweeper.current().discard(self)
        stream, self.stream = self.stream, None
        return stream

    def close(self) -> None:
        """Close the stream; closing twice is harmless."""
        stream = self.detach()
        if stream is not None:
            stream.close()

    @abstractmethod
    def on_unsolicited_input(self) -> None:
        """Handle input that arrives while no greenlet waits. Runs in the hub or any greenlet, and must not switch."""
