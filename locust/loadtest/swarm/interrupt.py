"""The signals that end a process: which came first, and how each is handled.

On SIGINT, Python raises KeyboardInterrupt in whatever code is running. With gevent that can be any greenlet: a user
whose response has arrived but is not recorded yet, or the greenlet that adds a second's counts to the record and then
to Locust's statistics. If that one is interrupted in between, the two disagree for the rest of the run. So Ctrl-C is
raised in the main greenlet only, and only when another greenlet yields. SIGTERM needs no such care: Locust handles it
through gevent. SIGHUP, sent when a terminal is closed, is handled like SIGTERM; a process that was told to ignore it
(nohup) goes on.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, Final

import gevent

if TYPE_CHECKING:
    from types import FrameType

SECOND_TIME: Final = signal.default_int_handler
"""The handler of a second Ctrl-C. It raises at once, in case no greenlet yields any more."""
_NAMES: Final = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}

_received: list[str] = []
_watchers: list[Any] = []


def received() -> str | None:
    """Return the conventional name of the first terminating signal that this process received; None without one."""
    return _received[0] if _received else None


def await_turn() -> None:
    """Defer the first Ctrl-C until the running greenlet yields, then raise it in the greenlet that called this.

    Call this from the main greenlet of the main thread, in which Locust fires ``init``.
    """
    main, loop = gevent.getcurrent(), gevent.get_hub().loop

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, SECOND_TIME)
        _received.append(_NAMES[signal.SIGINT])
        loop.run_callback_threadsafe(main.throw, KeyboardInterrupt)

    signal.signal(signal.SIGINT, interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        gevent.signal_handler(signal.SIGHUP, _hang_up)


def _hang_up() -> None:
    _received.append(_NAMES[signal.SIGHUP])
    os.kill(os.getpid(), signal.SIGTERM)


def note_termination() -> None:
    """Record SIGTERM from now on, before its handler runs. Call this when a handler is installed."""
    if not _watchers:
        loop: Any = gevent.get_hub().loop
        watcher = loop.signal(signal.SIGTERM, ref=False, priority=loop.MAXPRI)
        watcher.start(_received.append, _NAMES[signal.SIGTERM])
        _watchers.append(watcher)
