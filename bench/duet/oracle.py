"""How often a slow-down of single requests could be found at best: by an oracle that knows everything else.

python -m bench.duet.oracle [DUETS]                60 of each by default, some 10 minutes

The real duets of the kind tail, simulated on a machine without noise: two requests, 150 per second each, times that
vary by 20 %, one request in fifty 30 % slower in the new version. The two sides are independent.

The *oracle* uses the most powerful test of two samples: the likelihood ratio (Neyman and Pearson, *Philosophical
Transactions* A 231, 1933). It knows the distribution of the times, and which share of the requests may be slower by how
much, and tests both requests at once. Its error rate is 5 % of equal pairs. The *careful* one tests each request
separately, with the error rate of each interval of a comparison. *Ours* are the duets in which p95 or p99 of a request,
or of both together, is called worse, and those in which anything is.
"""

import math
import sys
from statistics import NormalDist

import numpy as np

from bench.compare.simulation import blocked_series
from loadtest.comparing.comparison import compare
from loadtest.comparing.difference import Conclusion
from loadtest.comparing.duet import MARGIN
from loadtest.comparing.pairing import Outcomes, Pairing
from loadtest.estimating.blocked_run import BlockedRun, Name

MEDIAN_S, SPREAD, PER_S = 0.1, 0.2, 150
TAIL, SLOWER = 0.02, 0.3
LENGTHS_S = (60, 120, 240, 480)
INTERVALS = 15
"""The intervals of a comparison: five figures of two requests, and of both together."""
NAMES = (Name("duet", "GET", "one"), Name("duet", "GET", "other"))


def times(seconds: int, random: np.random.Generator, slower: float) -> np.ndarray:
    """Return the times of one request on one side, ordered by second."""
    count = seconds * PER_S
    factors = np.where(random.random(count) < TAIL, 1 + slower, 1.0)
    return MEDIAN_S * np.exp(random.normal(0, SPREAD, count)) * factors


def evidence(base_s: np.ndarray, new_s: np.ndarray) -> float:
    """Return the score of the slow-down in standard errors: the limit of the likelihood ratio for a small share."""
    shift = math.log(1 + SLOWER) / SPREAD
    scores = [np.exp(shift * np.log(one / MEDIAN_S) / SPREAD - shift**2 / 2) for one in (base_s, new_s)]
    error = math.sqrt(sum(float(one.var()) / len(one) for one in scores))
    return float(scores[1].mean() - scores[0].mean()) / error


def run_of(seconds: int, sides: list[np.ndarray]) -> BlockedRun:
    """Return a run of both requests."""
    second = np.repeat(np.arange(seconds), PER_S)
    failed = np.zeros(len(second), np.bool_)
    made = {name: blocked_series(seconds, second, one, failed) for name, one in zip(NAMES, sides, strict=True)}
    return BlockedRun("simulated", 1, seconds, made)


def main(count: int) -> None:
    """Print a row for each length."""
    random, normal = np.random.default_rng(31), NormalDist()
    once, shared = normal.inv_cdf(0.95), normal.inv_cdf(1 - 0.025 / INTERVALS)
    print("| seconds | slower | oracle | careful oracle | ours: p95 or p99 worse | ours: anything worse |")
    print("|--:|--:|--:|--:|--:|--:|")
    for seconds in LENGTHS_S:
        for slower in (0.0, SLOWER):
            found = np.zeros(4)
            for _ in range(count):
                base, new = ([times(seconds, random, one) for _ in NAMES] for one in (0.0, slower))
                scores = [evidence(*both) for both in zip(base, new, strict=True)]
                ratios = [after / before for before, after in zip(base, new, strict=True)]
                outcomes = {name: Outcomes(seconds * PER_S, 0, 0, 0) for name in NAMES}
                pairing = Pairing(run_of(seconds, ratios), outcomes)
                compared = compare(run_of(seconds, base), run_of(seconds, new), MARGIN, pairing=pairing)
                worse = [
                    one.metric for name in compared.names for one in name.differences
                    if one.conclusion is Conclusion.WORSE
                ]  # fmt: skip
                found += [
                    evidence(np.concatenate(base), np.concatenate(new)) > once,
                    max(scores) > shared,
                    bool({"p95", "p99"} & set(worse)),
                    bool(worse),
                ]
            print(f"| {seconds} | {slower:.0%} | {' | '.join(f'{share:.0%}' for share in found / count)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
