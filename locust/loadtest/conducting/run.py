"""Run: one test on the master, from its start to its verdict.

The master creates a Run when Locust reports that a test starts: headless, by LOADTEST_AUTOSTART, or from the web UI.
The Run loads the scenario's data, streams the record to the run's folder, shows progress, ends the test when its time
is over, and reports. The run's time begins when the data has been loaded.

Tested in tests/native/test_local_stack.py and tests/native/test_load_model.py.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import gevent
from flask import has_request_context
from locust.runners import STATE_MISSING, MasterRunner

from loadtest import scenarios
from loadtest.clients.redis.watch import RedisWatch
from loadtest.comparing import decision, history, run_figures, trend
from loadtest.conducting.result_files import ResultFiles
from loadtest.conducting.scenario_data import ScenarioData
from loadtest.estimating import looks
from loadtest.exceptions import ExitCode, described
from loadtest.exporting.run_progress import RunProgress
from loadtest.feeding import service as feeding
from loadtest.judging import steady, thresholds, trust
from loadtest.judging.judge import Judge
from loadtest.judging.outcome import decide
from loadtest.measuring import machine, steady_clock
from loadtest.measuring.record import ABORTED, DECIDED, FEED, RunRecord
from loadtest.measuring.record_rows import Interruption
from loadtest.pacing import service as pacing
from loadtest.profiles.load import Load
from loadtest.progress import ProgressLine, output
from loadtest.reporting import document, files, locust_files, provenance, summary
from loadtest.run_folder import RunFolder
from loadtest.session import Session
from loadtest.settings import hosts
from loadtest.swarm import interrupt
from loadtest.swarm.exit_code import ProcessExitCode
from loadtest.swarm.hooks import Hooks
from loadtest.swarm.record_keeper import RecordKeeper
from loadtest.swarm.session import ControllingSwarm, Swarm
from loadtest.users import declared
from loadtest.users.target import Target, check_hosts, each_side, redis_target_of, target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from locust.env import Environment

    from loadtest.conducting.load_shape import WatchedShape
    from loadtest.estimating.looks import Look
    from loadtest.judging.outcome import Result, Verdict
    from loadtest.pacing.service import ArrivalCoordinator
    from loadtest.profiles.profile import LoadProfile
    from loadtest.reporting.document import Document
    from loadtest.scenarios import Scenario

logger = logging.getLogger(__name__)

_JUDGE_EVERY_S = 1.0
_POLL_S = 0.02
_USUAL_S = 60.0  # the length assumed for detecting a warm-up if none is planned
_TIMER_S = 2.0  # a timer of Locust's may start this much before a busy process has prepared the run
_TIMER_RATIO = 0.1  # but at most this share of a short run


class Run:
    """One test, conducted on the master.

    Args:
        environment: the master's Environment.
        scenario: the scenario whose data is loaded.
        load: the requested load.
        end_shape: ends the test where Locust's own ways do not work; None where they do.
        shape: the locustfile's own load shape; None without one.
    """

    def __init__(
        self,
        environment: Environment,
        scenario: Scenario,
        load: Load,
        end_shape: Callable[[], None] | None = None,
        shape: WatchedShape | None = None,
    ) -> None:
        self._environment = environment
        self._runner: Any = environment.runner
        self._options: Any = environment.parsed_options
        self._config = load.config
        self._scenario = scenario
        self._load = load
        self._rules = load.rules
        self._end_shape = end_shape
        self._shape = shape
        self._exit_code = ProcessExitCode.of(environment)
        self._judge: Judge | None = None
        self._run_progress: RunProgress | None = None
        self._watch: gevent.Greenlet[..., None] | None = None
        self._console = output()
        self._progress: ProgressLine | None = None
        self._timer: gevent.Greenlet[..., object] | None = None
        self._folder = RunFolder(load.config.runs_dir)
        self._redis_watches: list[RedisWatch] = []
        self._timers: list[gevent.Greenlet[..., None]] = []
        self._data = ScenarioData(scenario, load.config.redis_url, self.say)
        self._hooks = Hooks(environment, scenario.setup, scenario.teardown)
        self._problems: list[str] = []
        self._prepared_at = steady_clock.now()
        self._is_done = False
        self.arrivals: ArrivalCoordinator | None = None
        """The coordinator that starts the arrivals of an open-model load, once the run is prepared; None otherwise."""

    def prepare(self) -> None:
        """Load the data, and choose the file that the record is streamed to.

        Raises:
            Exception: when the data cannot be loaded or the folder cannot be written.
        """
        interrupt.note_termination()
        self._prepared_at = steady_clock.now()
        if self._options.headless:
            self._exit_code.set(ExitCode.ERROR)  # until the run has reported
        check_hosts(self._environment.user_classes, self._environment.host)
        Session.of(self._environment).put(Hooks, self._hooks)
        if not self._config.keep_data:
            self._hooks.removals.append(lambda _: self._data.remove(self._folder.name))
        self._data.load()
        self._feed()
        self._folder = self._new_folder()
        profile = self._load.profile
        if profile is not None and profile.model == "open":
            self.arrivals = pacing.prepare(self._environment, profile, self.end_test)
        swarm = ControllingSwarm.of(self._environment)
        swarm.think_time, swarm.keeps_evidence = self._load.think_time, self._config.evidence
        swarm.trace_ratio = self._config.trace_sample
        Session.of(self._environment).put(Load, self._load)
        configuration = provenance.masked(self._config.model_dump(mode="json"))
        context = provenance.of(self._config.scenario, self._load.plan, self._config.redis_url)
        context["target"] = self._target._asdict()
        absent = declared.absent(self._scenario.user_classes, self._environment.user_classes)
        context["notes"] = [*self._scenario.notes, *self._data.notes, *self._rules_left_out(), *absent]
        context["declared"] = [list(request) for request in self._scenario.requests]
        context["tasks"] = declared.tasks(self._environment.user_classes)
        measured = RecordKeeper.of(self._environment)
        measured.stream_to(self._folder.stream, self._folder.name, configuration, context)
        measured.separate_usage(self._peers())
        self._hooks.set_up()

    def _new_folder(self) -> RunFolder:
        """Create the run's folder, named after the run, which a web UI's next test shares, or after the time."""
        config = self._config
        if config.run_id:
            return RunFolder.create_next(config.runs_dir, config.run_id)
        return RunFolder.begin(config.runs_dir, None, config.scenario_name, config.profile_name)

    def _rules_left_out(self) -> Iterator[str]:
        """Name the scenarios in rules of the thresholds file that are unknown here, so that the rules are left out."""
        if unknown := [name for name in thresholds.others(self._config) if name not in scenarios.names()]:
            yield (
                f"rules of {self._config.thresholds_file} about {', '.join(unknown)} were left out: this is the "
                f"scenario {self._config.scenario_name}"
            )

    @property
    def _target(self) -> Target:
        """Return what this test loads. A locustfile listener or a start from the web UI may have set the host."""
        taking_part = {kind.__name__ for kind in each_side(self._environment.user_classes)}
        of_classes = {name: host for name, host in self._scenario.hosts.items() if name in taking_part}
        find = redis_target_of if self._scenario.loads_only_redis else target_of
        return find(self._environment.host, of_classes, self._config)

    def _peers(self) -> Callable[[], machine.Peers]:
        """Return a function that finds the processes of this machine that take part in the test."""
        redis_port = hosts.local_port(self._config.redis_url or "")
        return partial(
            machine.peers,
            link_port=getattr(self._runner, "master_bind_port", 0),
            served=() if redis_port is None else (redis_port,),
            target_ports=set(filter(None, map(hosts.local_port, self._target.hosts))),
        )

    def begin(self) -> None:
        """Start the load, show progress, and judge from the beginning of the load on."""
        load = self._load
        if load.plan is not None and load.plan.unreached:
            self.say(f"warning      {load.plan.unreached}")
        self._show(load.expected_s)
        if self.arrivals is not None and load.profile is not None:
            self._timer = gevent.spawn(self._await_arrivals, self.arrivals, load.profile)
            return
        self._begin_to_judge(load.profile)
        if load.end_after_s:
            gevent.get_hub().loop.update_now()  # the loop's cached time is from before the preparation
            self._timer = gevent.spawn_later(load.end_after_s, self.end_test)

    def _begin_to_judge(
        self, profile: LoadProfile | None, started_at: float | None = None, longest_s: float | None = None
    ) -> None:
        measured = RecordKeeper.of(self._environment)
        if measured.record is None:
            return
        config = self._load.config
        length_s = (self._load.expected_s or _USUAL_S) if config.warm_up == "auto" else None
        judge = self._judge = Judge(self._rules, measured.record, started_at, longest_s, finds_warm_up_in_s=length_s)
        measured.record.warm_up_s = config.warm_up_s
        begins_at = steady_clock.now() if started_at is None else started_at
        self._run_progress = RunProgress(
            lambda: self._verdict(judge.results()), profile, begins_at, measured.record.run_id
        )
        Session.of(self._environment).put(RunProgress, self._run_progress)
        self._note("start", "load begins", begins_at)
        if profile is not None:
            self._timers = [
                gevent.spawn_later(max(0.0, at - steady_clock.now()), self._note_stage, number, at)
                for number, at in self._run_progress.later_stages()
            ]
        looks_s, look = self._scenario.looks_s, self._scenario.look
        if look is None and config.until_decided and config.baseline and config.run_time:
            looks_s, look = looks.within(config.run_time), partial(decision.look, config)
        if look is not None:
            self._timers.append(gevent.spawn(self._watch_answer, look, looks_s, begins_at, judge))
        if self._config.redis_url:
            for url in dict.fromkeys((self._config.redis_url, *self._scenario.redis_urls_of_sides)):
                self._redis_watches.append(
                    RedisWatch(url, lambda text: self._note("redis", text), self._load_data_again)
                )

    def _verdict(self, results: Sequence[Result]) -> Verdict:
        """Return the verdict on the record so far."""
        measured = RecordKeeper.of(self._environment)
        record = measured.record or RunRecord()
        return decide(record, trust.violations(record, measured.watch), results)

    def _note(self, kind: str, text: str, at: float | None = None) -> None:
        """Record an event, by default at the current time."""
        record = RecordKeeper.of(self._environment).record
        if record is not None:
            record.note((steady_clock.now() if at is None else at) - math.floor(record.started_at), kind, text)

    def _note_stage(self, number: int, at: float) -> None:
        progress = RunProgress.of(self._environment)
        if progress is not None and progress.profile is not None:  # otherwise a person has changed the load
            self._note("stage", f"stage {number} begins", at)

    def _show(self, expected_s: float | None) -> None:
        self._progress = ProgressLine(RecordKeeper.of(self._environment).snapshot, expected_s, self._console)
        if any(rule.abort_on_fail for rule in self._rules):
            self._watch = gevent.spawn(self._watch_rules)

    def _await_arrivals(self, coordinator: ArrivalCoordinator, profile: LoadProfile) -> None:
        """Judge from the first arrival on, whose time is known half a second before."""
        while (schedule := coordinator.schedule) is None:
            gevent.sleep(_POLL_S)
        started_at = steady_clock.now() + schedule.origin_s - time.perf_counter()
        self._begin_to_judge(profile, started_at, profile.run_time_s)

    def stopping(self) -> None:
        """Record what ends the run, if its plan is not complete."""
        record = RecordKeeper.of(self._environment).record
        if record is None or self._plan_is_done():
            return
        now, planned_s = steady_clock.now(), self._load.expected_s
        before_load_s = 0.0 if planned_s else now - record.started_at  # a search judges its steps itself
        load_s = self._judge.load_s if self._judge else before_load_s
        second = round(now - math.floor(record.started_at), 3)
        record.interruption = Interruption(self._interrupted_by(), second, round(load_s, 3), planned_s)
        self._note("interrupted", record.interruption.sentence)

    def _plan_is_done(self) -> bool:
        """Return whether the run's end was planned: by this class, the load shape, Locust's own run time, or a person
        who stops a run without a planned end."""
        if self._is_done:
            return True
        if self._runner.shape_greenlet is gevent.getcurrent():
            return not (self._shape and self._shape.error)
        if self._load.expected_s is None:
            return has_request_context()
        keeps_time = self._load.profile is None and self._load.end_after_s is None
        early_s = min(_TIMER_S, self._load.expected_s * _TIMER_RATIO)
        return keeps_time and steady_clock.now() - self._prepared_at > self._load.expected_s - early_s

    def _interrupted_by(self) -> str:
        if signal_name := interrupt.received():
            cause = self._folder.cause
            return cause.read_text(encoding="utf-8") if cause.is_file() else signal_name
        if self._shape and self._shape.error:
            return f"the load shape raised {self._shape.error}"
        if isinstance(self._runner, MasterRunner) and not (swarm := Swarm.of(self._environment)).peers():
            missing = [client.id for client in self._runner.clients.all if client.state == STATE_MISSING]
            if any(map(swarm.is_connected, missing)):
                return "the last worker stopped answering; look for a task that never yields, such as a busy loop"
            return "all workers left"
        if has_request_context():
            return "stopped in the web UI"
        return "the runner's stop() or quit() was called"

    def end(self) -> None:
        """Show and write the results, then set the exit code."""
        with self.reporting():
            self._report()

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Report an error within this context, and at its end set exit code 1 unless the context set another code."""
        self._exit_code.set(ExitCode.ERROR)
        try:
            yield
        except (Exception, SystemExit) as error:
            logger.exception("the run finished, but could not be reported")
            self.say(
                f"error: the run finished, but could not be reported: {described(error)}. Next: report this as a "
                f"bug in loadtest, with the master's log; `loadtest report {self._folder.path}` shows what there is."
            )

    def closed_record(self) -> RunRecord:
        """Return the record of the run that has ended.

        Raises:
            Exception: the error that occurred when it was stopped.
        """
        record = RecordKeeper.of(self._environment).finish()
        if (failure := ControllingSwarm.of(self._environment).failure) is not None:
            raise failure
        if record is None:
            raise RuntimeError("there is no record of the run")
        return record

    def _report(self) -> None:
        if self._progress:
            self._progress.stop()
        for watch in self._redis_watches:
            watch.stop()
        for greenlet in (self._timer, self._watch, *self._timers):
            if greenlet is not None and greenlet is not gevent.getcurrent():
                greenlet.kill(block=False)
        record = self.closed_record()
        self._tear_down()
        if self._options.headless:  # the name of Locust's --html file depends on it
            self._options.run_time = self._options.run_time or self._load.expected_s
        judge = self._judge or Judge(self._rules, record, longest_s=0.0)  # the first arrival never came
        judge.end()
        record.load_s, record.counted_s = judge.load_s, judge.counted_s
        if found_s := judge.leave_out(steady.find(record).warm_up_s):
            record.warm_up_s = found_s
            self._note("warmup", f"the detected warm-up ends: {found_s:g} s", judge.began_at + found_s)
        verdict = self._verdict(judge.final_results())
        account = feeding.of(self._environment).account()
        for sentence in account:
            self._note("feed", sentence)
        made = document.of(record, verdict)
        made["earlier"] = history.earlier(self._config.runs_dir, made)
        own = trend.figures(made, self._folder.name)
        made["changes"] = trend.of(self._config.runs_dir, own) if own else {}
        if self._run_progress is not None:
            changed = made["changes"].get("changed", ())
            progress = replace(self._run_progress, verdict=lambda: verdict, changed=changed)
            Session.of(self._environment).put(RunProgress, progress)
        summary.show(made, self._console)
        for sentence in account:
            self.say(f"feed         {sentence}")
        self.report(made, verdict, {run_figures.FILE: own.text} if own else {})

    def _tear_down(self) -> None:
        """Let the scenario remove the run's data; if that fails, the run has not passed."""
        try:
            self._hooks.tear_down()
        except (Exception, SystemExit) as error:
            logger.exception("the scenario's teardown failed")
            self._problems.append(f"the scenario's teardown failed: {described(error)}")
            self._note("teardown", self._problems[-1])

    def report(self, made: Document, verdict: Verdict, more: Mapping[str, Callable[[], str]] | None = None) -> None:
        """Write the files of the run's document, then set the exit code of its verdict.

        If a run passed but not all files could be written, the exit code is 1, because their readers must not miss
        that.

        Args:
            made: the document.
            verdict: the document's verdict.
            more: further files by name, with functions that return their text.
        """
        results = ResultFiles(self._folder, self._config, not self._options.headless, self.say)
        texts = {**files.of(made), **locust_files.of(self._environment), **(more or {})}
        problems = self._problems + results.write(made, texts)
        for problem in problems:
            self.say(f"error: {problem}")
        self.say(f"report       {self._folder.path}/")
        self._exit_code.set(verdict.exit_code or (ExitCode.ERROR if problems else ExitCode.PASSED))
        results.send()

    def say(self, line: str) -> None:
        """Print a line on the screen."""
        self._console.print(line, markup=False)

    def _watch_rules(self) -> None:
        """End the test when a threshold with abort_on_fail has failed."""
        while True:
            gevent.sleep(_JUDGE_EVERY_S)
            if self._judge and (broken := self._judge.tick()):
                self.say(f"aborted      {broken.sentence}")
                planned = f" of {self._load.expected_s:g} s" if self._load.expected_s else ""
                load_s = self._judge.load_s
                self._note(ABORTED, f"{broken.threshold.condition} ended the run after {load_s:.0f} s{planned} of load")
                self.end_test()
                return

    def _watch_answer(
        self, look: Callable[[Document], Look], looks_s: Sequence[float], begins_at: float, judge: Judge
    ) -> None:
        """End the test when its comparison has an answer, which is computed in a thread alongside the load.

        The test continues if the run could not be compared if it ended now, which is reported once: the obstacle may
        shrink.
        """
        measured, is_announced = RecordKeeper.of(self._environment), False
        for look_s in looks_s:
            gevent.sleep(max(0.0, begins_at + look_s - steady_clock.now()))
            if (record := measured.record) is None:
                return
            so_far = document.so_far(record, self._verdict(judge.results()), measured.watch, judge.load_s)
            found = gevent.get_hub().threadpool.apply(look, (so_far,))
            sentence = f"the answer was known after {steady_clock.now() - begins_at:.0f} s of load"
            if found.is_decided and not found.obstacles:
                self._end_for(DECIDED, sentence)
                return
            if found.is_decided and not is_announced:
                is_announced = True
                self.say(f"goes on      {sentence}, but the run could not be compared: {'; '.join(found.obstacles)}")

    def _load_data_again(self) -> None:
        sentence = self._data.load_again()
        self._note("redis", sentence)
        self.say(f"redis        {sentence}")

    def _feed(self) -> None:
        """Read the test data."""
        reader = feeding.of(self._environment)
        for sentence in reader.prepare(self._config.feed, self._config.feed_policy, partial(self._end_for, FEED)):
            self.say(f"feed         {sentence}")

    def _end_for(self, kind: str, reason: str) -> None:
        """End the test, and record why."""
        self._note(kind, reason)
        self.say(f"ended        {reason}")
        self.end_test()

    def end_test(self) -> None:
        """End the test as planned: a headless master quits, one with a web UI continues to serve."""
        self._is_done = True
        if self._judge:
            self._judge.end()
        if self._end_shape:
            self._end_shape()
        elif self._options.headless:
            self._runner.quit()
        else:
            self._runner.stop()
