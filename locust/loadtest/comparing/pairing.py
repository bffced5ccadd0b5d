"""Pairing: the pairs of a duet's requests, compared one by one.

Both requests of a pair run at the same moment, so the ratio of their times is free of whatever slows both alike. Of
their outcomes, only pairs in which one request failed count: what both sides share says nothing about their difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from loadtest.estimating.blocked_run import ALL, BlockedRun, Name
from loadtest.measuring.labels import PAIRS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loadtest.reporting.document import Document

_MANY = 1_000
"""The number of discordant pairs from which the normal distribution is as accurate."""


@dataclass(frozen=True)
class Outcomes:
    """Numbers of pairs of requests, by outcome."""

    both_succeeded: int = 0
    base_failed: int = 0
    """Pairs in which only the base's request failed."""
    new_failed: int = 0
    both_failed: int = 0
    alone: int = 0
    """Requests of one side without a counterpart in the other side's iteration."""

    @property
    def pairs(self) -> int:
        """The number of all pairs."""
        return self.both_succeeded + self.base_failed + self.new_failed + self.both_failed

    @property
    def chance(self) -> float:
        """The probability of a split of the discordant pairs at least as uneven as this, if both sides fail alike.

        McNemar's test in its exact form (*Psychometrika* 12, 1947), two-sided.
        """
        count, least = self.base_failed + self.new_failed, min(self.base_failed, self.new_failed)
        if count > _MANY:
            return math.erfc((count - 2 * least - 1) / math.sqrt(2 * count))
        return min(1.0, 2.0 * float(sum(math.comb(count, k) for k in range(least + 1)) / 2**count))

    @property
    def correlation(self) -> float:
        """The correlation of the two outcomes with Newcombe's continuity correction; 0 if a side never failed."""
        alike, unlike = self.both_succeeded * self.both_failed, self.base_failed * self.new_failed
        margins = (
            (self.both_succeeded + self.base_failed) * (self.new_failed + self.both_failed)
            * (self.both_succeeded + self.new_failed) * (self.base_failed + self.both_failed)
        )  # fmt: skip
        corrected = max(alike - unlike - self.pairs / 2, 0.0) if alike > unlike else float(alike - unlike)
        return corrected / math.sqrt(margins) if margins else 0.0

    @classmethod
    def sum(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """Return the sum over several names."""
        rows = list(rows)
        return cls(**{outcome: sum(int(row[outcome]) for row in rows) for outcome in PAIRS})

    def sentence(self) -> str:
        """Return the outcomes as a sentence."""
        text = (
            f"{self.pairs:,} pairs of requests: both failed in {self.both_failed:,}, only the base in "
            f"{self.base_failed:,}, only the new one in {self.new_failed:,}"
        )
        if self.base_failed + self.new_failed:
            text += f" (probability of this, if both fail equally often: {self.chance:.2g})"
        return text + (f"; {self.alone:,} requests had no counterpart" if self.alone else "")


@dataclass(frozen=True)
class Pairing:
    """The pairs of a duet.

    Attributes:
        ratios: of the pairs in which both succeeded, as times: 1 s means that both took equally long.
        outcomes: the numbers of pairs by name, and for all names.
    """

    ratios: BlockedRun
    outcomes: Mapping[Name, Outcomes]

    @classmethod
    def of(cls, document: Document) -> Self:
        """Read the pairs from a run's document.

        Raises:
            RecordError: when their blocks are damaged.
        """
        rows = document.get("pairs", {}).get("series", [])
        outcomes = {Name("", row["method"], row["name"]): Outcomes.sum([row]) for row in rows}
        return cls(BlockedRun.of_pairs(document), {**outcomes, ALL: Outcomes.sum(rows)})

    def correlation(self, base: BlockedRun, new: BlockedRun) -> float | None:
        """Return the correlation of the logarithms of a pair's two times, within names; None if they do not vary.

        It follows from three variances: that of the ratio is the sum of both sides' less twice their covariance. The
        variance that is removed is what pairing gains.
        """
        of_base, of_new, of_ratios = (_variance(run) for run in (base, new, self.ratios))
        if not min(of_base, of_new) > 0 or not of_ratios >= 0:
            return None
        return max(-1.0, min(1.0, (of_base + of_new - of_ratios) / (2 * math.sqrt(of_base * of_new))))


def _variance(run: BlockedRun) -> float:
    """Return the variance of the logarithms of a run's times, within names; NaN without any."""
    total = count = 0.0
    for name, series in run.series.items():
        pooled = series.times.sum(axis=0)
        if name != ALL and pooled.any():
            middles = series.middles
            total += float(pooled @ (middles - np.average(middles, weights=pooled)) ** 2)
            count += float(pooled.sum())
    return total / count if count else math.nan
