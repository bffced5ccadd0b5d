"""ThinkTime: a load profile's wait between two iterations, which replaces the scenario's own.

It rides to the workers with every spawn message (see `loadtest.swarm.messages`), so that all of them have the one of
the run, whatever their own settings say.
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
    """Gives User classes a run's think time, and after it their own wait times back."""

    def __init__(self) -> None:
        """Nothing is replaced yet."""
        self._own: dict[type[User], Any] = {}

    def replace(self, user_classes: Iterable[type[User]], bounds_s: tuple[float, float] | None) -> None:
        """Let users of these classes wait from the shortest to the longest time; None: as each class says itself."""
        for user_class in user_classes:
            wait_time = self._own.setdefault(user_class, user_class.wait_time)
            user_class.wait_time = ThinkTime(*bounds_s) if bounds_s else wait_time  # type: ignore[assignment]
