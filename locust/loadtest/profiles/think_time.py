"""ThinkTime: a load profile's wait between two iterations, which replaces the scenario's own.

The master puts it into the options that Locust sends along with every spawn message, so that all workers use the one
of the run, whatever their own settings are.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from locust import User
    from locust.env import Environment

_OPTION: Final = "loadtest_think_time"


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


def impose(environment: Environment, think_time: ThinkTime | None) -> None:
    """On the master, before the test starts: set the think time of every user; None keeps the scenario's own."""
    vars(environment.parsed_options)[_OPTION] = [think_time.min_s, think_time.max_s] if think_time else None


def wire(environment: Environment) -> None:
    """Apply it to the users of this process; call this once, when Locust's runner exists (``events.init``)."""
    own: dict[type[User], Any] = {}

    def apply(environment: Environment, **_: object) -> None:
        bounds = vars(environment.parsed_options).get(_OPTION)
        for user_class in environment.user_classes:
            wait_time = own.setdefault(user_class, user_class.wait_time)
            user_class.wait_time = ThinkTime(*bounds) if bounds else wait_time  # type: ignore[assignment]

    events: Any = environment.events
    events.test_start.add_listener(apply)
