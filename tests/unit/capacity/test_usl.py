"""The fit of the Universal Scalability Law."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.capacity.usl import UslFit, fit_usl

LOADS = [1, 2, 4, 8, 16, 32, 64]


@given(st.floats(1, 1e5), st.floats(0, 0.9), st.floats(0, 0.05))
def test_exact_points_give_their_coefficients(gamma: float, contention: float, coherency: float) -> None:
    """Points on the law give its three coefficients back."""
    law = UslFit(gamma, contention, coherency, 1.0)
    fit = fit_usl(LOADS, [law.throughput_at(load) for load in LOADS])
    assert gamma == pytest.approx(fit.gamma_per_s, rel=1e-6)
    assert contention == pytest.approx(fit.contention, abs=1e-6)
    assert coherency == pytest.approx(fit.coherency, abs=1e-7)
    assert fit.r_squared > 0.999


def test_noisy_points_give_about_their_coefficients() -> None:
    """With 2 % noise on the throughput, the coefficients are within a few per cent."""
    random, law = np.random.default_rng(1), UslFit(1000, 0.05, 0.001, 1.0)
    loads = np.repeat(LOADS, 20)
    fit = fit_usl(loads, [law.throughput_at(load) * random.normal(1, 0.02) for load in loads])
    assert (pytest.approx(fit.contention, rel=0.1), pytest.approx(fit.coherency, rel=0.1)) == (0.05, 0.001)


def test_the_peak_is_where_more_load_yields_less() -> None:
    """The highest throughput is at sqrt((1 - alpha)/beta); a little less and a little more load both yield less."""
    law = UslFit(100, 0.02, 0.0004, 1.0)
    assert math.sqrt(0.98 / 0.0004) == pytest.approx(law.peak_load)
    assert law.throughput_at(law.peak_load - 2) < law.peak_per_s > law.throughput_at(law.peak_load + 2)


def test_without_coherency_there_is_a_ceiling() -> None:
    """With contention only, the ceiling is gamma/alpha; without either coefficient there is none."""
    assert (UslFit(100, 0.05, 0, 1).peak_per_s, UslFit(100, 0, 0, 1).peak_per_s) == (2000, math.inf)


def test_coefficients_are_never_negative() -> None:
    """Points that scale better than linearly give coefficients of 0, not negative ones."""
    fit = fit_usl([1, 2, 4, 8], [100, 210, 450, 1000])
    assert (fit.contention, fit.coherency) == (0, 0)


@pytest.mark.parametrize(
    ("loads", "throughputs"),
    [([1, 2, 3], [10, 20, 30]), ([4, 4, 4, 4], [10, 20, 30, 40]), ([1, 2, 3, math.nan], [1, 2, 3, 4]), ([], [])],
)
def test_too_little_gives_no_fit(loads: list[float], throughputs: list[float]) -> None:
    """Fewer than four usable points, or one load only, give no fit."""
    assert fit_usl(loads, throughputs) is None
