"""Course: what the conduct of a run says of it besides its record: its stage, and the verdict so far."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from loadtest.measuring import steady_clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

    from loadtest.judging.outcome import Verdict
    from loadtest.profiles.profile import LoadProfile

_ATTRIBUTE: Final = "loadtest_course"  # where an Environment keeps its Course


@dataclass(frozen=True)
class Course:
    """A run under way, or the last one.

    Attributes:
        verdict: returns the verdict that the run would get now, or the one that it got.
        profile: what the load follows; None when something else decides.
        started_at: when the profile's first stage begins, in seconds since the epoch.
    """

    verdict: Callable[[], Verdict]
    profile: LoadProfile | None
    started_at: float

    def stage(self, now: float | None = None) -> tuple[int, float]:
        """Return the number, from 1, of the stage that runs, and when it began, in seconds since the epoch.

        Args:
            now: in seconds since the epoch; by default the present.

        Returns:
            Zeros before the first, after the last and without a profile.
        """
        elapsed_s = (steady_clock.now() if now is None else now) - self.started_at
        if self.profile is None or elapsed_s < 0:
            return 0, 0.0
        begins_s = 0.0
        for number, ends_s in enumerate(accumulate(stage.duration_s for stage in self.profile.stages), 1):
            if elapsed_s < ends_s:
                return number, self.started_at + begins_s
            begins_s = ends_s
        return 0, 0.0

    def later_stages(self) -> list[tuple[int, float]]:
        """Return number and begin, in seconds since the epoch, of each stage after the first."""
        if self.profile is None:
            return []
        ends_s = accumulate(stage.duration_s for stage in self.profile.stages[:-1])
        return [(number, self.started_at + end_s) for number, end_s in enumerate(ends_s, 2)]


def announce(environment: Environment, course: Course | None) -> None:
    """Say, on the master, which course the present run takes; None while that is not known."""
    setattr(environment, _ATTRIBUTE, course)


def announced(environment: Environment) -> Course | None:
    """Return the course of the present run, or of the last; None before the first."""
    course: Course | None = getattr(environment, _ATTRIBUTE, None)
    return course
