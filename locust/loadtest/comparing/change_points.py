"""Change points: where a figure of many runs moved from one level to another.

As in Hunter (Fleming et al., ICPE 2023), a series is first divided where two neighbouring stretches differ most, within
windows, so that what is found does not depend on how long the history is; then divisions that do not hold against their
whole neighbours are taken back, the weakest first. As in E-divisive means (Matteson and James, *Journal of the American
Statistical Association* 109, 2014), each division is the best of all pairs of neighbouring stretches, so that a change
that was reverted hides neither of the two.

Two stretches are compared by the difference of their weighted means over its standard error. The variance of a run is
that between runs, which the median of the differences between neighbours gives without knowing the change points, and
the run's own. A run counts as at most `CLIP` standard deviations from the median, so that a single outlier divides
nothing. There are no random numbers: equal histories have equal change points.
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
"""The fewest runs on each side: a change is known with the third run after it."""
WINDOW: Final = 50
CLIP: Final = 2.5
RESOLUTION: Final = 0.003
"""The standard deviation that no figure is below: histograms have bins of 1 %, which is 0.003 of a logarithm."""
_CANDIDATE: Final = 3.0
"""From how many standard errors on a difference within a window is looked at again."""
_NEARER: Final = 1e-6
_MAD: Final = 1.4826
"""The standard deviation of a normal distribution, in median absolute deviations."""
_RUNS_PER_DEGREE: Final = 3
"""Runs for each degree of freedom of the median of differences, whose efficiency is a third."""
_LEAST_DEGREES: Final = 3.0
_INTERVAL: Final = 0.975


@dataclass(frozen=True)
class ChangePoint:
    """A change of level."""

    index: int
    """The first run after it."""
    before: float
    """The mean from the change point before, or from the first run on."""
    after: float
    """The mean up to the next change point, or the last run."""
    error: float
    """The standard error of the difference."""
    degrees: float
    """Degrees of freedom of the error."""

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference."""
        half = student_t(_INTERVAL, self.degrees) * self.error
        return self.after - self.before - half, self.after - self.before + half


def change_points(values: Floats, errors: Floats, chance: float) -> list[ChangePoint]:
    """Return the change points of a series, in the order of time.

    Args:
        values: one for each run, such as the logarithm of a time.
        errors: the standard error of each.
        chance: that two stretches of equal level are taken for different ones; above 0, below 1.
    """
    if len(values) < fewest_runs(chance):
        return []
    degrees, critical = _degrees(len(values)), _critical(len(values), chance)
    series = _Series(values, _variances(values, errors))
    found = _moved(series, _pruned(series, _candidates(series), critical))
    scatter = _scatter(series, found)
    if scatter > 1:  # levels wander more than neighbours differ
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
    return max(_LEAST_DEGREES, (runs - 1) / _RUNS_PER_DEGREE)


def _critical(runs: int, chance: float) -> float:
    """Return how many standard errors two stretches of equal level differ with this chance."""
    return student_t(1 - chance / 2, _degrees(runs))


_TOO_SHORT: Final = np.tri(WINDOW, k=-1, dtype=bool)
"""By the places of a division and of an end: where less than the shortest stretch lies between them."""


