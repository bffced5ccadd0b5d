"""Run: one test on the master, from its start to its verdict.

The master makes a Run when Locust says that a test starts: headless, by LOADTEST_AUTOSTART or from the web UI. It
loads the scenario's data, streams the record to the run's folder, shows progress, ends the run when its time is over,
and then reports. The run's time begins when the data is loaded.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import gevent
from locust.exception import StopTest

from loadtest import pacing, report, swarm
from loadtest.exceptions import ExitCode, LoadtestError
from loadtest.profile import LoadProfile
from loadtest.progress import PLAIN_INTERVAL_S, ProgressLine, output

if TYPE_CHECKING:
    from pathlib import Path

    from locust.env import Environment

    from loadtest.config import Config
    from loadtest.scenarios import Scenario

logger = logging.getLogger(__name__)


def wire(environment: Environment, config: Config, scenario: Scenario) -> None:
    """Make the master of `environment` conduct a Run for every test it starts."""
    options: Any = environment.parsed_options
    profile = LoadProfile.of(config)
    options.num_users = options.num_users or profile.peak_users
    # In the open model the number of users is a limit, and holds at once.
    options.spawn_rate = options.spawn_rate or (
        profile.spawn_rate_per_s if profile.model == "closed" else options.num_users
    )
    options.autostart = options.autostart or config.autostart
    runs: list[Run] = []

    def prepare(environment: Environment, **_: object) -> None:
        run = Run(environment, config, scenario)
        run.prepare()
        runs.append(run)

    def begin(environment: Environment, **_: object) -> None:
        if profile.model == "open":
            runs[-1].begin_open(profile)
        else:
            runs[-1].begin(None if options.run_time else _run_time_s(environment, profile))

    def end(**_: object) -> None:
        if runs:
            runs.pop().end()

    # The swarm's own listener begins the record. Data is loaded before that, and time is counted after it.
    environment.events.test_start.add_listener(prepare)  # type: ignore[no-untyped-call]
    swarm.of(environment)
    environment.events.test_start.add_listener(begin)  # type: ignore[no-untyped-call]
    environment.events.test_stop.add_listener(end)  # type: ignore[no-untyped-call]


def _run_time_s(environment: Environment, profile: LoadProfile) -> float | None:
    """Return the profile's run time where nobody else ends the test: the web UI's start form has a field for it."""
    options: Any = environment.parsed_options
    return profile.run_time_s if options.headless or options.autostart else None


class Run:
    """One test, conducted on the master."""

    def __init__(self, environment: Environment, config: Config, scenario: Scenario) -> None:
        self._environment = environment
        self._runner: Any = environment.runner
        self._options: Any = environment.parsed_options
        self._config = config
        self._scenario = scenario
        self._console = output()
        self._progress: ProgressLine | None = None
        self._timer: gevent.Greenlet[..., object] | None = None
        self._folder = config.runs_dir

    def prepare(self) -> None:
        """Load the data, and name the file that the record is streamed to.

        Raises:
            StopTest: when the data cannot be loaded or the folder cannot be written; the process then ends, or, with
                the web UI, goes on serving.
        """
        try:
            self._load_data()
            self._folder = self._make_folder()
        except LoadtestError as error:
            self._abort(error)
        configuration = self._config.model_dump(mode="json", exclude={"redis_url"})
        swarm.of(self._environment).stream_to(self._folder / report.STREAM, self._folder.name, configuration)

    def begin(self, run_time_s: float | None) -> None:
        """Show progress from now on, and end the test when its time is over."""
        self._progress = ProgressLine(swarm.of(self._environment).snapshot, run_time_s, self._console)
        if run_time_s:
            self._timer = gevent.spawn_later(run_time_s, self._end_test)

    def begin_open(self, profile: LoadProfile) -> None:
        """Show progress from now on, and have the profile's arrivals started; the test ends after the last of them.

        Raises:
            StopTest: when they cannot be, as in `prepare`.
        """
        try:
            pacing.conduct(self._environment, profile, self._end_test)
        except LoadtestError as error:
            self._abort(error)
        self.begin(None)

    def end(self) -> None:
        """Show and write what came of it, and decide the exit code."""
        if self._progress:
            self._progress.stop()
        if self._timer and self._timer is not gevent.getcurrent():
            self._timer.kill(block=False)
        record = swarm.of(self._environment).finish()
        if record is None:
            return
        verdict = swarm.of(self._environment).verdict()
        self._environment.process_exit_code = int(verdict.exit_code)
        report.show(record, verdict, self._console)
        for problem in report.write(self._folder, record, verdict, self._environment):
            self._console.print(f"error: {problem}", markup=False)
        self._console.print(f"report       {self._folder}/", markup=False)

    def _load_data(self) -> None:
        load_data, redis_url = self._scenario.load_data, self._config.redis_url
        if load_data is None or redis_url is None:
            return
        shown_s = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal shown_s
            if done == total or time.monotonic() - shown_s > PLAIN_INTERVAL_S:
                shown_s = time.monotonic()
                self._console.print(f"data         {done:,} of {total:,} keys are there")

        load_data(redis_url, progress)

    def _make_folder(self) -> Path:
        folder = self._config.runs_dir / (self._config.run_id or default_run_id(self._config))
        try:
            folder.mkdir(parents=True, exist_ok=self._config.run_id is not None)
        except OSError as error:
            raise LoadtestError(
                f"the run's folder {folder} cannot be made ({error.strerror}). Allowed: a folder that can be written. "
                "Next: set LOADTEST_RUNS_DIR to one."
            ) from error
        return folder

    def _abort(self, error: LoadtestError) -> NoReturn:
        logger.error("%s", error)
        self._console.print(f"error: {error}", markup=False)
        if self._options.headless:
            self._environment.process_exit_code = int(ExitCode.NOT_MADE)
            gevent.spawn(self._runner.quit)
        raise StopTest(str(error)) from error

    def _end_test(self) -> None:
        """End the test: a headless master quits, one with a web UI goes on serving."""
        if self._options.headless:
            self._runner.quit()
        else:
            self._runner.stop()


def default_run_id(config: Config) -> str:
    """Return a run's name: the present time in UTC, the scenario and the profile."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{config.scenario}-{config.profile}"
