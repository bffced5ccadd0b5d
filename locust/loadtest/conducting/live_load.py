"""LiveLoad: the level of the load profile of a running test, which a person can change.

The level is users in the closed model, and arrivals per second in the open model. From a change on, the test keeps the
new level to its planned end, and no later stage begins. The record notes the change as an event, and has the new plan.

Tested in tests/native/test_live_load.py.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError

from loadtest.exceptions import UsageError
from loadtest.exporting.run_progress import RunProgress
from loadtest.judging import plan
from loadtest.measuring import steady_clock
from loadtest.pacing.assignment import LEAD_S
from loadtest.pacing.service import ArrivalCoordinator
from loadtest.profiles.load import Load
from loadtest.profiles.shape import ProfileShape
from loadtest.session import Session
from loadtest.settings.config import allowed
from loadtest.settings.value_types import Rate
from loadtest.swarm.record_keeper import RecordKeeper

if TYPE_CHECKING:
    from locust.env import Environment

USERS, ARRIVALS = "users", "arrivals/s"
MIN_LEFT_S: Final = 1.0
"""Seconds of the profile that must remain: a change takes a moment to reach the workers."""


class LiveLoad:
    """The load of the running test.

    Args:
        environment: the master's Environment.
        max_users: the most users that may be requested.
    """

    def __init__(self, environment: Environment, max_users: int) -> None:
        self._environment = environment
        self._max_users = max_users

    @property
    def unit(self) -> str:
        """What can be changed: `USERS` or `ARRIVALS`; empty if no profile that can be left is being followed."""
        load, progress = Session.of(self._environment).find(Load), RunProgress.of(self._environment)
        if not RecordKeeper.of(self._environment).running or load is None or load.profile is None or progress is None:
            return ""
        if self._arrivals is not None:
            return "" if load.profile.starts else ARRIVALS
        return USERS if isinstance(self._environment.shape_class, ProfileShape) else ""

    @property
    def _arrivals(self) -> ArrivalCoordinator | None:
        """The coordinator that starts the arrivals of an open-model test; None otherwise."""
        found = Session.of(self._environment).find(ArrivalCoordinator)
        return found if found is not None and found.schedule is not None else None

    def change(self, text: str) -> str:
        """Change to the level that a person entered, and return a sentence about it.

        Raises:
            UsageError: when the level is not allowed, or there is nothing to change.
        """
        unit = self.unit
        record, progress = RecordKeeper.of(self._environment).record, RunProgress.of(self._environment)
        if not unit or record is None or progress is None:
            raise UsageError(
                "there is no load to change here. Allowed: during a test that follows a load profile, unless that has "
                "the times of single arrivals. Next: start one; without a profile, use Locust's own button Edit."
            )
        level = self._level(unit, text)
        left_s = record.context["plan"]["run_time_s"] - (steady_clock.now() - progress.started_at)
        if left_s < MIN_LEFT_S:
            raise UsageError(
                f"the test ends in less than {MIN_LEFT_S:g} s. Allowed: a change before that. Next: start another."
            )
        begun_at = math.floor(record.started_at)
        if (arrivals := self._arrivals) is not None:
            from_s = arrivals.change_rate(level, left_s - LEAD_S)
            plan.change_rate(record, steady_clock.at(from_s) - begun_at, level)
        else:
            shape: Any = self._environment.shape_class
            shape.hold(level)
            plan.change_users(record, steady_clock.now() - begun_at, level, shape.profile.spawn_rate_per_s)
        Session.of(self._environment).put(RunProgress, replace(progress, profile=None))
        return f"{level:g} {unit} from now on"

    def _level(self, unit: str, text: str) -> Any:
        users = Annotated[int, Field(ge=1, le=self._max_users)]
        kind: TypeAdapter[Any] = TypeAdapter(Rate if unit == ARRIVALS else users)
        try:
            return kind.validate_python(text.strip())
        except ValidationError as error:
            may_be = allowed("rate") if unit == ARRIVALS else f"a whole number from 1 to {self._max_users}"
            raise UsageError(f"{text[:100]!r} {unit} is not allowed. Allowed: {may_be}. Next: correct it.") from error
