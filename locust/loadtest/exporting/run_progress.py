"""RunProgress: the state of a run that is not in its record: the stage of its profile, and its verdict so far."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from loadtest.measuring import steady_clock
from loadtest.session import Session
from loadtest.swarm.record_keeper import RecordKeeper

MAX_NOTED: Final = 100

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from locust.env import Environment

    from loadtest.judging.outcome import Verdict
    from loadtest.profiles.profile import LoadProfile


@dataclass(frozen=True)
class RunProgress:
    """The current or most recent run, kept by the session of the master's Environment.

    Attributes:
        verdict: returns the verdict that the run would get now, or the final one.
        profile: the profile that the load follows; None if something else determines it.
        started_at: when the profile's first stage begins, in seconds since the epoch.
        run_id: the run's id. A next run's record may exist before its judge, and this verdict is not that run's.
        changed: the changes in the run's history once it has ended, in the form of `loadtest.comparing.trend`.
    """

    verdict: Callable[[], Verdict]
    profile: LoadProfile | None
    started_at: float
    run_id: str = ""
    changed: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of(cls, environment: Environment) -> RunProgress | None:
        """Return the progress of the run that has the current or last record; None if there is none."""
        progress, record = Session.of(environment).find(cls), RecordKeeper.of(environment).record
        run_id = record.run_id if record is not None else ""
        return progress if progress is not None and progress.run_id == run_id else None

    def stage(self, now: float | None = None) -> tuple[int, float]:
        """Return the number of the current stage, from 1, and when it began, in seconds since the epoch.

        Args:
            now: in seconds since the epoch; by default the current time.

        Returns:
            Zeros before the first stage, after the last one, and without a profile.
        """
        limits_at = self._limits_at()
        number = bisect_right(limits_at, steady_clock.now() if now is None else now)
        return (number, limits_at[number - 1]) if 0 < number < len(limits_at) else (0, 0.0)

    def later_stages(self) -> list[tuple[int, float]]:
        """Return the number and the beginning, in seconds since the epoch, of each stage after the first.

        The list is empty if there are more than `MAX_NOTED`: the stages of a recorded load are not events.
        """
        if self.profile is None or len(self.profile.stages) > MAX_NOTED:
            return []
        return list(enumerate(self._limits_at()[1:-1], 2))

    def _limits_at(self) -> list[float]:
        """Return when each stage begins and when the last one ends; empty without a profile."""
        if self.profile is None:
            return []
        lengths_s = (stage.duration_s for stage in self.profile.stages)
        return [self.started_at + begin_s for begin_s in accumulate(lengths_s, initial=0.0)]
