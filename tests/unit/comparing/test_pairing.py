"""Pairing: outcomes of pairs, and the common part of their two times."""

import math

import numpy as np
import pytest

from bench.compare import simulation
from bench.compare.simulation import System
from loadtest.comparing.pairing import Outcomes
from loadtest.estimating.blocked_run import ALL, BlockedRun
from loadtest.estimating.resampling import PAIRS, Resampling, pair_segment


@pytest.mark.parametrize(
    ("base_failed", "new_failed", "chance"),
    [(0, 0, 1.0), (1, 1, 1.0), (0, 10, 2 / 1024), (10, 0, 2 / 1024), (3, 9, 0.1460), (950, 1050, 0.0269)],
)
def test_the_chance_of_discordant_pairs_is_that_of_mcnemar(base_failed: int, new_failed: int, chance: float) -> None:
    """It is exact for few pairs, and uses the normal distribution for many."""
    assert Outcomes(base_failed=base_failed, new_failed=new_failed).chance == pytest.approx(chance, rel=0.01)


@pytest.mark.parametrize(
    ("outcomes", "correlation"),
    [
        (Outcomes(100, 0, 0, 0), 0.0),
        (Outcomes(90, 0, 10, 0), 0.0),
        (Outcomes(80, 0, 0, 20), (80 * 20 - 50) / (80 * 20)),
        (Outcomes(0, 50, 50, 0), -1.0),
        (Outcomes(81, 9, 9, 1), 0.0),
    ],
)
def test_what_two_sides_share_of_their_failures(outcomes: Outcomes, correlation: float) -> None:
    """It is zero if a side never failed, or they fail independently, and nearly one if they only fail together."""
    assert outcomes.correlation == pytest.approx(correlation)


def test_the_outcomes_are_described_in_a_sentence() -> None:
    """It has the probability if only one side failed."""
    assert Outcomes(10, 0, 2, 0, 4).sentence() == (
        "12 pairs of requests: both failed in 0, only the base in 0, only the new one in 2 (probability of this, if "
        "both fail equally often: 0.5); 4 requests had no counterpart"
    )


def test_what_two_times_share_is_that_of_the_machine() -> None:
    """The machine's part of the variance of a time is 0.3^2 of 0.3^2 + 0.2^2."""
    system = System(names=2, requests_per_s=100, spread=0.2, weather=0.3, memory=0.0)
    base, new, pairing = simulation.duet(system, np.random.default_rng(4), {})
    assert pairing.correlation(base, new) == pytest.approx(0.69, abs=0.1)


def test_the_typical_ratio_and_its_error_are_those_of_making_the_duet_again() -> None:
    """60 duets have a second side that is 3 % slower, under noise of a quarter that both share."""
    system = System(names=1, requests_per_s=50, spread=0.2, weather=0.25, memory=0.7)
    random, values, errors = np.random.default_rng(5), [], []
    for seed in range(60):
        ratios = simulation.duet(system, random, {0: 1.03})[2].ratios
        resampling = Resampling(ratios, seed, 300, segments={PAIRS: pair_segment(ratios)})
        estimate = resampling.pairs(next(iter(ratios.series.values())))
        values.append(math.log(estimate.value))
        errors.append(estimate.error)
    assert np.mean(values) == pytest.approx(math.log(1.03), abs=0.002)
    assert 0.75 < np.mean(errors) / np.std(values, ddof=1) < 1.3


def test_crowded_seconds_count_less() -> None:
    """If the two times differ five times as much in every fourth second, the error is close to that of the others."""
    random = np.random.default_rng(6)
    second = np.repeat(np.arange(60), 100)
    errors: dict[float, list[float]] = {1.0: [], 5.0: []}
    for _ in range(10):
        noise = random.normal(0, 0.2, len(second))
        for times, found in errors.items():
            logarithms = 0.03 + np.where(second % 4 == 0, times * noise, noise)
            series = simulation.blocked_series(60, second, np.exp(logarithms), np.zeros(len(second), np.bool_))
            ratios = BlockedRun("pairs", 1, 60, {ALL: series})
            estimate = Resampling(ratios, 1, 200, segments={PAIRS: pair_segment(ratios)}).pairs(series)
            assert math.log(estimate.value) == pytest.approx(0.03, abs=5 * estimate.error)
            found.append(estimate.error)
    assert np.mean(errors[5.0]) < 1.35 * np.mean(errors[1.0])


def test_segments_in_which_only_one_side_was_slow_do_not_count() -> None:
    """In 9 of 60 seconds, three segments, the new side took a quarter longer: a mean would be 4 % too high."""
    random, second = np.random.default_rng(7), np.repeat(np.arange(60), 200)
    slow = np.isin(second // 3, (4, 9, 15))
    values, errors = [], []
    for seed in range(20):
        ratios = np.exp(random.normal(0.03, 0.28, len(second)) + 0.25 * slow)
        series = simulation.blocked_series(60, second, ratios, np.zeros(len(second), np.bool_))
        run = BlockedRun("pairs", 1, 60, {ALL: series})
        estimate = Resampling(run, seed, 200, segments={PAIRS: pair_segment(run)}).pairs(series)
        values.append(math.log(estimate.value))
        errors.append(estimate.error)
    assert np.mean(values) == pytest.approx(0.03, abs=0.003)
    assert 0.75 < np.mean(errors) / np.std(values, ddof=1) < 1.6
    assert np.mean(errors) < 1.4 * 0.28 / math.sqrt(len(second))


def test_few_pairs_a_second_are_typical_too() -> None:
    """With a pair every second second, empty seconds do not count, and a stalled one is an outlier."""
    random, second = np.random.default_rng(8), np.arange(0, 60, 2)
    values = []
    for _ in range(40):
        logarithms = random.normal(0.03, 0.05, len(second))
        logarithms[5] = 3.0
        series = simulation.blocked_series(60, second, np.exp(logarithms), np.zeros(len(second), np.bool_))
        run = BlockedRun("pairs", 1, 60, {ALL: series})
        values.append(math.log(Resampling(run, 1, 20, segments={PAIRS: pair_segment(run)}).pairs(series).value))
    assert np.mean(values) == pytest.approx(0.03, abs=3 * 0.05 / math.sqrt(40 * 29) + 0.002)
