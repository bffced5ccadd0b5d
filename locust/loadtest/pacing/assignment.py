"""Deals: which worker starts which arrivals, from which instant on.

The master deals the arrivals out when a run begins, when a worker joins or goes, and when the rate is changed live.
A deal holds from a stated instant, a little in the future, so that all workers change over at the same point of the
schedule: none of the arrivals is taken twice or by nobody. What a lost worker would have started between its end and
that instant is inherited: the others take it over at once, in equal parts.

All times of a deal are the master's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from loadtest.pacing.arrivals import Arrivals, Share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from loadtest.swarm.messages import AssignedArrivals, AssignedStretch

LEAD_S: Final = 0.25
"""How far ahead a deal's instant lies: the time that the message may take."""
_REMEMBERED_S: Final = 60.0  # what a worker still has to start is never older: a hung one is given up long before


@dataclass(frozen=True)
class Schedule:
    """Arrivals, and the instant at which their curve begins."""

    arrivals: Arrivals
    origin_s: float

    @property
    def end_s(self) -> float:
        """When the curve ends."""
        return self.origin_s + self.arrivals.curve.duration_s


class Stretch(NamedTuple):
    """A share of a schedule's arrivals, from an instant until before another."""

    schedule: Schedule
    share: Share
    from_s: float
    until_s: float = math.inf

    def cut(self, from_s: float, until_s: float) -> Stretch | None:
        """The part between two instants, if any."""
        part = self._replace(from_s=max(self.from_s, from_s), until_s=min(self.until_s, until_s))
        return part if part.from_s < part.until_s else None

    def times(self, offset_s: float = 0.0) -> Iterator[list[float]]:
        """Yield the intended starts, ascending, on a clock that the master's is `offset_s` ahead of."""
        arrivals, origin_s = self.schedule.arrivals, self.schedule.origin_s
        for times in arrivals.between(self.from_s - origin_s, self.until_s - origin_s, self.share):
            yield (times + (origin_s - offset_s)).tolist()

    def to_wire(self) -> AssignedStretch:
        """Return what a message can carry."""
        return self.schedule.arrivals.to_wire(), self.schedule.origin_s, *self.share, self.from_s, self.until_s

    @classmethod
    def from_wire(cls, wire: AssignedStretch) -> Stretch:
        """Return the stretch that a message carries."""
        arrivals, origin_s, rest, of, from_s, until_s = wire
        return cls(Schedule(Arrivals.from_wire(arrivals), origin_s), Share(rest, of), from_s, until_s)


@dataclass(frozen=True)
class Assignment:
    """What one worker is told."""

    number: int
    from_s: float
    """From this instant on, the worker starts what this deal says and nothing else."""
    own: Stretch | None
    """The worker's arrivals from then on; None: it starts no more."""
    inherited: tuple[Stretch, ...] = ()
    """What it takes over at once."""

    def to_wire(self) -> AssignedArrivals:
        """Return what a message can carry."""
        inherited = [stretch.to_wire() for stretch in self.inherited]
        own = self.own and self.own.to_wire()
        return {"number": self.number, "from_s": self.from_s, "own": own, "inherited": inherited}

    @classmethod
    def from_wire(cls, wire: AssignedArrivals) -> Assignment:
        """Return the assignment that a message carries."""
        own = wire["own"] and Stretch.from_wire(wire["own"])
        return cls(wire["number"], wire["from_s"], own, tuple(map(Stretch.from_wire, wire["inherited"])))


@dataclass
class ArrivalAllocator:
    """Deals a schedule to whoever is there. Pure: it sends nothing and reads no clock."""

    schedule: Schedule
    assigned: dict[str, list[Stretch]] = field(default_factory=dict)
    """What each worker starts, in the order in which they joined."""
    number: int = 0

    def assign(
        self, members: Iterable[str], from_s: float, ended_s: Mapping[str, float] | None = None
    ) -> dict[str, Assignment]:
        """Assign `schedule` again.

        Args:
            members: who takes part from the instant on.
            from_s: the instant.
            ended_s: of those that are gone: when they started their last arrival.

        Returns:
            A deal for each member, and for each that is out but not gone one that says so.
        """
        members, ended_s = list(members), ended_s or {}
        self.number += 1
        inherited = self._inherited([member for member in members if member in self.assigned], from_s, ended_s)
        out = [member for member in self.assigned if member not in members and member not in ended_s]
        assigned: dict[str, list[Stretch]] = {}
        assignments = {member: Assignment(self.number, from_s, None) for member in out}
        for index, member in enumerate(members):
            own = Stretch(self.schedule, Share(index, len(members)), from_s)
            taken_over = inherited.get(member, ())
            kept = [part for old in self.assigned.get(member, ()) if (part := old.cut(from_s - _REMEMBERED_S, from_s))]
            assigned[member] = [*kept, *taken_over, own]
            assignments[member] = Assignment(self.number, from_s, own, tuple(taken_over))
        self.assigned = assigned
        return assignments

    def _inherited(self, heirs: list[str], from_s: float, ended_s: Mapping[str, float]) -> dict[str, list[Stretch]]:
        """Split what the ended workers leave until the instant over those who stay."""
        estate = [
            part
            for member, end_s in ended_s.items()
            for stretch in self.assigned.get(member, ())
            if (part := stretch.cut(end_s, from_s))
        ]
        return {
            heir: [part._replace(share=part.share.split(index, len(heirs))) for part in estate]
            for index, heir in enumerate(heirs)
        }
