"""Scratch keys: each user has its own, so that no user's deletion or rewrite makes another's request fail.

A key contains the run's mark, the worker's index and the lowest free slot of that worker. So there are never more slots
than concurrent users, and the run's master can find all of them.
"""

import heapq

from locust.env import Environment

from loadtest.scenarios._run_mark import mark_of, present_mark
from loadtest.seeding.stores import RedisStore
from target_app.store import KEY_PREFIX

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
        self.user = f"{worker}-{self._slot}"
        """The same in every run, and so a good seed for random choices."""
        self.name = f"scratch:{present_mark(environment)}:{self.user}"
        """The prefix of all keys of this user."""

    def key(self, use: str) -> str:
        """Return the key for a use, such as `simple`."""
        return f"{self.name}:{use}"

    def release(self) -> None:
        """Release the slot; repeated calls do nothing."""
        if self._slot is not None:
            heapq.heappush(_free, self._slot)
            self._slot = None

    @staticmethod
    def remove(store: RedisStore, run_id: str) -> int:
        """Remove the keys of all users of a run, and return their number."""
        return store.unlink([*store.keys(f"{KEY_PREFIX}scratch:{mark_of(run_id)}:*")])
