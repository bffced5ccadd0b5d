"""Attempts: a limit on failed logins."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_S: Final = 60.0
FROM_ONE: Final = 5
"""Failed attempts allowed per address and window."""
FROM_ALL: Final = 50
"""Failed attempts allowed from all addresses together per window."""
_ADDRESSES: Final = 1000


class Attempts:
    """The failed attempts of the last minute, by address, in bounded memory.

    Args:
        clock: returns the seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all: deque[float] = deque(maxlen=FROM_ALL)
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Return the seconds until this address may try again; 0 if it may now."""
        now_s = self._clock()
        own = self._by_address.get(address, deque())
        waits = [
            failed[0] + WINDOW_S - now_s
            for failed, most in ((own, FROM_ONE), (self._all, FROM_ALL))
            if len(failed) >= most
        ]
        return max(0.0, *waits, 0.0)

    def failed(self, address: str) -> None:
        """Count a failed attempt."""
        now_s = self._clock()
        self._all.append(now_s)
        self._by_address.setdefault(address, deque(maxlen=FROM_ONE)).append(now_s)
        self._by_address.move_to_end(address)
        while len(self._by_address) > _ADDRESSES:
            self._by_address.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget the failed attempts from an address."""
        self._by_address.pop(address, None)
