"""ThinkTime: a load profile's wait between two iterations, which replaces the scenario's own.

Every spawn message carries it to the workers (see `loadtest.swarm.messages`), so that all of them use that of the run,
whatever their own settings.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from locust import User


@dataclass(frozen=True)
class ThinkTime:
    """A wait, uniformly distributed from `min_s` to `max_s`.

    Calling it returns a random wait, so that it can be the `wait_time` of a User class.
    """

    min_s: float
    max_s: float

    def __call__(self) -> float:
        """Return a wait in seconds."""
        return random.uniform(self.min_s, self.max_s)  # noqa: S311 - no secret


class WaitTimes:
    """Sets a run's think time on User classes, and restores their own wait times afterwards."""

    def __init__(self) -> None:
        """Start without replacing anything."""
        self._own: dict[type[User], Any] = {}

    def replace(self, user_classes: Iterable[type[User]], bounds_s: tuple[float, float] | None) -> None:
        """Let users of these classes wait between the shortest and the longest time; None restores each class's own."""
        for user_class in user_classes:
            wait_time = self._own.setdefault(user_class, user_class.wait_time)
            user_class.wait_time = ThinkTime(*bounds_s) if bounds_s else wait_time  # type: ignore[assignment]
