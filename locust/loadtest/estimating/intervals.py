"""Intervals: confidence intervals for the figures of a system, from one run.

A run is a sample: if it is repeated, its percentiles differ. Each interval here contains the system's figure with
probability `CONFIDENCE`. All figures are ratios of two sums over blocks, whose error is that of the circular block
bootstrap of `resampling`. For a sum it need not be drawn: it is the mean square of all segments of neighbouring blocks
(Künsch, *Annals of Statistics* 17, 1989).

A *share* has Wilson's interval (*Journal of the American Statistical Association* 22, 1927), for the number of
independent requests that would give the same width: the design effect of Kish (*Survey Sampling*, 1965). A *quantile*
lies between the quantiles at both ends of the interval of its own share (Woodruff, *Journal of the American Statistical
Association* 47, 1952). If even the slowest request may be below the quantile, the interval has no upper end.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from loadtest.estimating.resampling import MIN_SEGMENTS, quantiles, segment_length

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from loadtest.estimating.blocked_run import BlockedSeries

    Floats = npt.NDArray[np.float64]

CONFIDENCE: Final = 0.95
_LEVEL: Final = 1 - (1 - CONFIDENCE) / 2
_Z: Final = NormalDist().inv_cdf(_LEVEL)
_MAX_SEGMENTS: Final = 8
"""The maximum number of segments per run, which makes them longer than the optimum for the estimated error. With the
optimum, the error is too low and the interval too narrow when seconds are correlated. The loss of degrees of freedom
costs less (Schmeiser, *Operations Research* 30, 1982). In simulated runs of 5 minutes, whose seconds vary by 10 % with
an autocorrelation of 0.7, 95 % of the intervals contain the median, instead of 91 %."""


_LONGEST_MEMORY: Final = 0.9
"""The highest autocorrelation between neighbouring blocks; a run shows too little of a longer one."""


class Interval(NamedTuple):
    """Both ends of an interval, in the unit of the figure."""

    low: float
    high: float
    """Infinity if no upper end is known."""


class _Ratio(NamedTuple):
    """The ratio of two sums over blocks."""

    value: float
    error: float
    requests: float
    """The sum in the denominator."""
    t: float
    """Half the width of the interval, in standard errors."""

    @property
    def independent(self) -> float:
        """The number of independent requests that give a share the same interval of `_Z` errors; at most all."""
        return independent(self.value, self.error * self.t / _Z, self.requests)


def of_mean(series: BlockedSeries) -> Interval | None:
    """Return the interval of the mean time in seconds; None if the run is too short."""
    middles_s = (series.lower_s + series.upper_s) / 2
    part, whole = series.times @ middles_s, series.times.sum(axis=1)
    squares = float((series.times @ middles_s**2).sum())
    return _symmetric(_ratio(part, whole, lambda mean: squares - mean * float(part.sum())))


def of_rate(counts: Floats, width_s: float) -> Interval | None:
    """Return the interval of a rate per second, from counts by block; None if the run is too short.

    Args:
        counts: counts by block.
        width_s: the width of a block in seconds, above 0.
    """
    own = float(counts.sum())  # the variance of a Poisson process
    return _symmetric(_ratio(counts, np.full(len(counts), width_s), lambda _: own))


def of_share(part: Floats, whole: Floats) -> Interval | None:
    """Return the interval of a share, 0 to 1, from its two sums by block; None if the run is too short."""
    if (ratio := _share(part, whole)) is None:
        return None
    return Interval(*wilson(ratio.value, ratio.independent, _Z))


def of_quantile(series: BlockedSeries, q: float) -> Interval | None:
    """Return the interval of a quantile above 0 and below 1, in seconds; None if the run is too short."""
    pooled = series.times.sum(axis=0)
    place = int(np.searchsorted(np.cumsum(pooled), q * pooled.sum()))
    ratio = _share(series.times[:, place:].sum(axis=1), series.times.sum(axis=1))
    if ratio is None:
        return None
    requests = ratio.independent
    low, high = (float(quantiles(pooled[None, :], series, end)[0]) for end in wilson(q, requests, _Z))
    return Interval(
        0.0 if (1 - q) ** requests > 1 - _LEVEL else low,
        math.inf if q**requests > 1 - _LEVEL else high,
    )


def is_below(series: BlockedSeries, q: float, limit_s: float) -> bool:
    """Return whether a quantile is certain to be below a limit, from the share of requests that took longer.

    This can be certain even if the quantile's interval has no upper end. It never is if the run is too short.
    """
    longer = of_share(series.times[:, series.upper_s > limit_s].sum(axis=1), series.times.sum(axis=1))
    return longer is not None and longer.high < 1 - q


def _symmetric(ratio: _Ratio | None) -> Interval | None:
    if ratio is None:
        return None
    half = ratio.t * ratio.error
    return Interval(max(0.0, ratio.value - half), ratio.value + half)


def _share(part: Floats, whole: Floats) -> _Ratio | None:
    requests = float(whole.sum())
    return _ratio(part, whole, lambda share: share * (1 - share) * requests)


def _ratio(part: Floats, whole: Floats, own_of: Callable[[float], float]) -> _Ratio | None:
    """Return the ratio of two sums; None if the run is too short.

    Args:
        part: the numerator by block.
        whole: the denominator by block.
        own_of: returns, given the ratio, the part of the sum's variance that is due to single requests.
    """
    blocks, requests = len(part), float(whole.sum())
    if not requests:
        return None
    value = float(part.sum()) / requests
    beyond = part - value * whole
    segment = max(segment_length(beyond), blocks // _MAX_SEGMENTS)
    degrees = blocks // segment - 1
    if degrees < MIN_SEGMENTS - 1:
        return None
    sums = np.convolve(np.concatenate((beyond, beyond[: segment - 1])), np.ones(segment), "valid")
    seen = (1 - segment / blocks) * _seen(beyond, segment, own_of(value))
    variance = blocks / segment * float(np.mean(sums**2)) / seen
    return _Ratio(value, math.sqrt(variance) / requests, requests, student_t(_LEVEL, degrees))


def _seen(values: Floats, segment: int, own: float) -> float:
    """Return the share of the variance that segments capture, above 0 up to 1: they miss correlation past their ends.

    It is that of a first-order autoregressive series to which each block's requests add a variance of their own, which
    hides how long the correlation lasts. The autocorrelation is estimated too low by about (1 + 3r) / n (Marriott and
    Pope, *Biometrika* 41, 1954). Half of its standard error is added, because short runs show the least of their
    correlation.

    Args:
        values: deviations from 0, by block.
        segment: the number of blocks per segment.
        own: the part of the sum of their squares that is due to single requests.
    """
    square, half = float(values @ values), 0.5 / math.sqrt(len(values))
    if not square:
        return 1.0
    alike = float(values[1:] @ values[:-1]) / square
    alike += (1 + 3 * max(0.0, alike)) / len(values) + half
    if alike <= 0:
        return 1.0
    remembering = max(1 - own / square, alike + half)  # the correlated share of the variance; not known to be smaller
    memory = min(_LONGEST_MEMORY, alike / remembering)
    lags = np.arange(1, segment)
    within = 1 + 2 * alike * float((1 - lags / segment) @ memory ** (lags - 1))
    return within / (1 + 2 * alike / (1 - memory))


def independent(share: float, error: float, requests: float) -> float:
    """Return the number of independent requests that would give a share the same standard error; at most all."""
    binomial = share * (1 - share) / requests
    return requests / max(1.0, error**2 / binomial) if binomial > 0 else requests


def wilson(share: float, requests: float, z: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of independent requests.

    Args:
        share: the share, 0 to 1.
        requests: the number of requests, above 0.
        z: half the width of a normal interval, in standard errors.
    """
    middle = (share + z * z / (2 * requests)) / (1 + z * z / requests)
    spread = math.sqrt(share * (1 - share) / requests + z * z / (4 * requests * requests))
    half = z / (1 + z * z / requests) * spread
    return max(0.0, middle - half) if share else 0.0, min(1.0, middle + half)


def student_t(level: float, degrees: float) -> float:
    """Return Student's t at a level above one half, by the expansion 26.7.5 of Abramowitz and Stegun (1964).

    Within 1 % of the exact value for at least 5 degrees of freedom and levels up to 0.9999.
    """
    z = NormalDist().inv_cdf(level)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / degrees**power for power, term in enumerate(terms))
