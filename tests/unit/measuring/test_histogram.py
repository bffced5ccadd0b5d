"""The histogram against sorted samples."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.exceptions import RecordError
from loadtest.measuring.histogram import (
    BINS,
    EDGES_NS,
    HIGHEST_NS,
    LOWEST_NS,
    RELATIVE_ERROR,
    Histogram,
    bins_of,
    snapped_bounds_s,
)

QUANTILES = (0.5, 0.9, 0.99, 0.999, 0.9999, 1.0)
RANKS_OF = {0.5: (1, 2), 0.9: (9, 10), 0.99: (99, 100), 0.999: (999, 1000), 0.9999: (9999, 10_000), 1.0: (1, 1)}

in_range_ns = st.integers(LOWEST_NS, HIGHEST_NS)
any_ns = st.integers(0, HIGHEST_NS)


def histogram_of_ns(values_ns: list[int]) -> Histogram:
    """The histogram of whole nanoseconds."""
    return Histogram.of(value / 1e9 for value in values_ns)


def nearest_rank(ordered: list[int], q: float) -> int:
    """The nearest rank in whole numbers, so that rounding has no influence."""
    numerator, denominator = RANKS_OF[q]
    return ordered[-(-numerator * len(ordered) // denominator) - 1]


def distribution(name: str, count: int) -> list[int]:
    """Durations in nanoseconds."""
    source = random.Random(7)
    edge = int(EDGES_NS[700])
    draw = {
        "uniform": lambda: source.uniform(1e-6, 2.0),
        "lognormal": lambda: source.lognormvariate(-6.0, 2.5),
        "bimodal": lambda: source.gauss(0.001, 0.0001) if source.random() < 0.991 else source.gauss(2.5, 0.2),
        "adversarial": lambda: (edge + source.choice((-1, 0, 1, 2))) / 1e9,
        "constant": lambda: 0.00035,
        "two far apart": lambda: source.choice((1e-6, 3600.0)),
    }[name]
    return [min(max(round(draw() * 1e9), LOWEST_NS), HIGHEST_NS) for _ in range(count)]


@pytest.mark.parametrize("name", ["uniform", "lognormal", "bimodal", "adversarial", "constant", "two far apart"])
@pytest.mark.parametrize("count", [1, 2, 999, 1000, 1001, 100_003])
def test_quantiles_are_within_the_stated_error(name: str, count: int) -> None:
    """Every quantile is within 0.79 % of the sample of nearest rank, whatever the distribution."""
    values = distribution(name, count)
    histogram = histogram_of_ns(values)
    values.sort()
    for q in QUANTILES:
        true_s = nearest_rank(values, q) / 1e9
        assert abs(histogram.quantile(q) - true_s) <= RELATIVE_ERROR * true_s + 1e-15, q
    assert histogram.max_s == pytest.approx(values[-1] / 1e9, rel=1e-12)


@given(st.lists(in_range_ns, min_size=1, max_size=300), st.sampled_from(QUANTILES))
def test_any_sample_in_range_keeps_the_error(values: list[int], q: float) -> None:
    """For any durations in range the quantile is within 1 % of the sample of nearest rank."""
    true_s = nearest_rank(sorted(values), q) / 1e9
    assert abs(histogram_of_ns(values).quantile(q) - true_s) <= 0.01 * true_s


@given(st.lists(any_ns, max_size=300))
def test_count_sum_minimum_and_maximum_are_exact(values: list[int]) -> None:
    """Count, sum, minimum and maximum are those of the samples, to the nanosecond."""
    histogram = histogram_of_ns(values)
    assert histogram.count == len(values)
    assert histogram.sum_ns == sum(values)
    assert histogram.below == sum(value < LOWEST_NS for value in values)
    if values:
        assert min(values) / 1e9 == histogram.min_s == histogram.quantile(0.0)
        assert max(values) / 1e9 == histogram.max_s == histogram.quantile(1.0)
        assert sum(values) / len(values) / 1e9 == pytest.approx(histogram.mean_s)


@given(st.lists(any_ns, max_size=60), st.lists(any_ns, max_size=60), st.lists(any_ns, max_size=60))
def test_merge_is_associative_and_commutative(a: list[int], b: list[int], c: list[int]) -> None:
    """However three sets of samples are merged, the result is the histogram of all samples."""
    left, right, turned = histogram_of_ns(a), histogram_of_ns(b), histogram_of_ns(c)
    left.merge(histogram_of_ns(b))
    left.merge(histogram_of_ns(c))
    right.merge(histogram_of_ns(c))
    right_first = histogram_of_ns(a)
    right_first.merge(right)
    turned.merge(histogram_of_ns(b))
    turned.merge(histogram_of_ns(a))
    assert histogram_of_ns(a + b + c) == left == right_first == turned


@given(st.lists(any_ns, max_size=200))
def test_the_binary_form_is_read_back_equal(values: list[int]) -> None:
    """A histogram that is written and read back is equal, including refused durations."""
    histogram = histogram_of_ns(values)
    histogram.add_many(np.array([math.nan, -1.0, 5e3]))
    assert Histogram.from_bytes(histogram.to_bytes()) == histogram


def test_the_binary_form_is_compact() -> None:
    """A typical histogram of a million samples takes well under its 16 KiB in memory."""
    histogram = Histogram()
    histogram.add_many(np.random.default_rng(1).lognormal(-6, 0.5, 1_000_000))
    assert len(histogram.to_bytes()) < 1_500


def test_memory_is_constant() -> None:
    """A million samples take the memory of one."""
    histogram = Histogram.of([0.001])
    before = histogram.counts.nbytes
    histogram.add_many(np.random.default_rng(1).lognormal(-6, 2, 1_000_000))
    assert before == histogram.counts.nbytes == BINS * 8


def test_a_sub_millisecond_median_is_reported() -> None:
    """A median of 0.35 ms is not 0."""
    assert Histogram.of([0.0001, 0.00035, 0.0007]).quantile(0.5) == pytest.approx(0.00035, rel=0.01)


@pytest.mark.parametrize("bad", [-1e-9, -1.0, -math.inf, math.nan])
def test_durations_that_are_none_are_refused_and_counted(bad: float) -> None:
    """A negative duration or NaN is in no bin and not in the sum, but counted as refused."""
    histogram = Histogram.of([0.5, bad, 0.25])
    assert (histogram.count, histogram.refused, histogram.sum_s) == (2, 1, 0.75)
    assert (histogram.min_s, histogram.max_s) == (0.25, 0.5)


@pytest.mark.parametrize("long", [3600.000000001, 4000.0, 1e300, math.inf])
def test_durations_beyond_an_hour_are_clamped_and_counted(long: float) -> None:
    """A duration above an hour counts as an hour, and as above the range."""
    histogram = Histogram.of([long, 3600.0])
    assert (histogram.count, histogram.above, histogram.max_s, histogram.sum_s) == (2, 1, 3600.0, 7200.0)


def test_durations_below_a_microsecond_count_in_the_lowest_bin() -> None:
    """A duration below the range is in the lowest bin, but keeps its value in minimum and sum."""
    histogram = Histogram.of([0.0, 0.4e-6, 1e-6])
    assert (histogram.count, histogram.below) == (3, 2)
    assert histogram.counts[0] == 3
    assert (histogram.min_s, histogram.sum_s) == (0.0, 1.4e-6)


def test_an_empty_histogram_has_no_figures() -> None:
    """Without samples, quantiles, mean, minimum and maximum are NaN, not 0."""
    empty = Histogram()
    for value in (empty.quantile(0.5), empty.mean_s, empty.min_s, empty.max_s):
        assert math.isnan(value)
    assert empty.counts_le([0.1, 1.0]) == [0, 0]
    assert "count=0" in repr(empty)


@pytest.mark.parametrize("q", [-0.01, 1.01, 99.0, math.nan])
def test_a_quantile_out_of_range_is_an_error(q: float) -> None:
    """A quantile outside 0 to 1 is refused, with the allowed range."""
    with pytest.raises(ValueError, match=r"allowed are 0 to 1.*pass 0\.99"):
        Histogram.of([1.0]).quantile(q)


@given(st.lists(in_range_ns, max_size=200))
def test_counts_at_snapped_bounds_are_exact(values: list[int]) -> None:
    """At the exporter's bounds the cumulative counts are the numbers of samples ≤ the bound, exactly."""
    bounds = snapped_bounds_s()
    for bound in bounds:
        values.extend((round(bound * 1e9) - 1, round(bound * 1e9), round(bound * 1e9) + 1))
    expected = [sum(value <= round(bound * 1e9) for value in values) for bound in bounds]
    assert histogram_of_ns(values).counts_le(bounds) == expected


