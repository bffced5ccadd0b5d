"""Policies: the order in which items are allocated.

    round_robin        every item once, then all of them again in the same order, and so on
    unique_then_stop   every item once; then the run ends
    random             any item each time, all equally likely
    zipf(s)            any item each time, the k-th of n in proportion to 1 / k^s: a few are drawn often

The first two have no repeats in a round. The others draw with replacement, with a fixed seed: two runs draw the same
items.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loadtest.exceptions import UsageError
from loadtest.workload import distributions

if TYPE_CHECKING:
    from collections.abc import Sequence

ALLOWED: Final = "round_robin, random, unique_then_stop, zipf(s) with s from 0.1 to 10, such as zipf(1.1)"
_ZIPF: Final = re.compile(r"zipf\(\s*(\d+(?:\.\d+)?)\s*\)")
_EXPONENTS: Final = (0.1, 10.0)
_SEED: Final = 42


class Order:
    """The items of a source in the order of a policy.

    Args:
        items: at least one.
        policy: one of those in `ALLOWED`.

    Raises:
        UsageError: for an unknown policy.
    """

    def __init__(self, items: Sequence[Any], policy: str = "round_robin") -> None:
        exponent = check(policy)
        self._items = items
        self.size = len(items)
        """How many items there are."""
        self.largest_bytes: int = getattr(items, "largest_bytes", 1)
        """The size of the largest item."""
        self._turn = 0
        self._random = np.random.default_rng(_SEED)
        self._draws = policy not in ("round_robin", "unique_then_stop")
        self._exponent = exponent
        self.left: float = len(items) if policy == "unique_then_stop" else math.inf
        """How many items are still to come; infinite except for `unique_then_stop`."""

    def take(self, count: int) -> list[Any]:
        """Return the next `count` items, or as many as are left."""
        count = int(min(count, self.left))
        self.left -= count
        return [self._items[place] for place in self._places(count)]

    def _places(self, count: int) -> list[int]:
        size = self.size
        if not self._draws:
            start, self._turn = self._turn, (self._turn + count) % size
            return [place % size for place in range(start, start + count)]
        if self._exponent is None:
            return distributions.uniform(self._random, size, count).tolist()  # type: ignore[no-any-return]
        return distributions.zipf(self._random, size, count, self._exponent).tolist()  # type: ignore[no-any-return]


def check(policy: str) -> float | None:
    """Check a policy's name, and return the exponent of a zipf policy.

    Raises:
        UsageError: for an unknown policy.
    """
    if policy in ("round_robin", "random", "unique_then_stop"):
        return None
    match = _ZIPF.fullmatch(policy)
    if match is None or not _EXPONENTS[0] <= float(match.group(1)) <= _EXPONENTS[1]:
        raise UsageError(
            f"FEED_POLICY={policy} is unknown. Allowed: {ALLOWED}. Next: set one of them, or leave it out."
        )
    return float(match.group(1))
