"""The signals that end a process: which one came first, and how each is handled.

Python raises KeyboardInterrupt in whatever runs when SIGINT comes. With gevent that can be any greenlet: a user whose
request was answered and not yet recorded, or the one that brings a second's counts into the record and then into
Locust's statistics. Broken off there, the two disagree for good. So Ctrl-C reaches the main greenlet only, and between
two turns. SIGTERM has no such effect: Locust hears it by gevent. SIGHUP, which comes when a terminal is closed, is
handled as SIGTERM; a process that was told to ignore it (nohup) goes on.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, Final

import gevent

if TYPE_CHECKING:
    from types import FrameType

SECOND_TIME: Final = signal.default_int_handler
"""What a second Ctrl-C does: it is raised at once, for a process in which no greenlet gives way any more."""
_NAMES: Final = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}

_received: list[str] = []
_watchers: list[Any] = []


def received() -> str | None:
    """Return the first signal that this process was told to end by, as people call it; None without one."""
    return _received[0] if _received else None


def await_turn() -> None:
    """From now on the first Ctrl-C waits until the greenlet that runs gives way; it is then raised in the caller's.

    Call it in the main thread's main greenlet, which is where Locust fires ``init``.
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
    """Note SIGTERM from now on, before those who handle it do; call it when somebody does."""
    if not _watchers:
        loop: Any = gevent.get_hub().loop
        watcher = loop.signal(signal.SIGTERM, ref=False, priority=loop.MAXPRI)
        watcher.start(_received.append, _NAMES[signal.SIGTERM])
        _watchers.append(watcher)
