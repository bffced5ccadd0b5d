"""The capacity search, on simulated systems, without a swarm or a clock."""

import math
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.capacity.simulation import limit_of, system
from loadtest.capacity import capacity_run
from loadtest.capacity.search import GROWTH, Belief, Capacity, End, Plan, StepResult, find_capacity
from loadtest.judging.outcome import Outcome

LONG = Plan(steps=40)
"""Enough steps to become precise."""


@settings(deadline=None, max_examples=40)
@given(st.floats(1, 50_000), st.integers(0, 2**32))
def test_a_sharp_limit_is_found(limit_per_s: float, seed: int) -> None:
    """Any limit is found within 5 %, inside the interval, in at most 35 steps."""
    found = find_capacity(system(limit_per_s, seed=seed), LONG)
    assert found.end is End.PRECISE
    assert abs(found.rate_per_s / limit_per_s - 1) < 0.05
    assert found.low_per_s <= limit_per_s <= found.high_per_s
    assert len(found.steps) <= 35


@pytest.mark.parametrize(("width", "disturbed"), [(0.01, 0.0), (0.01, 0.05), (0.03, 0.05)])
def test_an_uncertain_limit_is_found_almost_always(width: float, disturbed: float) -> None:
    """With a transition region and disturbed steps, 95 of 100 searches are still within 5 %."""
    near = 0
    for seed in range(100):
        limit_per_s = random.Random(seed).uniform(5, 2000)
        found = find_capacity(system(limit_per_s, width, disturbed, seed), LONG)
        near += abs(found.rate_per_s / limit_per_s - 1) < 0.05
    assert near >= 95


@pytest.mark.parametrize(("width", "plan"), [(0.0005, Plan()), (0.01, Plan()), (0.03, Plan()), (0.03, LONG)])
def test_the_interval_holds_the_limit_as_often_as_it_says(width: float, plan: Plan) -> None:
    """At least 95 % of 150 searches contain the limit, also if it drifts by 3 %, or the search is cut short."""
    held = 0
    for seed in range(150):
        limit_per_s = limit_of(seed)
        found = find_capacity(system(limit_per_s, width, 0.03, seed), plan)
        held += found.low_per_s <= limit_per_s <= found.high_per_s
    assert held >= 0.95 * 150


def test_a_search_that_is_precise_at_its_last_step_says_so() -> None:
    """It has no more steps than it needed, and is not reported as cut short."""
    needed = len(find_capacity(system(100.0), LONG).steps)
    assert [find_capacity(system(100.0), Plan(steps=steps)).end for steps in (needed - 1, needed)] == [
        End.STEPS,
        End.PRECISE,
    ]


def test_the_climb_doubles_and_asks_a_broken_rate_again() -> None:
    """The rate doubles from the first step; the rate that breaks the objective is tried twice before the bisection."""
    found = find_capacity(system(100.0))
    assert [step.rate_per_s for step in found.steps[:6]] == [10, 20, 40, 80, 160, 160]


def test_one_disturbed_step_does_not_stop_the_climb() -> None:
    """A rate that breaks the objective once, by accident, and then keeps it, does not end the climb."""
    sharp, answers = system(500.0), [0]

    def measure(rate_per_s: float) -> StepResult:
        answers[0] += 1
        return StepResult(rate_per_s, Outcome.FAILED) if answers[0] == 2 else sharp(rate_per_s)

    found = find_capacity(measure)
    assert [step.rate_per_s for step in found.steps[:4]] == [10, 20, 20, 40]
    assert abs(found.rate_per_s / 500 - 1) < 0.05


def test_a_first_rate_above_the_limit_is_halved() -> None:
    """When the first rate is too high, the search goes down until one meets the objective."""
    found = find_capacity(system(1.7), LONG)
    assert (found.end, pytest.approx(found.rate_per_s, rel=0.05)) == (End.PRECISE, 1.7)


def test_no_rate_that_keeps_the_objective() -> None:
    """A system that never keeps its objective has no capacity, and the search says so at the lowest rate."""
    found = find_capacity(lambda rate: StepResult(rate, Outcome.FAILED))
    assert (found.end, found.rate_per_s, found.steps[-1].rate_per_s) == (End.NOTHING, 0.0, 0.5)


def test_the_highest_rate_is_a_lower_bound() -> None:
    """A system that keeps its objective up to the highest allowed rate may sustain more."""
    found = find_capacity(system(1e9), Plan(highest_rate_per_s=300))
    assert (found.end, found.rate_per_s, found.is_lower_bound) == (End.HIGHEST, 300, True)
    assert max(step.rate_per_s for step in found.steps) == 300


