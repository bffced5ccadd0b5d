"""StartForm: load profile, arrival rate and thresholds as fields of the web UI's start form.

They are also options of Locust's command line (`--load-profile`, `--arrival-rate`, `--thresholds`). An invalid value is
answered in the form by a 4xx status and a sentence, before anything starts.

Tested in tests/native/test_start_form.py.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Final

import gevent
from flask import jsonify, request
from locust import events
from locust.runners import STATE_CLEANUP, STATE_RUNNING, STATE_SPAWNING, STATE_STOPPING, MasterRunner
from werkzeug.datastructures import ImmutableMultiDict

from loadtest.exceptions import UsageError
from loadtest.judging import plan
from loadtest.measuring import steady_clock
from loadtest.profiles.load import AS_ENTERED, Load, LoadFactory
from loadtest.swarm.record_keeper import RecordKeeper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Response
    from locust.argument_parser import LocustArgumentParser
    from locust.env import Environment

    from loadtest.profiles.profile import LoadProfile
    from loadtest.scenarios import Scenario
    from loadtest.settings.config import Config

logger = logging.getLogger(__name__)

_HELP: Final = {
    "load_profile": f"its own users and ramp up; {AS_ENTERED}: those of the fields",
    "arrival_rate": "per second at the peak; open model only",
    "thresholds": "in addition to the file's, such as p99 < 50ms, error_ratio < 1%",
}
_ADDRESS: Final = "/loadtest-profiles"
_SWARM: Final = "locust.swarm"  # the endpoint of POST /swarm
_STOP: Final = "locust.stop"
_POLL_S: Final = 0.05
_OF_LOCUST: Final = ("user_count", "spawn_rate", "run_time")
_BAD_REQUEST, _CONFLICT = 400, 409
_BUSY: Final = (STATE_SPAWNING, STATE_RUNNING)


def declare(config: Config, scenario: Scenario) -> StartForm | None:
    """Add the form's fields to Locust's options, and return the form; None for a capacity search, which has no form.

    Raises:
        UsageError: when the Config's profile is invalid.
    """
    if config.slo:
        return None
    form = StartForm(config, scenario)
    events.init_command_line_parser.add_listener(form.declare)  # type: ignore[no-untyped-call]
    return form


class _NotNowError(UsageError):
    """An error after which the same start can succeed later."""


class StartForm:
    """The fields of the form, and the load that they describe.

    Args:
        config: the settings of the process.
        scenario: the scenario whose requests thresholds can name.

    Attributes:
        loads: makes the Load of a start.

    Raises:
        UsageError: when the Config's profile is invalid.
    """

    def __init__(self, config: Config, scenario: Scenario) -> None:
        self.loads = LoadFactory(config, scenario.requests)
        self._texts = self.loads.texts
        self._numbers = dict.fromkeys(_OF_LOCUST, "")
        self._host: str | None = None
        self._starting: gevent.Greenlet[..., object] | None = None

    def declare(self, parser: LocustArgumentParser, **_: object) -> None:
        """Add the fields to Locust's options (``events.init_command_line_parser``).

        Locust reads them for each view of the form, which shows the values of the last start.
        """
        for name, text in self._texts.items():
            choices = {"choices": self.loads.choices} if name == "load_profile" else {"metavar": "<text>"}
            parser.add_argument(f"--{name.replace('_', '-')}", default=text, help=_HELP[name], **choices)

    def check_starts(self, environment: Environment, choose: Callable[[Load], None]) -> None:
        """Check each start from the web UI before Locust's own handler processes it.

        A start is complete in itself: a missing field has the value from the settings, not from the last start. A stop
        during the preparation of a test stops the test as soon as it has begun; Locust would report that it was
        stopped, and then begin it. A change waits too; Locust would interrupt the preparation and prepare a second
        time.

        Args:
            environment: an Environment with a web UI.
            choose: receives the load of the next test.
        """
        web_ui: Any = environment.web_ui
        address = f"{environment.parsed_options.web_base_path}{_ADDRESS}"  # type: ignore[union-attr]
        web_ui.app.add_url_rule(address, "loadtest_profiles", lambda: jsonify(self.loads.run_times))
        start, stop = web_ui.app.view_functions[_SWARM], web_ui.app.view_functions[_STOP]
        self._host = environment.host

        def checked() -> Response:
            try:
                if self._is_under_way(environment):
                    self._check_unchanged(request.form, environment)
                    self._await_load(environment)
                if environment.runner.state in _BUSY:  # type: ignore[union-attr]
                    request.form = _without(_without_empty_host(request.form), "run_time")
                    return _noted(environment, start())
                load = self.loads.entered(request.form, environment)
                _check_ready(environment)
            except UsageError as error:
                logger.error("%s", error)
                answer = jsonify({"success": False, "message": " ".join(str(error).splitlines())})
                answer.status_code = _CONFLICT if isinstance(error, _NotNowError) else _BAD_REQUEST
                return answer
            return self._start(environment, load, choose, start)

        def stopped() -> Response:
            self._await_load(environment)
            return stop()  # type: ignore[no-any-return]

        web_ui.app.view_functions[_SWARM] = web_ui.auth_required_if_enabled(checked)
        web_ui.app.view_functions[_STOP] = web_ui.auth_required_if_enabled(stopped)

    def _start(
        self, environment: Environment, load: Load, choose: Callable[[Load], None], start: Callable[[], Response]
    ) -> Response:
        """Let Locust start a load. With a profile, Locust's own fields of the form keep their values."""
        texts = _given(request.form, self.loads.texts)
        numbers = {name: request.form.get(name, "").strip() for name in _OF_LOCUST}
        environment.host = self._host
        request.form = _without_empty_host(request.form)
        choose(load)
        if load.end_after_s:  # counted from the beginning of the load; Locust's own timer includes the preparation
            request.form = _without(request.form, "run_time")
        if load.profile is None:
            response = start()
        else:
            options: Any = environment.parsed_options
            before = options.num_users, options.spawn_rate
            request.form = _for_locust(request.form, load.profile)
            response = start()
            options.num_users, options.spawn_rate = before
            options.run_time = load.profile.run_time_s  # otherwise the form would show the value of an earlier start
        if response.get_json()["success"]:
            self._texts, self._numbers = texts, numbers
            web_ui: Any = environment.web_ui
            self._starting = web_ui._swarm_greenlet
        return response

    def _await_load(self, environment: Environment) -> None:
        """Wait while a test is being prepared."""
        while self._is_under_way(environment) and environment.runner.state not in _BUSY:  # type: ignore[union-attr]
            gevent.sleep(_POLL_S)

    def _is_under_way(self, environment: Environment) -> bool:
        runner: Any = environment.runner
        if runner.state in _BUSY:
            self._starting = None
            return True
        if self._starting is not None and not self._starting.dead:  # Locust starts it in the background
            return True
        follows_shape = runner.shape_greenlet is not None and not runner.shape_greenlet.dead
        return follows_shape and runner.state not in (STATE_STOPPING, STATE_CLEANUP)

    def _check_unchanged(self, values: Mapping[str, str], environment: Environment) -> None:
        """Refuse a change that Locust would report as successful but not make."""
        follows_shape = environment.shape_class is not None
        fixed = {name: text for name, text in self._numbers.items() if follows_shape or name == "run_time"}
        fixed["host"] = environment.host or ""
        given = {name: values.get(name, "").strip() or text for name, text in fixed.items()}
        running = {**self._texts, **fixed}
        if changed := [
            name for name, text in {**_given(values, self._texts), **given}.items() if text != running[name]
        ]:
            allowed = (
                "its level, in the corner of the page that shows how it goes"
                if follows_shape
                else "the number of users and the ramp up"
            )
            raise _NotNowError(
                f"{', '.join(changed).replace('_', ' ')} cannot change while a test is under way. Allowed: {allowed}. "
                "Next: stop the test, then start another."
            )


