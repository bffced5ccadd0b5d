"""CapacityRun: the capacity search on a running swarm.

The search is one open-model run whose rate is changed while it runs; nothing restarts between two steps. A step changes
the rate, lets it settle for `SETTLE_S`, and evaluates the objective on the measurements of the following `MEASURE_S`. A
step with a clear outcome is cut short: when a time exceeds `HOPELESS` times its limit, or a tenth of the iterations
were dropped. After a step that missed the objective, the swarm pauses until every iteration has ended, so that the next
step starts without a backlog.

A step also fails if iterations were dropped, because all users of the pool were waiting for the system. It is discarded
if the generator was not fit to measure, which has two criteria. One is the limits of
`loadtest.judging.generator_health`, applied to the mean of the step's seconds. The other applies if a limit on time was
exceeded: the generator may have caused that if its own event loop was late by at least `LAG_SHARE` of that limit, and
the limit would have been met without the delay.

Tested in tests/native/test_capacity.py.
"""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import gevent

from loadtest.capacity import chart
from loadtest.capacity.search import Capacity, End, Plan, StepResult, find_capacity
from loadtest.capacity.usl import fit_usl
from loadtest.comparing import comparability
from loadtest.conducting.run import Run
from loadtest.conducting.service import controls_runs
from loadtest.judging import thresholds
from loadtest.judging.generator_health import SUSTAINED
from loadtest.judging.judge import Judge
from loadtest.judging.outcome import Outcome, Verdict
from loadtest.measuring import steady_clock
from loadtest.profiles.curve import Stage
from loadtest.profiles.load import Load
from loadtest.profiles.profile import LoadProfile
from loadtest.progress import milliseconds
from loadtest.reporting import document
from loadtest.swarm.record_keeper import RecordKeeper
from loadtest.swarm.session import ControllingSwarm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from locust.env import Environment

    from loadtest.capacity.usl import UslFit
    from loadtest.judging.outcome import Result
    from loadtest.measuring.record import RunRecord
    from loadtest.pacing.service import ArrivalCoordinator
    from loadtest.scenarios import Scenario
    from loadtest.settings.config import Config

logger = logging.getLogger(__name__)

WARM_UP_S: Final = 3.0
"""Seconds of load at the first rate before the first step."""
SETTLE_S: Final = 1.5
MEASURE_S: Final = 6.0
LONGEST_MEASURE_S: Final = 60.0
"""Seconds that a step at a low rate may wait for the samples that its percentiles need."""
DELIVERY_S: Final = 1.5
"""Seconds that the workers' last second takes at most to reach the record."""
DRAIN_S: Final = 60.0
"""The longest pause in seconds."""
HOPELESS: Final = 3.0
DROPPED_RATIO: Final = 0.001
"""The ratio of dropped iterations from which a step has failed."""
_CLEARLY_DROPPED: Final = 0.1
MAX_USERS: Final = 1_000
LAG_SHARE: Final = 0.5
HIGHEST_RATE_PER_S: Final = 100_000.0
FINE: Final = 0.03
"""The precision of a search that may make more steps than the default."""
_POLL_S: Final = 0.05
_STEP_LASTS_S: Final = 24 * 3600.0  # until the next step

_EXPLAINED: Final = {
    End.PRECISE: "",
    End.STEPS: " (no more steps were allowed: a longer --run-time allows more, for a narrower interval)",
    End.GENERATOR: " (above it, the generator was not fit to measure: add workers)",
    End.HIGHEST: " (it was the highest rate allowed)",
}


def start(environment: Environment, config: Config, scenario: Scenario, _form: object = None) -> None:
    """Run a capacity search in every test that a master starts; on a worker, do nothing.

    Raises:
        UsageError: when the objective is invalid.
    """
    if not controls_runs(environment, config, scenario):
        return
    options: Any = environment.parsed_options
    rules = thresholds.objective(config, lambda: scenario.requests)
    profile = _profile(config)
    options.num_users = options.num_users or profile.peak_users
    options.spawn_rate = options.spawn_rate or options.num_users
    load = Load(config, rules, profile)
    swarm = ControllingSwarm.of(environment)
    swarm.make_run = lambda: CapacityRun(environment, Run(environment, scenario, load), load)


