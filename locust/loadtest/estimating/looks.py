"""Looks: when a run may be looked at to end it early, and what errors each look may make.

Who looks at an interval again and again, and stops when it says something, is wrong more often than the interval says
(Armitage, McPherson and Rowe, *Journal of the Royal Statistical Society* A 132, 1969). Here the moments of all looks
are fixed before the run, and share the errors that it may make equally: the intervals of all looks hold together,
whichever of them is the last (Bonferroni; the alpha spending of Lan and DeMets, *Biometrika* 70, 1983). The looks are a
constant factor apart, as those of stitched confidence sequences are (Howard et al., *Annals of Statistics* 49, 2021):
even a long run has few of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

FIRST_S: Final = 20.0
"""Before, a run has too few independent stretches for an interval."""
FACTOR: Final = 1.5


class Look(NamedTuple):
    """What a look at a run found."""

    is_decided: bool
    """Whether the answer is known."""
    hindrances: tuple[str, ...] = ()
    """Why a run that ended now would not be compared, though, one sentence each."""


def within(run_time_s: float) -> tuple[float, ...]:
    """Return the moments of the looks in seconds of load, above 0; the last one is the planned end."""
    moments, at_s = [], FIRST_S
    while at_s < run_time_s:
        moments.append(at_s)
        at_s *= FACTOR
    return (*moments, run_time_s)


def share(run_time_s: float) -> float:
    """Return the share of the errors that each look may make, above 0 up to 1."""
    return 1 / len(within(run_time_s))
