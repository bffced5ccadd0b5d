"""The policies of a feed."""

import math
from collections import Counter

import pytest

from loadtest.exceptions import UsageError
from loadtest.feeding.policies import Order

ITEMS = [f"item-{number}" for number in range(7)]


def test_round_robin_begins_again_after_the_last_item() -> None:
    """However many are taken at a time, the order is that of the source, repeated."""
    order = Order(ITEMS, "round_robin")
    taken = [item for count in (3, 10, 1, 0, 7) for item in order.take(count)]
    assert taken == ITEMS * 3
    assert order.left == math.inf


def test_unique_then_stop_ends_after_the_last_item() -> None:
    """Each item comes once; then there is none."""
    order = Order(ITEMS, "unique_then_stop")
    assert (order.take(5), order.left) == (ITEMS[:5], 2)
    assert (order.take(5), order.take(5), order.left) == (ITEMS[5:], [], 0)


def test_random_draws_all_alike_and_the_same_in_every_run() -> None:
    """Of 70,000 draws each of 7 items gets a seventh within 3 %, and a second run draws the same."""
    drawn = Order(ITEMS, "random").take(70_000)
    assert Order(ITEMS, "random").take(70_000) == drawn
    assert all(9_700 < count < 10_300 for count in Counter(drawn).values())
    assert set(drawn) == set(ITEMS)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.5])
def test_zipf_draws_by_rank(exponent: float) -> None:
    """The share of the k-th item is proportional to 1 / k^s."""
    drawn = Counter(Order(ITEMS, f"zipf({exponent})").take(100_000))
    weights = [rank**-exponent for rank in range(1, len(ITEMS) + 1)]
    for item, weight in zip(ITEMS, weights, strict=True):
        share = weight / sum(weights)
        assert abs(drawn[item] / 100_000 - share) < 5 * math.sqrt(share / 100_000)


@pytest.mark.parametrize("policy", ["", "robin", "zipf", "zipf()", "zipf(0)", "zipf(11)", "zipf(-1)", "zipf(nan)"])
def test_an_unknown_policy_is_refused(policy: str) -> None:
    """The error lists the policies."""
    with pytest.raises(UsageError, match=r"round_robin, random, unique_then_stop, zipf\(s\)"):
        Order(ITEMS, policy)
