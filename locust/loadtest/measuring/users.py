"""Users: what a measurement needs to know about a user: its scenario, its phase, its task, and which user is running.

Tested by tests/unit/measuring/test_recorder.py and tests/unit/users.
"""

from __future__ import annotations

from typing import Any, Final

import gevent
from locust import User

from loadtest.measuring.labels import LOAD, OTHER, SETUP, readable

PHASE: Final = "loadtest_phase"
"""The attribute of a user that holds its phase."""

SIDE: Final = "loadtest_side"
"""The attribute of a duet's user that holds its side. Its ``scenario`` stays, since names may be made of it."""


def phase_of(user: Any) -> str:
    """The phase of a user. Users of other classes keep it in an attribute whose name does not clash with theirs."""
    return SETUP if getattr(user, PHASE, None) == SETUP else LOAD


def scenario_of(user: Any) -> str:
    """The scenario as which a User (instance or class) is recorded: its side in a duet; ``other`` for None."""
    if user is None:
        return OTHER
    return getattr(user, SIDE, None) or own_scenario_of(user)


def own_scenario_of(user: Any) -> str:
    """The scenario that a User (instance or class) belongs to, by default the name of its class."""
    scenario: str | None = getattr(user, "scenario", None)
    return scenario or (user if isinstance(user, type) else type(user)).__name__


def name_of_task(task: Any) -> str:
    """The name under which a task is counted: its function's name, qualified by its classes."""
    return readable(getattr(task, "__qualname__", type(task).__qualname__))


def note_failure(user: Any) -> None:
    """Note that a part of the user's open transactions has failed: see `loadtest.users.steps`."""
    user.failed_parts = getattr(user, "failed_parts", 0) + 1


def current_user() -> Any:
    """The User in whose greenlet, or in one that it spawned, the caller runs, or None: see `user_of`."""
    return user_of(gevent.getcurrent())


def user_of(greenlet: Any) -> Any:
    """The User whose greenlet this is, or that spawned it, or None: Locust starts ``run_user(user)`` in each user's
    greenlet."""
    while greenlet is not None:
        for argument in getattr(greenlet, "args", None) or ():
            if isinstance(argument, User):
                return argument
        spawning = getattr(greenlet, "spawning_greenlet", None)
        greenlet = spawning() if spawning else None
    return None