def _noted(environment: Environment, response: Response) -> Response:
    """Record that a person changed the users of the running test, if Locust did so."""
    record = RecordKeeper.of(environment).record
    if record is not None and environment.shape_class is None and response.get_json()["success"]:
        second = steady_clock.now() - math.floor(record.started_at)
        plan.change_users(record, second, float(request.form["user_count"]), float(request.form["spawn_rate"]))
    return response


def _given(values: Mapping[str, str], otherwise: Mapping[str, str]) -> dict[str, str]:
    return {name: values.get(name, text) for name, text in otherwise.items()}


def _without(values: ImmutableMultiDict[str, str], *names: str) -> ImmutableMultiDict[str, str]:
    return ImmutableMultiDict([(name, value) for name, value in values.items(multi=True) if name not in names])


def _without_empty_host(values: ImmutableMultiDict[str, str]) -> ImmutableMultiDict[str, str]:
    """Return the form without an empty host, which would make workers load the host of their User class."""
    return values if values.get("host", "").strip() else _without(values, "host")


def _for_locust(values: ImmutableMultiDict[str, str], profile: LoadProfile) -> ImmutableMultiDict[str, str]:
    """Return the form with the numbers that Locust requires; those of a closed profile come from its LoadTestShape."""
    users = str(profile.peak_users)
    others = _without(values, *_OF_LOCUST).items(multi=True)
    return ImmutableMultiDict([*others, ("user_count", users), ("spawn_rate", users)])


def _check_ready(environment: Environment) -> None:
    runner = environment.runner
    if runner is not None and runner.state in (STATE_STOPPING, STATE_CLEANUP):
        raise _NotNowError(
            "the last test is stopping. Allowed: a start after it has stopped. Next: try again in a second."
        )
    if isinstance(runner, MasterRunner) and not runner.worker_count:
        raise _NotNowError(
            "no worker is ready; after a test they need about 3 seconds. Allowed: a start with one or more. "
            "Next: try again, or start a worker."
        )
