"""Outlook: what a comparison with a run will be able to detect, from the noise within that run, before a second run.

Tested in tests/unit/comparing/test_precision.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from loadtest.comparing import precision
from loadtest.comparing.comparison import level_of
from loadtest.comparing.difference import comparable
from loadtest.estimating.blocked_run import ALL
from loadtest.estimating.intervals import student_t
from loadtest.estimating.resampling import Resampling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadtest.estimating.blocked_run import BlockedRun, Name

METRICS = ("throughput", "p50", "p95", "p99")
"""The metrics whose changes are relative."""


class Precision(NamedTuple):
    """The precision of a figure in a comparison to come."""

    found_from: float
    """The smallest relative change for the worse, or increase of throughput, that is found with `precision.POWER`."""
    decided_after_s: float
    """The length of both runs, in seconds, from which equal runs are found to be the same."""


@dataclass(frozen=True)
class Outlook:
    """The expected result of comparing a run with another one of the same length.

    Attributes:
        run_id: the run's id.
        seconds: its length.
        margin: the margin of the comparison.
        names: the precision of the figures that can be compared, by name.
    """

    run_id: str
    seconds: int
    margin: float
    names: Mapping[Name, Mapping[str, Precision]]

    @property
    def found_once_decided(self) -> float:
        """The relative change that is found by runs that are just long enough to decide."""
        return (1 + self.margin) ** 2 - 1

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        names = [
            {**name._asdict(), **{metric: one._asdict() for metric, one in by_metric.items()}}
            for name, by_metric in self.names.items()
        ]
        return {
            "run": self.run_id, "seconds": self.seconds, "margin": self.margin,
            "found_once_decided": self.found_once_decided, "names": names,
        }  # fmt: skip


def outlook(run: BlockedRun, margin: float) -> Outlook:
    """Return what a comparison with a run will be able to detect."""
    resampling = Resampling(run, seed=1)
    estimates = {name: resampling.estimates(series) for name, series in run.series.items()}
    known = {
        name: {metric: one for metric, one in by_metric.items() if comparable(metric, one)}
        for name, by_metric in estimates.items()
    }
    level = level_of(sum(map(len, known.values())))
    names: dict[Name, dict[str, Precision]] = {}
    for name in sorted(known, key=lambda name: (name != ALL, name.name, name.method)):
        for metric in METRICS:
            if (one := known[name].get(metric)) is not None:
                t = student_t(level, 2 * one.degrees)
                resolved = precision.resolution(one.error, t, 2 * one.degrees)
                after_s = precision.decided_after_s(run.seconds, math.sqrt(2) * one.error, t, math.log1p(margin))
                names.setdefault(name, {})[metric] = Precision((1 + margin) * (1 + resolved) - 1, after_s)
    return Outlook(run.run_id, run.seconds, margin, names)