def _profile(config: Config) -> LoadProfile:
    first = Stage(_STEP_LASTS_S, _plan(config).first_rate_per_s, "step")
    users = config.users or MAX_USERS
    return LoadProfile("capacity", "open", (first,), max_users=users, pre_allocated_users=min(10, users))


def _plan(config: Config) -> Plan:
    highest = config.rate or HIGHEST_RATE_PER_S
    step_s = SETTLE_S + MEASURE_S + DELIVERY_S
    defaults = Plan()
    steps = max(1, int(config.run_time / step_s)) if config.run_time else defaults.steps
    return Plan(
        first_rate_per_s=min(defaults.first_rate_per_s, highest),
        lowest_rate_per_s=min(defaults.lowest_rate_per_s, highest),
        highest_rate_per_s=highest,
        precision=FINE if steps > defaults.steps else defaults.precision,
        steps=steps,
    )


class CapacityRun:
    """One search, conducted on the master in a run of the open model.

    Args:
        environment: the master's Environment.
        run: prepares the test, ends it and reports.
        load: its rules are the objective, and its profile is that of the first step.
    """

    def __init__(self, environment: Environment, run: Run, load: Load) -> None:
        self._environment = environment
        self._run = run
        self._load = load
        self._steps: list[StepResult] = []
        self._found: Capacity | None = None
        self._searching: gevent.Greenlet[..., None] | None = None

    def prepare(self) -> None:
        """Prepare the run."""
        self._run.prepare()

    def begin(self) -> None:
        """Begin the search; the test ends with it."""
        if self._run.arrivals is not None:
            self._run.say(f"objective    {self._load.config.slo}")
            self._searching = gevent.spawn(self._search, self._run.arrivals)

    def stopping(self) -> None:
        """Record what ends the search, if it is not complete."""
        self._run.stopping()

    def end(self) -> None:
        """Show and write the result, then set the exit code."""
        with self._run.reporting():
            self._report()

    def _report(self) -> None:
        if self._searching is not None and self._searching is not gevent.getcurrent():
            self._searching.kill(block=False)
        record = self._run.closed_record()
        found, config = self._found, self._load.config
        fit = fit_usl(*_loads(self._steps))
        sentence = _sentence(found, self._steps)
        verdict = _verdict(found, sentence, record)
        shown = found or Capacity(End.STEPS, tuple(self._steps), 0.0, 0.0, math.inf)
        limits = chart.Limit.all_of(self._load.rules)
        drawn, law = chart.terminal_chart(shown, limits), chart.usl_sentence(fit) if fit else ""
        for text in (drawn, law, f"capacity     {sentence}"):
            if text:
                self._run.say(text)
        title = f"Capacity of {config.scenario_name} for {config.slo}"
        found_document = _document(shown, config, sentence, fit, complete=found is not None)
        files = {
            "capacity.json": lambda: json.dumps(found_document, indent=1),
            "capacity.html": lambda: chart.html_page(shown, title, sentence, fit, limits),
        }
        made = document.of(record, verdict)
        for problem in comparability.crowded(made):
            self._run.say(f"note         {problem}: no other search can be compared with this one")
        self._run.report(made, verdict, files)

    def _search(self, coordinator: ArrivalCoordinator) -> None:
        try:
            while coordinator.schedule is None:
                gevent.sleep(_POLL_S)
            gevent.sleep(max(0.0, coordinator.schedule.origin_s + WARM_UP_S - time.perf_counter()))
            self._found = find_capacity(partial(self._measure, coordinator), _plan(self._load.config))
        finally:
            self._run.end_test()

    def _measure(self, coordinator: ArrivalCoordinator, rate_per_s: float) -> StepResult:
        """Carry out one step."""
        from_s = coordinator.change_rate(rate_per_s, _STEP_LASTS_S)
        gevent.sleep(max(0.0, from_s + SETTLE_S - time.perf_counter()))
        record = RecordKeeper.of(self._environment).record
        if record is None:
            raise RuntimeError("no record is open")
        step = _Step(self._environment, record, self._load.rules, rate_per_s)
        step.watch()
        result = step.result()
        self._steps.append(result)
        self._run.say(_line(self._steps))
        if result.outcome is not Outcome.PASSED:
            _drain(coordinator)
        return result


def _drain(coordinator: ArrivalCoordinator) -> None:
    """Pause until every iteration has ended."""
    coordinator.change_rate(0.0, _STEP_LASTS_S)
    deadline_s = time.perf_counter() + DRAIN_S
    while not coordinator.is_quiet and time.perf_counter() < deadline_s:
        gevent.sleep(_POLL_S)


