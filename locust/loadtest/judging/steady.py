"""Steady: whether the response times of a level load settled, and when.

A service that was just started is slow for a while, and an overloaded one gets slower to the end. In both cases the
figures depend on the length of the run. The warm-up is detected by MSER-5: the medians of single seconds are averaged
in batches of five, and as many batches are dropped at the beginning, at most a third, as minimise the standard error of
the mean of the rest (K. P. White, *Simulation* 69, 1997; White, Cobb and Spratt, Winter Simulation Conference 2000). A
warm-up counts if its median differs by half from that of the rest, and the time after it does not.

Only a load that is level after its first third is examined: response times that follow the load are not unsteady.
"""

from __future__ import annotations

from statistics import mean, median, pvariance
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadtest.measuring import timeline

if TYPE_CHECKING:
    from loadtest.measuring.record import RunRecord

BATCH: Final = 5
MIN_BATCHES: Final = 6
"""Half a minute: a shorter load shows nothing about a steady state."""
LONGEST_S: Final = float(timeline.POINTS[0])
"""Seconds of load beyond which single seconds are not kept."""
LONGEST_RATIO: Final = 1 / 3
"""The longest warm-up, as a share of the load."""
NEAR: Final = 2.0
"""The tolerated ratio of the statistic to its minimum: among steady batches, the position of the minimum is chance."""
CHANGE: Final = 0.5
"""The smallest difference between the medians of the warm-up and the rest, as a share of the latter."""
CHANGE_S: Final = 0.001
"""The minimum of that difference, in seconds."""
GROWTH: Final = 2.0
"""The smallest ratio of the last third's median to the first third's if response times grew."""
GROWTH_S: Final = 0.005
"""The minimum of the difference between these medians, in seconds."""
STILL: Final = 1.1
"""The smallest ratio of the last sixth's median to that of the sixth before it, if response times still grew."""
CANDIDATES: Final = 5
"""The number of warm-ups for which a judge keeps records, at equal distances within the first third."""


class Steady(NamedTuple):
    """The result of the search."""

    warm_up_s: float = 0.0
    """The length of the warm-up in seconds, from the beginning of the load; 0 if there was none."""
    before_s: float = 0.0
    """The median response time, in seconds, within the warm-up; or of the first third if it grew."""
    after_s: float = 0.0
    """The median response time, in seconds, of the rest; or of the last third if it grew."""
    grew: bool = False
    """Whether response times grew to the end."""


def candidates_s(load_s: float) -> list[float]:
    """Return the warm-ups, in seconds, to which a detected one is rounded up, for a load of this length in seconds."""
    return [load_s * LONGEST_RATIO * number / CANDIDATES for number in range(1, CANDIDATES + 1)]


def find(record: RunRecord) -> Steady:
    """Examine the response times of a run that has ended. In an open run, or without a level load, nothing is found."""
    batches = _batches(record)
    if len(batches) < MIN_BATCHES:
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
    """Return the medians of the load's seconds in batches; none while the run is open, or if the load is not level."""
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
    """Return how many batches to drop: the fewest whose statistic is at most `NEAR` times the smallest."""
    longest = int(len(batches) * LONGEST_RATIO)
    statistics = [pvariance(batches[count:]) / len(batches[count:]) for count in range(longest + 1)]
    return next(count for count, statistic in enumerate(statistics) if statistic <= NEAR * min(statistics))


def _grew(batches: list[float]) -> bool:
    third, sixth = len(batches) // 3, max(1, len(batches) // 6)
    first_s, last_s = median(batches[:third]), median(batches[-third:])
    before_s, end_s = median(batches[-2 * sixth : -sixth]), median(batches[-sixth:])
    return last_s >= max(GROWTH * first_s, first_s + GROWTH_S) and end_s >= STILL * before_s
