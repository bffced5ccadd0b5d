"""Comparison: whether the new run is better, the same or worse, or the data is inconclusive.

Each request name is compared by throughput, error ratio, p50, p95 and p99. Each difference has a confidence interval.
All intervals of a comparison hold together with probability `CONFIDENCE` (Bonferroni), so that many names raise no more
false alarms than one; in a duet, half of the errors are those of the figures by pairs. The conclusion depends on where
the whole interval lies:

    worse           beyond the margin, on the bad side
    better          beyond the margin, on the good side
    same            within the margin
    inconclusive    anywhere else: more requests or longer runs would decide

In a duet, whose versions met the same machine, a difference is clear when it is itself beyond the margin and its
interval does not hold 0.

**Times and throughput** are compared as ratios: d = ln(new) - ln(base), with the resampled standard errors of both
runs and Student's t, with the degrees of freedom of Welch and Satterthwaite. The interval is widened to the percentiles
of the resampled differences where these reach further, so that a single burst, which many resamples do not contain,
decides nothing. **Error ratios** are compared as a difference in percentage points, by Newcombe's method of Wilson
intervals (*Statistics in Medicine* 17, 1998), with the numbers of requests divided by the design effect that resampling
finds, since failures come in bursts; those of a duet by his method for pairs (the same volume), so that what failed on
both sides counts for nothing.

The margin is the largest change that counts as no difference. It also covers what the intervals cannot: two runs of the
same system at two times differ by more than the noise within each (placement in memory, neighbours, heat), and one run
on each side cannot show by how much.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from enum import Enum
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from loadtest.comparing import precision
from loadtest.estimating.blocked_run import ALL
from loadtest.estimating.intervals import CONFIDENCE, independent, student_t, wilson
from loadtest.estimating.resampling import (
    MIN_STRETCHES,
    PAIRS,
    QUANTILES,
    Estimate,
    Resampling,
    pair_stretch,
    stretch_lengths,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy.typing as npt

    from loadtest.comparing.pairing import Outcomes, Pairing
    from loadtest.estimating.blocked_run import BlockedRun, Name

    Floats = npt.NDArray[np.float64]
    _ByMetric = dict[str, tuple[Estimate | None, Estimate | None]]

MARGIN: Final = 0.05
"""The default margin, as a share of a time or a throughput."""
ERROR_MARGIN_SHARE: Final = 0.1
"""The margin of error ratios, as a share of the margin: 5 % become 0.5 percentage points."""
MIN_REQUESTS: Final = 20
"""The fewest requests for throughput, error ratio and median."""
MIN_BEYOND: Final = 10
"""The fewest requests beyond a higher quantile: p95 needs 200 requests, p99 1,000."""
_OF_NO_TIME: Final = ("throughput", "error_ratio")
METRICS: Final = (*_OF_NO_TIME, *QUANTILES)
_HALF: Final = 0.5
"""The share of the errors of a duet that its figure by pairs may make, since it sees most; the rest is all others'."""
_NORMAL: Final = NormalDist()
_SEED: Final = 1
_MIN_DEGREES: Final = MIN_STRETCHES - 1


class Conclusion(Enum):
    """What an interval says about a difference; the values appear on screen and in files."""

    BETTER = "better"
    SAME = "same"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Difference:
    """One figure of one request name in both runs.

    Attributes:
        metric: one of `METRICS`; in a duet also `PAIRS`, which has a change only.
        base: in seconds, in requests per second, or as a ratio; None when the run does not have it.
        new: the same of the newer run.
        change: relative (0.1 is 10 % more); for an error ratio the difference. None when it is unknown.
        low: lower end of the interval.
        high: upper end of the interval.
        conclusion: what the interval says.
        reason: why it is inconclusive; otherwise empty.
        decided_after_s: how long both runs would have to be to decide it, if the figure did not change; None when it
            is decided, or more of the same would not help.
        found_from: the smallest change for the worse, or of throughput up, that 95 of 100 such comparisons find, in the
            unit of the change; None when it is unknown. A smaller one may be inconclusive.
    """

    metric: str
    base: float | None
    new: float | None
    change: float | None
    low: float | None
    high: float | None
    conclusion: Conclusion
    reason: str = ""
    decided_after_s: float | None = None
    found_from: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        values = asdict(self)
        values["finding"] = values.pop("conclusion").value
        return values