class _Series:
    """Values with their variances."""

    def __init__(self, values: Floats, variances: Floats) -> None:
        self.values, self.variances = values, variances
        self.weights, self._reach = 1 / variances, CLIP * np.sqrt(variances)

    def clipped(self, start: int, stop: int, around: float | None = None) -> Floats:
        """Return a stretch whose values are at most `CLIP` standard deviations from a level, by default its median."""
        values, reach = self.values[start:stop], self._reach[start:stop]
        if around is None:
            ordered = np.sort(values)
            around = float(ordered[len(ordered) // 2] + ordered[(len(ordered) - 1) // 2]) / 2
        clipped: Floats = np.minimum(np.maximum(values, around - reach), around + reach)
        return clipped

    def level(self, start: int, stop: int, around: float | None = None) -> float:
        """Return the mean of a stretch, clipped."""
        weights = self.weights[start:stop]
        return float(self.clipped(start, stop, around) @ weights) / float(weights.sum())

    def error(self, start: int, middle: int, stop: int) -> float:
        """Return the standard error of the difference between the levels of two neighbouring stretches."""
        return math.sqrt(1 / float(self.weights[start:middle].sum()) + 1 / float(self.weights[middle:stop].sum()))

    def distance(self, start: int, middle: int, stop: int) -> float:
        """Return how many standard errors two neighbouring stretches differ; 0 where one is too short.

        The shorter one is clipped around the level of the longer, so that a few outliers are no level of their own.
        """
        if min(middle - start, stop - middle) < SHORTEST:
            return 0.0
        longer, shorter = (start, middle), (middle, stop)
        if middle - start < stop - middle:
            longer, shorter = shorter, longer
        level = self.level(*longer)
        return abs(self.level(*shorter, level) - level) / self.error(start, middle, stop)

    def misfit(self, start: int, stop: int, level: float) -> Floats:
        """Return the squared distance of each value from a level, in variances and hardly more than that of an outlier.

        Of two levels that are both that far, the nearer one fits a little better.
        """
        squares = (self.values[start:stop] - level) ** 2 * self.weights[start:stop]
        misfits: Floats = np.minimum(squares, CLIP**2) + _NEARER * np.sqrt(squares)
        return misfits


def _variances(values: Floats, errors: Floats) -> Floats:
    """Return the variance of each run: that between runs, and its own."""
    between = (_MAD * float(np.median(np.abs(np.diff(values))))) ** 2 / 2 - float(np.median(errors**2))
    return np.asarray(max(between, 0.0) + errors**2 + RESOLUTION**2)


def _candidates(series: _Series) -> list[int]:
    """Return where neighbouring stretches differ within a window; the windows overlap by half."""
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
    """Return where a stretch is best divided from a part of what follows, and how many standard errors they differ.

    With L the weight and l the weighted sum before the division, and W and w those of both parts, the means differ by
    (w - l) / (W - L) - l / L, whose standard error is the root of 1 / L + 1 / (W - L). So the square of their quotient
    is (w·L - l·W)² / (L·(W - L)·W).
    """
    sums, totals = np.cumsum(weights), np.cumsum(weights * values)
    left, of_left = sums[SHORTEST - 1 : -SHORTEST, None], totals[SHORTEST - 1 : -SHORTEST, None]
    both, of_both = sums[2 * SHORTEST - 1 :], totals[2 * SHORTEST - 1 :]
    with np.errstate(divide="ignore", invalid="ignore"):  # by 0 where nothing follows, which is no division
        squares = (of_both * left - of_left * both) ** 2 / ((both - left) * left * both)
    squares[_TOO_SHORT[: len(squares), : len(squares)]] = 0.0
    index, end = divmod(int(squares.argmax()), squares.shape[1])
    return SHORTEST + index, math.sqrt(float(squares[index, end]))


def _pruned(series: _Series, found: list[int], critical: float) -> list[int]:
    """Return the change points that hold against their whole neighbours, after taking back the weakest, one by one."""
    limits = [0, *found, len(series.values)]
    distances = [series.distance(*limits[at - 1 : at + 2]) for at in range(1, len(limits) - 1)]
    while distances and min(distances) < critical:
        weakest = int(np.argmin(distances))
        del limits[weakest + 1], distances[weakest]
        for at in range(max(0, weakest - 1), min(len(distances), weakest + 1)):
            distances[at] = series.distance(*limits[at : at + 3])
    return limits[1:-1]


def _moved(series: _Series, found: list[int]) -> list[int]:
    """Return the change points, each where the levels on its two sides fit the runs between its neighbours best."""
    limits = [0, *found, len(series.values)]
    for at in range(1, len(limits) - 1):
        start, middle, stop = limits[at - 1 : at + 2]
        before, after = series.level(start, middle), series.level(middle, stop)
        gained = np.cumsum(series.misfit(start, stop, after) - series.misfit(start, stop, before))
        places = gained[SHORTEST - 1 : stop - start - SHORTEST]
        limits[at] = start + SHORTEST + int(np.argmax(places))
    return limits[1:-1]


def _scatter(series: _Series, found: list[int]) -> float:
    """Return how many times as much the runs vary around their levels as between neighbours."""
    limits = pairwise([0, *found, len(series.values)])
    squares = np.concatenate([series.misfit(start, stop, series.level(start, stop)) for start, stop in limits])
    return float(np.median(squares)) * _MAD**2
