"""Idle: iterations that ended without a request, so they generated no load.

In the open model, each is an arrival that the service never saw, so the same share is tolerated as of missing arrivals.
In the closed model a scenario may have a task that only waits, so a small share is a note, and only a large one breaks
a rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from loadtest.judging.plan import SHORTFALL_RATIO
from loadtest.progress import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.measuring.record import RunRecord

NOTED_RATIO: Final = 0.01
IDLE_RATIO: Final = 0.5
"""Share of a scenario's iterations, 0 to 1, in the closed model; in the open model it is `SHORTFALL_RATIO`."""
MIN_ITERATIONS: Final = 20


class Idle(NamedTuple):
    """A scenario's iterations that sent no request."""

    scenario: str
    ratio: float
    """Their share of all iterations, 0 to 1."""
    limit: float
    sentence: str

    @property
    def is_broken(self) -> bool:
        """Whether there are so many that the load differs from what was asked for."""
        return self.ratio >= self.limit


def find(record: RunRecord) -> Iterator[Idle]:
    """Yield the scenarios in which more than single iterations sent no request."""
    is_open = (record.context.get("plan") or {}).get("model") == "open"
    for scenario in sorted({name for name, _ in record.tasks}):
        begun = sum(times for (name, _), times in record.tasks.items() if name == scenario)
        idle = {task: times for (name, task), times in record.idle.items() if name == scenario and times}
        together = sum(idle.values())
        if begun >= MIN_ITERATIONS and together >= NOTED_RATIO * begun:
            named = listed([f"{idle[task]:,} of {task}" for task in sorted(idle, key=lambda task: -idle[task])])
            yield Idle(
                scenario,
                together / begun,
                SHORTFALL_RATIO if is_open else IDLE_RATIO,
                f"{together:,} of {begun:,} iterations of scenario {scenario} sent no request ({named}): find "
                "out what stopped them, such as a failed log-in; if this is intended, use wait_time for the wait",
            )
