"""One module for each system under test, and the registry that finds them by name.

A room's module has the name of its scenario and holds `scenario`, a `Scenario`. Modules that begin with `_` are
what rooms share.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust import User


@dataclass(frozen=True)
class Scenario:
    """A named user journey: who does it, what it requests, and the data it needs.

    Attributes:
        name: The room's name.
        user_classes: Locust User classes whose `scenario` is that name.
        requests: Every (method, name) that the users may record, so that each is known before load begins.
        load_data: Loads the data that the users read, given a Redis URL and a listener for progress (done, total);
            None when there is nothing to load. Raises StackError when it cannot.
    """

    name: str
    user_classes: tuple[type[User], ...]
    requests: tuple[tuple[str, str], ...]
    load_data: Callable[[str, Callable[[int, int], None]], None] | None = None


def names() -> list[str]:
    """Return the names of all scenarios, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> Scenario:
    """Return the scenario of that name.

    Raises:
        UsageError: when there is none; names what exists and the nearest name.
    """
    if name not in names():
        nearest = difflib.get_close_matches(name, names(), 1)
        advice = f"Did you mean {nearest[0]}?" if nearest else "Set LOADTEST_SCENARIO to one of them."
        raise UsageError(f"There is no scenario {name!r}. Allowed: {', '.join(names())}. {advice}")
    scenario: Scenario = importlib.import_module(f"{__name__}.{name}").scenario
    return scenario
