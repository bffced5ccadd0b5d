"""Distributions: which of the keys 0 to size - 1 is accessed next.

    uniform                  all keys are equally likely
    zipf(s)                  the k-th key in proportion to 1 / k^s: the lower its number, the more often a key comes
    gaussian(d)              a normal distribution around the middle of the key space; its standard deviation is d of
                             the key space, and what falls outside is drawn again
    hot_set(keys, accesses)  this share of the keys, those with the lowest numbers, gets this share of the accesses
    sequential               one key after the other, from a random one on; after the last comes the first

All take constant memory, whatever the number of keys.
"""

from __future__ import annotations

import itertools
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]

ALLOWED: Final = (
    "uniform; zipf(s) with s above 0, up to 10; gaussian(d) with d above 0, up to 1; hot_set(keys, accesses) with two "
    "shares above 0, below 1; sequential"
)
_CALL: Final = re.compile(r"(\w+)(?:\(([^()]*)\))?")
_BATCH: Final = 64
"""The numbers drawn at once: a single one would cost as much."""


class Distribution(NamedTuple):
    """A distribution with its parameters, for key spaces of any size."""

    name: str
    parameters: tuple[float, ...] = ()

    @classmethod
    def of(cls, text: str) -> Distribution:
        """Return the distribution of a text such as ``zipf(1.1)``.

        Raises:
            ValueError: for an unknown name, another number of parameters, or one out of its range.
        """
        match = _CALL.fullmatch(text.strip())
        if match is None or match[1] not in _KINDS:
            raise ValueError("an unknown distribution")
        _, allowed = _KINDS[match[1]]
        parameters = tuple(map(float, match[2].split(","))) if match[2] is not None else ()
        if len(parameters) != len(allowed) or not all(
            fits(value) for fits, value in zip(allowed, parameters, strict=True)
        ):
            raise ValueError("not the parameters of this distribution")
        return cls(match[1], parameters)

    def numbers(self, size: int, random: np.random.Generator) -> Iterator[int]:
        """Yield key numbers without end.

        Args:
            size: the number of keys, at least 1.
            random: the generator; the same seed gives the same numbers.
        """
        draw, _ = _KINDS[self.name]
        if self.name == "sequential":
            draw = partial(draw, first=random.integers(0, size), turns=itertools.count())
        while True:
            yield from draw(random, size, _BATCH, *self.parameters).tolist()


def uniform(random: np.random.Generator, size: int, count: int) -> Numbers:
    """Return a number of draws that are all equally likely."""
    return random.integers(0, size, count)


def zipf(random: np.random.Generator, size: int, count: int, exponent: float) -> Numbers:
    """Return a number of draws, k with a probability proportional to 1 / (k + 1)^exponent; exponent above 0.

    Rejection-inversion, exact and without a table: W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates
    from monotone discrete distributions", ACM TOMACS 6 (1996).
    """
    lowest, highest = float(_area(1.5, exponent)) - 1.0, float(_area(size + 0.5, exponent))

    def tries(n: int) -> Numbers:
        area = highest + random.random(n) * (lowest - highest)
        rank = np.clip(np.rint(_of_area(area, exponent)), 1, size)
        is_accepted = area >= _area(rank + 0.5, exponent) - rank**-exponent
        accepted: Numbers = (rank[is_accepted] - 1).astype(np.int64)
        return accepted

    return _accepted(count, tries)


def _area(x: Any, exponent: float) -> Any:
    """Return the integral of t^-exponent from 1 to x."""
    if exponent == 1.0:
        return np.log(x)
    return np.expm1((1.0 - exponent) * np.log(x)) / (1.0 - exponent)


def _of_area(area: Any, exponent: float) -> Any:
    """Return the inverse of `_area`; infinite at its limit, which rounding may reach where the exponent is large."""
    if exponent == 1.0:
        return np.exp(area)
    with np.errstate(divide="ignore", over="ignore"):
        return np.exp(np.log1p(np.maximum(area * (1.0 - exponent), -1.0)) / (1.0 - exponent))


def gaussian(random: np.random.Generator, size: int, count: int, deviation: float) -> Numbers:
    """Return a number of draws around the middle; their standard deviation is a share of the size, above 0."""

    def tries(n: int) -> Numbers:
        drawn = np.rint(random.normal((size - 1) / 2, deviation * size, n))
        return drawn[(drawn >= 0) & (drawn < size)].astype(np.int64)

    return _accepted(count, tries)


def hot_set(random: np.random.Generator, size: int, count: int, keys: float, accesses: float) -> Numbers:
    """Return a number of draws of which a share goes to the lowest numbers, and the rest to the others."""
    hot = max(1, min(size - 1, round(keys * size)))
    of_hot, of_others = random.integers(0, hot, count), random.integers(min(hot, size - 1), size, count)
    return np.where(random.random(count) < accesses, of_hot, of_others)


def sequential(_: object, size: int, count: int, *, first: int, turns: Iterator[int]) -> Numbers:
    """Return the next of the numbers in their order."""
    return (first + next(turns) * count + np.arange(count)) % size


def _accepted(count: int, tries: Callable[[int], Numbers]) -> Numbers:
    """Return so many of the draws that are accepted."""
    found = tries(count)
    while len(found) < count:
        found = np.concatenate([found, tries(count)])
    return found[:count]


def _is_share(value: float) -> bool:
    return 0.0 < value < 1.0


_KINDS: Final[dict[str, tuple[Callable[..., Numbers], tuple[Callable[[float], bool], ...]]]] = {
    "uniform": (uniform, ()),
    "zipf": (zipf, (lambda exponent: 0.0 < exponent <= 10.0,)),  # noqa: PLR2004 - see ALLOWED
    "gaussian": (gaussian, (lambda deviation: 0.0 < deviation <= 1.0,)),
    "hot_set": (hot_set, (_is_share, _is_share)),
    "sequential": (sequential, ()),
}
"""What draws, and what each parameter may be."""
