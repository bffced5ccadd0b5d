"""Load: the load of one test, and how Locust is configured to generate it.

A test that starts by itself takes its load from the settings and Locust's command line (`LoadFactory.automatic`); each
start from the web UI's form has its own values (`LoadFactory.entered`). So one process can run a closed-model profile,
then an open-model one, then a closed-model one again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from loadtest.exceptions import UsageError, unknown_name
from loadtest.judging import thresholds
from loadtest.profiles.curve import Stage
from loadtest.profiles.profile import LoadProfile, profiles_of
from loadtest.profiles.shape import ProfileShape
from loadtest.settings.config import Config, allowed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from locust.env import Environment

    from loadtest.judging.threshold import Threshold
    from loadtest.judging.thresholds import Requests
    from loadtest.profiles.think_time import ThinkTime

AS_ENTERED: Final = "as-entered"
"""Stands for a profile: Locust's own users, spawn rate and run time."""

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Load:
    """The load of one test.

    Attributes:
        config: the settings of this test.
        rules: its thresholds.
        profile: the profile of users or arrivals; None if something else determines them: Locust's own users, spawn
            rate and run time, a LoadTestShape in the locustfile, or a capacity search.
        plan: the planned load in the record: the profile, also one expressed by Locust's own numbers.
        think_time: replaces the scenario's own wait; None keeps it.
        expected_s: how long the test will take; None when that is not known.
        end_after_s: end the test after this time; None when something else ends it.
    """

    config: Config
    rules: tuple[Threshold, ...]
    profile: LoadProfile | None = None
    plan: LoadProfile | None = None
    think_time: ThinkTime | None = None
    expected_s: float | None = None
    end_after_s: float | None = None

    @classmethod
    def following(cls, profile: LoadProfile, config: Config, rules: tuple[Threshold, ...]) -> Load:
        """Return the load that follows a profile to its end."""
        return cls(config, rules, profile, profile, profile.think_time, profile.run_time_s)

    def impose(self, environment: Environment) -> None:
        """Make it the load of the test that starts next; call it while no test runs."""
        release(environment)
        if self.profile is not None and self.profile.model == "closed" and environment.shape_class is None:
            environment.shape_class = ProfileShape(self.profile)
            environment.shape_class.runner = environment.runner


def release(environment: Environment) -> None:
    """Undo `Load.impose` after a test, so that the next one can differ."""
    if not isinstance(environment.shape_class, ProfileShape):
        return
    environment.shape_class = None
    runner: Any = environment.runner
    if runner.shape_greenlet is not None and runner.shape_greenlet.dead:  # it could not start the test
        runner.shape_greenlet = runner.shape_last_tick = None


