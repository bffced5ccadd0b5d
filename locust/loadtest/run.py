"""Run: one test on the master, from its start to its verdict.

The master makes a Run when Locust says that a test starts: headless, by LOADTEST_AUTOSTART or from the web UI. It
loads the scenario's data, streams the record to the run's folder, shows progress, ends the run when its time is over,
and then reports. The run's time begins when the data is loaded.
"""

from __future__ import annotations

import logging
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import gevent
from locust.exception import StopTest

from loadtest import pacing, report, swarm, think_time, thresholds
from loadtest.exceptions import ExitCode, LoadtestError
from loadtest.judge import Judge
from loadtest.profile import LoadProfile
from loadtest.profile_shape import ProfileShape
from loadtest.progress import PLAIN_INTERVAL_S, ProgressLine, output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from locust.env import Environment
    from locust.shape import LoadTestShape

    from loadtest.config import Config
    from loadtest.scenarios import Scenario
    from loadtest.threshold import Threshold

logger = logging.getLogger(__name__)

_JUDGE_EVERY_S = 1.0
_POLL_S = 0.02


def wire(environment: Environment, config: Config, scenario: Scenario) -> None:
    """Make the master of `environment` conduct a Run for every test it starts."""
    options: Any = environment.parsed_options
    profile = LoadProfile.of(config)
    rules = thresholds.of(config, scenario.requests)
    _follow(profile, environment)
    interrupt = _interruption(environment)
    think_time.impose(environment, profile.think_time)
    options.num_users = options.num_users or profile.peak_users
    # In the open model the number of users is a limit, and holds at once.
    options.spawn_rate = options.spawn_rate or (
        profile.spawn_rate_per_s if profile.model == "closed" else options.num_users
    )
    options.autostart = options.autostart or config.autostart
    runs: list[Run] = []

    def prepare(environment: Environment, **_: object) -> None:
        run = Run(environment, config, scenario, rules, interrupt)
        run.prepare()
        runs.append(run)

    def begin(environment: Environment, **_: object) -> None:
        if profile.model == "open":
            runs[-1].begin_open(profile)
        elif environment.shape_class is not None:
            runs[-1].begin(_shape_time_s(environment.shape_class))
        else:
            run_time_s = None if options.run_time else _run_time_s(environment, profile)
            runs[-1].begin(run_time_s, run_time_s)

    def end(**_: object) -> None:
        if runs:
            runs.pop().end()

    # The swarm's own listener begins the record. Data is loaded before that, and time is counted after it.
    environment.events.test_start.add_listener(prepare)  # type: ignore[no-untyped-call]
    swarm.of(environment)
    environment.events.test_start.add_listener(begin)  # type: ignore[no-untyped-call]
    environment.events.test_stop.add_listener(end)  # type: ignore[no-untyped-call]


def _follow(profile: LoadProfile, environment: Environment) -> None:
    """Have Locust follow a profile that ramps, where nobody gives another number of users.

    Those who do keep the last word: a LoadTestShape of one's own, Locust's own options, the web UI's start form.
    """
    options: Any = environment.parsed_options
    if profile.model == "open" or profile.is_flat or environment.shape_class is not None:
        return
    if (options.headless or options.autostart) and not (options.num_users or options.spawn_rate or options.run_time):
        environment.shape_class = ProfileShape(profile)
        environment.shape_class.runner = environment.runner


def _interruption(environment: Environment) -> Callable[[], None] | None:
    """Return what ends a headless shape early, with a report, and let SIGTERM do it; None where there is no such shape.

    Locust's main greenlet waits for the shape. It has to be the one that ends the run: another one would be cut off by
    it. And only then it installs Locust's handler of SIGTERM, so until then the process would end at once.
    """
    options: Any = environment.parsed_options
    if environment.shape_class is None or not options.headless:
        return None
    waiting = gevent.getcurrent()

    def interrupt() -> None:
        handler.cancel()
        gevent.kill(waiting, KeyboardInterrupt)

    handler = gevent.signal_handler(signal.SIGTERM, interrupt)
    environment.events.test_stopping.add_listener(lambda **_: handler.cancel())  # type: ignore[no-untyped-call]
    return interrupt


