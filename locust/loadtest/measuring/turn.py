"""The turn of a greenlet: long work is cut into turns, so that users and what has arrived for them do not wait for it.

Tested in tests/unit/measuring/test_turn.py.
"""

from __future__ import annotations

from typing import Final

import gevent

_AT_ONCE_S: Final = 1e-9


def end_turn() -> None:
    """Let all else run that is due, also what waits for a socket.

    ``gevent.sleep(0)`` does not: gevent runs up to 50 such turns, of whatever length, before it looks at sockets and
    timers again (``_run_callbacks`` of gevent's loop). A timer that is due at once comes after that look.
    """
    gevent.sleep(_AT_ONCE_S)