@dataclass(frozen=True)
class NameComparison:
    """All differences of one request name."""

    name: Name
    differences: tuple[Difference, ...]

    @property
    def conclusion(self) -> Conclusion:
        """Worse when anything is; better when something is and nothing is worse; same when everything is."""
        return _together(difference.conclusion for difference in self.differences)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why figures are inconclusive, each reason once."""
        return tuple(dict.fromkeys(one.reason for one in self.differences if one.reason))

    @property
    def decided_after_s(self) -> float | None:
        """How long both runs would have to be to decide every figure; None when that would not decide all."""
        lengths = [one.decided_after_s for one in self.differences if one.conclusion is Conclusion.INCONCLUSIVE]
        return None if None in lengths else max(filter(None, lengths), default=None)


@dataclass(frozen=True)
class Comparison:
    """Two runs.

    Attributes:
        base: the older run's name.
        new: the newer run's.
        margin: relative.
        names: those of both runs, or of one.
        stretch_s: the length of the longest resampled stretches of each run.
        tests: the number of intervals that hold together.
        notes: what people should know beside the figures.
    """

    base: str
    new: str
    margin: float
    names: tuple[NameComparison, ...]
    stretch_s: tuple[int, int]
    tests: int
    notes: tuple[str, ...] = ()

    @property
    def conclusion(self) -> Conclusion:
        """The conclusion on all names together."""
        return _together(name.conclusion for name in self.names)

    @property
    def shown(self) -> tuple[NameComparison, ...]:
        """All requests together, and each name about which something is known."""
        return tuple(one for one in self.names if one.name == ALL or one.conclusion is not Conclusion.INCONCLUSIVE)

    @property
    def undecided(self) -> tuple[NameComparison, ...]:
        """The names of which nothing is better or worse, and not everything the same."""
        return tuple(one for one in self.names if one.name != ALL and one.conclusion is Conclusion.INCONCLUSIVE)

    @property
    def is_void(self) -> bool:
        """Whether the difference of every response time is inconclusive: how many failed says nothing of how fast."""
        return all(
            one.conclusion is Conclusion.INCONCLUSIVE
            for name in self.names
            for one in name.differences
            if one.metric not in _OF_NO_TIME
        )

    def without_times(self, reason: str) -> Comparison:
        """Return it with every response time inconclusive, for a reason that no interval shows."""

        def withheld(one: Difference) -> Difference:
            if one.metric in _OF_NO_TIME:
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
            "stretch_s": list(self.stretch_s),
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
        base: the older.
        new: the newer.
        margin: above 0, up to 1.
        notes: for people.
        progress: called with the number of names done, and of all names.
        pairing: of the two sides of a duet, on the same blocks, so that what both meet does not count.
        share: of the errors that this comparison may make, above 0; see `loadtest.estimating.looks`.
    """
    metrics = METRICS[1:] if pairing else METRICS  # the throughput of both sides is that of the pairs
    stretches = stretch_lengths(base, new) if pairing else None
    seeds = (_SEED, _SEED) if pairing else (_SEED, _SEED + 1)
    resampled = [Resampling(run, seed, stretches=stretches) for run, seed in zip((base, new), seeds, strict=True)]
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
    told = [metric for _, found in pairs for metric, both in found.items() if not _obstacle(metric, *both)]
    tests, of_pairs = len(told), told.count(PAIRS)
    half = share * _HALF
    levels = (level_of(tests - of_pairs, half), level_of(of_pairs, half)) if of_pairs else (level_of(tests, share), 1.0)
    terms = _Terms(*levels, margin, min(base.seconds, new.seconds), pairing.outcomes if pairing else None)
    return Comparison(
        base.run_id,
        new.run_id,
        margin,
        tuple(
            NameComparison(
                name,
                tuple(_difference(name, metric, *both, terms) for metric, both in found.items()),
            )
            for name, found in pairs
        ),
        (_longest(resampled[0], base), _longest(resampled[1], new)),
        tests,
        tuple(notes),
    )


def _add_pairs(found: Iterable[tuple[Name, _ByMetric]], ratios: BlockedRun) -> None:
    """Add the typical ratio of the pairs to the figures of each name that has pairs."""
    resampling = Resampling(ratios, _SEED, stretches={PAIRS: pair_stretch(ratios)})
    for name, by_metric in found:
        estimate = resampling.pairs(ratios.series[name]) if name in ratios.series else None
        by_metric[PAIRS] = (estimate, estimate)


