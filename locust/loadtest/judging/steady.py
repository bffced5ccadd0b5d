"""Steady: whether the response times of a level load settled, and when.

A service that was just started is slow for a while, and one that takes in more than it answers gets slower to the end:
the figures of either depend on how long the run was. The warm-up is found by MSER-5: the medians of single seconds are
averaged in batches of five, and as many batches are left out at the beginning, a third at most, as make the standard
error of the mean of the rest the smallest (K. P. White, *Simulation* 69, 1997; White, Cobb and Spratt, Winter
Simulation Conference 2000). It counts when its median differs by half from that of the rest, and what follows it does
not.

Only a load that is level after its first third is looked at: response times that follow the load are not unsteady.
"""

from __future__ import annotations

from statistics import mean, median, pvariance
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadtest.measuring import timeline

if TYPE_CHECKING:
    from loadtest.measuring.record import RunRecord

BATCH: Final = 5
FEWEST_BATCHES: Final = 6
"""Half a minute; less says nothing about what is steady."""
LONGEST_S: Final = float(timeline.POINTS[0])
"""A longer load is not kept second by second."""
LONGEST_RATIO: Final = 1 / 3
"""The longest warm-up, as a share of the load."""
NEAR: Final = 2.0
"""How far the statistic may be from its minimum: among steady batches its place is chance."""
CHANGE: Final = 0.5
"""How much the median of the warm-up differs from that of the rest, as a share of the latter, and"""
CHANGE_S: Final = 0.001
"""in seconds, at least."""
GROWTH: Final = 2.0
"""How many times the last third's median is the first's where response times did not settle, and"""
GROWTH_S: Final = 0.005
"""in seconds, at least; and"""
STILL: Final = 1.1
"""how many times the last sixth's is that of the sixth before."""
CANDIDATES: Final = 5
"""The warm-ups that a judge keeps ready, at equal distances within the first third."""


class Steady(NamedTuple):
    """What was found."""

    warm_up_s: float = 0.0
    """From the beginning of the load; 0 where there was none."""
    before_s: float = 0.0
    """Median response time within the warm-up; of the first third, where it grew."""
    after_s: float = 0.0
    """Of the rest; of the last third, where it grew."""
    grew: bool = False
    """Whether response times grew to the end."""


def candidates_s(load_s: float) -> list[float]:
    """Return the warm-ups from which the next longer one is taken, for a load of this length."""
    return [load_s * LONGEST_RATIO * number / CANDIDATES for number in range(1, CANDIDATES + 1)]


def find(record: RunRecord) -> Steady:
    """Look at the response times of a run that has ended; before, and where the load is not level, nothing is found."""
    batches = _batches(record)
    if len(batches) < FEWEST_BATCHES:
        return Steady()
    if _grew(batches):
        third = len(batches) // 3
        return Steady(before_s=median(batches[:third]), after_s=median(batches[-third:]), grew=True)
    left_out = _mser(batches)
    if not left_out:
        return Steady()
    before_s, after_s = median(batches[:left_out]), median(batches[left_out:])
    differs_s = max(CHANGE * after_s, CHANGE_S)
    if abs(before_s - after_s) < differs_s or abs(batches[left_out] - after_s) >= differs_s:
        return Steady()
    return Steady(float(left_out * BATCH), before_s, after_s)


def _batches(record: RunRecord) -> list[float]:
    """Return the medians of the load's seconds in batches; none while it goes on, and where it is not level."""
    begins_s = next((event.second for event in record.events if event.kind == "start"), None)
    load_s = record.load_s
    if begins_s is None or load_s is None or load_s > LONGEST_S:
        return []
    if not _is_level(record.context.get("plan") or {}, load_s):
        return []
    medians = [
        point.response_time.total().quantile(0.5)
        for point in record.timeline
        if begins_s <= point.second and point.end <= begins_s + load_s and point.requests
    ]
    return [mean(medians[at : at + BATCH]) for at in range(0, len(medians) - BATCH + 1, BATCH)]


def _is_level(plan: dict[str, Any], load_s: float) -> bool:
    levels = [(t_s, level) for t_s, level in plan.get("levels") or ()]
    before = [level for t_s, level in levels if t_s <= load_s * LONGEST_RATIO]
    after = [level for t_s, level in levels if t_s > load_s * LONGEST_RATIO]
    return bool(levels) and len({*before[-1:], *after}) == 1


def _mser(batches: list[float]) -> int:
    """Return how many batches to leave out: the fewest whose statistic is not above `NEAR` times the smallest."""
    longest = int(len(batches) * LONGEST_RATIO)
    statistics = [pvariance(batches[count:]) / len(batches[count:]) for count in range(longest + 1)]
    return next(count for count, statistic in enumerate(statistics) if statistic <= NEAR * min(statistics))


def _grew(batches: list[float]) -> bool:
    third, sixth = len(batches) // 3, max(1, len(batches) // 6)
    first_s, last_s = median(batches[:third]), median(batches[-third:])
    before_s, end_s = median(batches[-2 * sixth : -sixth]), median(batches[-sixth:])
    return last_s >= max(GROWTH * first_s, first_s + GROWTH_S) and end_s >= STILL * before_s
