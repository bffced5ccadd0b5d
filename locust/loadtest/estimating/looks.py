"""Looks: when a run may be examined to end it early, and which share of the errors each look may make.

Examining an interval repeatedly and stopping once it is conclusive gives more errors than its confidence level states
(Armitage, McPherson and Rowe, *Journal of the Royal Statistical Society* A 132, 1969). So the times of all looks are
fixed before the run, and the looks share the permitted errors equally: the intervals of all looks hold together,
whichever look is the last (Bonferroni; the alpha spending of Lan and DeMets, *Biometrika* 70, 1983). Consecutive looks
are a constant factor apart, as in stitched confidence sequences (Howard et al., *Annals of Statistics* 49, 2021), so
even a long run has few of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

FIRST_S: Final = 20.0
"""Seconds before which a run has too few independent segments for an interval."""
FACTOR: Final = 1.5


class Look(NamedTuple):
    """The finding of a look at a run."""

    is_decided: bool
    """Whether the answer is known."""
    obstacles: tuple[str, ...] = ()
    """The reasons, one sentence each, why the run could not be compared if it ended now."""


def within(run_time_s: float) -> tuple[float, ...]:
    """Return the times of the looks in seconds of load, above 0; the last one is the planned end."""
    moments, at_s = [], FIRST_S
    while at_s < run_time_s:
        moments.append(at_s)
        at_s *= FACTOR
    return (*moments, run_time_s)


def share(run_time_s: float) -> float:
    """Return the share of the errors that each look may make, above 0 up to 1."""
    return 1 / len(within(run_time_s))