class _Step:
    """The measuring part of a step, on a record of its own."""

    def __init__(self, environment: Environment, record: RunRecord, rules: Any, rate_per_s: float) -> None:
        now = steady_clock.now()
        self._second = math.ceil(now) - math.floor(record.started_at)
        self._cut = record.since(self._second)
        self._record = record
        gevent.sleep(math.ceil(now) - now)
        self._judge = Judge(rules, self._cut)
        self._record_keeper = RecordKeeper.of(environment)
        self._rate_per_s = rate_per_s
        self._began_s = time.perf_counter()
        self._healths: dict[tuple[int, str], list[float]] = {}

    def watch(self) -> None:
        """Wait until the step is measured, with enough samples for its percentiles, or until its outcome is clear."""
        until_s = self._began_s + MEASURE_S + DELIVERY_S
        longest_s = self._began_s + LONGEST_MEASURE_S
        while (now_s := time.perf_counter()) < until_s or (now_s < longest_s and self._lacks_samples()):
            gevent.sleep(min(1.0, until_s - now_s) if now_s < until_s else 1.0)
            for index, worker in self._record_keeper.workers.items():
                for name in ("cpu_ratio", "loop_lag_s"):
                    self._healths.setdefault((index, name), []).append(getattr(worker, name))
            if time.perf_counter() > self._began_s + DELIVERY_S + 1.0 and self._is_hopeless():
                return

    def _lacks_samples(self) -> bool:
        return any(result.samples for result in self._judge.results())

    def _is_hopeless(self) -> bool:
        far_off = any(
            result.threshold.kind == "time"
            and result.threshold.comparison.startswith("<")
            and result.value is not None
            and result.value > HOPELESS * result.threshold.limit
            for result in self._judge.results()
        )
        return far_off or self._dropped_ratio() > _CLEARLY_DROPPED

    def _dropped(self) -> int:
        return sum(self._cut.dropped.values())

    def _dropped_ratio(self) -> float:
        begun = sum(lag.count for lag in self._cut.schedule_lag.values())
        dropped = self._dropped()
        return dropped / (dropped + begun) if dropped else 0.0

    def result(self) -> StepResult:
        """Evaluate the step."""
        self._record.forget(self._second)
        took_s = time.perf_counter() - self._began_s
        results = self._judge.results()
        total = self._cut.total()
        unfit = (*_unfit(self._healths), *self._late(results))
        reasons = tuple(result.sentence for result in results)
        outcomes = {result.outcome for result in results}
        if dropped := self._dropped():
            reasons = (
                *reasons,
                f"{dropped} iterations did not start: all users of the pool were waiting for responses",
            )
        if unfit:
            outcome = Outcome.NOT_TRUSTWORTHY
        elif not total.requests:
            outcome = Outcome.NO_DATA
        elif Outcome.FAILED in outcomes or self._dropped_ratio() > DROPPED_RATIO:
            outcome = Outcome.FAILED
        else:
            outcome = Outcome.NO_DATA if Outcome.NO_DATA in outcomes else Outcome.PASSED
        times = total.response_time
        # The last second of each worker is not in the record yet.
        per_s = total.requests / max(1.0, took_s - DELIVERY_S / 2)
        p50_s, p99_s = times.quantiles((0.5, 0.99))
        mean_s = times.mean_s
        shown = unfit or reasons
        return StepResult(self._rate_per_s, outcome, shown, per_s, p50_s, p99_s, mean_s, per_s * mean_s)

    def _late(self, results: list[Result]) -> list[str]:
        """Return the generator's delays that may have caused a time to exceed its limit."""
        found = []
        broken = [r for r in results if r.outcome is Outcome.FAILED and r.threshold.kind == "time"]
        for (index, name), values in self._healths.items():
            lag_s = max(values)
            for rule, value in ((r.threshold, r.value) for r in broken if r.value is not None):
                if name == "loop_lag_s" and lag_s >= LAG_SHARE * rule.limit and rule.holds(value - lag_s):
                    found.append(
                        f"worker {index} ran its event loop {lag_s * 1e3:.0f} ms late in a second of this step, too "
                        f"much to judge {rule.condition}: use a less busy machine"
                    )
        return found