class LoadFactory:
    """Makes the Load of each test of a process; the profiles are read once.

    Args:
        config: the settings of the process.
        requests: what the scenario declares, for the names in thresholds.

    Attributes:
        choices: the load profiles that a start can choose.
        texts: the default values of a start, by name: load_profile, arrival_rate, thresholds.
        run_times: how long each choice takes, as text for Locust's field; none where its numbers have no end.

    Raises:
        UsageError: for a wrong profile.
    """

    def __init__(self, config: Config, requests: Requests) -> None:
        self._config = config
        self._requests = requests
        self._profiles = profiles_of(config)
        profile = LoadProfile.of(config, self._profiles)
        self._think_time = profile.think_time
        self.choices = [AS_ENTERED, *self._profiles]
        own_s = profile.run_time_s
        self.run_times = {name: _timespan(one.run_time_s) for name, one in self._profiles.items()}
        self.run_times[config.profile] = _timespan(own_s)
        if profile.is_flat and own_s.is_integer():  # Locust knows whole seconds only
            self.run_times[AS_ENTERED] = _timespan(own_s)
        # A single-level profile fills Locust's own fields, where it can be changed; others cannot be shown there.
        self.texts = {
            "load_profile": AS_ENTERED if profile.is_flat else config.profile,
            "arrival_rate": repr(config.rate).removesuffix(".0") if config.rate else "",
            "thresholds": config.threshold or "",
        }

    def automatic(self, environment: Environment) -> Load:
        """Return the load of a test that starts by itself, and fill its numbers into Locust's options.

        A LoadTestShape in the locustfile and Locust's own options take precedence.

        Raises:
            UsageError: for a wrong profile or threshold.
        """
        options: Any = environment.parsed_options
        problems: list[str] = []
        config = self._changed({name: getattr(options, name, text) for name, text in self.texts.items()}, "", problems)
        if problems:
            raise UsageError("\n".join(problems))
        profile = LoadProfile.of(config, self._profiles)
        rules = thresholds.of(config, lambda: self._requests)
        starts_itself = options.headless or options.autostart
        has_numbers = options.num_users or options.spawn_rate or options.run_time
        options.num_users = options.num_users or profile.peak_users
        # In the open model the number of users is a limit, and applies at once.
        options.spawn_rate = options.spawn_rate or (
            profile.spawn_rate_per_s if profile.model == "closed" else options.num_users
        )
        if _has_own_shape(environment):
            return Load(config, rules, think_time=profile.think_time)
        if profile.model == "open" or (starts_itself and not profile.is_flat and not has_numbers):
            return Load.following(profile, config, rules)
        end_after_s = profile.run_time_s if starts_itself and not options.run_time else None
        expected_s = (options.run_time or end_after_s) if starts_itself else None
        plan = _plan(options.num_users, options.spawn_rate, expected_s) if has_numbers else profile
        return Load(config, rules, None, plan, profile.think_time, expected_s, end_after_s)

    def entered(self, values: Mapping[str, str], environment: Environment) -> Load:
        """Return the load for these values of the web UI's form; a missing field keeps its default.

        Raises:
            UsageError: with a line for everything that is wrong.
        """
        texts = {name: values.get(name, text) for name, text in self.texts.items()}
        name = texts["load_profile"]
        problems = [] if name in self.choices else [unknown_name("load profile", name, self.choices)]
        follows = not problems and name != AS_ENTERED and not _has_own_shape(environment)
        config = self._changed(texts, values.get("run_time", "") if follows else "", problems)
        profile = _tried(problems, None, LoadProfile.of, config, self._profiles) if follows else None
        if name == AS_ENTERED and config.rate is not None:
            problems.append(
                f"an arrival rate of {config.rate:g} does not apply to the load profile {AS_ENTERED}, which sets "
                "users. Allowed: with a profile of the open model. Next: choose one, such as constant-arrival-rate, or "
                "leave the rate empty."
            )
        no_rules: tuple[Threshold, ...] = ()
        rules = _tried(problems, no_rules, thresholds.of, config, lambda: self._requests)
        if problems:
            raise UsageError("\n".join(problems))
        if profile is not None:
            return Load.following(profile, config, rules)
        if _has_own_shape(environment):
            return Load(config, rules, think_time=self._think_time)
        entered = config.model_copy(update={"profile": AS_ENTERED, **_numbers(values)})
        plan = _plan(entered.users, entered.spawn_rate, entered.run_time)
        return Load(entered, rules, None, plan, self._think_time, entered.run_time, end_after_s=entered.run_time)

    def _changed(self, texts: Mapping[str, str], run_time: str, problems: list[str]) -> Config:
        """Return the Config of a test; the users and times of the settings belong to the profile of the settings.

        A sentence for a wrong rate or run time, which are left out, goes to the problems.
        """
        update: dict[str, object] = {"threshold": texts["thresholds"].strip() or None}
        name = texts["load_profile"]
        if name not in (AS_ENTERED, self._config.profile):
            update |= {"profile": name, "users": None, "spawn_rate": None, "run_time": None}
        update["rate"] = _tried(problems, None, _checked, "rate", "arrival rate", texts["arrival_rate"])
        if run_time.strip():
            update["run_time"] = _tried(problems, None, _checked, "run_time", "run time", run_time)
        return self._config.model_copy(update=update)


def _timespan(seconds: float) -> str:
    return f"{seconds / 60:.0f}m" if seconds >= 120 and seconds % 60 == 0 else f"{seconds:.12g}s"  # noqa: PLR2004


def _plan(users: float | None, spawn_rate_per_s: float | None, run_time_s: float | None) -> LoadProfile | None:
    """Return the load of Locust's own numbers; None if they have no end, or Locust refuses them."""
    if not (users and spawn_rate_per_s and run_time_s):
        return None
    stage = Stage(float(run_time_s), float(users), "step")
    return LoadProfile(AS_ENTERED, "closed", (stage,), spawn_rate_per_s=float(spawn_rate_per_s))


def _has_own_shape(environment: Environment) -> bool:
    """Whether the locustfile has its own LoadTestShape, which always takes precedence."""
    return environment.shape_class is not None and not isinstance(environment.shape_class, ProfileShape)


def _tried(problems: list[str], otherwise: _Result, function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Return the function's result; the text of a UsageError goes to the problems."""
    try:
        return function(*arguments)
    except UsageError as error:
        problems.append(str(error))
        return otherwise


def _checked(setting: str, label: str, text: str) -> Any:
    """Return the value of a setting that a person entered; None for an empty text.

    Raises:
        UsageError: when it is not allowed.
    """
    if not text.strip():
        return None
    try:
        kind: Any = Config.model_fields[setting].annotation
        return TypeAdapter(kind).validate_python(text.strip())
    except ValidationError as error:
        raise UsageError(
            f"{label} {text!r} is not allowed. Allowed: {allowed(setting)}. Next: correct it, or leave it empty."
        ) from error


def _numbers(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that Locust's own fields stand for, for the record; Locust rejects wrong values itself."""
    fields = {"users": "user_count", "spawn_rate": "spawn_rate", "run_time": "run_time"}
    return {
        setting: _tried([], None, _checked, setting, setting, values.get(field, ""))
        for setting, field in fields.items()
    }
