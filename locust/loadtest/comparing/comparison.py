"""Comparison: whether the new run is better, the same or worse, or the data is inconclusive.

Each request name is compared by throughput, error ratio, p50, p95 and p99, as described in
`loadtest.comparing.difference`. All intervals of a comparison hold together with probability `CONFIDENCE` (Bonferroni),
so that many names cause no more false alarms than one. In a duet, the figures by pairs get half of the errors.

The margin is the largest change that counts as no difference. It also covers what the intervals cannot: two runs of the
same system at two times differ by more than the noise within each (placement in memory, neighbours, heat), and one run
on each side cannot show by how much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from loadtest.comparing.difference import (
    ERROR_MARGIN_SHARE,
    METRICS,
    OF_NO_TIME,
    Conclusion,
    Difference,
    Terms,
    difference_of,
    obstacle_to,
)
from loadtest.estimating.blocked_run import ALL
from loadtest.estimating.intervals import CONFIDENCE
from loadtest.estimating.resampling import PAIRS, Estimate, Resampling, pair_segment, segment_lengths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from loadtest.comparing.pairing import Pairing
    from loadtest.estimating.blocked_run import BlockedRun, Name

    _ByMetric = dict[str, tuple[Estimate | None, Estimate | None]]

MARGIN: Final = 0.05
"""The default margin, as a share of a time or a throughput."""
_HALF: Final = 0.5
"""The share of a duet's errors that its figures by pairs, which are the most sensitive, may make; others get the
rest."""
_SEED: Final = 1


@dataclass(frozen=True)
class NameComparison:
    """All differences of one request name."""

    name: Name
    differences: tuple[Difference, ...]

    @property
    def conclusion(self) -> Conclusion:
        """Worse if any figure is; better if one is and none is worse; same if all are."""
        return _together(difference.conclusion for difference in self.differences)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why figures are inconclusive; each reason once."""
        return tuple(dict.fromkeys(one.reason for one in self.differences if one.reason))

    @property
    def decided_after_s(self) -> float | None:
        """The length of both runs, in seconds, that would decide every figure; None if that would not decide all."""
        lengths = [one.decided_after_s for one in self.differences if one.conclusion is Conclusion.INCONCLUSIVE]
        return None if None in lengths else max(filter(None, lengths), default=None)


@dataclass(frozen=True)
class Comparison:
    """The comparison of two runs.

    Attributes:
        base: the older run's id.
        new: the newer run's id.
        margin: relative.
        names: the names of both runs, or of one.
        segment_s: the length, in seconds, of the longest resampled segments of each run.
        tests: the number of intervals that hold together.
        notes: notes for people, in addition to the figures.
    """

    base: str
    new: str
    margin: float
    names: tuple[NameComparison, ...]
    segment_s: tuple[int, int]
    tests: int
    notes: tuple[str, ...] = ()

    @property
    def conclusion(self) -> Conclusion:
        """The conclusion over all names."""
        return _together(name.conclusion for name in self.names)

    @property
    def shown(self) -> tuple[NameComparison, ...]:
        """All requests together, and each name that has a conclusion."""
        return tuple(one for one in self.names if one.name == ALL or one.conclusion is not Conclusion.INCONCLUSIVE)

    @property
    def undecided(self) -> tuple[NameComparison, ...]:
        """The names for which nothing is better or worse, and not everything is the same."""
        return tuple(one for one in self.names if one.name != ALL and one.conclusion is Conclusion.INCONCLUSIVE)

    @property
    def is_void(self) -> bool:
        """Whether every response time is inconclusive: the number of failures says nothing about speed."""
        return all(
            one.conclusion is Conclusion.INCONCLUSIVE
            for name in self.names
            for one in name.differences
            if one.metric not in OF_NO_TIME
        )

    def without_times(self, reason: str) -> Comparison:
        """Return the comparison with every response time inconclusive, for a reason that no interval shows."""

        def withheld(one: Difference) -> Difference:
            if one.metric in OF_NO_TIME:
                return one
            undecided = replace(one, conclusion=Conclusion.INCONCLUSIVE, reason=reason)
            return replace(undecided, decided_after_s=None, found_from=None)

        names = (replace(name, differences=tuple(map(withheld, name.differences))) for name in self.names)
        return replace(self, names=tuple(names))

    def as_dict(self) -> dict[str, Any]:
        """Return the whole comparison, ready for JSON."""
        return {
            "format": 1,
            "base": self.base,
            "new": self.new,
            "verdict": self.conclusion.value,
            "margin": self.margin,
            "error_ratio_margin": self.margin * ERROR_MARGIN_SHARE,
            "confidence": CONFIDENCE,
            "tests": self.tests,
            "stretch_s": list(self.segment_s),
            "notes": list(self.notes),
            "names": [
                {
                    **name.name._asdict(),
                    "verdict": name.conclusion.value,
                    "differences": [difference.as_dict() for difference in name.differences],
                }
                for name in self.names
            ],
        }


