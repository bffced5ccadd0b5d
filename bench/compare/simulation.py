"""Simulated runs of known distribution: several names, a factor that the requests of a second share, rare failures."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from loadtest.comparing.pairing import Outcomes, Pairing
from loadtest.estimating import intervals
from loadtest.estimating.blocked_run import BlockedRun, BlockedSeries, Name
from loadtest.estimating.intervals import Interval
from loadtest.measuring.histogram import EDGES_NS, bins_of


@dataclass(frozen=True)
class System:
    """The properties of simulated runs."""

    seconds: int = 60
    names: int = 8
    requests_per_s: float = 25.0
    median_s: float = 0.020
    spread: float = 0.4
    """Standard deviation of the logarithm of one request's time."""
    weather: float = 0.10
    """Standard deviation, in logarithms, of the factor that all requests of a second share."""
    memory: float = 0.7
    """Autocorrelation of that factor from one second to the next."""
    failing: float = 0.01


def weather_of(system: System, random: np.random.Generator) -> np.ndarray:
    """Return the factor that all requests of a second share, in logarithms."""
    weather = np.zeros(system.seconds)
    state = random.normal(0, system.weather)
    for second in range(system.seconds):
        weather[second] = state
        fresh = system.weather * np.sqrt(1 - system.memory**2)
        state = system.memory * state + random.normal(0, fresh)
    return weather


def run(system: System, random: np.random.Generator, factors: dict[int, float] | None = None) -> BlockedRun:
    """Return one run; ``factors`` slows some names, by their number."""
    weather = weather_of(system, random)
    series = {}
    for number in range(system.names):
        second = _arrivals(system, random, weather)
        answers = _answers(system, random, number, weather[second], ((factors or {}).get(number, 1.0), 0.0))
        series[_name(number)] = blocked_series(system.seconds, second, *answers)
    return BlockedRun("simulated", 1, system.seconds, series)


def duet(
    system: System, random: np.random.Generator, factors: dict[int, float], above: float = 0.0
) -> tuple[BlockedRun, BlockedRun, Pairing]:
    """Return the two sides of a duet, which share arrivals and weather, and its pairs.

    ``factors`` slows the second side: its requests above a quantile of their spread.
    """
    weather = weather_of(system, random)
    base, new, ratios, outcomes = {}, {}, {}, {}
    for number in range(system.names):
        second, name = _arrivals(system, random, weather), _name(number)
        (base_s, base_failed), (new_s, new_failed) = (
            _answers(system, random, number, weather[second], (factor, above))
            for factor in (1.0, factors.get(number, 1.0))
        )
        base[name] = blocked_series(system.seconds, second, base_s, base_failed)
        new[name] = blocked_series(system.seconds, second, new_s, new_failed)
        both = ~(base_failed | new_failed)
        ratios[name] = blocked_series(
            system.seconds, second[both], (new_s / base_s)[both], np.zeros(both.sum(), np.bool_)
        )
        only_base, only_new = (base_failed & ~new_failed).sum(), (new_failed & ~base_failed).sum()
        both_failed = (base_failed & new_failed).sum()
        outcomes[name] = Outcomes(*map(int, (both.sum(), only_base, only_new, both_failed)))
    runs = (BlockedRun("simulated", 1, system.seconds, series) for series in (base, new, ratios))
    return next(runs), next(runs), Pairing(next(runs), outcomes)


def _name(number: int) -> Name:
    return Name("simulated", "GET", f"name {number}")


def _arrivals(system: System, random: np.random.Generator, weather: np.ndarray) -> np.ndarray:
    """Return the second of each request. A closed model: slower responses, fewer requests."""
    return np.repeat(np.arange(system.seconds), random.poisson(system.requests_per_s * np.exp(-0.3 * weather)))


def _answers(
    system: System,
    random: np.random.Generator,
    number: int,
    weather: np.ndarray,
    slowed: tuple[float, float] = (1.0, 0.0),
) -> tuple[np.ndarray, np.ndarray]:
    """Return the time of each request in seconds, and whether it failed.

    ``slowed`` is the factor of the slow-down, and the quantile above which requests are slower.
    """
    factor, above = slowed
    spread = random.normal(0, system.spread, len(weather))
    is_slowed = spread >= (system.spread * NormalDist().inv_cdf(above) if above else -np.inf)
    median_s = system.median_s * (1 + number / 4) * np.where(is_slowed, factor, 1.0)
    times_s = median_s * np.exp(spread + weather)
    return times_s, random.random(len(weather)) < system.failing * np.exp(3 * weather)


def blocked_series(seconds: int, second: np.ndarray, times_s: np.ndarray, failed: np.ndarray) -> BlockedSeries:
    """Return the blocks, a second each, of requests that began in these seconds."""
    bins, column = np.unique(bins_of(np.rint(times_s * 1e9).astype(np.int64)), return_inverse=True)
    times = np.zeros((seconds, len(bins)))
    np.add.at(times, (second, column), 1)
    failures = np.bincount(second, weights=failed, minlength=seconds)
    return BlockedSeries(times.sum(axis=1), failures, times, EDGES_NS[bins] / 1e9, EDGES_NS[bins + 1] / 1e9)


def truth(system: System) -> dict[str, float]:
    """Return the figures of a system's first name in an infinite run.

    Slow seconds have fewer requests, so that among requests the logarithm of the shared factor is slightly below zero
    on average; a lognormal distribution remains lognormal.
    """
    variance = system.weather**2
    shift, of_time = -0.3 * variance, NormalDist(0.0, math.hypot(system.spread, system.weather))
    return {
        "mean": system.median_s * math.exp(shift + of_time.variance / 2),
        "error_ratio": system.failing * math.exp(3 * shift + 4.5 * variance),
        "requests_per_s": system.requests_per_s * math.exp(0.3**2 * variance / 2),
        **{f"p{100 * q:g}": system.median_s * math.exp(shift + of_time.inv_cdf(q)) for q in (0.5, 0.95, 0.99)},
    }


def intervals_of(series: BlockedSeries) -> dict[str, Interval | None]:
    """Return the intervals of the figures of `truth`, of a series whose blocks are seconds."""
    return {
        "mean": intervals.of_mean(series),
        "error_ratio": intervals.of_share(series.failures, series.requests),
        "requests_per_s": intervals.of_rate(series.requests, 1),
        **{f"p{100 * q:g}": intervals.of_quantile(series, q) for q in (0.5, 0.95, 0.99)},
    }
