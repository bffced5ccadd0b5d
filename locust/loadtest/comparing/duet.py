"""Duet: two versions of a service under one schedule at the same time, compared pair by pair.

Both sides of a duet meet the same machine at the same moment: what slows both does not count (duet benchmarking, Bulej
et al., ICPE 2020). So each draw of the bootstrap takes the same seconds of both, and the error of a difference is that
of the differences between the draws.

Tested in tests/unit/comparing/test_duet.py.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from loadtest import untrusted
from loadtest.comparing.blocked_run import BlockedRun
from loadtest.comparing.comparison import compare
from loadtest.judging.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from loadtest.comparing.comparison import Comparison
    from loadtest.reporting.document import Document

SIDES: Final = ("base", "new")
"""The scenario's name in the record, by side."""
MET_BY_BOTH: Final = frozenset({"other_processes"})
"""The trust checks whose violation both sides meet alike, and which the intervals show."""
MARGIN: Final = 0.01
"""Smaller than that of two runs, which differ by more than what each of them shows."""
_MANY: Final = 1_000
"""From this many discordant pairs on, the normal distribution is as good."""
_LONGEST_BYTES: Final = 4 * 1024 * 1024
_SCENARIO: Final = '''"""A duet, written for one run."""

from loadtest.comparing.duet_user import scenario_of

scenario = scenario_of({name!r}, {of!r}, {hosts!r})
'''


def write(folder: Path, name: str, of: str, hosts: tuple[str, str]) -> Path:
    """Write the scenario of a duet into a folder, and return its file."""
    path = folder / f"{name}.py"
    path.write_text(_SCENARIO.format(name=name, of=of, hosts=hosts), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Pairs:
    """Pairs of requests by their outcomes."""

    both_succeeded: int = 0
    base_failed: int = 0
    """Only the base's request failed."""
    new_failed: int = 0
    both_failed: int = 0
    alone: int = 0
    """Requests of one side for which the other side's iteration had none."""

    @property
    def chance(self) -> float:
        """The chance of a split of the discordant pairs at least as uneven as this one, if both sides fail alike.

        McNemar's test in its exact form (*Psychometrika* 12, 1947), two-sided.
        """
        count, least = self.base_failed + self.new_failed, min(self.base_failed, self.new_failed)
        if count > _MANY:
            return math.erfc((count - 2 * least - 1) / math.sqrt(2 * count))
        return min(1.0, 2.0 * float(sum(math.comb(count, k) for k in range(least + 1)) / 2**count))

    @classmethod
    def read(cls, folder: Path) -> Pairs:
        """Return those that the workers left in a run's folder."""
        rows = [
            row for path in folder.glob("pairs-*.json") for row in json.loads(untrusted.read_file(path, _LONGEST_BYTES))
        ]
        return cls(**{name: sum(row.get(name, 0) for row in rows) for name in cls.__dataclass_fields__})

    def sentence(self) -> str:
        """Return them in words."""
        count = self.both_succeeded + self.base_failed + self.new_failed + self.both_failed
        text = (
            f"{count:,} pairs of requests: both failed in {self.both_failed:,}, only the base in {self.base_failed:,}, "
            f"only the new one in {self.new_failed:,}"
        )
        if self.base_failed + self.new_failed:
            text += f" (chance of this, if both fail alike: {self.chance:.2g})"
        return text + (f"; {self.alone:,} requests had no counterpart" if self.alone else "")


def compare_sides(document: Document, urls: tuple[str, str], margin: float, notes: Iterable[str] = ()) -> Comparison:
    """Compare the two sides of a duet, which are called by their URLs."""
    sides = (BlockedRun.of(document, side) for side in SIDES)
    base, new = (replace(run, run_id=url) for run, url in zip(sides, urls, strict=True))
    return compare(base, new, margin, notes, are_paired=True)


def is_fair(document: Document) -> bool:
    """Return whether a run that is not trustworthy is so only by what both sides met alike, and failed no threshold."""
    return {one["rule"] for one in document["findings"]} <= MET_BY_BOTH and all(
        one["outcome"] == Outcome.PASSED.value for one in document["thresholds"]
    )


def side(document: Document, url: str) -> Document:
    """Return the document of the run as that of one side."""
    return {**document, "context": {**document["context"], "target": {"hosts": [url], "sentence": url}}}


def notes(document: Document, pairs: Pairs) -> list[str]:
    """Return what people should know beside the differences."""
    found = [pairs.sentence()]
    if document["verdict"]["name"] not in {"passed", "failed"}:
        met = " (which both sides met alike)" if is_fair(document) else ""
        found.append(f"the run is {document['verdict']['name']}{met}: {'; '.join(document['verdict']['reasons'])}")
    if dropped := sum(one["dropped"] for one in document["scenarios"]):
        found.append(f"{dropped:,} pairs were dropped before they began")
    return found
