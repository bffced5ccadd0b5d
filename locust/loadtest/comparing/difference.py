"""Difference: one figure of one request name in both runs, with its interval, and what that says.

The conclusion depends on where the whole interval lies:

    worse           beyond the margin, on the bad side
    better          beyond the margin, on the good side
    same            within the margin
    inconclusive    anywhere else: more requests or longer runs would decide

In a duet, whose versions met the same machine, a difference is clear when it is itself beyond the margin and its
interval does not contain 0.

**Times and throughput** are compared as ratios: d = ln(new) - ln(base), with the resampled standard errors of both
runs and Student's t, with the degrees of freedom of Welch and Satterthwaite. The interval is widened to the percentiles
of the resampled differences where these reach further, so that a single burst, which many resamples do not contain,
decides nothing. **Error ratios** are compared as a difference in percentage points, by Newcombe's method of Wilson
intervals (*Statistics in Medicine* 17, 1998), with the numbers of requests divided by the design effect that resampling
finds, since failures come in bursts; those of a duet by his method for pairs (the same volume), so that what failed on
both sides counts for nothing.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from enum import Enum
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from loadtest.comparing import precision
from loadtest.estimating.intervals import independent, student_t, wilson
from loadtest.estimating.resampling import MIN_SEGMENTS, PAIRS, QUANTILES, Estimate
from loadtest.measuring.histogram import samples_needed

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from loadtest.comparing.pairing import Outcomes
    from loadtest.estimating.blocked_run import Name

    Floats = npt.NDArray[np.float64]

ERROR_MARGIN_SHARE: Final = 0.1
"""The margin of error ratios, as a share of the margin: 5 % become 0.5 percentage points."""
MIN_REQUESTS: Final = 20
"""The minimum number of requests for throughput, error ratio and median."""
MIN_BEYOND: Final = 10
"""The minimum number of requests beyond a higher quantile: p95 needs 200 requests, p99 1,000."""
OF_NO_TIME: Final = ("throughput", "error_ratio")
METRICS: Final = (*OF_NO_TIME, *QUANTILES)
_NORMAL: Final = NormalDist()
_MIN_DEGREES: Final = MIN_SEGMENTS - 1


class Conclusion(Enum):
    """The conclusion from an interval. The values appear on screen and in files."""

    BETTER = "better"
    SAME = "same"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Difference:
    """One figure of one request name in both runs.

    Attributes:
        metric: one of `METRICS`; in a duet also `PAIRS`, which has a change only.
        base: in seconds, in requests per second, or as a ratio; None if the run does not have it, or has too few
            requests for the percentile.
        new: likewise for the newer run.
        change: relative (0.1 is 10 % more); for an error ratio, the difference. None if unknown.
        low: the lower end of the interval.
        high: the upper end of the interval.
        conclusion: the conclusion from the interval.
        reason: why it is inconclusive; otherwise empty.
        decided_after_s: the length of both runs, in seconds, that would decide it, if the figure did not change; None
            if it is decided, or if longer runs would not help.
        found_from: the smallest change for the worse, or increase of throughput, that 95 of 100 such comparisons find,
            in the unit of the change; None if unknown. A smaller change may be inconclusive.
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


def requests_needed(metric: str) -> int:
    """Return the number of requests of a name that a figure needs in each run."""
    if (q := QUANTILES.get(metric)) is None:
        return MIN_REQUESTS
    return max(MIN_REQUESTS, math.ceil(round(MIN_BEYOND / (1 - q), 6)))


def comparable(metric: str, estimate: Estimate) -> bool:
    """Return whether a figure can be compared with that of an equal run."""
    return obstacle_to(metric, estimate, estimate) is None


class Terms(NamedTuple):
    """The parameters that all figures of a comparison share."""

    level: float
    """The level of one end of each interval."""
    pairs_level: float
    """The level for the figures by pairs."""
    margin: float
    seconds: float
    """The length of the shorter run, in seconds."""
    outcomes: Mapping[Name, Outcomes] | None
    """The outcomes of a duet's pairs, by name; None for two runs."""


class Obstacle(NamedTuple):
    """A reason that prevents a comparison."""

    reason: str
    factor: float | None
    """The factor by which runs would have to be longer; None if that would not help."""


