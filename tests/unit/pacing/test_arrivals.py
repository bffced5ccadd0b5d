"""The arrivals of a swarm: even and Poisson, over any curve, shared without gap or overlap."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.pacing.arrivals import CELL, EVERYTHING, Arrivals, Share
from loadtest.profiles.curve import LoadCurve, Stage

PATIENT = settings(deadline=None, max_examples=40)
CURVES = st.lists(
    st.builds(
        Stage,
        st.floats(0.1, 20),
        st.floats(0, 300).map(lambda rate: round(rate, 3)),
        st.sampled_from(["step", "linear", "smooth"]),
    ),
    min_size=1,
    max_size=4,
).map(LoadCurve.of)
SPACINGS = st.sampled_from(["even", "poisson"])


def all_times(arrivals: Arrivals, from_s: float = 0.0, until_s: float = math.inf, share: Share = EVERYTHING):
    """Return the intended starts as one array."""
    return np.concatenate([np.zeros(0), *arrivals.between(from_s, until_s, share)])


@PATIENT
@given(CURVES)
def test_even_arrivals_follow_the_integral(curve: LoadCurve) -> None:
    """Arrival k is where the integral of the rate reaches k + 1/2, so that no count is off by more than a half."""
    times = all_times(Arrivals(curve))
    assert abs(len(times) - curve.total) <= 0.5 + 1e-6
    reached = np.array([curve.integral_to(time) for time in times])
    assert np.allclose(reached, np.arange(len(times)) + 0.5, rtol=1e-9, atol=1e-6)


@PATIENT
@given(CURVES)
def test_arrivals_are_where_the_curve_says(curve: LoadCurve) -> None:
    """The inverse for many values at once agrees with the curve's own inverse, except where a curve is nearly 0.

    There the time of an arrival is undetermined: a microsecond adds less to the integral than a float can represent.
    """
    times = all_times(Arrivals(curve))
    expected = np.array([curve.time_of(number + 0.5) for number in range(len(times))])
    rises = np.array([curve.level_at(time) > 1e-3 for time in expected], bool)
    assert np.allclose(expected[rises], times[rises], rtol=0, atol=1e-6)


@PATIENT
@given(CURVES, SPACINGS, st.integers(1, 9))
def test_shares_are_disjoint_and_complete(curve: LoadCurve, spacing: str, workers: int) -> None:
    """The shares of n workers together are the whole, with each arrival once."""
    arrivals = Arrivals(curve, spacing, 7)
    parts = np.concatenate([all_times(arrivals, share=Share(rest, workers)) for rest in range(workers)])
    assert np.array_equal(all_times(arrivals), np.sort(parts))


@PATIENT
@given(SPACINGS, st.integers(1, 5), st.integers(1, 5))
def test_a_split_share_is_the_share(spacing: str, workers: int, heirs: int) -> None:
    """The parts of a split share add up to it."""
    arrivals = Arrivals(LoadCurve.of([Stage(20, 300, "step")]), spacing, 3)
    share = Share(workers - 1, workers)
    parts = np.concatenate([all_times(arrivals, share=share.split(part, heirs)) for part in range(heirs)])
    assert np.array_equal(all_times(arrivals, share=share), np.sort(parts))


@PATIENT
@given(CURVES, SPACINGS, st.floats(0, 100), st.floats(0, 100))
def test_a_window_is_a_part_of_the_whole(curve: LoadCurve, spacing: str, one_s: float, other_s: float) -> None:
    """The arrivals between two instants are the same when computed without those before."""
    from_s, until_s = sorted((one_s, other_s))
    arrivals = Arrivals(curve, spacing, 11)
    whole = all_times(arrivals)
    assert np.array_equal(whole[(whole >= from_s) & (whole < until_s)], all_times(arrivals, from_s, until_s))


@PATIENT
@given(CURVES, SPACINGS)
def test_arrivals_ascend_and_stay_inside(curve: LoadCurve, spacing: str) -> None:
    """Intended starts ascend, from 0 to the curve's end."""
    times = all_times(Arrivals(curve, spacing, 5))
    assert np.all(np.diff(times) >= 0)
    assert np.all((times >= 0) & (times <= curve.duration_s + 1e-9))


