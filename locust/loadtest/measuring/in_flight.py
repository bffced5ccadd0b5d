"""In flight: the requests that wait for a response, so that a hanging service is visible while it hangs.

Nothing is recorded when a request is sent. Instead, once a second a worker checks which connections wait, and since
when it has seen each wait for the same response. So an age may be up to one second too low.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sized


class InFlight(NamedTuple):
    """Requests that wait for a response."""

    requests: int = 0
    oldest_s: float = 0.0
    """The age of the oldest request, in seconds."""
    connections: int = 0
    """Open connections, with or without a request."""

    @classmethod
    def sum(cls, several: Iterable[InFlight]) -> InFlight:
        """The requests in flight of several workers together."""
        total = cls()
        for one in several:
            oldest_s = max(total.oldest_s, one.oldest_s)
            total = cls(total.requests + one.requests, oldest_s, total.connections + one.connections)
        return total


NONE_IN_FLIGHT: Final = InFlight()


class InFlightProbe:
    """Observes the waiting requests of this process.

    Args:
        waiting: returns a key for each wait of the product's own clients; an equal key is the same wait.
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
        """The requests that are waiting now."""
        now_s = time.perf_counter()
        self._since_s = {key: self._since_s.get(key, now_s) for key in self._waiting()}
        since_s = [*self._since_s.values(), *self._began_s.values()]
        return InFlight(len(since_s), now_s - min(since_s, default=now_s), len(self._connections))
