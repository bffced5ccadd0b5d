"""Precision: how long runs must be for a comparison to decide.

The error of a figure shrinks with the square root of a run's length, if the run contains many of the segments over
which its requests are correlated. A difference of two equal figures is decided when its whole interval lies within the
margin. That happens in `POWER` of all comparisons if the half-width of the interval plus the quantile of the error fits
into the margin (the usual sample size of an equivalence test, Chow, Shao and Wang, *Sample Size Calculations in
Clinical Research*).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

POWER: Final = 0.95
_BEYOND: Final = NormalDist().inv_cdf(POWER)
_TWO_RUNS: Final = math.sqrt(2.0)


def resolution(error: float, t: float, degrees: float) -> float:
    """Return the smallest relative difference between two runs that is detected with probability `POWER`.

    Args:
        error: the standard error of the figure's logarithm in one run.
        t: half the width of the comparison's intervals, in standard errors.
        degrees: degrees of freedom of the error of a comparison.
    """
    return math.expm1(detectable(t, degrees) * _TWO_RUNS * error)


def found_from(half: float, error: float, degrees: float, margin: float, *, is_of_a_duet: bool) -> float:
    """Return the smallest difference that a comparison like this one detects with probability `POWER`.

    Args:
        half: half the width of the interval.
        error: the standard error of the difference. Half, error and margin have the same unit, such as a logarithm.
        degrees: degrees of freedom of the error.
        margin: the largest difference that counts as none.
        is_of_a_duet: whether the difference itself must be beyond the margin, and its interval exclude 0; otherwise the
            whole interval must be beyond the margin.
    """
    if not error:
        return margin
    distance = detectable(half / error, degrees) * error
    return max(margin + detectable(0.0, degrees) * error, distance) if is_of_a_duet else margin + distance


def detectable(t: float, degrees: float) -> float:
    """Return the difference, in standard errors, that is distinguished from none with probability `POWER`.

    That is more than the half-width of the interval plus the quantile of the error: another comparison estimates
    another error, and so another interval, and only this comparison's estimate of the true error is known.

    Args:
        t: half the width of the interval, in standard errors; 0 or more.
        degrees: degrees of freedom of the error; more than 2.
    """
    lost = _BEYOND**2 / (2 * degrees)  # (d - t)² = _BEYOND² (1 + (t² + d²) / 2 degrees)
    kept = 1 - lost
    return (t + math.sqrt(t * t - kept * (t * t * kept - _BEYOND**2))) / kept


def decided_after_s(seconds: float, error: float, t: float, margin: float) -> float:
    """Return how long, in seconds, two runs must be for a figure that is equal in both to be found the same.

    Args:
        seconds: the length of the runs for which the error is known.
        error: the standard error of the difference between the two runs, in the unit of the margin.
        t: half the width of the comparison's intervals, in standard errors.
        margin: the largest difference that counts as none; for relative differences, its logarithm.
    """
    return seconds * ((t + _BEYOND) * error / margin) ** 2
