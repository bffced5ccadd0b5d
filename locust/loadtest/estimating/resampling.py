"""Resampling: how much a run's figures would vary if the run were repeated under the same conditions.

Requests that are close in time are correlated: a slow second slows all of them, and often those of the next second too.
Treating them as independent would make every confidence interval too narrow. So whole segments of neighbouring blocks
are drawn, with replacement, until the length of the run is reached, and each figure is computed from each draw: the
circular block bootstrap (Künsch, *Annals of Statistics* 17, 1989; Politis and Romano, in *Exploring the Limits of
Bootstrap*, 1992).

The length of the segments follows from the run's own autocorrelation, by the rule of Politis and White (*Econometric
Reviews* 23, 2004, with the correction of Patton, Politis and White, 28, 2009). It is computed for each figure
separately: a tail may have bursts that do not show in the median. The autocorrelation of a quantile is that of the
share of requests above it. All names of a run use the same draws. A bootstrap of few segments understates the variance
by the share of a segment in the run; the estimate is corrected for that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from loadtest.estimating.blocked_run import BlockedRun, BlockedSeries

    Floats = npt.NDArray[np.float64]

DRAWS: Final = 1_000
"""The number of resamples, with which the standard error of a standard error is about 2 %."""
QUANTILES: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
PAIRS: Final = "pairs"
"""The figure of a duet: the ratio of a typical request's time to that of the request it is paired with."""
TRIMMED: Final = 0.1
"""The share of pairs trimmed at each end: there, one of the two waited for a CPU core and took many times as long. With
normally distributed logarithms, trimming costs 6 % of the efficiency of their mean, while the median costs 36 %
(Wilcox, *Introduction to Robust Estimation and Hypothesis Testing*, 2012)."""
STEADYING_PAIRS: Final = 20
"""The number of pairs with the spread of the whole run that are added to each block's own when its spread is
estimated."""
BIWEIGHT: Final = 4.685
"""Standard errors from the typical ratio at which a block gets no weight; 95 % efficient if they are normal."""
_NORMAL_MAD: Final = 1.4826
"""The standard deviation of a normal distribution divided by its median absolute deviation."""
_ITERATIONS: Final = 20
_ONE_DEVIATION: Final = (0.1587, 0.8413)
_OVERLAPPING: Final = 1.5
"""Degrees of freedom of overlapping segments divided by those of disjoint ones (Meketon and Schmeiser, *Winter
Simulation Conference* 1984)."""
MIN_SEGMENTS: Final = 6
"""The minimum number of independent segments from which a run's noise can be estimated."""
_TOO_LONG: Final = 1 / 4
"""The longest segment as a part of the run; a run that needs longer ones has too few of them."""
_TINY: Final = 1e-9
_BANDS: Final = 2.0  # Politis and White's c
_MIN_LAGS: Final = 5  # their K_N


@dataclass(frozen=True)
class Estimate:
    """One figure of one request name in one run."""

    value: float
    error: float
    """Standard error: of the logarithm for a time or throughput, of the ratio itself for the error ratio."""
    requests: int
    degrees: int
    """Degrees of freedom of the standard error."""
    drawn: Floats
    """The figure in each draw: the logarithm of a time or throughput, the ratio itself for the error ratio."""


def segment_lengths(run: BlockedRun, other: BlockedRun | None = None) -> dict[str, int]:
    """Return the blocks per segment, by figure; given another run on the same blocks, those for the differences."""
    indicators = _indicators(run)
    if other is not None:
        indicators = {figure: series - indicators[figure] for figure, series in _indicators(other).items()}
    return {figure: segment_length(series) for figure, series in indicators.items()}


def pair_segment(ratios: BlockedRun) -> int:
    """Return the blocks per segment for the ratios of pairs."""
    return segment_length(sum((_typical(series)[1] for series in ratios.series.values()), np.zeros(ratios.blocks)))


