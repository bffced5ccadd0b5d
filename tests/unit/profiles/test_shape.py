"""ProfileShape: the numbers that Locust is asked for, tick by tick."""

import time

from loadtest.profiles.curve import Stage
from loadtest.profiles.profile import LoadProfile
from loadtest.profiles.shape import ProfileShape


def ticks(profile: LoadProfile, *times_s: float) -> list[tuple[int, float] | None]:
    """Return the values of a profile's shape at these times of a run."""
    shape = ProfileShape(profile)
    said = []
    for t_s in times_s:
        shape.start_time = time.perf_counter() - t_s
        said.append(shape.tick())
    return said


def test_a_ramp_is_a_staircase_through_the_middle_of_the_curve() -> None:
    """Each second's number is the curve's half a second later, reached within the second."""
    profile = LoadProfile("up", "closed", (Stage(10, 100), Stage(10, 100), Stage(10, 50, "linear")))
    assert ticks(profile, 0, 1, 5, 10) == [(5, 5.0), (15, 10.0), (55, 40.0), (100, 45.0)]
    assert ticks(profile, 20, 29) == [(97, 97.0), (52, 45.0)]


def test_the_first_ramp_up_ends_at_the_first_peak() -> None:
    """Until the staircase has reached the level at which the profile first stops rising, it is a ramp-up."""
    stages = (Stage(2, 10), Stage(2, 30), Stage(10, 30), Stage(4, 10), Stage(2, 50))
    shape = ProfileShape(LoadProfile("hills", "closed", stages))
    ramping = {}
    for t_s in (0, 1, 2, 3, 4):
        shape.start_time = time.perf_counter() - t_s
        shape.tick()
        ramping[t_s] = shape.is_ramping_up
    assert ramping == {0: True, 1: True, 2: True, 3: True, 4: False}


def test_a_hold_says_the_same_again() -> None:
    """Locust acts on changes only, so the spawn rate stays the same while nothing else changes."""
    profile = LoadProfile("flat", "closed", (Stage(10, 4, "step"),))
    first, second, third = ticks(profile, 0, 3, 8)
    assert first == second == third


def test_it_ends_on_time_when_nothing_changes_any_more() -> None:
    """The last tick waits for the end; a tick after the end ends immediately."""
    profile = LoadProfile("short", "closed", (Stage(2.2, 4, "step"),))
    before_s = time.perf_counter()
    assert ticks(profile, 0, 2)[1] is None
    assert 0.1 < time.perf_counter() - before_s < 1
    assert ticks(profile, 3)[0] is None


def test_a_change_in_the_last_second_is_still_made() -> None:
    """A ramp that ends with the profile continues to its end."""
    profile = LoadProfile("down", "closed", (Stage(1, 10, "step"), Stage(4, 0, "linear")))
    assert ticks(profile, 3, 4.1)[1] == (1, 3.0)


def test_a_profile_shorter_than_a_tick_still_runs() -> None:
    """Half a second of load begins before it ends."""
    profile = LoadProfile("blink", "closed", (Stage(0.5, 4, "step"),))
    assert ticks(profile, 0, 0.6) == [(4, 4.0), None]


def test_a_level_that_is_held_takes_the_place_of_what_is_left() -> None:
    """The level is reached as fast as a step, whatever the profile planned, and the end stays the same."""
    stages = (Stage(10, 10, "step"), Stage(10, 50, "step"))
    shape = ProfileShape(LoadProfile("two", "closed", stages, spawn_rate_per_s=5.0))
    said = {}
    for t_s in (4, 6, 7.1, 8, 12, 18, 20):
        shape.start_time = time.perf_counter() - t_s
        if t_s == 6:
            shape.hold(20)
        said[t_s] = shape.tick()
    users = {t_s: asked and asked[0] for t_s, asked in said.items()}
    assert users == {4: 10, 6: 13, 7.1: 18, 8: 20, 12: 20, 18: 20, 20: None}
