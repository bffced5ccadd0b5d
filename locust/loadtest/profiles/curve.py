"""LoadCurve: a level (users, or arrivals per second) over time, with its exact integral.

A curve is a sequence of segments without gaps. Within a segment that begins at level a, ends at
level b and lasts d seconds, with x = (t - start)/d from 0 to 1 and k = b - a:

    hold, linear   level a + k·x                integral d·(a·x + k·x²/2)
    smooth         level a + k·(3x² - 2x³)      integral d·(a·x + k·(x³ - x⁴/2))

`smooth` is the smoothstep polynomial: its slope is 0 at both ends, so the rate changes without a kink.
Both integrals are exact, without numerical summation.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Ramp = Literal["step", "linear", "smooth"]
RAMPS: tuple[Ramp, ...] = ("step", "linear", "smooth")

_BISECTIONS = 52  # a double has a fraction of 52 bits, so another step would change nothing


@dataclass(frozen=True)
class Stage:
    """A level to reach from the previous one: immediately (`step`), or over the whole duration (`linear`, `smooth`)."""

    duration_s: float
    level: float
    ramp: Ramp = "linear"


@dataclass(frozen=True)
class Segment:
    """A piece of a curve, from level `first` to level `last`."""

    start_s: float
    duration_s: float
    first: float
    last: float
    smooth: bool = False

    def level_at(self, x: float) -> float:
        """Return the level at a share x, 0 to 1, of the duration."""
        return self.first + (self.last - self.first) * (x * x * (3 - 2 * x) if self.smooth else x)

    def integral_to(self, x: float) -> float:
        """Return the integral from the segment's start to a share x, 0 to 1, of its duration."""
        weight = x**3 - x**4 / 2 if self.smooth else x * x / 2
        return self.duration_s * (self.first * x + (self.last - self.first) * weight)

    def share_at(self, integral: float) -> float:
        """Return the share of the duration at which the integral is reached."""
        if self.smooth and self.first != self.last:
            return self._bisect(integral)
        wanted = integral / self.duration_s
        slope = self.last - self.first
        # The root of slope·x²/2 + first·x = wanted, in the form that avoids subtracting nearly equal numbers.
        root = self.first + math.sqrt(max(0.0, self.first**2 + 2 * slope * wanted))
        return min(1.0, 2 * wanted / root) if root else 0.0

    def _bisect(self, integral: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            if self.integral_to(middle) < integral:
                low = middle
            else:
                high = middle
        return high


@dataclass(frozen=True)
class LoadCurve:
    """Consecutive segments from 0 s on. Before the start and after the end, the level is 0."""

    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, stages: Sequence[Stage], steps_per_s: float = math.inf) -> LoadCurve:
        """Return the curve of these stages, starting at level 0.

        Args:
            stages: at least one.
            steps_per_s: how fast a `step` changes the level, per second; a step that takes longer than its stage ends
                at the level that it has reached.
        """
        segments: list[Segment] = []
        start_s = level = 0.0
        for stage in stages:
            for piece in _pieces(stage, start_s, level, steps_per_s):
                segments.append(piece)
                start_s, level = piece.start_s + piece.duration_s, piece.last
        return cls(tuple(segments))

    @property
    def duration_s(self) -> float:
        """The time from the start to the end."""
        return self.segments[-1].start_s + self.segments[-1].duration_s

    @property
    def peak(self) -> float:
        """The highest level."""
        return max(max(segment.first, segment.last) for segment in self.segments)

    @property
    def first_peak(self) -> float:
        """The level at which the curve stops rising for the first time: the end of its first ramp-up."""
        rising = takewhile(lambda segment: segment.last > segment.first, self.segments)
        return max((segment.last for segment in rising), default=self.segments[0].first)

    @property
    def total(self) -> float:
        """The integral over the whole curve."""
        return self._sums[-1]

    def level_at(self, t_s: float) -> float:
        """Return the level at a time, in seconds."""
        if not 0 <= t_s < self.duration_s:
            return 0.0
        segment = self.segments[self._index(t_s)]
        return segment.level_at(min(1.0, (t_s - segment.start_s) / segment.duration_s))

    def integral_to(self, t_s: float) -> float:
        """Return the integral from 0 s to a time, in seconds."""
        if t_s <= 0:
            return 0.0
        if t_s >= self.duration_s:
            return self.total
        index = self._index(t_s)
        segment = self.segments[index]
        return self._sums[index] + segment.integral_to((t_s - segment.start_s) / segment.duration_s)

    def time_of(self, integral: float) -> float:
        """Return the first time, in seconds, at which the integral is reached; infinity if it never is."""
        if integral <= 0:
            return 0.0
        if integral > self.total:
            return math.inf
        index = bisect.bisect_left(self._sums, integral) - 1
        segment = self.segments[index]
        return segment.start_s + segment.duration_s * segment.share_at(integral - self._sums[index])

    def _index(self, t_s: float) -> int:
        return bisect.bisect_right(self._starts, t_s) - 1

    @cached_property
    def _starts(self) -> list[float]:
        return [segment.start_s for segment in self.segments]

    @cached_property
    def _sums(self) -> list[float]:
        """The integral up to the start of each segment, then the total."""
        return list(accumulate((segment.integral_to(1.0) for segment in self.segments), initial=0.0))


def _pieces(stage: Stage, start_s: float, level: float, steps_per_s: float) -> list[Segment]:
    """Return a stage as segments: one, or two for a step that takes time: the change and the hold."""
    if stage.ramp != "step":
        return [Segment(start_s, stage.duration_s, level, stage.level, smooth=stage.ramp == "smooth")]
    change = stage.level - level
    change_s = min(stage.duration_s, abs(change) / steps_per_s)
    reached = stage.level if change_s < stage.duration_s else level + math.copysign(change_s * steps_per_s, change)
    pieces = [Segment(start_s, change_s, level, reached)] if change_s else []
    if stage.duration_s > change_s:
        pieces.append(Segment(start_s + change_s, stage.duration_s - change_s, reached, reached))
    return pieces