def segment_length(values: Floats) -> int:
    """Return the segment length, in blocks and within bounds, for a series of values by block."""
    blocks: int = len(values)
    length: int = max(1, math.ceil(blocks ** (1 / 3)), math.ceil(_politis_white(values)))
    return min(length, max(1, blocks)) if length > blocks * _TOO_LONG else min(length, max(1, blocks // MIN_SEGMENTS))


def _indicators(run: BlockedRun) -> dict[str, Floats]:
    """Return, by block, all requests, all failures, and the share of requests slower than their own name's quantile."""
    requests = sum((series.requests for series in run.series.values()), np.zeros(run.blocks))
    failures = sum((series.failures for series in run.series.values()), np.zeros(run.blocks))
    indicators = {"throughput": requests, "error_ratio": failures / np.maximum(requests, 1)}
    for figure, q in QUANTILES.items():
        slower = np.zeros(run.blocks)
        for series in run.series.values():
            cumulated = np.cumsum(series.times.sum(axis=0))
            if len(cumulated):
                slower += series.times[:, np.searchsorted(cumulated, q * cumulated[-1]) + 1 :].sum(axis=1)
        indicators[figure] = slower / np.maximum(requests, 1)
    return indicators


def _politis_white(values: Floats) -> float:
    """Return the optimal segment length for the mean of a stationary series; 1 for a constant one."""
    count = len(values)
    if not count:
        return 1.0
    centred = values - values.mean()
    lags = min(count - 1, math.ceil(math.sqrt(count)) + _MIN_LAGS)
    covariance = np.array([centred[: count - lag] @ centred[lag:] for lag in range(lags + 1)]) / count
    if covariance[0] <= 0:
        return 1.0
    small = np.abs(covariance[1:] / covariance[0]) < _BANDS * math.sqrt(math.log10(count) / count)
    last = next((lag for lag in range(lags - _MIN_LAGS + 1) if small[lag : lag + _MIN_LAGS].all()), lags)
    window = min(2 * max(last, 1), lags)
    lag = np.arange(-window, window + 1)
    weight = np.minimum(1.0, 2 * (1 - np.abs(lag) / window))  # the flat-top window
    weighted = weight * covariance[np.abs(lag)]
    spectrum, curvature = weighted.sum(), (np.abs(lag) * weighted).sum()
    if spectrum <= 0:
        return 1.0
    return float(max(1.0, (2 * curvature**2 / (4 / 3 * spectrum**2)) ** (1 / 3) * count ** (1 / 3)))


class Resampling:
    """The draws of one run, and the estimates from them."""

    def __init__(self, run: BlockedRun, seed: int, draws: int = DRAWS, segments: dict[str, int] | None = None) -> None:
        """Draw the resamples.

        Args:
            run: the run; with too few segments, its estimates have too few degrees of freedom.
            seed: the same seed gives the same draws.
            draws: the number of draws.
            segments: the segment lengths in blocks, by figure; by default those computed from the run. Two runs on the
                same blocks have the same draws if seed and lengths are the same.
        """
        self._run = run
        self.segments = segments or segment_lengths(run)
        random = np.random.default_rng(seed)
        lengths = sorted(set(self.segments.values()))
        self._weights = {length: _weights(run.blocks, length, draws, random) for length in lengths}

    def estimates(self, series: BlockedSeries) -> dict[str, Estimate]:
        """Return throughput, error ratio and quantiles of one request name.

        Throughput is in requests per second. A quantile is in seconds, interpolated within its bin of the histogram.
        """
        if not self._run.blocks:
            return {}
        requests, failures = float(series.requests.sum()), float(series.failures.sum())
        drawn = self._drawn("throughput", series.requests)
        found = {"throughput": self._estimate("throughput", requests / self._run.seconds, _log(drawn), requests)}
        failed, made = (self._drawn("error_ratio", counts) for counts in (series.failures, series.requests))
        ratio = failures / requests if requests else 0.0
        found["error_ratio"] = self._estimate("error_ratio", ratio, failed / np.maximum(made, _TINY), requests)
        pooled = series.times.sum(axis=0, keepdims=True)
        for figure, q in QUANTILES.items():
            value = float(quantiles(pooled, series, q)[0])
            drawn = quantiles(self._drawn(figure, series.times), series, q)
            found[figure] = self._estimate(figure, value, _log(drawn), float(pooled.sum()))
        return found

    def pairs(self, series: BlockedSeries) -> Estimate:
        """Return the typical ratio of the pairs of a request name: see `_typical`."""
        value, influence = _typical(series)
        estimate = self._estimate(
            PAIRS, math.exp(value), value + self._drawn(PAIRS, influence), float(series.times.sum())
        )
        separate = self._run.blocks / self.segments[PAIRS] - 1
        return replace(estimate, degrees=int(_OVERLAPPING * separate))

    def _drawn(self, figure: str, counts: Floats) -> Floats:
        """Return the sums over the blocks of each draw."""
        sums: Floats = (self._weights[self.segments[figure]] @ counts.astype(np.float32)).astype(np.float64)
        return sums

    def _estimate(self, figure: str, value: float, drawn: Floats, requests: float) -> Estimate:
        segment = self.segments[figure]
        error = float(drawn.std()) / math.sqrt(max(1 - segment / self._run.blocks, _TINY))
        return Estimate(value, error, int(requests), self._run.blocks // segment - 1, drawn)


def _log(values: Floats) -> Floats:
    logarithms: Floats = np.log(np.maximum(values, _TINY))
    return logarithms


def _weights(blocks: int, segment: int, draws: int, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return how often each block is drawn: one row per draw, whose sum is the number of blocks."""
    if not blocks:
        return np.zeros((draws, 0), np.float32)
    drawn = math.ceil(blocks / segment)
    starts = random.integers(0, blocks, (draws, drawn))
    steps = np.zeros((draws, blocks + segment + 1))
    row = np.repeat(np.arange(draws), drawn)
    np.add.at(steps, (row, starts.ravel()), 1)
    np.add.at(steps, (row, starts.ravel() + segment), -1)
    times = np.cumsum(steps, axis=1)[:, : blocks + segment]
    times[:, :segment] += times[:, blocks:]  # a segment that reaches the end continues at the beginning
    return (times[:, :blocks] * (blocks / (drawn * segment))).astype(np.float32)


def quantiles(counts: Floats, series: BlockedSeries, q: float) -> Floats:
    """Return the quantile of each row of counts, in seconds; NaN for a name without times."""
    if not counts.shape[1]:
        return np.full(len(counts), math.nan)
    cumulated = np.cumsum(counts, axis=1)
    rank = q * cumulated[:, -1:]
    column = np.minimum((cumulated < rank).sum(axis=1), counts.shape[1] - 1)
    row = np.arange(len(counts))
    inside = counts[row, column]
    before = cumulated[row, column] - inside
    share = np.clip((rank[:, 0] - before) / np.maximum(inside, 1e-9), 0, 1)
    value: Floats = series.lower_s[column] + share * (series.upper_s[column] - series.lower_s[column])
    return value


def _typical(series: BlockedSeries) -> tuple[float, Floats]:
    """Return the typical logarithm of the ratios of pairs, and each block's influence on it; NaN without pairs.

    Each block contributes its trimmed mean, weighted by the inverse of its variance. During some segments, only one
    side waits for a CPU core. Their means give them away, and they get less weight or none: Tukey's biweight (Beaton
    and Tukey, *Technometrics* 16, 1974), with the influence function of such estimates (Huber and Ronchetti, *Robust
    Statistics*, 2009, 3.2). If blocks differ by no more than their pairs do, the estimate is as efficient as the mean,
    to 5 %.
    """
    pairs = series.times.sum(axis=1)
    if not pairs.any():
        return math.nan, np.zeros(len(pairs))
    means, known = typical_ratios(series.times, series), pairs > 0
    weights = pairs / np.maximum(_variances(series, pairs), _TINY)
    value = float(np.median(means[known]))
    scale = max(1.0, _NORMAL_MAD * float(np.median((np.abs(means - value) * np.sqrt(weights))[known])))
    for _ in range(_ITERATIONS):
        inside = np.maximum(0.0, 1 - ((means - value) / (BIWEIGHT * scale)) ** 2 * weights)
        own = weights * inside**2
        value = float(own @ means / own.sum())
    slope = max(_TINY, float(weights @ (inside * (5 * inside - 4))))
    return value, own * (means - value) / slope


def _variances(series: BlockedSeries, pairs: Floats) -> Floats:
    """Return the variance of the logarithms within each block, stabilised by a few pairs of the whole run.

    The spread is half the distance between the quantiles that lie one standard deviation from the mean of a normal
    distribution.
    """
    whole = float(_spreads(series.times.sum(axis=0, keepdims=True), series)[0]) ** 2
    own = _spreads(series.times, series) ** 2
    steadied: Floats = (pairs * own + STEADYING_PAIRS * whole) / (pairs + STEADYING_PAIRS)
    return steadied


def _spreads(counts: Floats, series: BlockedSeries) -> Floats:
    lower, upper = (_log(quantiles(counts, series, q)) for q in _ONE_DEVIATION)
    spreads: Floats = (upper - lower) / 2
    return spreads


def typical_ratios(counts: Floats, series: BlockedSeries) -> Floats:
    """Return the mean logarithm of each row of counts, without the share `TRIMMED` at each end; 0 for an empty row."""
    cumulated = np.cumsum(counts, axis=1)
    total = cumulated[:, -1:] if counts.shape[1] else np.zeros((len(counts), 1))
    within = np.clip(cumulated, TRIMMED * total, (1 - TRIMMED) * total)
    kept = np.diff(within, axis=1, prepend=TRIMMED * total)
    means: Floats = kept @ series.middles / np.maximum(kept.sum(axis=1), _TINY)
    return means
