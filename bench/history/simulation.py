"""Simulated histories: a figure of many runs, with levels that change at known runs."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class History:
    """The properties of a history. Noise and changes are in logarithms: 0.05 is 5 %."""

    runs: int = 100
    noise: float = 0.02
    """Standard deviation from run to run."""
    own: float = 0.01
    """The median of the standard errors within runs, which vary by a factor of two."""
    outliers: float = 0.0
    """The share of random runs that are slower by 5 to 15 times the noise."""
    memory: float = 0.0
    """Autocorrelation of the noise from one run to the next."""
    change: float = 0.05
    changes: int = 0
    apart: int = 12
    """The minimum number of runs between two changes, and before the first and after the last."""


class Made(NamedTuple):
    """A history of one figure, in logarithms."""

    values: np.ndarray
    errors: np.ndarray
    """The standard error of each value."""
    changed: list[int]
    """The first run after each change."""
    levels: np.ndarray
    """The value of each run without noise."""


def make(history: History, random: np.random.Generator) -> Made:
    """Return a history."""
    errors = history.own * np.exp(random.normal(0, 0.7, history.runs))
    noise = np.zeros(history.runs)
    state = random.normal()
    for run in range(history.runs):
        noise[run] = history.noise * state
        state = history.memory * state + np.sqrt(1 - history.memory**2) * random.normal()
    is_outlier = random.random(history.runs) < history.outliers
    noise += is_outlier * history.noise * random.uniform(5, 15, history.runs)
    changed = _places(history, random)
    levels = np.zeros(history.runs)
    for place in changed:
        levels[place:] += history.change * random.choice((-1, 1))
    return Made(levels + noise + errors * random.normal(size=history.runs), errors, changed, levels)


def _places(history: History, random: np.random.Generator) -> list[int]:
    room = history.runs - (history.changes + 1) * history.apart
    gaps = np.sort(random.integers(0, room + 1, history.changes))
    return [int(gap) + (number + 1) * history.apart for number, gap in enumerate(gaps)]
