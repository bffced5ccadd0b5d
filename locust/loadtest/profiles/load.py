"""Load: what one test asks for, and how Locust is made to give it.

A test that starts by itself takes the one of the settings (`automatic`). Each start from the web UI's form makes its
own (`loadtest.web.start_form`), so that one process can run a closed profile, then an open one, then a closed
one again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from loadtest.judging import thresholds
from loadtest.profiles import think_time
from loadtest.profiles.profile import LoadProfile
from loadtest.profiles.shape import ProfileShape

if TYPE_CHECKING:
    from locust.env import Environment

    from loadtest.judging.threshold import Threshold
    from loadtest.judging.thresholds import Requests
    from loadtest.profiles.think_time import ThinkTime
    from loadtest.settings.config import Config


@dataclass(frozen=True)
class Load:
    """What one test asks for.

    Attributes:
        config: the settings of this test.
        rules: what it must keep.
        profile: what Locust follows; None when something else decides: Locust's own users, spawn rate and run time,
            or a LoadTestShape of one's own.
        think_time: in place of the scenario's own wait; None keeps that.
        expected_s: how long it will take; None when nobody knows.
        end_after_s: this product ends it then; None when somebody else does.
    """

    config: Config
    rules: tuple[Threshold, ...]
    profile: LoadProfile | None = None
    think_time: ThinkTime | None = None
    expected_s: float | None = None
    end_after_s: float | None = None

    def impose(self, environment: Environment) -> None:
        """Make it the load of the test that starts next; call it while none is under way."""
        think_time.impose(environment, self.think_time)
        release(environment)
        if self.profile is not None and self.profile.model == "closed" and environment.shape_class is None:
            environment.shape_class = ProfileShape(self.profile)
            environment.shape_class.runner = environment.runner


def release(environment: Environment) -> None:
    """Take back what `Load.impose` gave Locust, after a test, so that the next may be another."""
    if not isinstance(environment.shape_class, ProfileShape):
        return
    environment.shape_class = None
    runner: Any = environment.runner
    if runner.shape_greenlet is not None and runner.shape_greenlet.dead:  # it could not start the test
        runner.shape_greenlet = runner.shape_last_tick = None


def has_own_shape(environment: Environment) -> bool:
    """Whether the locustfile has a LoadTestShape of its own, which always wins."""
    return environment.shape_class is not None and not isinstance(environment.shape_class, ProfileShape)


def automatic(environment: Environment, config: Config, requests: Requests) -> Load:
    """Return the load of a test that starts by itself, and fill its numbers into Locust's options.

    Those who say otherwise keep the last word: a LoadTestShape of one's own, Locust's own options, the start form.

    Raises:
        UsageError: for a profile or a rule that is wrong.
    """
    options: Any = environment.parsed_options
    profile = LoadProfile.of(config)
    load = Load(config, thresholds.of(config, requests), think_time=profile.think_time)
    starts_itself = options.headless or options.autostart
    has_numbers = options.num_users or options.spawn_rate or options.run_time
    options.num_users = options.num_users or profile.peak_users
    # In the open model the number of users is a limit, and holds at once.
    options.spawn_rate = options.spawn_rate or (
        profile.spawn_rate_per_s if profile.model == "closed" else options.num_users
    )
    if has_own_shape(environment):
        return load
    if profile.model == "open" or (starts_itself and not profile.is_flat and not has_numbers):
        return replace(load, profile=profile, expected_s=profile.run_time_s)
    run_time_s = profile.run_time_s if starts_itself and not options.run_time else None
    return replace(load, expected_s=run_time_s, end_after_s=run_time_s)
