"""Wakes the greenlets of one hub whose streams can be read.

A ``Poller`` holds all streams of one hub in one epoll set and lets libev watch only that set: an arrival then costs a
dictionary look-up instead of a callback from libev, 7 % of the CPU of a small Redis request. And a greenlet that begins
to wait does not go back to the hub as long as there are arrivals: it switches to the greenlet that the next one is for,
one switch where the way through the hub takes two, another 5 %. Linux only.

What the greenlets of one batch of arrivals have to send can go out together, ``_SENT_TOGETHER`` messages at a time: the
server is woken once and not for each, and the kernel's path stays in the caches, 5 to 10 % of a small request's CPU. A
message waits at most until that many users have had their turn, some 10 µs each; without other arrivals it does not
wait.
"""

import os
from typing import TYPE_CHECKING, Any, Protocol

import gevent
import gevent.monkey
from greenlet import greenlet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WRITABLE = 2  # libev's bit
_READABLE = 1  # the bit of libev and of epoll alike
_epoll = gevent.monkey.get_original("select", "epoll")  # gevent hides what can block; a poll of 0 s cannot
_MAX_ARRIVALS = 256  # arrivals that are handled before libev gets a turn
_SENT_TOGETHER = 16

# The plain switch of greenlets. What gevent's adds to it, a look for a hook that nothing here has, costs 4 % of a
# request.
_switch = greenlet.switch


class Polled(Protocol):
    """What is polled: a connection.

    Attributes:
        waiter: The greenlet that is switched to when something arrives, and then reads it; None if none waits.
    """

    waiter: Any

    def on_unsolicited_input(self) -> None:
        """Handle what has arrived while no greenlet waits. Runs in the hub or any greenlet, and must not switch."""


class Deferring(Polled, Protocol):
    """A connection that may send later."""

    def send_deferred(self) -> None:
        """Send what was deferred. It runs in the hub or in any greenlet, and must not switch."""


class Poller:
    """Tells which streams of a hub can be read.

    Attributes:
        wait: Waits until this greenlet is switched to. It may be in vain: the caller looks what has arrived.
    """

    def __init__(self, hub: Any) -> None:
        """Make the poller of one hub; use ``current()`` to share it."""
        self._polled: dict[int, Polled] = {}
        self._arrivals: Iterator[tuple[int, int]] = iter(())
        self._is_dispatching = False
        self._deferred: list[Deferring] = []
        self._switch_to_hub = _switch.__get__(hub)
        self.wait: Callable[[], None] = self._wait  # one for all connections
        self._epoll = _epoll()
        self._poll = self._epoll.poll
        self._watcher = hub.loop.io(self._epoll.fileno(), _READABLE)
        self._process = os.getpid()

    @classmethod
    def current(cls) -> "Poller":
        """The poller of this thread's hub; a forked process gets its own."""
        hub = gevent.get_hub()
        poller: Poller | None = vars(hub).get("_loadtest_poller")
        if poller is None or poller._process != os.getpid():
            poller = vars(hub)["_loadtest_poller"] = cls(hub)
        return poller

    def __len__(self) -> int:
        """How many streams are polled."""
        return len(self._polled)

    def add(self, fileno: int, polled: Polled) -> None:
        """Switch to the waiter whenever there is something to read, until ``discard``."""
        if not self._polled:
            self._watcher.start(self._dispatch)
        self._polled[fileno] = polled
        self._epoll.register(fileno, _READABLE)

    def discard(self, fileno: int) -> None:
        """Poll a stream no longer; to be done before the descriptor is closed."""
        if self._polled.pop(fileno, None) is not None:
            self._epoll.unregister(fileno)
            if not self._polled:
                self._watcher.stop()  # or an event loop with nothing else to wait for would never end

    def defer(self, connection: Deferring) -> bool:
        """Have ``send_deferred`` called together with others', if a batch of arrivals is being handled.

        The greenlet must ``wait`` next.

        Returns:
            Whether it will be called; otherwise the greenlet sends by itself.
        """
        if self._is_dispatching:
            self._deferred.append(connection)
        return self._is_dispatching

    def _wait(self) -> None:
        """Wait until this greenlet is switched to. It may be in vain: the caller looks what has arrived."""
        if len(self._deferred) >= _SENT_TOGETHER:
            self._send_deferred()
        polled = self._polled
        for fileno, _ in self._arrivals:
            connection = polled.get(fileno)
            if connection is None:  # the stream was closed since
                continue
            waiter = connection.waiter
            if waiter is not None:
                waiter.switch()
                return
            connection.on_unsolicited_input()
        self._switch_to_hub()

    def _dispatch(self) -> None:
        """Handle what has arrived; greenlets that begin to wait meanwhile take their part of it."""
        polled = self._polled
        self._arrivals = arrivals = iter(self._poll(0, _MAX_ARRIVALS))
        self._is_dispatching = True
        try:
            for fileno, _ in arrivals:
                connection = polled.get(fileno)
                if connection is None:
                    continue
                waiter = connection.waiter
                if waiter is not None:
                    waiter.switch()
                else:
                    connection.on_unsolicited_input()
        finally:
            self._is_dispatching = False
            self._send_deferred()

    def _send_deferred(self) -> None:
        deferred, self._deferred = self._deferred, []
        for connection in deferred:
            connection.send_deferred()
