"""StartForm: load profile, arrival rate and thresholds as fields of the web UI's start form, for each start anew.

They are options of Locust's command line too (`--load-profile`, `--arrival-rate`, `--thresholds`). What is wrong is
said in the form before anything starts, by a 4xx and a sentence.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

from flask import jsonify, request
from locust.runners import STATE_CLEANUP, STATE_RUNNING, STATE_SPAWNING, STATE_STOPPING, MasterRunner
from pydantic import TypeAdapter, ValidationError
from werkzeug.datastructures import ImmutableMultiDict

from loadtest.exceptions import UsageError, unknown_name
from loadtest.judging import thresholds
from loadtest.profiles.load import Load, has_own_shape
from loadtest.profiles.profile import LoadProfile, all_profiles
from loadtest.settings.config import Config, allowed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import gevent
    from flask import Response
    from locust.argument_parser import LocustArgumentParser
    from locust.env import Environment

    from loadtest.judging.threshold import Threshold
    from loadtest.scenarios import Scenario

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

AS_ENTERED: Final = "as-entered"
"""The choice for Locust's own fields: users, spawn rate, run time."""
_HELP: Final = {
    "load_profile": f"{AS_ENTERED}: the users, ramp up and run time of Locust's own fields. A profile brings its own "
    "users, and a run time stretches or shrinks it",
    "arrival_rate": "arrivals per second at the peak, in place of the profile's; open model only",
    "thresholds": "rules besides those of the file, such as p99(response_time) < 50ms, separated by commas",
}
_SWARM: Final = "locust.swarm"  # the endpoint of POST /swarm
_OF_LOCUST: Final = ("user_count", "spawn_rate", "run_time")
_BAD_REQUEST, _CONFLICT = 400, 409
_BUSY: Final = (STATE_SPAWNING, STATE_RUNNING)


class _NotNowError(UsageError):
    """The same start can be right later."""


