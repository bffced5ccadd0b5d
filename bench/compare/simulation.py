"""Simulated runs of known distribution: several names, requests that share each second's fate, rare failures."""

from dataclasses import dataclass

import numpy as np

from loadtest.comparing.blocked_run import BlockedRun, BlockedSeries, Name
from loadtest.measuring.histogram import EDGES_NS, bins_of


@dataclass(frozen=True)
class System:
    """What the runs are made of."""

    seconds: int = 60
    names: int = 8
    requests_per_s: float = 25.0
    median_s: float = 0.020
    spread: float = 0.4
    """Of the logarithm of one request's time."""
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


def run(
    system: System,
    random: np.random.Generator,
    factors: dict[int, float] | None = None,
    weather: np.ndarray | None = None,
) -> BlockedRun:
    """Return one run; ``factors`` slows some names, by their number. Runs at the same time share their weather."""
    weather = weather_of(system, random) if weather is None else weather
    series = {}
    for number in range(system.names):
        # A closed model: slower answers, fewer requests.
        rate = system.requests_per_s * np.exp(-0.3 * weather)
        requests = random.poisson(rate)
        median_s = system.median_s * (1 + number / 4) * (factors or {}).get(number, 1.0)
        second = np.repeat(np.arange(system.seconds), requests)
        times_s = median_s * np.exp(random.normal(0, system.spread, len(second)) + weather[second])
        failed = random.random(len(second)) < system.failing * np.exp(3 * weather[second])
        series[Name("simulated", "GET", f"name {number}")] = _series(system.seconds, second, times_s, failed)
    return BlockedRun("simulated", 1, system.seconds, series)


def _series(seconds: int, second: np.ndarray, times_s: np.ndarray, failed: np.ndarray) -> BlockedSeries:
    bins, column = np.unique(bins_of(np.rint(times_s * 1e9).astype(np.int64)), return_inverse=True)
    times = np.zeros((seconds, len(bins)))
    np.add.at(times, (second, column), 1)
    failures = np.bincount(second, weights=failed, minlength=seconds)
    return BlockedSeries(times.sum(axis=1), failures, times, EDGES_NS[bins] / 1e9, EDGES_NS[bins + 1] / 1e9)
