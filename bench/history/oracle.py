"""The best possible results on a history: two oracles, which know facts that a real method must estimate.

Both know the noise of every run. *Positions known*: the first knows the places of all changes and tests whether the
levels on both sides differ: the difference of their weighted means, in standard errors, which is the uniformly most
powerful invariant test for normal noise (Lehmann and Romano, *Testing Statistical Hypotheses*, 2005, 6.3). No method
finds more at its probability of a false change. *Number known*: the second takes the most likely places of that many
changes.
"""

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from bench.history.simulation import Made


def missed_where(made: Made, variances: np.ndarray, chance: float) -> int:
    """Return how many changes the test misses.

    Args:
        made: the history.
        variances: of its runs, known.
        chance: the probability that it finds a difference between equal levels.
    """
    critical, weights, missed = NormalDist().inv_cdf(1 - chance / 2), 1 / variances, 0
    for before, place, after in _neighbours(made):
        sides = slice(before, place), slice(place, after)
        known = [float(weights[side].sum()) for side in sides]
        means = [float(weights[side] @ made.values[side]) / sum_ for side, sum_ in zip(sides, known, strict=True)]
        missed += abs(means[1] - means[0]) < critical * sum(1 / sum_ for sum_ in known) ** 0.5
    return missed


def missed_number(made: Made, variances: np.ndarray, within: int, apart: int) -> int:
    """Return how many changes are not near one in the most likely division into that many levels.

    Args:
        made: the history.
        variances: of its runs, known.
        within: how many runs away a change still counts as found.
        apart: the fewest runs between two changes, known.
    """
    sums, totals = (np.concatenate(([0.0], np.cumsum(each))) for each in (1 / variances, made.values / variances))
    between = np.arange(len(sums)) - np.arange(len(sums))[:, None]
    with np.errstate(invalid="ignore"):
        gained = np.where(between >= apart, (totals - totals[:, None]) ** 2 / (sums - sums[:, None]), -np.inf)
    best, begun_at = gained[0], []
    for _ in made.changed:  # Bellman, Communications of the ACM 4, 1961: the best division up to each run
        begun_at.append((best[:, None] + gained).argmax(axis=0))
        best = (best[:, None] + gained).max(axis=0)
    found, at = [], len(made.values)
    for begun in reversed(begun_at):
        at = int(begun[at])
        found.append(at)
    return sum(all(abs(one - place) > within for one in found) for place in made.changed)


def _neighbours(made: Made) -> Iterator[tuple[int, int, int]]:
    """Yield each change with the previous and the next one, or the ends."""
    return zip([0, *made.changed], made.changed, [*made.changed[1:], len(made.values)], strict=False)
