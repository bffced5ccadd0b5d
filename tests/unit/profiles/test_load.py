"""Load: from settings, command line and start form to the requested load of a test."""

from argparse import Namespace
from pathlib import Path

import pytest
from locust.env import Environment
from locust.shape import LoadTestShape

from loadtest.exceptions import UsageError
from loadtest.profiles.load import AS_ENTERED, LoadFactory
from loadtest.settings.config import Config

OPTIONS = {"headless": True, "autostart": False, "num_users": None, "spawn_rate": None, "run_time": None}


class OwnShape(LoadTestShape):
    """A shape in a person's locustfile."""

    def tick(self) -> None:
        """End immediately."""


def factory(**options: object) -> LoadFactory:
    """The factory of a process with these settings."""
    return LoadFactory(Config.load(options, environ={}, file=Path("/nonexistent")), [("GET", "documents/get")])


def environment(shape: LoadTestShape | None = None, **options: object) -> Environment:
    """The options that Locust parsed from its command line."""
    made = Environment(shape_class=shape)
    made.parsed_options = Namespace(**{**OPTIONS, **options})
    return made


def test_a_flat_profile_becomes_locusts_own_numbers() -> None:
    """Users and spawn rate become Locust's options; this product ends the test; the record has the plan."""
    locust = environment()
    load = factory(profile="quick", users=7).automatic(locust)
    assert (locust.parsed_options.num_users, load.profile, load.plan and load.plan.peak_users) == (7, None, 7)
    assert (load.expected_s, load.end_after_s) == (60.0, 60.0)


@pytest.mark.parametrize("name", ["ramp", "constant-arrival-rate"])
def test_a_profile_that_ramps_or_is_open_is_followed(name: str) -> None:
    """The profile determines its end."""
    load = factory(profile=name).automatic(environment())
    assert load.profile is not None
    assert (load.profile.name, load.plan, load.end_after_s) == (name, load.profile, None)
    assert load.expected_s == load.profile.run_time_s


def test_locusts_own_options_take_precedence() -> None:
    """With a number of users on Locust's command line, a profile that ramps is not followed."""
    locust = environment(num_users=3)
    load = factory(profile="ramp").automatic(locust)
    assert (locust.parsed_options.num_users, load.profile) == (3, None)


def test_locusts_own_numbers_are_a_plan() -> None:
    """A run whose users never came is thus found, and a ramp that is too long for it is announced."""
    loads = factory(profile="quick")
    entered = {"load_profile": AS_ENTERED, "user_count": "100", "spawn_rate": "1", "run_time": "5s"}
    on_command_line = environment(num_users=100, spawn_rate=1.0, run_time=5)
    for load in (loads.automatic(on_command_line), loads.entered(entered, environment())):
        assert load.profile is None
        assert (load.plan.name, load.plan.model, load.plan.run_time_s) == (AS_ENTERED, "closed", 5.0)
        assert load.plan.unreached.startswith("at SPAWN_RATE=1 the run of 5 s reaches 5 of 100 users")
    endless = loads.entered({"load_profile": AS_ENTERED, "user_count": "100", "spawn_rate": "1"}, environment())
    assert endless.plan is None


def test_a_shape_of_the_locustfile_takes_precedence() -> None:
    """Nothing is followed, planned or ended, whether the start is automatic or from the form."""
    locust = environment(OwnShape())
    loads = factory(profile="ramp")
    for load in (loads.automatic(locust), loads.entered({"load_profile": "stress"}, locust)):
        assert (load.profile, load.plan, load.end_after_s) == (None, None, None)


def test_the_command_line_chooses_another_profile() -> None:
    """It has its own users and times: those in the settings belong to the profile in the settings."""
    load = factory(profile="quick", users=7).automatic(environment(load_profile="stress", thresholds="p99 < 1s"))
    assert (load.config.profile, load.config.users, load.config.threshold) == ("stress", None, "p99 < 1s")
    assert load.plan is not None
    assert load.plan.peak_users == 100


def test_a_form_that_names_a_profile_follows_it() -> None:
    """Its run time stretches the profile."""
    load = factory(profile="quick").entered({"load_profile": "quick", "run_time": "5s"}, environment())
    assert load.profile is not None
    assert (load.profile.name, load.expected_s, load.config.run_time) == ("quick", 5.0, 5.0)


def test_locusts_own_fields_are_kept_for_the_record() -> None:
    """The record has users and time as entered."""
    values = {"load_profile": AS_ENTERED, "user_count": "3", "spawn_rate": "2", "run_time": "4s"}
    load = factory(profile="ramp").entered(values, environment())
    assert (load.profile, load.expected_s) == (None, 4.0)
    assert (load.config.profile, load.config.users, load.config.spawn_rate) == (AS_ENTERED, 3, 2.0)


def test_each_choice_has_its_run_time() -> None:
    """That of the settings applies to their profile, and to as-entered if Locust's numbers can express it."""
    flat, ramping = factory(profile="quick", run_time=90.5), factory(profile="ramp")
    assert [flat.run_times.get(name) for name in ("quick", "medium", "soak", AS_ENTERED)] == [
        *("90.5s", "5m", "120m"),
        None,
    ]
    assert factory(profile="quick").run_times[AS_ENTERED] == "60s"
    assert AS_ENTERED not in ramping.run_times


def test_everything_wrong_with_a_form_is_reported_together() -> None:
    """Each wrong value has a line."""
    values = {"load_profile": "quick", "arrival_rate": "fast", "run_time": "soon", "thresholds": "p99"}
    with pytest.raises(UsageError) as caught:
        factory().entered(values, environment())
    starts = [line.split(" Allowed: ")[0] for line in str(caught.value).splitlines()]
    assert starts == [
        "arrival rate 'fast' is not allowed.",
        "run time 'soon' is not allowed.",
        "THRESHOLD: 'p99': expected a comparison, not the end.",
    ]