class StartForm:
    """The fields, and the load that their values mean."""

    def __init__(self, config: Config, scenario: Scenario) -> None:
        """Fill the fields with the Config's values.

        A profile of one level is in Locust's own fields, where it can be changed; one that ramps or is open cannot be.

        Raises:
            UsageError: when the Config's profile or rules are wrong.
        """
        profile = LoadProfile.of(config)
        thresholds.of(config, scenario.requests)
        self._config = config
        self._requests = scenario.requests
        self._known = [AS_ENTERED, *all_profiles(config.profiles_file)]
        self._think_time = profile.think_time
        self._starting: gevent.Greenlet[..., object] | None = None
        self._texts = {
            "load_profile": AS_ENTERED if profile.is_flat else profile.name,
            "arrival_rate": repr(config.rate).removesuffix(".0") if config.rate else "",
            "thresholds": config.threshold or "",
        }

    def declare(self, parser: LocustArgumentParser, **_: object) -> None:
        """Add the fields to Locust's options (``events.init_command_line_parser``).

        Locust asks at each view of the form: by default it shows what was started last.
        """
        for name, text in self._texts.items():
            choices = {"choices": self._known} if name == "load_profile" else {"metavar": "<text>"}
            parser.add_argument(f"--{name.replace('_', '-')}", default=text, help=_HELP[name], **choices)

    def config_of(self, options: Any) -> Config:
        """Return the Config with what Locust's command line says in these options.

        Raises:
            UsageError: for a wrong arrival rate.
        """
        return self._changed({name: getattr(options, name, text) for name, text in self._texts.items()}, "")

    def load(self, values: Mapping[str, str], environment: Environment) -> Load:
        """Return what a start with these values of the form means; a field that is missing keeps its default.

        Raises:
            UsageError: with a line for everything that is wrong.
        """
        texts = self._given(values)
        name = texts["load_profile"]
        if name not in self._known:
            raise UsageError(unknown_name("load profile", name, self._known))
        problems: list[str] = []
        has_profile = name != AS_ENTERED and not has_own_shape(environment)
        config = _tried(problems, self._config, self._changed, texts, values.get("run_time", "") if has_profile else "")
        profile = _tried(problems, None, LoadProfile.of, config) if has_profile else None
        if name == AS_ENTERED and config is not self._config and config.rate is not None:
            problems.append(
                f"an arrival rate of {config.rate:g} means nothing with the load profile {AS_ENTERED}: that is a "
                "number of users. Allowed: with a profile of the open model. Next: choose one, such as "
                "constant-arrival-rate, or leave the rate empty."
            )
        no_rules: tuple[Threshold, ...] = ()
        rules = _tried(problems, no_rules, thresholds.of, config, self._requests)
        if problems:
            raise UsageError("\n".join(problems))
        if profile is not None:
            return Load(config, rules, profile, profile.think_time, profile.run_time_s)
        if has_own_shape(environment):
            return Load(config, rules, think_time=self._think_time)
        entered = config.model_copy(update={"profile": AS_ENTERED, **_numbers(values)})
        return Load(entered, rules, think_time=self._think_time, expected_s=entered.run_time)

    def wire(self, environment: Environment, choose: Callable[[Load], None]) -> None:
        """Check each start from the web UI before Locust's own handler makes it.

        Args:
            environment: with a web UI.
            choose: is told the load of the test that starts next.
        """
        web_ui: Any = environment.web_ui
        start = web_ui.app.view_functions[_SWARM]

        def checked() -> Response:
            try:
                if self._is_under_way(environment):
                    self._check_unchanged(request.form)
                    return start()  # type: ignore[no-any-return]
                load = self.load(request.form, environment)
                _check_ready(environment)
            except UsageError as error:
                logger.error("%s", error)
                answer = jsonify({"success": False, "message": " ".join(str(error).splitlines())})
                answer.status_code = _CONFLICT if isinstance(error, _NotNowError) else _BAD_REQUEST
                return answer
            return self._start(environment, load, choose, start)

        web_ui.app.view_functions[_SWARM] = web_ui.auth_required_if_enabled(checked)

    def _start(
        self, environment: Environment, load: Load, choose: Callable[[Load], None], start: Callable[[], Response]
    ) -> Response:
        """Let Locust start a load, and keep Locust's own fields of the form as they were where it has a profile."""
        texts = self._given(request.form)
        choose(load)
        if load.profile is None:
            response = start()
        else:
            options: Any = environment.parsed_options
            before = options.num_users, options.spawn_rate
            request.form = _for_locust(request.form, load.profile)
            response = start()
            options.num_users, options.spawn_rate = before
        if response.get_json()["success"]:
            self._texts = texts
            web_ui: Any = environment.web_ui
            self._starting = web_ui._swarm_greenlet
        return response

    def _is_under_way(self, environment: Environment) -> bool:
        runner: Any = environment.runner
        if runner.state in _BUSY:
            self._starting = None
            return True
        if self._starting is not None and not self._starting.dead:  # Locust starts it in the background
            return True
        follows_shape = runner.shape_greenlet is not None and not runner.shape_greenlet.dead
        return follows_shape and runner.state not in (STATE_STOPPING, STATE_CLEANUP)

    def _given(self, values: Mapping[str, str]) -> dict[str, str]:
        return {name: values.get(name, text) for name, text in self._texts.items()}

    def _check_unchanged(self, values: Mapping[str, str]) -> None:
        if changed := [name for name, text in self._given(values).items() if text != self._texts[name]]:
            raise _NotNowError(
                f"{', '.join(changed).replace('_', ' ')} cannot change while a test is under way. Allowed: the number "
                "of users and the ramp up. Next: stop the test, then start another."
            )

    def _changed(self, texts: Mapping[str, str], run_time: str) -> Config:
        """Return the Config of a test; its own users and times belong to its own profile.

        Raises:
            UsageError: for a wrong rate or run time.
        """
        update: dict[str, object] = {"threshold": texts["thresholds"].strip() or None}
        name = texts["load_profile"]
        if name not in (AS_ENTERED, self._config.profile):
            update |= {"profile": name, "users": None, "spawn_rate": None, "run_time": None}
        problems: list[str] = []
        update["rate"] = _tried(problems, None, _checked, "rate", "arrival rate", texts["arrival_rate"])
        if run_time.strip():
            update["run_time"] = _tried(problems, None, _checked, "run_time", "run time", run_time)
        if problems:
            raise UsageError("\n".join(problems))
        return self._config.model_copy(update=update)


def _tried(problems: list[str], otherwise: _Result, function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Return the function's result; what it says is wrong goes to the problems."""
    try:
        return function(*arguments)
    except UsageError as error:
        problems.append(str(error))
        return otherwise


def _checked(setting: str, label: str, text: str) -> Any:
    """Return the value of a setting that a person wrote; None for an empty text.

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
    """Return the settings that Locust's own fields mean, for the record; Locust refuses what is wrong in them."""
    fields = {"users": "user_count", "spawn_rate": "spawn_rate", "run_time": "run_time"}
    return {
        setting: _tried([], None, _checked, setting, setting, values.get(field, ""))
        for setting, field in fields.items()
    }


def _for_locust(values: ImmutableMultiDict[str, str], profile: LoadProfile) -> ImmutableMultiDict[str, str]:
    """Return the form with the numbers that Locust needs; a closed profile's are given by its LoadTestShape."""
    others = [(name, value) for name, value in values.items(multi=True) if name not in _OF_LOCUST]
    users = str(profile.peak_users)
    return ImmutableMultiDict([*others, ("user_count", users), ("spawn_rate", users)])


def _check_ready(environment: Environment) -> None:
    runner = environment.runner
    if runner is not None and runner.state in (STATE_STOPPING, STATE_CLEANUP):
        raise _NotNowError(
            "the last test is stopping. Allowed: a start when it has stopped. Next: try again in a second."
        )
    if isinstance(runner, MasterRunner) and not runner.worker_count:
        raise _NotNowError(
            "no worker is ready; after a test they need about 3 seconds. Allowed: a start with one or more. "
            "Next: try again, or start a worker."
        )
