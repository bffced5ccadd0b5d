"""Intervals: each contains the true figure as often as it claims."""

import math
from collections import Counter

import numpy as np
import pytest

from bench.compare.simulation import System, blocked_series, intervals_of, run, truth
from loadtest.estimating import intervals
from loadtest.estimating.intervals import student_t


@pytest.mark.parametrize(
    ("system", "least"),
    [
        (System(names=1, weather=0.0, memory=0.0), 0.93),
        (System(names=1, weather=0.1, memory=0.7), 0.92),
        (System(names=1, seconds=20, weather=0.1, memory=0.7), 0.90),
        (System(names=1, seconds=300, weather=0.1, memory=0.7), 0.92),
    ],
)
def test_intervals_hold_the_figure_of_the_system(system: System, least: float) -> None:
    """Of 200 runs about 95 % contain it, also with requests of a second correlated, and each second with the last."""
    random, held, known, true = np.random.default_rng(11), Counter[str](), Counter[str](), truth(system)
    for _ in range(200):
        (series, *_) = run(system, random).series.values()
        for figure, interval in intervals_of(series).items():
            if interval is not None:
                known[figure] += 1
                held[figure] += interval.low <= true[figure] <= interval.high
    assert min(known.values()) > 180
    assert {figure: held[figure] / known[figure] for figure in true if held[figure] < least * known[figure]} == {}


def test_the_interval_of_independent_requests_is_little_wider_than_theory_says() -> None:
    """It is compared with that of a median of known distribution, over 20 runs; its error comes from eight segments."""
    random, ratios = np.random.default_rng(1), []
    for _ in range(20):
        (series, *_) = run(System(names=1, weather=0.0, memory=0.0), random).series.values()
        interval = intervals.of_quantile(series, 0.5)
        if interval is not None:
            theory = 2 * 1.96 * math.sqrt(math.pi / 2) * 0.4 / math.sqrt(series.requests.sum())
            ratios.append(math.log(interval.high / interval.low) / theory)
    assert 1.0 < np.median(ratios) < 1.6


def test_correlation_beyond_the_ends_of_segments_is_added() -> None:
    """600 series of a minute have an autocorrelation of 0.7; 95 % contain the rate, by the segments alone only 89 %."""
    random, held = np.random.default_rng(12), []
    for _ in range(600):
        series = [random.normal()]
        for _ in range(59):
            series.append(0.7 * series[-1] + math.sqrt(1 - 0.7**2) * random.normal())
        interval = intervals.of_rate(1_000 + 100 * np.array(series), 1)
        if interval is not None:
            held.append(interval.low <= 1_000 <= interval.high)
    assert len(held) > 570
    assert sum(held) / len(held) > 0.93


def test_the_slowest_of_few_requests_is_no_upper_end() -> None:
    """All of 300 requests may be faster than the 99th percentile: 0.99 ** 300 is more than 2.5 %; 700 hardly can."""
    for count, is_known in ((300, False), (700, True)):
        second = np.repeat(np.arange(40), count // 40 + 1)[:count]
        times_s = np.random.default_rng(2).lognormal(-4, 0.3, count)
        series = blocked_series(40, second, times_s, np.zeros(count, np.bool_))
        interval = intervals.of_quantile(series, 0.99)
        assert interval is not None
        assert math.isfinite(interval.high) is is_known


def test_a_burst_makes_the_interval_wider() -> None:
    """The same number of slow requests says less about the 95th percentile within one second than spread over all."""
    second = np.repeat(np.arange(60), 50)
    spread_out, burst = (np.full(len(second), 0.01) * np.linspace(0.9, 1.1, len(second)) for _ in range(2))
    spread_out[::20] = 1.0
    burst[(second >= 20) & (second < 23)] = 1.0
    widths = []
    for times_s in (spread_out, burst):
        series = blocked_series(60, second, times_s, np.zeros(len(second), np.bool_))
        interval = intervals.of_share(series.times[:, -1:].sum(axis=1), series.requests)
        assert interval is not None
        widths.append(interval.high - interval.low)
    assert widths[1] > 3 * widths[0]


@pytest.mark.parametrize("seconds", [0, 1, 5])
def test_a_run_of_few_segments_has_no_interval(seconds: int) -> None:
    """Neither has one without requests."""
    second = np.repeat(np.arange(seconds), 100)
    series = blocked_series(seconds, second, np.full(len(second), 0.01), np.zeros(len(second), np.bool_))
    assert set(intervals_of(series).values()) == {None}


def test_no_failure_is_a_share_with_an_upper_end() -> None:
    """The upper end is Wilson's for this number of requests: 3.8 in 1,000."""
    interval = intervals.of_share(np.zeros(50), np.full(50, 20.0))
    assert interval is not None
    assert (interval.low, pytest.approx(interval.high, rel=0.05)) == (0.0, 0.0038)


@pytest.mark.parametrize(("level", "degrees", "exact"), [(0.975, 10, 2.228), (0.999, 5, 5.893), (0.9995, 30, 3.646)])
def test_students_t_is_that_of_the_tables(level: float, degrees: int, exact: float) -> None:
    """Values are within 1 % of the tables."""
    assert student_t(level, degrees) == pytest.approx(exact, rel=0.01)
