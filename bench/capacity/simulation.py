"""The results of the capacity search on simulated systems, whose limit is known.

python -m bench.capacity.simulation [SEARCHES]     300 of each system and bound by default, some 2 minutes
"""

import math
import random
import sys
from collections.abc import Callable

from loadtest.capacity.search import End, Plan, StepResult, find_capacity
from loadtest.judging.outcome import Outcome

Measure = Callable[[float], StepResult]
SYSTEMS = ((0.0005, 0.0), (0.005, 0.03), (0.01, 0.03), (0.01, 0.08), (0.03, 0.03))
"""The width of the uncertain region, and the share of steps with a random outcome."""
BOUNDS = (Plan().steps, 40)
LIMITS_PER_S = (5, 5_000)


def system(limit_per_s: float, width: float = 0.0005, disturbed: float = 0.0, seed: int = 0) -> Measure:
    """Return a system that meets its objective up to a limit.

    Args:
        limit_per_s: at this rate it meets the objective every second time.
        width: of the region in which the result is uncertain, as a fraction of the rate.
        disturbed: the share of results that are random, whatever the rate.
        seed: of the random numbers.
    """
    chance = random.Random(seed)

    def measure(rate_per_s: float) -> StepResult:
        steepness = max(-50.0, min(50.0, math.log(rate_per_s / limit_per_s) / width))
        kept = disturbed / 2 + (1 - disturbed) / (1 + math.exp(steepness))
        return StepResult(rate_per_s, Outcome.PASSED if chance.random() < kept else Outcome.FAILED)

    return measure


def limit_of(seed: int) -> float:
    """Return a limit, equally likely on a logarithmic scale."""
    return math.exp(random.Random(seed).uniform(*map(math.log, LIMITS_PER_S)))


def main(searches: int) -> None:
    """Print a row for each system and bound."""
    print("| uncertain region | random outcomes | steps, at most | within 5 % | interval holds the limit | ±, median "
          "| ±, 95 of 100 | steps, mean | bound reached |\n|---|---|--:|--:|--:|--:|--:|--:|--:|")  # fmt: skip
    for width, disturbed in SYSTEMS:
        for bound in BOUNDS:
            near = held = made = cut = 0
            halves = []
            for seed in range(searches):
                limit_per_s = limit_of(seed)
                found = find_capacity(system(limit_per_s, width, disturbed, seed), Plan(steps=bound))
                near += abs(found.rate_per_s / limit_per_s - 1) <= 0.05
                held += found.low_per_s <= limit_per_s <= found.high_per_s
                made += len(found.steps)
                cut += found.end is End.STEPS
                halves.append((found.high_per_s - found.low_per_s) / 2 / found.rate_per_s)
            halves.sort()
            print(
                f"| {width:.2%} | {disturbed:.0%} | {bound} | {near / searches:.1%} | {held / searches:.1%} "
                f"| {halves[searches // 2]:.1%} | {halves[int(0.95 * searches)]:.1%} | {made / searches:.1f} "
                f"| {cut / searches:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
