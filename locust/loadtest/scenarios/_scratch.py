"""Scratch keys: each user has its own, so that no user's deletion or rewrite makes another's request fail.

A key contains the worker's index and a slot of that worker, the lowest one that is free. So there are never more slots
than there were users at once, and each run uses the same ones again.
"""

import heapq

from locust.env import Environment

_free: list[int] = []
_count = 0


class Scratch:
    """The keys of one user."""

    def __init__(self, environment: Environment) -> None:
        """Take the lowest free slot of this process."""
        global _count  # noqa: PLW0603 - the slots belong to the process, as the users do
        if not _free:
            heapq.heappush(_free, _count)
            _count += 1
        self._slot: int | None = heapq.heappop(_free)
        worker = getattr(environment.runner, "worker_index", 0)
        self.name = f"scratch:{worker}-{self._slot}"
        """What all keys of this user begin with; also a good seed for its random choices."""

    def key(self, use: str) -> str:
        """Return the key for a use, such as `simple`."""
        return f"{self.name}:{use}"

    def release(self) -> None:
        """Give the slot back; a second time does nothing."""
        if self._slot is not None:
            heapq.heappush(_free, self._slot)
            self._slot = None