def test_snapped_bounds_are_edges_near_the_log_spaced_ones() -> None:
    """The 36 bounds from 100 µs to 60 s are whole nanoseconds, edges of bins, and within 0.79 % of log spacing."""
    bounds = snapped_bounds_s()
    assert 36 == len(bounds) == len(set(bounds))
    assert np.allclose(bounds, np.geomspace(100e-6, 60.0, 36), rtol=RELATIVE_ERROR)
    nanoseconds = [bound * 1e9 for bound in bounds]
    assert set(map(round, nanoseconds)) <= set(EDGES_NS)


@pytest.mark.parametrize("arguments", [(1, 1e-4, 60.0), (36, 1e-6, 60.0), (36, 1.0, 0.5), (36, 1e-4, 4000.0)])
def test_impossible_bounds_are_an_error(arguments: tuple[int, float, float]) -> None:
    """Bounds that cannot be exact are refused, and the error has the allowed ones."""
    with pytest.raises(ValueError, match="allowed are 2 to 200 bounds"):
        snapped_bounds_s(*arguments)


def test_every_edge_belongs_to_the_bin_below() -> None:
    """A whole-nanosecond edge is the last value of its bin, and the next nanosecond the first of the next."""
    whole = np.array([edge for edge in EDGES_NS[1:-1] if edge == int(edge)], np.int64)
    assert len(whole) > 1_800
    assert (bins_of(whole) + 1 == bins_of(whole + 1)).all()