def obstacle_to(metric: str, base: Estimate | None, new: Estimate | None) -> Obstacle | None:
    """Return what prevents a comparison of two figures; None if nothing does."""
    needed = requests_needed(metric)
    for run, estimate in (("base", base), ("new", new)):
        if estimate is None:
            return Obstacle(f"the {run} run does not have it", None)
        if estimate.requests < needed:
            factor = needed / estimate.requests if estimate.requests else None
            return Obstacle(
                f"needs {needed:,} requests in each run, but the {run} run has {estimate.requests:,}", factor
            )
        if estimate.degrees < _MIN_DEGREES:
            reason = f"the {run} run is too short for its slow fluctuations: needs {MIN_SEGMENTS} segments"
            return Obstacle(reason, MIN_SEGMENTS / (estimate.degrees + 1))
    return None


class _Bounds(NamedTuple):
    """A difference with its interval, relative, or in points of a ratio."""

    change: float
    low: float
    high: float
    error: float
    """The standard error; of the logarithm for a relative difference."""
    t: float
    """Half the width of the interval, in standard errors."""
    degrees: float
    """Degrees of freedom of the error."""


def difference_of(name: Name, metric: str, base: Estimate | None, new: Estimate | None, terms: Terms) -> Difference:
    """Return the difference of one figure of a name.

    Args:
        name: the request name.
        metric: see `Difference`.
        base: the figure of the older run; None if the run does not have it.
        new: the figure of the newer run; for the figure by pairs, both are the ratio.
        terms: the parameters of the comparison.
    """
    values = (None, None) if metric == PAIRS else (_value(metric, base), _value(metric, new))
    obstacle = obstacle_to(metric, base, new)
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


def _found_from(metric: str, bounds: _Bounds, margin: float, terms: Terms) -> float:
    """Return the smallest change that was certain to be detected, in the unit of the change.

    Args:
        metric: the figure's metric.
        bounds: its difference.
        margin: in the unit of the bounds' error.
        terms: the parameters of the comparison.
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


def _of_times(base: Estimate, new: Estimate, terms: Terms) -> _Bounds:
    independent = (math.hypot(base.error, new.error), _degrees(base, new))
    error, degrees = independent if terms.outcomes is None else _paired(base, new)
    return _relative(math.log(new.value / base.value), error, degrees, new.drawn - base.drawn, terms.level)


def _of_pairs(ratio: Estimate, level: float) -> _Bounds:
    return _relative(math.log(ratio.value), ratio.error, ratio.degrees, ratio.drawn, level)


def _relative(ratio: float, error: float, degrees: float, drawn: Floats, level: float) -> _Bounds:
    """Return a ratio's interval by Student's t, extended to the percentiles of the draws; all are logarithms."""
    t, drawn = student_t(level, degrees), np.sort(drawn)
    edge = int(len(drawn) * (1 - level))
    low, high = min(ratio - t * error, drawn[edge]), max(ratio + t * error, drawn[-1 - edge])
    return _Bounds(math.expm1(ratio), math.expm1(low), math.expm1(high), error, t, degrees)


def _value(metric: str, estimate: Estimate | None) -> float | None:
    """Return a figure of one run; None for a percentile with too few requests."""
    if estimate is None or math.isnan(estimate.value):
        return None
    is_shown = metric not in QUANTILES or estimate.requests >= samples_needed(QUANTILES[metric])
    return estimate.value if is_shown else None


def conclude(
    low: float, high: float, lowest: float, highest: float, *, more_is_better: bool, measured: float | None = None
) -> Conclusion:
    """Return the conclusion from an interval.

    Args:
        low: the lower end of the interval.
        high: the upper end of the interval.
        lowest: the lower end of the range that counts as no difference, below 0.
        highest: the upper end of that range, above 0.
        more_is_better: whether an increase is good.
        measured: the difference itself, if only the versions can have caused it, as in a duet: it must be outside the
            range, and the interval must exclude 0. None if the whole interval must be outside the range.
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
    """Return the error of the difference between figures from the same draws, and its degrees of freedom."""
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
