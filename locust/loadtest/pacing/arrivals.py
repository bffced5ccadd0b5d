"""Arrivals: the intended starts of the iterations of an open-model run.

A load curve gives the rate r(t) in arrivals per second; its integral N(t) is the number of arrivals expected until t.
Arrivals are laid out on the axis of N, where their rate is 1, and carried back to time by the inverse of N, so ramps
need no special case:

- ``even``: arrival k lies at k + 1/2, so the number of arrivals until t is N(t) rounded, with an error of at most a
  half.
- ``poisson``: a Poisson process of rate 1. The inverse of N turns it into a Poisson process with the rate r(t) (Çinlar,
  *Introduction to Stochastic Processes*, 1975, section 4.7: the time-change, or inversion, method; unlike thinning it
  rejects nothing). The axis is cut into cells of `CELL` expected arrivals. A cell holds a Poisson(CELL)-distributed
  number of points, uniform and independent of each other and of other cells, which is what a Poisson process is; and a
  cell's random numbers depend only on the seed and the cell's number. So any worker can compute any cell at any time,
  without the previous ones.

Curve, spacing and seed thereby determine the arrivals of the whole swarm. Worker i of n takes the arrivals whose number
is i modulo n, so each arrival is taken by exactly one worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from loadtest.profiles.curve import LoadCurve, Segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from loadtest.swarm.messages import ArrivalsMessage

    Floats = npt.NDArray[np.float64]

Spacing = Literal["even", "poisson"]

CELL: Final = 4096
"""Expected arrivals of a cell: enough for numpy to be efficient, few enough not to block the event loop (0.1 ms)."""
_TINY: Final = 1e-300  # keeps divisions by a level of 0 finite
_ROUNDING: Final = 1e-3  # arrivals; more than the rounding of an instant can cause at any rate


class Share(NamedTuple):
    """Every arrival whose number is ``rest`` modulo ``of``."""

    rest: int
    of: int

    def split(self, part: int, parts: int) -> Share:
        """Return one of `parts` disjoint parts that together make up this share."""
        return Share(self.rest + self.of * part, self.of * parts)


EVERYTHING: Final = Share(0, 1)


@dataclass(frozen=True)
class Arrivals:
    """The arrivals of a whole swarm, in seconds from the curve's start."""

    curve: LoadCurve
    spacing: Spacing = "even"
    seed: int = 0
    starts: bytes = b""
    """Every single start, ascending, as little-endian doubles, if known; curve and spacing are then unused."""

    def between(
        self, from_s: float, until_s: float, share: Share = EVERYTHING, origin_s: float = 0.0
    ) -> Iterator[Floats]:
        """Yield a share's intended starts with from_s <= start < until_s, ascending, cell by cell.

        `origin_s`, the instant at which the curve begins, is added to each start before the comparison, so that an
        instant divides the arrivals in the same way on every worker, whatever the rounding.
        """
        if self.starts:
            yield from self._known(from_s, until_s, share, origin_s)
            return
        first = max(0.0, self.curve.integral_to(from_s - origin_s) - _ROUNDING) // CELL
        for cell in range(int(first), int(self.curve.total // CELL) + 1):
            times = self._times(cell, share) + origin_s
            if len(times) and times[-1] >= until_s:
                yield times[(times >= from_s) & (times < until_s)]
                return
            yield times[times >= from_s]

    def _known(self, from_s: float, until_s: float, share: Share, origin_s: float) -> Iterator[Floats]:
        times = self._starts_s[share.rest :: share.of] + origin_s
        first, end = np.searchsorted(times, (from_s, until_s))
        for begin in range(first, end, CELL):
            yield times[begin : min(begin + CELL, end)]

    def number_at(self, t_s: float) -> int:
        """Return the number of the known start that is nearest to t seconds from the beginning."""
        after = min(int(np.searchsorted(self._starts_s, t_s)), len(self._starts_s) - 1)
        before = max(after - 1, 0)
        return before if t_s - self._starts_s[before] < self._starts_s[after] - t_s else after

    @cached_property
    def _starts_s(self) -> Floats:
        return np.frombuffer(self.starts, "<f8")

    def _times(self, cell: int, share: Share) -> Floats:
        points = self._even(cell, share) if self.spacing == "even" else self._poisson(cell, share)
        return self._inverse.times_of(points[points <= self.curve.total])

    @staticmethod
    def _even(cell: int, share: Share) -> Floats:
        first = cell * CELL
        first += (share.rest - first) % share.of
        return np.arange(first, (cell + 1) * CELL, share.of, dtype=np.float64) + 0.5

    def _poisson(self, cell: int, share: Share) -> Floats:
        random = np.random.default_rng((self.seed, cell))
        points = random.random(random.poisson(CELL))
        points.sort()
        first = (share.rest - cell * CELL) % share.of
        positions: Floats = (cell + points[first :: share.of]) * CELL
        return positions

    @cached_property
    def _inverse(self) -> _Inverse:
        return _Inverse(self.curve)

    def to_wire(self) -> ArrivalsMessage:
        """Return a form that a message can carry."""
        segments = [(s.start_s, s.duration_s, s.first, s.last, s.smooth) for s in self.curve.segments]
        return {"segments": segments, "spacing": self.spacing, "seed": self.seed, "starts": self.starts}

    @classmethod
    def from_wire(cls, wire: ArrivalsMessage) -> Arrivals:
        """Return the arrivals that a message carries."""
        segments = tuple(Segment(*segment) for segment in wire["segments"])
        return cls(LoadCurve(segments), wire["spacing"], wire["seed"], wire["starts"])


class _Inverse:
    """The time at which the integral of a curve reaches a value: `LoadCurve.time_of` for many values at once."""

    def __init__(self, curve: LoadCurve) -> None:
        segments = curve.segments
        self._start = np.array([segment.start_s for segment in segments])
        self._duration = np.array([segment.duration_s for segment in segments])
        self._first = np.array([segment.first for segment in segments])
        self._slope = np.array([segment.last for segment in segments]) - self._first
        self._smooth = np.array([segment.smooth for segment in segments]) & (self._slope != 0)
        self._sums = np.concatenate(([0.0], np.cumsum([segment.integral_to(1.0) for segment in segments])))

    def times_of(self, integrals: Floats) -> Floats:
        index = np.clip(np.searchsorted(self._sums, integrals) - 1, 0, len(self._start) - 1)
        first, slope = self._first[index], self._slope[index]
        wanted = (integrals - self._sums[index]) / self._duration[index]
        # The root of slope·x²/2 + first·x = wanted, in the form that does not subtract nearly equal numbers.
        root = first + np.sqrt(np.maximum(0.0, first**2 + 2 * slope * wanted))
        shares = np.minimum(1.0, 2 * wanted / np.where(root > 0, root, 1.0))
        for number in np.unique(index[self._smooth[index]]):
            inside = index == number
            shares[inside] = _smooth_shares(self._first[number], self._slope[number], wanted[inside])
        times: Floats = self._start[index] + self._duration[index] * shares
        return times


def _smooth_shares(first: float, slope: float, wanted: Floats) -> Floats:
    """Solve f(x) = first·x + slope·(x³ - x⁴/2) = wanted for x from 0 to 1.

    f is increasing. A table brackets each root, and four steps of Newton's method within the bracket find it: from
    1/1024 away the error falls below 1e-12 unless x is below 1/100, which on a ramp from 0 contains a millionth of the
    arrivals.
    """
    grid = np.linspace(0.0, 1.0, 1025)
    table = first * grid + slope * grid**3 * (1 - grid / 2)
    cell = np.clip(np.searchsorted(table, wanted) - 1, 0, len(grid) - 2)
    low, high = grid[cell], grid[cell + 1]
    x = low + (high - low) * (wanted - table[cell]) / np.maximum(table[cell + 1] - table[cell], _TINY)
    for _ in range(4):
        level = np.maximum(first + slope * x**2 * (3 - 2 * x), _TINY)
        x = np.clip(x - (x * (first + slope * x**2 * (1 - x / 2)) - wanted) / level, low, high)
    return x
