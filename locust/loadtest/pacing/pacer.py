"""Pacer: starts a worker's iterations at their intended times, whatever the answers do.

The intended starts lie ready in an ascending list; one alarm (see loadtest.pacing.alarm) stands at the next of them.
When it rings, everything due is started, from the event loop's own greenlet straight into an idle user, with no timer,
queue or greenlet of its own per iteration. Two alarms are at least `QUANTUM_S` apart, and at most `STARTS_PER_TURN`
starts are made between two looks at the network, so that answers are timed when they come.

A worker that is behind starts what is due late, and every start counts from its intended time. Nothing is left out:
what was due and not started when the pacer stops is dropped, and counted, but for the last `STOP_S`: Locust's stop
itself holds up the process for some tenths of a second.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from loadtest.pacing.alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadtest.pacing.assignment import Assignment

QUANTUM_S: Final = 0.0002
"""The shortest time between two alarms: starts that lie closer together are made together, up to 0.2 ms late."""
STARTS_PER_TURN: Final = 32
"""Starts between two turns of the event loop: some 0.3 ms with a small HTTP request each."""

STOP_S: Final = 0.5


class Agenda:
    """A worker's intended starts, in its own clock, in the order of time; made as they are needed."""

    def __init__(self, offset_s: Callable[[], float]) -> None:
        """Make an empty agenda; `offset_s` says how far the master's clock is ahead of this one's."""
        self._offset_s = offset_s
        self._more: Iterator[list[float]] = iter(())
        self.ready: list[float] = []
        self.position = 0
        """Index into ``ready`` of the next start."""

    def take(self, assignment: Assignment) -> None:
        """Change over to a deal at its instant."""
        offset_s = self._offset_s()
        from_s = assignment.from_s - offset_s
        kept = self._until(from_s)
        for stretch in assignment.inherited:
            for times in stretch.times(offset_s):
                kept += times
        kept.sort()
        self.ready, self.position = kept, 0
        self._more = assignment.own.times(offset_s) if assignment.own else iter(())

    def refill(self) -> bool:
        """Replace ``ready``, all of which was started, by what follows; False when nothing does."""
        for times in self._more:
            if times:
                self.ready, self.position = times, 0
                return True
        return False

    def clear_due(self, now_s: float) -> int:
        """Give everything up, and return how much of it was due."""
        due = len(self._until(now_s))
        self.ready, self.position, self._more = [], 0, iter(())
        return due

    def _until(self, until_s: float) -> list[float]:
        """Return what lies before an instant, out of what is ready and what follows."""
        times = self.ready[self.position :]
        while (not times or times[-1] < until_s) and self.refill():
            times += self.ready
        return times[: bisect_left(times, until_s)]


class Pacer:
    """Starts what the agenda holds."""

    def __init__(self, start: Callable[[float], None], offset_s: Callable[[], float]) -> None:
        """Make a pacer with nothing to do.

        Args:
            start: begins an iteration with this intended start; called in the event loop's own greenlet.
            offset_s: how far the master's clock is ahead of this process's, in seconds.
        """
        self._start = start
        self._agenda = Agenda(offset_s)
        self._alarm = Alarm(self._wake)
        self.is_idle = True
        """Whether nothing is left to start."""

    def take(self, assignment: Assignment) -> None:
        """Change over to a deal at its instant."""
        self._agenda.take(assignment)
        self.is_idle = False
        self._alarm.set(0.0)

    def stop(self) -> int:
        """Start nothing more, and return how many starts were not made although they were due, `STOP_S` ago or more."""
        self._alarm.cancel()
        self.is_idle = True
        return self._agenda.clear_due(time.perf_counter() - STOP_S)

    def close(self) -> None:
        """Give the alarm up."""
        self._alarm.close()

    def _wake(self) -> None:
        agenda, start, now_s = self._agenda, self._start, time.perf_counter
        for _ in range(STARTS_PER_TURN):
            position = agenda.position
            try:
                intended_s = agenda.ready[position]
            except IndexError:
                if not agenda.refill():
                    self.is_idle = True
                    return
                continue
            if intended_s > now_s():
                self._alarm.set(max(intended_s, now_s() + QUANTUM_S))
                return
            agenda.position = position + 1
            start(intended_s)
        self._alarm.set(0.0)
