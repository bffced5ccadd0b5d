"""Intervals: where a figure of the system lies, by what one run shows of it.

A run is a sample: made again, its percentile would be another one. Each interval here holds the figure of the system
with the probability `CONFIDENCE`. All figures are ratios of two sums over blocks, whose error is that of the circular
block bootstrap of `resampling`. Of a sum it need not be drawn: it is the mean square of all stretches of neighbouring
blocks (Künsch, *Annals of Statistics* 17, 1989).

A *share* has Wilson's interval (*Journal of the American Statistical Association* 22, 1927), for as many independent
requests as would have its width: the design effect of Kish (*Survey Sampling*, 1965). A *quantile* lies between the
quantiles at both ends of the interval of its own share (Woodruff, *Journal of the American Statistical Association* 47,
1952). Where even the slowest request may be quicker than it, there is no upper end.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from loadtest.estimating.resampling import MIN_STRETCHES, quantiles, stretch_length

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from loadtest.estimating.blocked_run import BlockedSeries

    Floats = npt.NDArray[np.float64]

CONFIDENCE: Final = 0.95
_LEVEL: Final = 1 - (1 - CONFIDENCE) / 2
_Z: Final = NormalDist().inv_cdf(_LEVEL)
_MOST_STRETCHES: Final = 8
"""The stretches are longer than the best estimate of the error asks for: it is too low where seconds remember the ones
before, and the interval too narrow. Few degrees of freedom cost less (Schmeiser, *Operations Research* 30, 1982): in
simulated runs of 5 minutes, whose seconds vary by 10 % with an autocorrelation of 0.7, 95 % hold the median, not 91."""


_LONGEST_MEMORY: Final = 0.9
"""From one block to the next; of a longer one a run shows too little."""


class Interval(NamedTuple):
    """Both ends, in the unit of the figure."""

    low: float
    high: float
    """Infinity where no upper end is known."""


class _Ratio(NamedTuple):
    """The ratio of two sums over blocks."""

    value: float
    error: float
    requests: float
    """The lower sum."""
    t: float
    """Half of its interval, in standard errors."""

    @property
    def independent(self) -> float:
        """As how many independent requests it knows a share by an interval of `_Z` standard errors; at most all."""
        return independent(self.value, self.error * self.t / _Z, self.requests)


def of_mean(series: BlockedSeries) -> Interval | None:
    """Return the interval of the mean time in seconds; None for a run that is too short."""
    middles_s = (series.lower_s + series.upper_s) / 2
    part, whole = series.times @ middles_s, series.times.sum(axis=1)
    squares = float((series.times @ middles_s**2).sum())
    return _symmetric(_ratio(part, whole, lambda mean: squares - mean * float(part.sum())))


def of_rate(counts: Floats, width_s: float) -> Interval | None:
    """Return the interval of a rate per second, from counts by block; None for a run that is too short.

    Args:
        counts: by block.
        width_s: of a block; above 0.
    """
    own = float(counts.sum())  # that of a Poisson process
    return _symmetric(_ratio(counts, np.full(len(counts), width_s), lambda _: own))


def of_share(part: Floats, whole: Floats) -> Interval | None:
    """Return the interval of a share from 0 to 1, from its two sums by block; None for a run that is too short."""
    if (ratio := _share(part, whole)) is None:
        return None
    return Interval(*wilson(ratio.value, ratio.independent, _Z))


def of_quantile(series: BlockedSeries, q: float) -> Interval | None:
    """Return the interval of a quantile above 0 and below 1, in seconds; None for a run that is too short."""
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
    """Return whether a quantile is surely below a limit, by the share of the requests that took longer.

    This is known also where the quantile's interval has no upper end; it is not for a run that is too short.
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
    """Return the ratio of two sums; None for too short a run.

    Args:
        part: by block.
        whole: by block.
        own_of: returns, for the ratio, the part of the sum's variance that a block's requests have by themselves.
    """
    blocks, requests = len(part), float(whole.sum())
    if not requests:
        return None
    value = float(part.sum()) / requests
    beyond = part - value * whole
    stretch = max(stretch_length(beyond), blocks // _MOST_STRETCHES)
    degrees = blocks // stretch - 1
    if degrees < MIN_STRETCHES - 1:
        return None
    sums = np.convolve(np.concatenate((beyond, beyond[: stretch - 1])), np.ones(stretch), "valid")
    seen = (1 - stretch / blocks) * _seen(beyond, stretch, own_of(value))
    variance = blocks / stretch * float(np.mean(sums**2)) / seen
    return _Ratio(value, math.sqrt(variance) / requests, requests, student_t(_LEVEL, degrees))


def _seen(values: Floats, stretch: int, own: float) -> float:
    """Return the share of the variance that stretches see, above 0 up to 1: they miss what is alike beyond their ends.

    It is that of an autoregressive series of the first order, to which the requests of each block add a variance of
    their own: seconds remember for longer than their autocorrelation says. That is estimated too low by some
    (1 + 3r) / n (Marriott and Pope, *Biometrika* 41, 1954); half of its standard error is added, since short runs show
    least of what they remember.

    Args:
        values: by block, around 0.
        stretch: the number of blocks in one.
        own: the part of the sum of their squares that requests have by themselves.
    """
    square, half = float(values @ values), 0.5 / math.sqrt(len(values))
    if not square:
        return 1.0
    alike = float(values[1:] @ values[:-1]) / square
    alike += (1 + 3 * max(0.0, alike)) / len(values) + half
    if alike <= 0:
        return 1.0
    remembering = max(1 - own / square, alike + half)  # the share of the variance; not known to be less
    memory = min(_LONGEST_MEMORY, alike / remembering)
    lags = np.arange(1, stretch)
    within = 1 + 2 * alike * float((1 - lags / stretch) @ memory ** (lags - 1))
    return within / (1 + 2 * alike / (1 - memory))


def independent(share: float, error: float, requests: float) -> float:
    """Return how many independent requests would give a share the same standard error; at most all."""
    binomial = share * (1 - share) / requests
    return requests / max(1.0, error**2 / binomial) if binomial > 0 else requests


def wilson(share: float, requests: float, z: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of independent requests.

    Args:
        share: from 0 to 1.
        requests: above 0.
        z: half of a normal interval, in standard errors.
    """
    middle = (share + z * z / (2 * requests)) / (1 + z * z / requests)
    spread = math.sqrt(share * (1 - share) / requests + z * z / (4 * requests * requests))
    half = z / (1 + z * z / requests) * spread
    return max(0.0, middle - half) if share else 0.0, min(1.0, middle + half)


def student_t(level: float, degrees: float) -> float:
    """Return Student's t at a level above one half, by the expansion 26.7.5 of Abramowitz and Stegun (1964).

    Within 1 % of the exact value for 5 degrees of freedom or more and levels up to 0.9999.
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