def test_poisson_gaps_are_exponential() -> None:
    """At a constant rate the gaps have the exponential distribution's mean, deviation and quantiles."""
    gaps = np.diff(all_times(Arrivals(LoadCurve.of([Stage(500, 400, "step")]), "poisson", 1)))
    assert len(gaps) == pytest.approx(200_000, rel=0.01)
    assert gaps.mean() == pytest.approx(1 / 400, rel=0.01)
    assert gaps.std() == pytest.approx(1 / 400, rel=0.02)
    for quantile in (0.1, 0.5, 0.9, 0.99):
        assert np.quantile(gaps, quantile) == pytest.approx(-math.log(1 - quantile) / 400, rel=0.03)


def test_poisson_counts_vary_as_they_should() -> None:
    """Counts per second have equal mean and variance, even across the borders of cells, and are independent."""
    counts = np.bincount(all_times(Arrivals(LoadCurve.of([Stage(2000, 100, "step")]), "poisson", 2)).astype(int))
    assert counts.sum() > CELL
    assert counts.mean() == pytest.approx(100, rel=0.02)
    assert counts.var() == pytest.approx(100, rel=0.12)
    assert abs(np.corrcoef(counts[1:], counts[:-1])[0, 1]) < 0.08


def test_poisson_counts_of_a_cell_vary_as_they_should() -> None:
    """The number of arrivals in a whole cell has the variance of a Poisson distribution over the seeds."""
    curve = LoadCurve.of([Stage(1, CELL, "step")])
    counts = np.array([len(all_times(Arrivals(curve, "poisson", seed))) for seed in range(300)])
    assert counts.mean() == pytest.approx(CELL, rel=0.005)
    assert counts.var() == pytest.approx(CELL, rel=0.25)


def test_poisson_follows_a_ramp() -> None:
    """On a ramp from 0, the fraction of arrivals until t grows with the square of t."""
    times = all_times(Arrivals(LoadCurve.of([Stage(100, 2000, "linear")]), "poisson", 4))
    assert len(times) == pytest.approx(100_000, rel=0.02)
    for part in (0.25, 0.5, 0.75):
        assert np.mean(times < 100 * part) == pytest.approx(part**2, abs=0.01)


def test_the_seed_decides() -> None:
    """The same seed gives the same arrivals, another seed gives others."""
    curve = LoadCurve.of([Stage(10, 50, "step")])
    assert np.array_equal(all_times(Arrivals(curve, "poisson", 1)), all_times(Arrivals(curve, "poisson", 1)))
    assert not np.array_equal(all_times(Arrivals(curve, "poisson", 1)), all_times(Arrivals(curve, "poisson", 2)))


@PATIENT
@given(CURVES, SPACINGS)
def test_arrivals_survive_the_wire(curve: LoadCurve, spacing: str) -> None:
    """A message transports the same arrivals."""
    arrivals = Arrivals(curve, spacing, 9)
    assert Arrivals.from_wire(arrivals.to_wire()) == arrivals


STARTS = np.array([0.0, 1e-6, 0.5, 2.75, *np.linspace(3, 4, 10_000)])


def test_known_starts_are_taken_as_they_are() -> None:
    """They can be shared over workers, cut at any instant, and sent in a message; each is found again by its time."""
    curve = LoadCurve.of([Stage(5.0, len(STARTS) / 5, "step")])
    arrivals = Arrivals.from_wire(Arrivals(curve, starts=STARTS.tobytes()).to_wire())
    origin_s = 1e6
    parts = [
        np.concatenate([np.zeros(0), *arrivals.between(from_s, until_s, Share(rest, 3), origin_s)])
        for rest in range(3)
        for from_s, until_s in [(0.0, origin_s + 0.5), (origin_s + 0.5, origin_s + 3.3), (origin_s + 3.3, math.inf)]
    ]
    assert np.array_equal(np.sort(np.concatenate(parts)), STARTS + origin_s)
    assert [arrivals.number_at(time) for time in STARTS + 4e-7] == list(range(len(STARTS)))
    assert [arrivals.number_at(time) for time in STARTS - 4e-7] == list(range(len(STARTS)))


def test_a_single_known_start_is_found() -> None:
    """It is found at any time."""
    arrivals = Arrivals(LoadCurve.of([Stage(1.0, 1.0, "step")]), starts=np.zeros(1).tobytes())
    assert [arrivals.number_at(t_s) for t_s in (-1.0, 0.0, 1.0)] == [0, 0, 0]