def level_of(tests: int, share: float = 1.0) -> float:
    """Return the level of one end of each interval, so that this many hold together with `CONFIDENCE`.

    Args:
        tests: the number of intervals.
        share: of the errors that may happen; other intervals have the rest.
    """
    return 1 - share * (1 - CONFIDENCE) / (2 * max(tests, 1))


def _longest(resampling: Resampling, run: BlockedRun) -> int:
    return max(resampling.stretches.values()) * run.width_s


def requests_needed(metric: str) -> int:
    """Return how many requests of a name a figure needs in each run."""
    if (q := QUANTILES.get(metric)) is None:
        return MIN_REQUESTS
    return max(MIN_REQUESTS, math.ceil(round(MIN_BEYOND / (1 - q), 6)))


def comparable(metric: str, estimate: Estimate) -> bool:
    """Return whether a figure can be compared with that of an equal run."""
    return _obstacle(metric, estimate, estimate) is None


class _Terms(NamedTuple):
    """What all figures of a comparison have in common."""

    level: float
    """Of one end of each interval."""
    pairs_level: float
    """The same of the figure by pairs."""
    margin: float
    seconds: float
    """The length of the shorter run."""
    outcomes: Mapping[Name, Outcomes] | None
    """Of the pairs of a duet, by name; None for two runs."""


class _Obstacle(NamedTuple):
    """What prevents a comparison."""

    reason: str
    factor: float | None
    """How many times as long the runs would have to be; None when that would not help."""


def _obstacle(metric: str, base: Estimate | None, new: Estimate | None) -> _Obstacle | None:
    """Return what prevents a comparison of the two; None when nothing does."""
    needed = requests_needed(metric)
    for run, estimate in (("base", base), ("new", new)):
        if estimate is None:
            return _Obstacle(f"the {run} run does not have it", None)
        if estimate.requests < needed:
            factor = needed / estimate.requests if estimate.requests else None
            return _Obstacle(
                f"needs {needed:,} requests in each run, but the {run} run has {estimate.requests:,}", factor
            )
        if estimate.degrees < _MIN_DEGREES:
            reason = f"the {run} run is too short for its slow fluctuations: needs {MIN_STRETCHES} stretches"
            return _Obstacle(reason, MIN_STRETCHES / (estimate.degrees + 1))
    return None


class _Bounds(NamedTuple):
    """A difference with its interval, relative, or in points of a ratio."""

    change: float
    low: float
    high: float
    error: float
    """Standard error, of the logarithm of a relative one."""
    t: float
    """Half of the interval, in standard errors."""
    degrees: float
    """Degrees of freedom of the error."""


def _difference(name: Name, metric: str, base: Estimate | None, new: Estimate | None, terms: _Terms) -> Difference:
    values = (None, None) if metric == PAIRS else (_value(base), _value(new))
    obstacle = _obstacle(metric, base, new)
    if obstacle or base is None or new is None:
        reason, factor = obstacle or ("", None)
        after_s = None if factor is None else terms.seconds * factor
        return Difference(metric, *values, None, None, None, Conclusion.INCONCLUSIVE, reason, after_s)
    if metric == "error_ratio":
        correlation = terms.outcomes[name].correlation if terms.outcomes and name in terms.outcomes else 0.0
        bounds = _of_error_ratios(base, new, terms.level, correlation)
        lowest, highest = -terms.margin * ERROR_MARGIN_SHARE, terms.margin * ERROR_MARGIN_SHARE
        within = highest
    else:
        bounds = _of_pairs(new, terms.pairs_level) if metric == PAIRS else _of_times(base, new, terms)
        lowest, highest, within = 1 / (1 + terms.margin) - 1, terms.margin, math.log1p(terms.margin)
    measured = None if terms.outcomes is None else bounds.change
    is_throughput = metric == "throughput"
    conclusion = conclude(bounds.low, bounds.high, lowest, highest, more_is_better=is_throughput, measured=measured)
    found = Difference(metric, *values, *bounds[:3], conclusion, found_from=_found_from(metric, bounds, within, terms))
    if conclusion is not Conclusion.INCONCLUSIVE:
        return found
    after_s = precision.decided_after_s(terms.seconds, bounds.error, bounds.t, within)
    if after_s <= terms.seconds:
        return replace(found, reason="the difference is about as large as the margin")
    return replace(found, reason="the interval crosses the margin", decided_after_s=after_s)


