"""Profiles drawn as curves, printed as lines, and as JSON."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from loadtest.profiles import chart
from loadtest.profiles.curve import Stage
from loadtest.profiles.profile import LoadProfile, read_profiles

RAMP = LoadProfile("up", "closed", (Stage(8, 80), Stage(8, 80)), description="[bold]rising")
ARRIVALS = LoadProfile("rate", "open", (Stage(60, 5, "step"),), max_users=9, arrivals="poisson")


def shown(profiles: list[LoadProfile], **options: object) -> list[str]:
    """Return the lines for a console of this kind."""
    file = io.StringIO()
    chart.show(profiles, Console(file=file, color_system=None, **options))
    return file.getvalue().splitlines()


def test_a_curve_rises_with_the_level_to_the_full_block() -> None:
    """The first half climbs through all eight blocks, the second half stays at the highest."""
    assert chart.curve_line(RAMP, 16) == "▁▂▃▄▅▆▇█████████"


def test_no_load_is_blank_and_little_load_is_not() -> None:
    """An empty stage draws nothing; the lowest level draws the lowest block."""
    profile = LoadProfile("gap", "closed", (Stage(1, 1000, "step"), Stage(1, 1, "step"), Stage(1, 0, "step")), "", 1e9)
    assert chart.curve_line(profile, 3) == "█▁ "


@pytest.mark.parametrize("width", [20, 40, 200])
def test_a_terminal_gets_two_lines_that_fit_its_width(width: int) -> None:
    """Name, numbers and curve never wrap, and the curve is at most 60 wide."""
    lines = shown([RAMP], force_terminal=True, width=width)
    assert len(lines) == 2
    assert max(map(len, lines)) <= width
    assert len(lines[1].strip()) == min(60, width - 6)


def test_elsewhere_a_profile_is_one_plain_line() -> None:
    """Without a terminal there are no curves, colours or line breaks."""
    expected = [
        "up    up to 80 users, 0:16  ([bold]rising)",
        "rate  5 arrivals/s, Poisson, at most 9 users, 1:00",
    ]
    assert shown([RAMP, ARRIVALS], force_terminal=False, width=20) == expected


def test_summaries_of_shipped_profiles() -> None:
    """One level, stages and rates are described with the numbers that matter."""
    profiles = read_profiles()
    expected = {
        "smoke": "1 user, 1 started per s, 0:30",
        "ramp": "up to 100 users, 10:00",
        "ramping-arrival-rate": "20 to 200 arrivals/s, at most 1000 users, 8:00",
    }
    assert {name: chart.summary(profiles[name]) for name in expected} == expected


@pytest.mark.parametrize("profile", [RAMP, replace(RAMP, think_time=(1.0, 3.0)), read_profiles()["soak"]])
def test_a_profile_is_the_same_when_it_is_read_back(profile: LoadProfile) -> None:
    """Otherwise an earlier run, which was read, would not be in the history of a run that has just ended."""
    made = chart.as_dict(profile)
    assert json.loads(json.dumps(made)) == made


def test_json_holds_every_stage() -> None:
    """The JSON form can be serialized and has stages, model and length."""
    document = json.loads(json.dumps(chart.as_dict(RAMP)))
    assert (
        document["name"],
        document["model"],
        document["run_time_s"],
        document["stages"][1],
    ) == ("up", "closed", 16.0, {"duration_s": 8, "level": 80, "ramp": "linear"})
