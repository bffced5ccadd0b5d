"""Precision: how long runs must be for a comparison to decide.

The error of a figure shrinks with the square root of a run's length, as long as the run holds many of the stretches in
which its requests are correlated. A difference of two equal figures is decided when its whole interval lies within the
margin; that happens in `POWER` of all comparisons when the half-width of the interval and the error's own quantile fit
into the margin together (the usual sample size of an equivalence test, Chow, Shao and Wang, *Sample Size Calculations
in Clinical Research*).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

POWER: Final = 0.95
_BEYOND: Final = NormalDist().inv_cdf(POWER)
_TWO_RUNS: Final = math.sqrt(2.0)


def resolution(error: float, t: float) -> float:
    """Return the smallest relative difference that two runs are sure to tell from none, with probability `POWER`.

    Args:
        error: standard error of the figure's logarithm in one run.
        t: the half-width of the comparison's intervals, in standard errors.
    """
    return math.expm1((t + _BEYOND) * _TWO_RUNS * error)


def decided_after_s(seconds: float, error: float, t: float, margin: float) -> float:
    """Return how long each of two runs must be so that a figure that is equal in both is found to be the same.

    Args:
        seconds: how long the runs were of which the error is known.
        error: standard error of the difference between the two runs, in the unit of the margin.
        t: the half-width of the comparison's intervals, in standard errors.
        margin: the largest difference that counts as none; for relative differences its logarithm.
    """
    return seconds * ((t + _BEYOND) * error / margin) ** 2