def _found_from(metric: str, bounds: _Bounds, margin: float, terms: _Terms) -> float:
    """Return the smallest change that was sure to be found, in the unit of the change.

    Args:
        metric: of the figure.
        bounds: of its difference.
        margin: in the unit of the bounds' error.
        terms: of the comparison.
    """
    is_share, is_of_a_duet = metric == "error_ratio", terms.outcomes is not None
    change, low, high = bounds[:3] if is_share else map(math.log1p, bounds[:3])
    half = max(high - change, change - low)
    found = precision.found_from(half, bounds.error, bounds.degrees, margin, is_of_a_duet=is_of_a_duet)
    return found if is_share else math.expm1(found)


def _of_error_ratios(base: Estimate, new: Estimate, level: float, correlation: float) -> _Bounds:
    z = _NORMAL.inv_cdf(level)
    low, high = _newcombe(base, new, z, correlation)
    return _Bounds(new.value - base.value, low, high, (high - low) / (2 * z), z, min(base.degrees, new.degrees))


def _of_times(base: Estimate, new: Estimate, terms: _Terms) -> _Bounds:
    independent = (math.hypot(base.error, new.error), _degrees(base, new))
    error, degrees = independent if terms.outcomes is None else _paired(base, new)
    return _relative(math.log(new.value / base.value), error, degrees, new.drawn - base.drawn, terms.level)


def _of_pairs(ratio: Estimate, level: float) -> _Bounds:
    return _relative(math.log(ratio.value), ratio.error, ratio.degrees, ratio.drawn, level)


def _relative(ratio: float, error: float, degrees: float, drawn: Floats, level: float) -> _Bounds:
    """Return a ratio's interval by Student's t, widened to the percentiles of the draws; all are logarithms."""
    t, drawn = student_t(level, degrees), np.sort(drawn)
    edge = int(len(drawn) * (1 - level))
    low, high = min(ratio - t * error, drawn[edge]), max(ratio + t * error, drawn[-1 - edge])
    return _Bounds(math.expm1(ratio), math.expm1(low), math.expm1(high), error, t, degrees)


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None or math.isnan(estimate.value) else estimate.value


def conclude(
    low: float, high: float, lowest: float, highest: float, *, more_is_better: bool, measured: float | None = None
) -> Conclusion:
    """Return what an interval says.

    Args:
        low: its lower end.
        high: its upper end.
        lowest: with `highest`, the range of what counts as no difference.
        highest: above 0.
        more_is_better: which side is the good one.
        measured: the difference itself, where nothing but the versions can have made it, as in a duet: it must not be
            within the range, and the interval not hold 0. None where the whole interval must be beyond the range.
    """
    is_more, is_less = low > highest, high < lowest
    if measured is not None:
        is_more, is_less = low > 0 and measured >= highest, high < 0 and measured <= lowest
    if is_more:
        return Conclusion.BETTER if more_is_better else Conclusion.WORSE
    if is_less:
        return Conclusion.WORSE if more_is_better else Conclusion.BETTER
    return Conclusion.SAME if lowest <= low and high <= highest else Conclusion.INCONCLUSIVE


def _paired(base: Estimate, new: Estimate) -> tuple[float, float]:
    """Return the error of the difference between figures of the same draws, and its degrees of freedom."""
    spread = float(base.drawn.std())
    correction = base.error / spread if spread else 1.0
    return float((new.drawn - base.drawn).std()) * correction, float(base.degrees)


def _degrees(base: Estimate, new: Estimate) -> float:
    """Return the degrees of freedom of Welch and Satterthwaite."""
    variances = base.error**2, new.error**2
    bottom = variances[0] ** 2 / base.degrees + variances[1] ** 2 / new.degrees
    return sum(variances) ** 2 / bottom if bottom else float(min(base.degrees, new.degrees))


def _newcombe(base: Estimate, new: Estimate, z: float, correlation: float) -> tuple[float, float]:
    (low_base, high_base), (low_new, high_new) = _wilson(base, z), _wilson(new, z)
    change = new.value - base.value
    return (
        change - _third_side(new.value - low_new, high_base - base.value, correlation),
        change + _third_side(high_new - new.value, base.value - low_base, correlation),
    )


def _third_side(one: float, other: float, cosine: float) -> float:
    return math.sqrt(max(one * one - 2 * cosine * one * other + other * other, 0.0))


def _wilson(estimate: Estimate, z: float) -> tuple[float, float]:
    return wilson(estimate.value, independent(estimate.value, estimate.error, estimate.requests), z)
