"""LoadCurve: levels over time and their exact integral, whatever the stages."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from loadtest.profiles.curve import RAMPS, LoadCurve, Stage

levels = st.floats(0, 1e5)
stages = st.lists(st.builds(Stage, st.floats(0.01, 1e5), levels, st.sampled_from(RAMPS)), min_size=1, max_size=5)
curves = st.one_of(stages.map(LoadCurve.of), st.builds(LoadCurve.of, stages, st.floats(0.1, 1e4)))
patient = settings(deadline=None)


def numeric_integral(curve: LoadCurve, until_s: float) -> float:
    """Return the integral by Simpson's rule, segment by segment, which is exact up to the third degree."""
    total = 0.0
    for segment in curve.segments:
        end_s = min(until_s, segment.start_s + segment.duration_s)
        if end_s > segment.start_s:
            share = (end_s - segment.start_s) / segment.duration_s
            low, middle, high = (segment.level_at(x) for x in (0, share / 2, share))
            total += (end_s - segment.start_s) * (low + 4 * middle + high) / 6
    return total


@patient
@given(curves, st.floats(0, 1))
def test_the_integral_is_that_of_the_level(curve: LoadCurve, share: float) -> None:
    """The closed formulas agree with a numerical integral of the level at any time."""
    t_s = share * curve.duration_s
    assert numeric_integral(curve, t_s) == pytest.approx(curve.integral_to(t_s), rel=1e-9, abs=1e-6)


@patient
@given(curves, st.floats(0, 1))
def test_the_inverse_leads_back(curve: LoadCurve, share: float) -> None:
    """The time of an integral has that integral, and the total is never reached after the end."""
    wanted = share * curve.total
    t_s = curve.time_of(wanted)
    assert 0 <= t_s <= curve.duration_s * (1 + 1e-12)
    assert wanted == pytest.approx(curve.integral_to(t_s), rel=1e-6, abs=1e-6 * max(1.0, curve.peak))


@patient
@given(curves)
def test_levels_stay_between_nothing_and_the_peak(curve: LoadCurve) -> None:
    """No ramp overshoots, the integral never falls, and outside the curve there is no load."""
    times = [curve.duration_s * index / 50 for index in range(51)]
    assert all(0 <= curve.level_at(t_s) <= curve.peak * (1 + 1e-12) for t_s in times)
    sums = [curve.integral_to(t_s) for t_s in times]
    assert sorted(sums) == sums
    assert [
        curve.level_at(-1),
        curve.level_at(curve.duration_s),
        curve.integral_to(-1),
        curve.time_of(0),
    ] == [0, 0, 0, 0]
    assert curve.time_of(curve.total * 1.01 + 1) == math.inf


@given(stages)
def test_segments_follow_each_other_without_a_gap(several: list[Stage]) -> None:
    """Each stage begins where its predecessor ended, and the curve is as long as its stages."""
    curve = LoadCurve.of(several)
    ends = [segment.start_s + segment.duration_s for segment in curve.segments]
    assert [segment.start_s for segment in curve.segments] == [0, *ends[:-1]]
    assert sum(stage.duration_s for stage in several) == pytest.approx(curve.duration_s)


@given(levels, levels, st.floats(1, 1e4))
def test_a_step_goes_no_faster_than_it_may(first: float, second: float, steps_per_s: float) -> None:
    """With a limit on steps, the level changes by that much each second, up or down, until it reaches its target."""
    assume(abs(first - second) > 1)
    curve = LoadCurve.of([Stage(1e6, first, "step"), Stage(1e6, second, "step")], steps_per_s)
    half_s = abs(second - first) / steps_per_s / 2
    assert (first + second) / 2 == pytest.approx(curve.level_at(1e6 + half_s), rel=1e-3, abs=1e-3)
    assert second == pytest.approx(curve.level_at(1e6 + 2 * half_s + 1))


def test_a_step_without_time_ends_where_it_got_to() -> None:
    """A stage of one second at 10 per second reaches 10 of 100; the next one continues from there."""
    curve = LoadCurve.of([Stage(1, 100, "step"), Stage(1, 20, "linear")], 10)
    assert [curve.level_at(t_s) for t_s in (0.5, 1.0, 1.5)] == [5, 10, 15]
    curve = LoadCurve.of([Stage(20, 100, "step"), Stage(1, 0, "step"), Stage(1, 90, "linear")], 10)
    assert pytest.approx([curve.level_at(t_s) for t_s in (19.9, 20.5, 21.0, 21.5)]) == [100, 95, 90, 90]
