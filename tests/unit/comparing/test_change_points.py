"""Change points: real ones are found, and no others."""

import numpy as np
import pytest

from bench.history.simulation import History, make
from loadtest.comparing.change_points import change_points, fewest_runs
from loadtest.comparing.changes import CHANCE as CHANCE_OF_ALL
from loadtest.comparing.changes import CHANCE_OF_ONE

CHANCE = 0.001


def places(values: np.ndarray, errors: np.ndarray | None = None) -> list[int]:
    """Return the first run after each change."""
    return [
        one.index for one in change_points(values, np.full(len(values), 0.01) if errors is None else errors, CHANCE)
    ]


def noise(runs: int, seed: int = 1) -> np.ndarray:
    """Return runs of one level, varying by 1 %."""
    return np.random.default_rng(seed).normal(0, 0.01, runs)


def test_a_change_of_level_is_found_where_it_is() -> None:
    """A change of 5 % after 40 of 80 runs is found with its size and an interval that contains it."""
    values = noise(80)
    values[40:] += 0.05
    (found,) = change_points(values, np.full(80, 0.01), CHANCE)
    low, high = found.interval
    assert (found.index, low < 0.05 < high) == (40, True)
    assert found.after - found.before == pytest.approx(0.05, abs=0.006)


def test_an_outlier_before_a_change_is_on_its_own_side() -> None:
    """The last run before a rise of 20 % is 6 % below its level: far from both, but farther from the next one."""
    values, errors = noise(40) / 5, np.full(40, 0.002)
    values[20:] += 0.2
    values[19] = -0.06
    assert places(values, errors) == [20]


def test_a_change_that_was_reverted_is_two() -> None:
    """The figure is slower for eight of a hundred runs, then as before."""
    values = noise(100)
    values[60:68] += 0.06
    assert places(values) == [60, 68]


def test_equal_runs_have_no_change() -> None:
    """30 histories of 60 runs have at most one false change point."""
    random = np.random.default_rng(3)
    found = [change_points(*make(History(runs=60), random)[:2], CHANCE) for _ in range(30)]
    assert sum(map(len, found)) <= 1


def test_few_changes_of_a_history_of_many_figures_are_missed() -> None:
    """Of 300 changes of 5 %, with runs varying by 1.5 %, at most 3 % have no change point within two runs of them."""
    random, chance = np.random.default_rng(31), min(CHANCE_OF_ONE, CHANCE_OF_ALL / 200)
    missed = 0
    for _ in range(100):
        made = make(History(noise=0.015, changes=3), random)
        found = [one.index for one in change_points(made.values, made.errors, chance)]
        missed += sum(all(abs(one - place) > 2 for one in found) for place in made.changed)
    assert missed <= 9


@pytest.mark.parametrize("outliers", [1, 2])
def test_an_outlier_is_no_change(outliers: int) -> None:
    """One run, or two in a row, that took twice as long cause no change point, wherever they are."""
    for place in (0, 30, 60 - outliers):
        values = noise(60)
        values[place : place + outliers] += 0.7
        assert places(values) == []


def test_a_change_is_soon_known() -> None:
    """A change by a fifth at the end of the history is found with its fourth run, but not with its second."""
    values = noise(84)
    values[80:] += 0.2
    assert [places(values[:length]) for length in (81, 82, 84)] == [[], [], [80]]


def test_a_run_that_does_not_know_its_figure_counts_little() -> None:
    """Four runs are 8 % above the others: two changes, but none if their own error is 10 %."""
    values, errors = noise(60), np.full(60, 0.01)
    values[30:34] += 0.08
    assert places(values, errors) == [30, 34]
    errors[30:34] = 0.10
    assert places(values, errors) == []


def test_equal_values_are_no_change_and_no_error() -> None:
    """This covers runs without any noise, such as those without failures, and a step among them."""
    nothing = np.zeros(50)
    assert change_points(nothing, nothing, CHANCE) == []
    step = np.repeat((0.0, 0.2), 25)
    assert [one.index for one in change_points(step, nothing, CHANCE)] == [25]


def test_few_runs_have_no_change() -> None:
    """With one run less than needed no change is found, however large; from then on it is."""
    needed = fewest_runs(CHANCE)
    found = [places(np.repeat((0.0, 1.0), (runs - runs // 2, runs // 2))) for runs in (needed - 1, needed, needed + 1)]
    assert found == [[], [needed - needed // 2], [needed + 1 - (needed + 1) // 2]]


def test_what_was_found_stays_as_the_history_grows() -> None:
    """A change at run 100 is found at the same place with 100, 300 and 700 runs after it."""
    values = noise(800)
    values[100:] += 0.05
    assert [places(values[:length]) for length in (200, 400, 800)] == [[100]] * 3
