"""Let Ctrl-C reach the main greenlet only, and between two turns.

Python raises KeyboardInterrupt in whatever runs when SIGINT comes. With gevent that can be any greenlet: a user whose
request was answered and not yet recorded, or the one that brings a second's counts into the record and then into
Locust's statistics. Broken off there, the two disagree for good. SIGTERM has no such effect: Locust hears it by gevent.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

import gevent

if TYPE_CHECKING:
    from types import FrameType

SECOND_TIME: Final = signal.default_int_handler
"""What a second Ctrl-C does: it is raised at once, for a process in which no greenlet gives way any more."""


def await_turn() -> None:
    """From now on the first Ctrl-C waits until the greenlet that runs gives way; it is then raised in the caller's.

    Call it in the main thread's main greenlet, which is where Locust fires ``init``.
    """
    main, loop = gevent.getcurrent(), gevent.get_hub().loop

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, SECOND_TIME)
        loop.run_callback_threadsafe(main.throw, KeyboardInterrupt)

    signal.signal(signal.SIGINT, interrupt)
