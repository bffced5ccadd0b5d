"""CoreWaits: how long the processes of a duet's two versions waited for a core of this machine.

What a version waits is in its response times, and is no work of its own: on a crowded machine one version may wait for
longer than the other by chance, for stretches of the run.

Tested in tests/unit/comparing/test_core_waits.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from loadtest.measuring import machine
from loadtest.settings import hosts

if TYPE_CHECKING:
    from collections.abc import Sequence


class Use(NamedTuple):
    """What a version's processes had of the cores, in seconds."""

    computed_s: float
    waited_s: float


class CoreWaits:
    """Counts from the moment when it is made.

    Args:
        processes: of each version; empty where they are not on this machine, or cannot be seen.
    """

    def __init__(self, processes: Sequence[machine.CpuTime]) -> None:
        self._processes = processes
        self._before = self._read()

    @classmethod
    def of(cls, urls: Sequence[str]) -> Self:
        """Begin to count what the processes that listen at these base URLs use."""
        ports = [hosts.local_port(url) for url in urls]
        found = [machine.peers(0, (), [port]).target for port in ports if port is not None]
        return cls([machine.CpuTime(one) for one in found] if len(found) == len(urls) and all(found) else [])

    def uses(self) -> tuple[Use, Use] | None:
        """Return what the processes of the base and of the new version used since; None where that is not known."""
        uses = [Use(*map(float.__sub__, now, before)) for now, before in zip(self._read(), self._before, strict=True)]
        if not any(one.waited_s for one in uses):
            return None
        base, new = uses
        return base, new

    def _read(self) -> list[Use]:
        return [Use(one.read_s(), one.waited_s()) for one in self._processes]


def sentence(base: Use, new: Use) -> str:
    """Return what each version's processes used, for people."""
    return (
        f"the processes of the base computed for {base.computed_s:.1f} s and waited for a core for "
        f"{base.waited_s:.1f} s, those of the new version {new.computed_s:.1f} s and {new.waited_s:.1f} s; what "
        "they waited is in their times"
    )