def test_an_unfit_generator_is_refused_and_ends_the_search() -> None:
    """Steps of an unfit generator are ignored; after four at one rate the result is a lower bound."""

    def measure(rate_per_s: float) -> StepResult:
        return StepResult(rate_per_s, Outcome.PASSED if rate_per_s < 50 else Outcome.NOT_TRUSTWORTHY)

    found = find_capacity(measure)
    assert (found.end, found.rate_per_s, found.is_lower_bound) == (End.GENERATOR, 40, True)
    assert [step.rate_per_s for step in found.steps[-5:]] == [40, 80, 80, 80, 80]


def test_a_generator_that_is_unfit_once_is_asked_again() -> None:
    """A step that is refused once is repeated, and the search continues."""
    sharp, refused = system(100.0), set()

    def measure(rate_per_s: float) -> StepResult:
        if rate_per_s not in refused:
            refused.add(rate_per_s)
            return StepResult(rate_per_s, Outcome.NOT_TRUSTWORTHY)
        return sharp(rate_per_s)

    found = find_capacity(measure, Plan(steps=80))
    assert (found.end, pytest.approx(found.rate_per_s, rel=0.05)) == (End.PRECISE, 100)


def test_the_steps_are_bounded() -> None:
    """A search makes at most the allowed number of steps, and returns what it has found by then."""
    found = find_capacity(system(100.0), Plan(steps=8))
    assert (found.end, len(found.steps)) == (End.STEPS, 8)
    assert found.low_per_s < 100 < found.high_per_s


def test_no_rate_is_asked_that_is_far_above_what_was_kept() -> None:
    """The search never tries more than twice the highest rate that met the objective, or the first rate."""
    for seed in range(30):
        kept = 5.0
        for step in find_capacity(system(700, 0.02, 0.1, seed)).steps:
            assert step.rate_per_s <= GROWTH * kept * 1.001
            if step.outcome is Outcome.PASSED:
                kept = max(kept, step.rate_per_s)


@given(st.lists(st.tuples(st.floats(1, 1000), st.booleans()), max_size=30))
@settings(deadline=None, max_examples=50)
def test_a_belief_stays_a_probability(answers: list[tuple[float, bool]]) -> None:
    """Whatever it observes, even contradictions, a belief has ascending quantiles within its range."""
    belief = Belief(1, 1000)
    for rate_per_s, kept in answers:
        belief.learn(rate_per_s, kept=kept)
    low, middle, high = belief.quantiles(0.025, 0.5, 0.975)
    assert 0.5 <= low <= middle <= high <= 2000


OUTCOMES = [Outcome.PASSED, Outcome.FAILED, Outcome.NO_DATA, Outcome.NOT_TRUSTWORTHY]


@settings(deadline=None, max_examples=150)
@given(
    outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=30),
    first_per_s=st.floats(0.5, 300),
    highest_per_s=st.sampled_from([300.0, 100_000.0]),
    steps=st.integers(1, 30),
)
def test_the_rate_lies_in_its_interval(
    outcomes: list[Outcome], first_per_s: float, highest_per_s: float, steps: int
) -> None:
    """Whatever the steps, low end, rate and high end are in this order, after at most the allowed number of steps."""
    said = iter(outcomes * 200)
    plan = Plan(first_rate_per_s=first_per_s, highest_rate_per_s=highest_per_s, steps=steps)
    found = find_capacity(lambda rate_per_s: StepResult(rate_per_s, next(said)), plan)
    assert 0 <= found.low_per_s <= found.rate_per_s <= found.high_per_s
    assert len(found.steps) <= steps
    sentence = capacity_run._sentence(found, found.steps)
    if ends := re.match(r"([\d.e+]+) arrivals/s, 95 % interval ([\d.e+]+) to ([\d.e+]+), ", sentence):
        rate, low, high = map(float, ends.groups())
        assert low <= rate <= high
    elif found.rate_per_s:
        assert sentence.startswith(f"at least {found.low_per_s:.4g} arrivals/s")


def test_a_disturbed_step_below_the_best_one_does_not_turn_the_interval_round() -> None:
    """A miss at 80/s, followed by steps that meet the objective up to 160/s, once gave the interval "160 to 80"."""
    said = iter([Outcome.FAILED, *[Outcome.PASSED] * 2, *[Outcome.NOT_TRUSTWORTHY] * 4])
    found = find_capacity(lambda rate_per_s: StepResult(rate_per_s, next(said)), Plan(first_rate_per_s=80.0))
    assert (found.end, found.rate_per_s, found.high_per_s) == (End.GENERATOR, 160.0, math.inf)
    assert found.low_per_s <= 160


def test_a_lower_bound_is_not_what_was_met_once() -> None:
    """If a lower rate missed the objective, the low end is the rate that is certain."""
    found = Capacity(End.GENERATOR, (), 160.0, 88.0, math.inf)
    assert capacity_run._sentence(found, ()).startswith("at least 88 arrivals/s; 160 met the objective (")
