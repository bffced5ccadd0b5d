"""Change points: where a figure of many runs moved from one level to another.

As in Hunter (Fleming et al., ICPE 2023), a series is first divided, within windows, where two neighbouring segments
differ most, so that the result does not depend on the length of the history. Then divisions that are not significant
against their whole neighbours are removed, the weakest first. As in E-divisive means (Matteson and James, *Journal of
the American Statistical Association* 109, 2014), each division is the best over all pairs of neighbouring segments, so
that a change that was later reverted does not hide either of the two.

Two segments are compared by the difference of their weighted means, divided by its standard error. The variance of a
run is the sum of the variance between runs, estimated from the median difference between neighbours, which does not
require the change points, and the run's own. A run counts as at most `CLIP` standard deviations from the median, so
that a single outlier causes no division. There are no random numbers: equal histories have equal change points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import count, pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from loadtest.estimating.intervals import student_t

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

SHORTEST: Final = 3
"""The minimum number of runs on each side: a change is known from the third run after it."""
WINDOW: Final = 50
CLIP: Final = 2.5
RESOLUTION: Final = 0.003
"""The smallest standard deviation of a figure: histograms have bins of 1 %, which is 0.003 of a logarithm."""
_CANDIDATE: Final = 3.0
"""Standard errors from which a difference within a window is examined further."""
_NEARER: Final = 1e-6
_MAD: Final = 1.4826
"""The standard deviation of a normal distribution divided by its median absolute deviation."""
_RUNS_PER_DEGREE: Final = 3
"""Runs per degree of freedom of the median of differences, whose efficiency is one third."""
_MIN_DEGREES: Final = 3.0
_INTERVAL: Final = 0.975


@dataclass(frozen=True)
class ChangePoint:
    """A change of level."""

    index: int
    """The index of the first run after it."""
    before: float
    """The mean since the previous change point or the first run."""
    after: float
    """The mean until the next change point or the last run."""
    error: float
    """The standard error of the difference."""
    degrees: float
    """Degrees of freedom of the standard error."""

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference."""
        half = student_t(_INTERVAL, self.degrees) * self.error
        return self.after - self.before - half, self.after - self.before + half


def change_points(values: Floats, errors: Floats, chance: float) -> list[ChangePoint]:
    """Return the change points of a series, in chronological order.

    Args:
        values: one value per run, such as the logarithm of a time.
        errors: the standard error of each value.
        chance: the probability that two segments of equal level are found different; above 0, below 1.
    """
    if len(values) < fewest_runs(chance):
        return []
    degrees, critical = _degrees(len(values)), _critical(len(values), chance)
    series = _Series(values, _variances(values, errors))
    found = _moved(series, _pruned(series, _candidates(series), critical))
    scatter = _scatter(series, found)
    if scatter > 1:  # levels vary more than neighbours differ
        series = _Series(values, series.variances * scatter)
    found = _pruned(series, found, critical)
    limits = [0, *found, len(values)]
    return [
        ChangePoint(at, series.level(start, at), series.level(at, stop), series.error(start, at, stop), degrees)
        for start, at, stop in zip(limits, limits[1:], limits[2:], strict=False)
    ]


@cache
def fewest_runs(chance: float) -> int:
    """Return the length of the shortest history in which a change in its middle, however large, can be found."""
    return next(runs for runs in count(2 * SHORTEST) if _critical(runs, chance) <= CLIP * math.sqrt(runs / 4))


def _degrees(runs: int) -> float:
    return max(_MIN_DEGREES, (runs - 1) / _RUNS_PER_DEGREE)


def _critical(runs: int, chance: float) -> float:
    """Return by how many standard errors two segments of equal level differ with this probability."""
    return student_t(1 - chance / 2, _degrees(runs))


_TOO_SHORT: Final = np.tri(WINDOW, k=-1, dtype=bool)
"""By the indices of a division and of an end: whether less than the shortest segment lies between them."""