def _unfit(healths: Mapping[tuple[int, str], Sequence[float]]) -> list[str]:
    """Name the workers that were not fit to measure, from each second's health figures during the step."""
    found = []
    for (index, name), values in healths.items():
        rule, mean = SUSTAINED[name], sum(values) / len(values)
        if mean >= rule.limit:
            found.append(f"worker {index} {rule.worded(mean, len(values))}: {rule.advice}")
    return found


def _line(steps: list[StepResult]) -> str:
    """Return the last step as a line: its outcome, and the current bracket around the limit."""
    number, step = len(steps), steps[-1]
    p99 = "-" if math.isnan(step.p99_s) else milliseconds(step.p99_s)
    reasons = "; ".join(step.reasons)
    kept = max((one.rate_per_s for one in steps if one.outcome is Outcome.PASSED), default=0.0)
    broken = [one.rate_per_s for one in steps if one.outcome is Outcome.FAILED and one.rate_per_s > kept]
    bracket = f"limit {kept:g} to {min(broken):g}/s" if broken else f"limit above {kept:g}/s"
    outcome = step.outcome.value
    return f"step {number:<2}      {step.rate_per_s:>8g}/s  {outcome:<15}  p99 {p99} ms  {bracket}  {reasons}".rstrip()


def _loads(steps: list[StepResult]) -> tuple[list[float], list[float]]:
    fit = [step for step in steps if step.outcome in {Outcome.PASSED, Outcome.FAILED}]
    return [step.concurrency for step in fit], [step.requests_per_s for step in fit]


def _verdict(found: Capacity | None, sentence: str, record: RunRecord) -> Verdict:
    if record.interruption is not None:
        return Verdict(Outcome.INTERRUPTED, (record.interruption.sentence, sentence))
    if found is None:
        return Verdict(Outcome.NO_DATA, (sentence,))
    outcomes = {End.NOTHING: Outcome.FAILED, End.GENERATOR: Outcome.NOT_TRUSTWORTHY}
    outcome = outcomes.get(found.end, Outcome.PASSED if found.rate_per_s else Outcome.NO_DATA)
    return Verdict(outcome, () if outcome is Outcome.PASSED else (sentence,))


def _sentence(found: Capacity | None, steps: Sequence[StepResult]) -> str:
    """Return the result as a sentence."""
    if found is None:
        kept = max((step.rate_per_s for step in steps if step.outcome is Outcome.PASSED), default=None)
        so_far = "" if kept is None else f"; {kept:g} arrivals/s met the objective"
        return f"unknown: the search was interrupted{so_far}"
    if found.end is End.NOTHING:
        return f"none: not even {found.steps[-1].rate_per_s:g} arrivals/s met the objective"
    if not found.rate_per_s:
        return f"unknown: {found.end.value}"
    if found.is_lower_bound:
        met = f"; {found.rate_per_s:.4g} met the objective" if found.low_per_s < found.rate_per_s else ""
        return f"at least {found.low_per_s:.4g} arrivals/s{met}{_EXPLAINED[found.end]}"
    interval = f"95 % interval {found.low_per_s:.4g} to {found.high_per_s:.4g}"
    return f"{found.rate_per_s:.4g} arrivals/s, {interval}, after {len(found.steps)} steps{_EXPLAINED[found.end]}"


def _document(found: Capacity, config: Config, sentence: str, fit: UslFit | None, *, complete: bool) -> dict[str, Any]:
    """Return the whole result, ready for JSON; NaN and infinity become None."""
    bend = chart.knee(found.steps)
    return {
        "format": 1,
        "scenario": config.scenario_name,
        "slo": config.slo,
        "complete": complete,
        "sentence": sentence,
        "end": found.end.value,
        "rate_per_s": found.rate_per_s,
        "low_per_s": found.low_per_s,
        "high_per_s": _finite(found.high_per_s),
        "knee": bend and {"rate_per_s": bend.rate_per_s, "p99_s": bend.p99_s},
        "usl": fit and {**asdict(fit), "peak_load": _finite(fit.peak_load), "peak_per_s": _finite(fit.peak_per_s)},
        "steps": [
            {
                name: _finite(value) if isinstance(value, float) else value
                for name, value in {**asdict(step), "outcome": step.outcome.value}.items()
            }
            for step in found.steps
        ],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
