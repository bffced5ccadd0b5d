"""Pacer: starts a worker's iterations at their intended times, whatever the response times.

The intended starts are kept in an ascending list, and one alarm (see loadtest.pacing.alarm) is set to the next one.
When it fires, everything due is started, from the event loop's own greenlet straight into an idle user, without a
timer, queue or greenlet per iteration. Two alarms are at least `QUANTUM_S` apart, and at most `STARTS_PER_TURN`
iterations are started between two polls of the network, so that answers are timed when they arrive.

A worker that falls behind starts iterations late, and every response time counts from the intended start. Nothing is
lost: starts that are overdue when the pacer stops are counted as dropped, except for those of the last `STOP_S`, since
Locust's stop itself blocks the process for some tenths of a second.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np

from loadtest.pacing.alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadtest.pacing.arrivals import Floats
    from loadtest.pacing.assignment import Assignment

QUANTUM_S: Final = 0.0002
"""The shortest time between two alarms: closer starts are made together, up to 0.2 ms late."""
STARTS_PER_TURN: Final = 32
"""Starts between two turns of the event loop: about 0.3 ms with a small HTTP request each."""
STOP_S: Final = 0.5
_NOTHING: Final = np.zeros(0)


class Agenda:
    """A worker's intended starts in chronological order, generated as needed.

    Args:
        offset_s: returns how many seconds the master's clock is ahead of this process's.

    Attributes:
        ready: the next intended starts, in this process's time.
        master_s: the same in the master's time, which assignments refer to.
        position: the index of the next start in both.
    """

    def __init__(self, offset_s: Callable[[], float]) -> None:
        self._offset_s = offset_s
        self._more: Iterator[Floats] = iter(())
        self._lay_out(_NOTHING)

    def take(self, assignment: Assignment) -> None:
        """Switch to an assignment at its instant."""
        starts = [self._until(assignment.from_s)]
        for portion in assignment.inherited:
            starts += portion.times()
        self._lay_out(np.sort(np.concatenate(starts)))
        self._more = assignment.own.times() if assignment.own else iter(())

    def refill(self) -> bool:
        """Replace the ready starts, all of which have been made, by the next ones; return False if there are none."""
        for times in self._more:
            if len(times):
                self._lay_out(times)
                return True
        return False

    def clear_due(self, now_s: float) -> int:
        """Drop everything, and return how many starts were due."""
        due = len(self._until(now_s + self._offset_s()))
        self._more = iter(())
        self._lay_out(_NOTHING)
        return due

    def _until(self, master_s: float) -> Floats:
        """Return the starts before an instant, out of the ready and the following ones."""
        starts = [self.master_s[self.position :]]
        while (not len(starts[-1]) or starts[-1][-1] < master_s) and self.refill():
            starts.append(self.master_s)
        times = np.concatenate(starts)
        return times[: np.searchsorted(times, master_s)]

    def _lay_out(self, master_s: Floats) -> None:
        self.master_s = master_s
        self.ready: list[float] = (master_s - self._offset_s()).tolist()
        self.position = 0


class Pacer:
    """Makes the starts of an agenda."""

    def __init__(self, start: Callable[[float], None], offset_s: Callable[[], float]) -> None:
        """Create a pacer with an empty agenda.

        Args:
            start: begins an iteration with an intended start; called in the event loop's own greenlet.
            offset_s: returns how many seconds the master's clock is ahead of this process's.
        """
        self._start = start
        self._agenda = Agenda(offset_s)
        self._alarm = Alarm(self._wake)
        self.is_idle = True
        """Whether nothing is left to start."""

    def take(self, assignment: Assignment) -> None:
        """Switch to an assignment at its instant."""
        self._agenda.take(assignment)
        self.is_idle = False
        self._alarm.set(0.0)

    def stop(self) -> int:
        """Stop, and return how many starts are overdue by `STOP_S` or more."""
        self._alarm.cancel()
        self.is_idle = True
        return self._agenda.clear_due(time.perf_counter() - STOP_S)

    def close(self) -> None:
        """Release the alarm."""
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