class _Series:
    """Values with their variances."""

    def __init__(self, values: Floats, variances: Floats) -> None:
        self.values, self.variances = values, variances
        self.weights, self._reach = 1 / variances, CLIP * np.sqrt(variances)

    def clipped(self, start: int, stop: int, around: float | None = None) -> Floats:
        """Return a segment with values limited to `CLIP` standard deviations from a level, by default its median."""
        values, reach = self.values[start:stop], self._reach[start:stop]
        if around is None:
            ordered = np.sort(values)
            around = float(ordered[len(ordered) // 2] + ordered[(len(ordered) - 1) // 2]) / 2
        clipped: Floats = np.minimum(np.maximum(values, around - reach), around + reach)
        return clipped

    def level(self, start: int, stop: int, around: float | None = None) -> float:
        """Return the mean of a clipped segment."""
        weights = self.weights[start:stop]
        return float(self.clipped(start, stop, around) @ weights) / float(weights.sum())

    def error(self, start: int, middle: int, stop: int) -> float:
        """Return the standard error of the difference between the levels of two neighbouring segments."""
        return math.sqrt(1 / float(self.weights[start:middle].sum()) + 1 / float(self.weights[middle:stop].sum()))

    def distance(self, start: int, middle: int, stop: int) -> float:
        """Return by how many standard errors two neighbouring segments differ; 0 if one is too short.

        The shorter one is clipped around the level of the longer, so that a few outliers do not form a level of their
        own.
        """
        if min(middle - start, stop - middle) < SHORTEST:
            return 0.0
        longer, shorter = (start, middle), (middle, stop)
        if middle - start < stop - middle:
            longer, shorter = shorter, longer
        level = self.level(*longer)
        return abs(self.level(*shorter, level) - level) / self.error(start, middle, stop)

    def misfit(self, start: int, stop: int, level: float) -> Floats:
        """Return the squared distance of each value from a level, in variances, hardly above an outlier's.

        If two levels are both that far from a value, the nearer one fits slightly better.
        """
        squares = (self.values[start:stop] - level) ** 2 * self.weights[start:stop]
        misfits: Floats = np.minimum(squares, CLIP**2) + _NEARER * np.sqrt(squares)
        return misfits


def _variances(values: Floats, errors: Floats) -> Floats:
    """Return the variance of each run: that between runs plus its own."""
    between = (_MAD * float(np.median(np.abs(np.diff(values))))) ** 2 / 2 - float(np.median(errors**2))
    return np.asarray(max(between, 0.0) + errors**2 + RESOLUTION**2)


def _candidates(series: _Series) -> list[int]:
    """Return where neighbouring segments differ within a window. The windows overlap by half."""
    runs = len(series.values)
    found: set[int] = set()
    for start in range(0, max(1, runs - WINDOW // 2), WINDOW // 2):
        open_ = [(start, min(start + WINDOW, runs))]
        while open_:
            begin, end = open_.pop()
            if end - begin < 2 * SHORTEST:
                continue
            index, distance = _division(series.clipped(begin, end), series.weights[begin:end])
            if distance > _CANDIDATE:
                found.add(begin + index)
                open_ += [(begin, begin + index), (begin + index, end)]
    return sorted(found)


def _division(values: Floats, weights: Floats) -> tuple[int, float]:
    """Return where a segment is best divided from a part of what follows, and by how many standard errors they differ.

    With L the weight and l the weighted sum before the division, and W and w those of both parts, the means differ by
    (w - l) / (W - L) - l / L, whose standard error is the square root of 1 / L + 1 / (W - L). So the square of their
    quotient is (w·L - l·W)² / (L·(W - L)·W).
    """
    sums, totals = np.cumsum(weights), np.cumsum(weights * values)
    left, of_left = sums[SHORTEST - 1 : -SHORTEST, None], totals[SHORTEST - 1 : -SHORTEST, None]
    both, of_both = sums[2 * SHORTEST - 1 :], totals[2 * SHORTEST - 1 :]
    with np.errstate(divide="ignore", invalid="ignore"):  # divides by 0 where nothing follows, which is no division
        squares = (of_both * left - of_left * both) ** 2 / ((both - left) * left * both)
    squares[_TOO_SHORT[: len(squares), : len(squares)]] = 0.0
    index, end = divmod(int(squares.argmax()), squares.shape[1])
    return SHORTEST + index, math.sqrt(float(squares[index, end]))


def _pruned(series: _Series, found: list[int], critical: float) -> list[int]:
    """Return the change points that are significant against their whole neighbours, removing the weakest one by one."""
    limits = [0, *found, len(series.values)]
    distances = [series.distance(*limits[at - 1 : at + 2]) for at in range(1, len(limits) - 1)]
    while distances and min(distances) < critical:
        weakest = int(np.argmin(distances))
        del limits[weakest + 1], distances[weakest]
        for at in range(max(0, weakest - 1), min(len(distances), weakest + 1)):
            distances[at] = series.distance(*limits[at : at + 3])
    return limits[1:-1]


def _moved(series: _Series, found: list[int]) -> list[int]:
    """Return the change points, each moved to where the levels on its two sides fit the surrounding runs best."""
    limits = [0, *found, len(series.values)]
    for at in range(1, len(limits) - 1):
        start, middle, stop = limits[at - 1 : at + 2]
        before, after = series.level(start, middle), series.level(middle, stop)
        gained = np.cumsum(series.misfit(start, stop, after) - series.misfit(start, stop, before))
        places = gained[SHORTEST - 1 : stop - start - SHORTEST]
        limits[at] = start + SHORTEST + int(np.argmax(places))
    return limits[1:-1]


def _scatter(series: _Series, found: list[int]) -> float:
    """Return the ratio of the runs' variation around their levels to that between neighbours."""
    limits = pairwise([0, *found, len(series.values)])
    squares = np.concatenate([series.misfit(start, stop, series.level(start, stop)) for start, stop in limits])
    return float(np.median(squares)) * _MAD**2