def test_what_lies_outside_the_range_is_in_the_outermost_bins() -> None:
    """Whole numbers of any size have a bin: the lowest below the range, the highest above it."""
    outside = np.array([-(2**62), -1, 0, 1, 2, LOWEST_NS, LOWEST_NS + 1, HIGHEST_NS, HIGHEST_NS + 1, 2**62])
    assert bins_of(outside).tolist() == [0] * 7 + [BINS - 1] * 3


@given(st.lists(st.floats(0, 4000)), st.lists(st.floats(0, 4000)))
def test_what_is_left_without_a_part_is_the_rest(rest: list[float], part: list[float]) -> None:
    """Counts, sum and bins are exact; extremes are exact, or within the outermost bins."""
    whole = Histogram.of([*rest, *part])
    left, expected = whole.without(Histogram.of(part)), Histogram.of(rest)
    assert (left.count, left.sum_ns, left.below, left.above) == (
        expected.count, expected.sum_ns, expected.below, expected.above,
    )  # fmt: skip
    assert (left.counts == expected.counts).all()
    if rest:
        assert left.min_s <= expected.min_s <= expected.max_s <= left.max_s
        assert left.quantile(0.5) == pytest.approx(expected.quantile(0.5), rel=0.016, abs=2e-6)


def damaged(data: bytes, at: int) -> bytes:
    """The data with one byte changed."""
    return data[:at] + bytes((data[at] ^ 0x55,)) + data[at + 1 :]


def test_a_damaged_binary_form_is_an_error() -> None:
    """Whichever byte is changed, reading fails instead of returning wrong numbers."""
    data = Histogram.of([0.001, 0.002, 0.5]).to_bytes()
    for at in range(len(data)):
        with pytest.raises(RecordError):
            Histogram.from_bytes(damaged(data, at))
    for end in range(len(data)):
        with pytest.raises(RecordError):
            Histogram.from_bytes(data[:end])


def test_a_newer_binary_form_is_an_error() -> None:
    """A histogram of a newer version is refused with both versions."""
    data = bytearray(Histogram.of([1.0]).to_bytes())
    data[2] = 9
    with pytest.raises(RecordError, match="version 9, this program reads up to 1; update"):
        Histogram.from_bytes(bytes(data))
