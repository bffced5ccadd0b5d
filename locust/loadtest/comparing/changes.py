"""Changes: when the figures of a history moved, by how much, and between which runs and versions.

Only runs under the same conditions (scenario, profile, load and machine) form one history. The probability of a false
alarm is shared by all figures of a history, so that many names cause no more false alarms than one.

Tested in tests/unit/comparing/test_changes.py.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loadtest.comparing.change_points import ChangePoint, change_points, fewest_runs
from loadtest.comparing.difference import Conclusion, Difference
from loadtest.estimating.blocked_run import ALL, Name
from loadtest.judging.outcome import MEASURED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.comparing.run_figures import Figure, RunFigures

Series = tuple[list[int], list["Figure"]]
"""The indices of the runs that have a figure, and the figures."""
CHANCE: Final = 0.16
"""The probability that two segments of equal level are found different, for all figures of a history together. Far
fewer than one run in six has a false change point, because each must be significant against its whole neighbours."""
CHANCE_OF_ONE: Final = 0.001
"""The highest such probability of one figure."""


@dataclass(frozen=True)
class ChangedRun:
    """The first run after a change of one or several figures, with the run before it."""

    before: RunFigures
    first: RunFigures
    changes: tuple[tuple[Name, Difference], ...]
    """Each figure that changed, from the level before to the level after."""

    @property
    def is_worse(self) -> bool:
        """Whether any figure got worse."""
        return any(difference.conclusion is Conclusion.WORSE for _, difference in self.changes)

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "before": {"run_id": self.before.run_id, **self.before.versions},
            "first": {"run_id": self.first.run_id, "started_at": self.first.started_at, **self.first.versions},
            "changes": [{**name._asdict(), **difference.as_dict()} for name, difference in self.changes],
        }


@dataclass(frozen=True)
class History:
    """The runs of a scenario and a profile under the same conditions, oldest first.

    Attributes:
        key: scenario and profile.
        runs: the runs that produced a measurement.
        needed: the number of runs from which a change can be found.
        changed: in chronological order.
    """

    key: str
    runs: tuple[RunFigures, ...]
    needed: int
    changed: tuple[ChangedRun, ...]

    @property
    def is_long_enough(self) -> bool:
        """Whether there are enough runs to find a change."""
        return len(self.runs) >= self.needed

    def worse_since(self, baseline: str | None) -> list[ChangedRun]:
        """Return the changes for the worse after the baseline; of the whole history if the baseline is not in it."""
        names = [run.run_id for run in self.runs]
        accepted = names.index(baseline) if baseline in names else -1
        return [one for one in self.changed if one.is_worse and names.index(one.first.run_id) > accepted]

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "key": self.key,
            "conditions": dict(self.runs[0].conditions),
            "runs": [run.run_id for run in self.runs],
            "runs_needed": self.needed,
            "changed": [one.as_dict() for one in self.changed],
        }


def histories(runs: Sequence[RunFigures]) -> list[History]:
    """Return the histories that runs form, by scenario and profile. Runs without a measurement are left out."""
    groups: dict[tuple[str, str], list[RunFigures]] = {}
    for run in sorted(runs, key=lambda run: run.started_at):
        if run.verdict in MEASURED:
            groups.setdefault((run.key, json.dumps(run.conditions, sort_keys=True)), []).append(run)
    return [_history(key, own) for (key, _), own in sorted(groups.items())]


def series_of(runs: Sequence[RunFigures]) -> dict[tuple[Name, str], Series]:
    """Return the series of each name and metric."""
    found: dict[tuple[Name, str], Series] = {}
    for place, run in enumerate(runs):
        for name, by_metric in run.figures.items():
            for metric, figure in by_metric.items():
                places, figures = found.setdefault((name, metric), ([], []))
                places.append(place)
                figures.append(figure)
    return found


def _history(key: str, runs: Sequence[RunFigures]) -> History:
    series = dict(sorted(series_of(runs).items(), key=lambda item: (item[0][0] != ALL, item[0])))
    chance = min(CHANCE_OF_ONE, CHANCE / max(1, sum(len(places) > 1 for places, _ in series.values())))
    changes: dict[int, list[tuple[Name, Difference]]] = {}
    for (name, metric), (places, figures) in series.items():
        if len(places) < fewest_runs(chance):
            continue
        values, errors = np.array(figures).T
        for point in change_points(values, errors, chance):
            changes.setdefault(places[point.index], []).append((name, _difference(metric, point)))
    for own in changes.values():
        own.sort(key=lambda change: change[1].conclusion is not Conclusion.WORSE)
    changed = (ChangedRun(runs[place - 1], runs[place], tuple(changes[place])) for place in sorted(changes))
    return History(key, tuple(runs), fewest_runs(chance), tuple(changed))


def _difference(metric: str, point: ChangePoint) -> Difference:
    low, high = point.interval
    conclusion = Conclusion.BETTER if (point.after > point.before) is (metric == "throughput") else Conclusion.WORSE
    if metric == "error_ratio":
        return Difference(metric, point.before, point.after, point.after - point.before, low, high, conclusion)
    before, after = math.exp(point.before), math.exp(point.after)
    return Difference(metric, before, after, after / before - 1, math.expm1(low), math.expm1(high), conclusion)