def _together(conclusions: Iterable[Conclusion]) -> Conclusion:
    found = set(conclusions)
    for conclusion in (Conclusion.WORSE, Conclusion.BETTER):
        if conclusion in found:
            return conclusion
    return Conclusion.SAME if found == {Conclusion.SAME} else Conclusion.INCONCLUSIVE


def compare(
    base: BlockedRun,
    new: BlockedRun,
    margin: float = MARGIN,
    notes: Iterable[str] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    pairing: Pairing | None = None,
    share: float = 1.0,
) -> Comparison:
    """Compare two runs.

    Args:
        base: the older run.
        new: the newer run.
        margin: above 0, up to 1.
        notes: notes for people.
        progress: called with the number of names done, and of all names.
        pairing: the pairs of a duet whose sides are on the same blocks, so that what affects both cancels out.
        share: the share of the permitted errors, above 0 up to 1; see `loadtest.estimating.looks`.
    """
    metrics = METRICS[1:] if pairing else METRICS  # both sides' throughput is that of the pairs
    segments = segment_lengths(base, new) if pairing else None
    seeds = (_SEED, _SEED) if pairing else (_SEED, _SEED + 1)
    resampled = [Resampling(run, seed, segments=segments) for run, seed in zip((base, new), seeds, strict=True)]
    names = sorted({*base.series, *new.series}, key=lambda name: (name != ALL, name.name, name.method, name.scenario))
    pairs: list[tuple[Name, _ByMetric]] = []
    for done, name in enumerate(names):
        progress(done, len(names))
        found = [
            resampling.estimates(run.series[name]) if name in run.series else {}
            for run, resampling in zip((base, new), resampled, strict=True)
        ]
        pairs.append((name, {metric: (found[0].get(metric), found[1].get(metric)) for metric in metrics}))
    if pairing:
        _add_pairs(pairs, pairing.ratios)
    progress(len(names), len(names))
    comparable = [metric for _, found in pairs for metric, both in found.items() if not obstacle_to(metric, *both)]
    tests, of_pairs = len(comparable), comparable.count(PAIRS)
    half = share * _HALF
    levels = (level_of(tests - of_pairs, half), level_of(of_pairs, half)) if of_pairs else (level_of(tests, share), 1.0)
    terms = Terms(*levels, margin, min(base.seconds, new.seconds), pairing.outcomes if pairing else None)
    return Comparison(
        base.run_id,
        new.run_id,
        margin,
        tuple(
            NameComparison(
                name,
                tuple(difference_of(name, metric, *both, terms) for metric, both in found.items()),
            )
            for name, found in pairs
        ),
        (_longest(resampled[0], base), _longest(resampled[1], new)),
        tests,
        tuple(notes),
    )


def _add_pairs(found: Iterable[tuple[Name, _ByMetric]], ratios: BlockedRun) -> None:
    """Add the typical ratio of the pairs to the figures of each name that has pairs."""
    resampling = Resampling(ratios, _SEED, segments={PAIRS: pair_segment(ratios)})
    for name, by_metric in found:
        estimate = resampling.pairs(ratios.series[name]) if name in ratios.series else None
        by_metric[PAIRS] = (estimate, estimate)


def level_of(tests: int, share: float = 1.0) -> float:
    """Return the level of one end of each interval with which this many hold together with `CONFIDENCE`.

    Args:
        tests: the number of intervals.
        share: the share of the permitted errors; other intervals have the rest.
    """
    return 1 - share * (1 - CONFIDENCE) / (2 * max(tests, 1))


def _longest(resampling: Resampling, run: BlockedRun) -> int:
    return max(resampling.segments.values()) * run.width_s
