"""Assignments: which worker starts which arrivals, and from when.

The master assigns the arrivals when a run begins, when a worker joins or leaves, and when the rate is changed live. An
assignment takes effect at an instant slightly in the future, so that all workers switch at the same point of the
schedule: no arrival is started twice, and none is skipped. The arrivals of a lost worker between its end and that
instant are inherited: the other workers start them at once, in equal parts.

All times are in seconds of the master's clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from loadtest.pacing.arrivals import Arrivals, Share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from loadtest.pacing.arrivals import Floats
    from loadtest.swarm.messages import AssignedArrivals, AssignedPortion

LEAD_S: Final = 0.25
"""How far in the future an assignment takes effect: the time that the message may take."""
_REMEMBERED_S: Final = 60.0  # no worker has older arrivals to start: a hanging one is given up much earlier


@dataclass(frozen=True)
class Schedule:
    """Arrivals, and the instant at which their curve begins."""

    arrivals: Arrivals
    origin_s: float

    @property
    def end_s(self) -> float:
        """When the curve ends."""
        return self.origin_s + self.arrivals.curve.duration_s


class Portion(NamedTuple):
    """A share of a schedule's arrivals, from one instant until before another."""

    schedule: Schedule
    share: Share
    from_s: float
    until_s: float = math.inf

    def cut(self, from_s: float, until_s: float) -> Portion | None:
        """The part between two instants, if any."""
        part = self._replace(from_s=max(self.from_s, from_s), until_s=min(self.until_s, until_s))
        return part if part.from_s < part.until_s else None

    def times(self) -> Iterator[Floats]:
        """Yield the intended starts, ascending, cell by cell."""
        return self.schedule.arrivals.between(self.from_s, self.until_s, self.share, self.schedule.origin_s)

    def to_wire(self, known: Arrivals | None = None) -> AssignedPortion:
        """Return a form that a message can carry, without the arrivals if the receiver knows them."""
        arrivals = None if self.schedule.arrivals is known else self.schedule.arrivals.to_wire()
        return arrivals, self.schedule.origin_s, *self.share, self.from_s, self.until_s

    @classmethod
    def from_wire(cls, wire: AssignedPortion, known: Arrivals | None = None) -> Portion:
        """Return the portion that a message carries.

        Raises:
            ValueError: it has no arrivals, and none are known.
        """
        sent, origin_s, rest, of, from_s, until_s = wire
        arrivals = Arrivals.from_wire(sent) if sent else known
        if arrivals is None:
            raise ValueError("a portion without arrivals")
        return cls(Schedule(arrivals, origin_s), Share(rest, of), from_s, until_s)


@dataclass(frozen=True)
class Assignment:
    """The arrivals that one worker starts."""

    number: int
    from_s: float
    """The instant from which this assignment replaces the previous one."""
    own: Portion | None
    """The worker's arrivals from then on; None if it starts no more."""
    inherited: tuple[Portion, ...] = ()
    """Arrivals inherited from lost workers, to be started at once."""

    def to_wire(self) -> AssignedArrivals:
        """Return a form that a message can carry."""
        arrivals = self.own.schedule.arrivals if self.own else None
        inherited = [portion.to_wire(known=arrivals) for portion in self.inherited]
        own = self.own and self.own.to_wire()
        return {"number": self.number, "from_s": self.from_s, "own": own, "inherited": inherited}

    @classmethod
    def from_wire(cls, wire: AssignedArrivals) -> Assignment:
        """Return the assignment that a message carries."""
        own = wire["own"] and Portion.from_wire(wire["own"])
        known = own.schedule.arrivals if own else None
        inherited = tuple(Portion.from_wire(each, known) for each in wire["inherited"])
        return cls(wire["number"], wire["from_s"], own, inherited)


@dataclass
class ArrivalAllocator:
    """Assigns a schedule to the connected workers. It sends nothing and reads no clock."""

    schedule: Schedule
    assigned: dict[str, list[Portion]] = field(default_factory=dict)
    """The assignment of each worker, in the order in which the workers joined."""
    number: int = 0

    def assign(
        self, members: Iterable[str], from_s: float, ended_s: Mapping[str, float] | None = None
    ) -> dict[str, Assignment]:
        """Assign `schedule` from an instant on.

        Args:
            members: the workers that take part from the instant on.
            from_s: the instant.
            ended_s: when each lost worker ended; it started everything before.

        Returns:
            An assignment for each member, and an empty one for each worker that is left out but not lost.
        """
        members, ended_s = list(members), ended_s or {}
        self.number += 1
        inherited = self._inherited([member for member in members if member in self.assigned], from_s, ended_s)
        out = [member for member in self.assigned if member not in members and member not in ended_s]
        assigned: dict[str, list[Portion]] = {}
        assignments = {member: Assignment(self.number, from_s, None) for member in out}
        for index, member in enumerate(members):
            own = Portion(self.schedule, Share(index, len(members)), from_s)
            taken_over = inherited.get(member, ())
            kept = [part for old in self.assigned.get(member, ()) if (part := old.cut(from_s - _REMEMBERED_S, from_s))]
            assigned[member] = [*kept, *taken_over, own]
            assignments[member] = Assignment(self.number, from_s, own, tuple(taken_over))
        self.assigned = assigned
        return assignments

    def _inherited(self, remaining: list[str], from_s: float, ended_s: Mapping[str, float]) -> dict[str, list[Portion]]:
        """Split the lost workers' arrivals until the instant among the remaining ones."""
        lost = [
            part
            for member, end_s in ended_s.items()
            for portion in self.assigned.get(member, ())
            if (part := portion.cut(end_s, from_s))
        ]
        return {
            member: [part._replace(share=part.share.split(index, len(remaining))) for part in lost]
            for index, member in enumerate(remaining)
        }
