"""The distributions of keys compared with theory, by a χ² test with a fixed seed."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from loadtest.workload.distributions import Distribution

SEED = 7
DRAWS = 200_000


def drawn(text: str, size: int, count: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """Return how often each key occurs in a number of draws."""
    numbers = Distribution.of(text).numbers(size, np.random.default_rng(seed))
    return np.bincount(list(itertools.islice(numbers, count)), minlength=size)


def is_of(observed: np.ndarray, shares: np.ndarray) -> bool:
    """Whether counts match these shares: χ² is below the value exceeded once in 30,000 times (Wilson-Hilferty)."""
    expected = observed.sum() * shares / shares.sum()
    assert expected.min() >= 5, "too rare for a χ² test"
    freedom = len(shares) - 1
    limit = freedom * (1 - 2 / (9 * freedom) + 4 * math.sqrt(2 / (9 * freedom))) ** 3
    return bool(((observed - expected) ** 2 / expected).sum() < limit)


def of_zipf(exponent: float) -> Callable[[int], np.ndarray]:
    """The shares by rank."""
    return lambda size: np.arange(1, size + 1, dtype=float) ** -exponent


def of_gaussian(deviation: float) -> Callable[[int], np.ndarray]:
    """The part of the normal distribution that is closest to each key."""

    def shares(size: int) -> np.ndarray:
        edges = (np.arange(size + 1) - 0.5 - (size - 1) / 2) / (deviation * size * math.sqrt(2))
        return np.diff([math.erf(edge) for edge in edges])

    return shares


@pytest.mark.parametrize(
    ("text", "size", "shares"),
    [
        ("uniform", 1000, np.ones),
        ("zipf(0.5)", 1000, of_zipf(0.5)),
        ("zipf(0.99)", 1000, of_zipf(0.99)),
        ("zipf(1)", 1000, of_zipf(1.0)),
        ("zipf(1.5)", 100, of_zipf(1.5)),
        ("zipf(4)", 6, of_zipf(4.0)),
        ("gaussian(0.2)", 100, of_gaussian(0.2)),
        ("gaussian(0.4)", 101, of_gaussian(0.4)),
        ("hot_set(0.2, 0.8)", 100, lambda size: np.repeat([0.8 / 20, 0.2 / 80], [20, size - 20])),
        ("hot_set(0.5,0.1)", 3, lambda _: np.array([0.05, 0.05, 0.9])),
    ],
)
def test_each_key_gets_its_share(text: str, size: int, shares: Callable[[int], np.ndarray]) -> None:
    """The χ² test passes, and it would not with the key space shifted by a fifth."""
    observed = drawn(text, size)
    assert is_of(observed, shares(size))
    assert text == "uniform" or not is_of(observed, np.roll(shares(size), max(1, size // 5)))


def test_a_large_key_space_is_drawn_from_to_its_end() -> None:
    """Of a billion Zipf keys, the first and the upper half get their shares, within five standard errors."""
    size, exponent, zeta = 10**9, 0.8, -4.43754
    numbers = Distribution.of(f"zipf({exponent})").numbers(size, np.random.default_rng(SEED))
    sample = np.array(list(itertools.islice(numbers, DRAWS)))
    upper = size ** (1 - exponent) / (1 - exponent)
    whole = upper + zeta  # Euler-Maclaurin: ζ(s) is the constant of the sum of 1 / k^s
    for found, share in (
        (sample == 0, 1 / whole),
        (sample >= size // 2, upper * (1 - 0.5 ** (1 - exponent)) / whole),
    ):
        assert abs(found.mean() - share) < 5 * math.sqrt(share / DRAWS)
    assert sample.max() < size


@pytest.mark.parametrize("exponent", ["0.001", "3.5", "10"])
@pytest.mark.parametrize("size", [1, 2, 10**9])
def test_extreme_exponents_stay_in_the_key_space(exponent: str, size: int) -> None:
    """This includes exponents at which rounding leaves nothing between two keys."""
    numbers = Distribution.of(f"zipf({exponent})").numbers(size, np.random.default_rng(SEED))
    assert {0 <= number < size for number in itertools.islice(numbers, 2_000)} == {True}


def test_sequential_takes_each_key_once_in_a_round() -> None:
    """They are in order, starting from any key."""
    numbers = list(itertools.islice(Distribution.of("sequential").numbers(150, np.random.default_rng(SEED)), 450))
    assert sorted(numbers[:150]) == list(range(150))
    assert {(after - before) % 150 for before, after in itertools.pairwise(numbers)} == {1}


@pytest.mark.parametrize("text", ["uniform", "zipf(1.1)", "gaussian(0.1)", "hot_set(0.1, 0.9)", "sequential"])
def test_the_seed_decides(text: str) -> None:
    """The same seed draws the same keys, another one others; a single key is possible."""
    first, again, other = (
        list(itertools.islice(Distribution.of(text).numbers(10_000, np.random.default_rng(seed)), 200))
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert drawn(text, 1, 100).tolist() == [100]


@pytest.mark.parametrize(
    "text",
    [
        *("", "zip", "zipf", "zipf()", "zipf(0)", "zipf(-1)", "zipf(nan)", "zipf(inf)", "zipf(10.1)", "zipf(1,2)"),
        *("uniform(1)", "uniform()", "gaussian(0)", "gaussian(1.1)", "hot_set(0.2)", "hot_set(0, 0.8)"),
        *("hot_set(0.2, 1)", "hot_set(1, 0.5)", "sequential(1)", "zipf(1))", "zipf(a)"),
    ],
)
def test_what_is_no_distribution_is_refused(text: str) -> None:
    """The name is unknown, or a parameter is unknown or out of range."""
    with pytest.raises(ValueError, match=r"."):
        Distribution.of(text)