def _shape_time_s(shape: LoadTestShape) -> float | None:
    return shape.profile.run_time_s if isinstance(shape, ProfileShape) else None


def _run_time_s(environment: Environment, profile: LoadProfile) -> float | None:
    """Return the profile's run time where nobody else ends the test: the web UI's start form has a field for it."""
    options: Any = environment.parsed_options
    return profile.run_time_s if options.headless or options.autostart else None


class Run:
    """One test, conducted on the master."""

    def __init__(
        self,
        environment: Environment,
        config: Config,
        scenario: Scenario,
        rules: Sequence[Threshold],
        interrupt: Callable[[], None] | None,
    ) -> None:
        self._environment = environment
        self._runner: Any = environment.runner
        self._options: Any = environment.parsed_options
        self._config = config
        self._scenario = scenario
        self._rules = rules
        self._interrupt = interrupt
        self._judge: Judge | None = None
        self._watch: gevent.Greenlet[..., None] | None = None
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

    def begin(self, expected_s: float | None, end_after_s: float | None = None) -> None:
        """Show progress and judge from now on.

        Args:
            expected_s: the length of the test, for the progress line; None when it is not known.
            end_after_s: end the test then; None when somebody else does.
        """
        self._begin_to_judge()
        self._show(expected_s)
        if end_after_s:
            self._timer = gevent.spawn_later(end_after_s, self._end_test)

    def _begin_to_judge(self, started_at: float | None = None, longest_s: float | None = None) -> None:
        record = swarm.of(self._environment).record
        if record is not None:
            self._judge = Judge(self._rules, record, started_at, longest_s)

    def _show(self, expected_s: float | None) -> None:
        self._progress = ProgressLine(swarm.of(self._environment).snapshot, expected_s, self._console)
        if any(rule.abort_on_fail for rule in self._rules):
            self._watch = gevent.spawn(self._watch_rules)

    def begin_open(self, profile: LoadProfile) -> None:
        """Show progress from now on, and have the profile's arrivals started; the test ends after the last of them.

        Raises:
            StopTest: when they cannot be, as in `prepare`.
        """
        try:
            conductor = pacing.conduct(self._environment, profile, self._end_test)
        except LoadtestError as error:
            self._abort(error)
        self._show(profile.run_time_s)
        self._timer = gevent.spawn(self._await_arrivals, conductor, profile.run_time_s)

    def _await_arrivals(self, conductor: pacing.Conductor, run_time_s: float) -> None:
        """Judge from the first arrival on, which is known half a second before."""
        while (schedule := conductor.schedule) is None:
            gevent.sleep(_POLL_S)
        started_at = time.time() + schedule.origin_s - time.perf_counter()
        self._begin_to_judge(started_at, run_time_s)

    def end(self) -> None:
        """Show and write what came of it, and decide the exit code."""
        if self._progress:
            self._progress.stop()
        for greenlet in (self._timer, self._watch):
            if greenlet is not None and greenlet is not gevent.getcurrent():
                greenlet.kill(block=False)
        record = swarm.of(self._environment).finish()
        if record is None:
            return
        judge = self._judge or Judge(self._rules, record)  # a run that never came to its first arrival
        judge.end()
        record.load_s = judge.load_s
        verdict = swarm.of(self._environment).verdict(judge.results())
        self._environment.process_exit_code = int(verdict.exit_code)
        report.show(record, verdict, self._console)
        for problem in report.write(self._folder, record, verdict, self._environment):
            self._console.print(f"error: {problem}", markup=False)
        self._console.print(f"report       {self._folder}/", markup=False)

    def _watch_rules(self) -> None:
        """End the test when a rule that says so has failed."""
        while True:
            gevent.sleep(_JUDGE_EVERY_S)
            if self._judge and (broken := self._judge.tick()):
                self._console.print(f"aborted      {broken.sentence}", markup=False)
                self._end_test()
                return

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
        if self._judge:
            self._judge.end()
        if self._interrupt:
            self._interrupt()
        elif self._options.headless:
            self._runner.quit()
        else:
            self._runner.stop()


def default_run_id(config: Config) -> str:
    """Return a run's name: the present time in UTC, the scenario and the profile."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{config.scenario}-{config.profile}"
