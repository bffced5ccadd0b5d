"""Resampling: standard errors match the scatter of repeated runs."""

import math

import numpy as np
import pytest

from bench.compare.simulation import System, run
from loadtest.estimating import resampling
from loadtest.estimating.blocked_run import BlockedRun
from loadtest.estimating.resampling import Resampling


@pytest.mark.parametrize("segment", [1, 4, 7])
def test_every_draw_is_as_long_as_the_run(segment: int) -> None:
    """Each draw's weights sum to the run's blocks, and every block is as likely as any other."""
    weights = resampling._weights(30, segment, 4_000, np.random.default_rng(1))
    assert np.allclose(30, weights.sum(axis=1), atol=1e-3)
    assert np.allclose(1, weights.mean(axis=0), atol=0.12)


@pytest.mark.parametrize("system", [System(weather=0.0, memory=0.0), System(weather=0.1, memory=0.5)])
def test_errors_are_those_of_making_the_run_again(system: System) -> None:
    """Over 60 runs, the mean of the resampled errors is close to the true scatter of each figure."""
    random = np.random.default_rng(7)
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(60):
        made = run(system, random)
        for figure, estimate in Resampling(made, seed, 300).estimates(next(iter(made.series.values()))).items():
            value = estimate.value if figure == "error_ratio" else math.log(estimate.value)
            found.setdefault(figure, []).append((value, estimate.error))
    ratios = {}
    for figure, pairs in found.items():
        values, errors = np.array(pairs).T
        ratios[figure] = errors.mean() / values.std(ddof=1)
    assert {figure: ratio for figure, ratio in ratios.items() if not 0.65 < ratio < 1.5} == {}


def test_strong_autocorrelation_needs_long_segments() -> None:
    """Independent seconds need short segments, correlated ones long segments."""
    random = np.random.default_rng(3)
    lengths = [
        np.median([resampling.segment_lengths(run(system, random))["p50"] for _ in range(9)])
        for system in (System(seconds=300, weather=0.1, memory=0.0), System(seconds=300, weather=0.1, memory=0.9))
    ]
    assert lengths[0] <= 8
    assert lengths[1] >= 12


def test_a_run_without_blocks_has_no_estimates() -> None:
    """Without measurements there is nothing to estimate."""
    assert resampling.segment_lengths(BlockedRun("none", 1, 0, {})) == {
        "throughput": 1,
        "error_ratio": 1,
        "p50": 1,
        "p95": 1,
        "p99": 1,
    }
