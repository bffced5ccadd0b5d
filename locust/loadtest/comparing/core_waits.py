"""CoreWaits: how long the processes of a duet's two versions waited for a core of this machine.

A version's waits are part of its response times but not of its own work. On a crowded machine, one version may happen
to wait longer than the other for parts of the run.

Tested in tests/unit/comparing/test_core_waits.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from loadtest.measuring import machine
from loadtest.settings import hosts

if TYPE_CHECKING:
    from collections.abc import Sequence

    _Reading = tuple[float, dict[int, float]]
    """Seconds of CPU time, and seconds of waiting by thread."""


class Use(NamedTuple):
    """How a version's processes used the cores, in seconds."""

    computed_s: float
    waited_s: float
    longest_s: float
    """The wait of the thread that waited longest."""


class CoreWaits:
    """Counts waits from its creation on.

    Args:
        processes: the processes of each version; empty if they are not on this machine, or not visible.
    """

    def __init__(self, processes: Sequence[machine.CpuTime]) -> None:
        self._processes = processes
        self._before = self._read()

    @classmethod
    def of(cls, urls: Sequence[str]) -> Self:
        """Start to count for the processes that listen at these base URLs."""
        ports = [hosts.local_port(url) for url in urls]
        found = [machine.peers(0, (), [port]).target for port in ports if port is not None]
        return cls([machine.CpuTime(one) for one in found] if len(found) == len(urls) and all(found) else [])

    def uses(self) -> tuple[Use, Use] | None:
        """Return the use of the base and of the new version since the creation; None if unknown."""
        uses = [_since(before, now) for now, before in zip(self._read(), self._before, strict=True)]
        if not any(one.waited_s for one in uses):
            return None
        base, new = uses
        return base, new

    def _read(self) -> list[_Reading]:
        return [(one.read_s(), one.waits_s()) for one in self._processes]


def _since(before: _Reading, now: _Reading) -> Use:
    """Return the use between two readings. Threads that ended in between are not included."""
    waits_s = [waited_s - before[1].get(thread, 0.0) for thread, waited_s in now[1].items()]
    return Use(now[0] - before[0], sum(waits_s), max(waits_s, default=0.0))


def sentence(base: Use, new: Use) -> str:
    """Return what each version's processes used, as a sentence."""
    return (
        f"the processes of the base computed for {base.computed_s:.1f} s and waited for a core for "
        f"{base.waited_s:.1f} s, those of the new version {new.computed_s:.1f} s and {new.waited_s:.1f} s; the waits "
        "are part of their times"
    )
