"""The coverage of intervals of a mean by other published methods for few correlated values.

python -m bench.compare.published [RUNS]           2,000 runs of each system by default, some 3 minutes

On the same simulated runs as `python -m bench.compare coverage`. Each method gets the ratio's residuals by second:

- *fixed-b*: the Bartlett window over the whole run, with its own distribution (Kiefer and Vogelsang, *Econometric
  Theory* 21, 2005);
- *cosines*: four low-frequency cosine terms and Student's t with four degrees (Müller, *Journal of Econometrics*
  141, 2007; Lazarus, Lewis, Stock and Watson, *Journal of Business & Economic Statistics* 36, 2018);
- *four groups*: the means of four segments and Student's t with three degrees (Ibragimov and Müller, *Journal of
  Business & Economic Statistics* 28, 2010);
- *studentised*: a circular block bootstrap of the mean by its own standard error, with at most eight segments (Götze
  and Künsch, *Annals of Statistics* 24, 1996).

Widths are relative to an interval with the true standard error.
"""

import math
import sys
from collections.abc import Callable

import numpy as np

from bench.compare.__main__ import COVERED
from bench.compare.simulation import run, truth
from loadtest.estimating import intervals
from loadtest.estimating.resampling import segment_length

Values = np.ndarray
Method = Callable[[Values], float]
"""Computes half of the width of the interval of a sum from its residuals by second."""
FIXED_B = 4.771
"""The 97.5 % point of their table for the Bartlett window and b = 1."""
T = {3: 3.182, 4: 2.776}
NORMAL = 1.96
SEGMENTS, DRAWS, TINY = 8, 400, 1e-12


def fixed_b(residuals: Values) -> float:
    """Weight every covariance of the run."""
    count = len(residuals)
    lags = range(1, count)
    covered = sum((1 - lag / count) * float(residuals[lag:] @ residuals[:-lag]) for lag in lags)
    return FIXED_B * math.sqrt(max(0.0, float(residuals @ residuals) + 2 * covered))


def cosines(residuals: Values) -> float:
    """Project on the slowest cosines."""
    count, terms = len(residuals), 4
    places = np.pi * (np.arange(count) + 0.5) / count
    projected = [math.sqrt(2 / count) * float(residuals @ np.cos(term * places)) for term in range(1, terms + 1)]
    return T[terms] * math.sqrt(count * float(np.mean(np.square(projected))))


def groups(residuals: Values) -> float:
    """Compare the sums of a few segments."""
    sums = np.array([part.sum() for part in np.array_split(residuals, 4)])
    return T[3] * math.sqrt(4 * float(sums.var(ddof=1)))


def studentised(residuals: Values) -> float:
    """Draw whole segments, each time with their own standard error."""
    count, random = len(residuals), np.random.default_rng(3)
    segment = max(segment_length(residuals), count // SEGMENTS)
    drawn = count // segment
    sums = np.convolve(np.concatenate((residuals, residuals[: segment - 1])), np.ones(segment), "valid")
    draws = sums[random.integers(0, count, (DRAWS, drawn))]
    errors = np.sqrt(drawn * draws.var(axis=1, ddof=1))
    error = count / (drawn * segment) * math.sqrt(drawn * float(np.mean(sums**2)) / (1 - 1 / drawn))
    return error * float(np.quantile(np.abs(draws.sum(axis=1)) / np.maximum(errors, TINY), 0.95))


METHODS: dict[str, Method] = {"fixed-b": fixed_b, "cosines": cosines, "four groups": groups, "studentised": studentised}


def main(runs: int) -> None:
    """Print a row for each system."""
    random, names = np.random.default_rng(21), ("ours", *METHODS)
    print(f"{runs} runs of each system; intervals that hold the mean, and their median width\n")
    print(f"| system | {' | '.join(names)} |\n|---|{'--:|' * len(names)}")
    for name, system in COVERED.items():
        true_s = truth(system)["mean"]
        means: list[float] = []
        halves: dict[str, list[float]] = {one: [] for one in names}
        for _ in range(runs):
            (series, *_) = run(system, random).series.values()
            if (own := intervals.of_mean(series)) is None:
                continue
            part, whole = series.times @ ((series.lower_s + series.upper_s) / 2), series.times.sum(axis=1)
            mean_s = float(part.sum() / whole.sum())
            means.append(mean_s)
            halves["ours"].append((own.high - own.low) / 2)
            for label, method in METHODS.items():
                halves[label].append(method(part - mean_s * whole) / float(whole.sum()))
        known = NORMAL * float(np.std(means))
        errors = np.abs(np.array(means) - true_s)
        cells = [f"{np.mean(errors <= halves[one]):.1%}, {np.median(halves[one]) / known:.2f}" for one in names]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
