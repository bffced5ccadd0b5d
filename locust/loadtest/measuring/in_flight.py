"""In flight: the requests that wait for an answer, so that a service that hangs is seen while it does.

Nothing is noted when a request is sent: once a second a worker looks at which connections wait, and since when it has
seen them wait for the same answer. An age is therefore up to a second too low.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sized


class InFlight(NamedTuple):
    """Requests that wait for an answer."""

    requests: int = 0
    oldest_s: float = 0.0
    """The age of the oldest."""
    connections: int = 0
    """The connections that are open, with or without a request."""

    @classmethod
    def sum(cls, several: Iterable[InFlight]) -> InFlight:
        """Those of several workers."""
        total = cls()
        for one in several:
            oldest_s = max(total.oldest_s, one.oldest_s)
            total = cls(total.requests + one.requests, oldest_s, total.connections + one.connections)
        return total


NONE_IN_FLIGHT: Final = InFlight()


class InFlightProbe:
    """Looks at the requests that wait in this process.

    Args:
        waiting: returns a key for each wait of the product's own clients; the same key is the same wait.
        began_s: when the requests of other clients were sent, in seconds of ``time.perf_counter``.
        connections: the open connections of the product's own clients; a live set.
    """

    def __init__(
        self,
        waiting: Callable[[], Iterable[Hashable]],
        began_s: Mapping[int, float],
        connections: Sized = (),
    ) -> None:
        self._waiting = waiting
        self._began_s = began_s
        self._connections = connections
        self._since_s: dict[Hashable, float] = {}

    def look(self) -> InFlight:
        """The requests that wait now."""
        now_s = time.perf_counter()
        self._since_s = {key: self._since_s.get(key, now_s) for key in self._waiting()}
        since_s = [*self._since_s.values(), *self._began_s.values()]
        return InFlight(len(since_s), now_s - min(since_s, default=now_s), len(self._connections))
