"""Outcome: the result of a run, and the one function that decides it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from loadtest.exceptions import ExitCode
from loadtest.judging import declared, idle, plan, shared_cores, steady, tallied
from loadtest.judging.metric import RANGES
from loadtest.judging.record_checks import FAST_FAILURES, UNSTEADY
from loadtest.judging.violation import NAMED
from loadtest.measuring.labels import CHECK, LOAD, OTHER, TRANSACTION
from loadtest.measuring.measurements import LISTENERS
from loadtest.measuring.record import ABORTED, DECIDED, FEED, RATE, RESET, USERS
from loadtest.progress import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadtest.estimating.intervals import Interval
    from loadtest.judging.threshold import Threshold
    from loadtest.judging.violation import Violation
    from loadtest.measuring.record import RunRecord


class Outcome(Enum):
    """The outcome of a run or of one of its thresholds. The value is the text for people and files."""

    PASSED = "passed"
    FAILED = "failed"
    NO_DATA = "no data"
    NOT_TRUSTWORTHY = "not trustworthy"
    INTERRUPTED = "interrupted"


MEASURED: Final = (Outcome.PASSED.value, Outcome.FAILED.value)
"""The outcomes of runs whose figures are meaningful."""
MIN_FAILURES: Final = 5
"""The number of failures, without a success, from which a name counts as failed entirely."""
_WHOLLY_FAILED: Final = (
    (LOAD, "error_ratio", "requests", "> 99%"),
    (TRANSACTION, "transaction_error_ratio", "transactions", "> 99%"),
    (CHECK, "check_ratio", "checks", "< 1%"),
)
NOT_JUDGED: Final = "not judged"
"""The outcome of a threshold in an interrupted run."""

_EXIT_CODES = {
    Outcome.PASSED: ExitCode.PASSED,
    Outcome.FAILED: ExitCode.THRESHOLD_FAILED,
    Outcome.NO_DATA: ExitCode.NO_DATA,
    Outcome.NOT_TRUSTWORTHY: ExitCode.NOT_TRUSTWORTHY,
    Outcome.INTERRUPTED: ExitCode.INTERRUPTED,
}


@dataclass(frozen=True)
class Result:
    """A threshold with its measured value: in seconds, as a ratio from 0 to 1, per second, or as a plain number.

    The outcome is passed, failed, no data, or interrupted (not judged). Without data the value is None.
    """

    threshold: Threshold
    value: float | None
    outcome: Outcome
    samples: int = 0
    """The number of samples, if they were too few to judge the rule."""
    is_of_setup: bool = False
    """Whether the labels that a rule about the load selects occur only in requests of the set-up."""
    interval: Interval | None = None
    """The 95 % confidence interval of the value, in its unit, if known."""
    is_below: bool = False
    """Whether a percentile is certain to be below the limit, though its interval has no upper end."""
    folded: int = 0
    """The number of requests that count as ``other``, which may include some of the name that a rule is on."""

    @classmethod
    def of(cls, rule: Threshold, value: float | None) -> Result:
        """Return the result of a threshold for a value; None and NaN are no data."""
        if value is None or math.isnan(value):
            return cls(rule, None, Outcome.NO_DATA)
        return cls(rule, value, Outcome.PASSED if rule.holds(value) else Outcome.FAILED)

    @property
    def is_narrow(self) -> bool:
        """Whether the limit lies within the interval, so that a repeated run may have the other outcome.

        A limit at the end of the measurable range, such as no failures at all, concerns this run only.
        """
        rule = self.threshold
        if self.interval is None or self.is_below or self.outcome not in {Outcome.PASSED, Outcome.FAILED}:
            return False
        return rule.limit not in RANGES[rule.kind] and self.interval.low <= rule.limit <= self.interval.high

    @property
    def spread(self) -> str:
        """The interval as text; empty if unknown."""
        if self.interval is None:
            return ""
        low, high = self.interval
        worded = self.threshold.format(low)
        return f"{worded} to {self.threshold.format(high)}" if math.isfinite(high) else f"{worded} or more"

    @property
    def sentence(self) -> str:
        """Condition, outcome and value in one line."""
        rule = self.threshold
        after = f" (after {rule.warm_up_s:g} s of warm-up)" if rule.warm_up_s else ""
        if self.outcome is Outcome.INTERRUPTED:
            until_then = "" if self.value is None else f"; it was {rule.format(self.value)} until then"
            return f"{rule.condition}: {NOT_JUDGED}, since the run was interrupted{until_then}"
        if self.value is None:
            return f"{rule.condition}: no data; {self._lacking}{after}"
        how = f"{self.outcome.value}, narrowly," if self.is_narrow else self.outcome.value
        spread = f" (95 % interval {self.spread})" if self.spread else ""
        return f"{rule.condition}: {how} with {rule.format(self.value)}{spread}{after}"

    @property
    def _lacking(self) -> str:
        """Why there is no value."""
        rule = self.threshold
        if self.folded:
            return (
                f"{self.folded:,} requests had too many names to be counted separately, and some may have this name. "
                "Next: give requests with varying paths one name=…"
            )
        if self.samples:
            return (
                f"{rule.aggregate} needs {rule.samples_needed:,} samples, and there were {self.samples:,}. "
                "Next: run longer, raise the load, or judge a lower percentile"
            )
        if rule.selector:
            pairs = ", ".join(f"{label} {value!r}" for label, value in rule.selector)
            if self.is_of_setup:
                return (
                    f"only requests of the set-up had {pairs}, and they are not part of the load. Next: "
                    'add phase="setup" to the selector'
                )
            noun = rule.phase if rule.phase in {CHECK, TRANSACTION} else "request"
            return f"no {noun} had {pairs}. Next: correct the selector, or have the scenario make such {noun}s"
        return "nothing that this rule covers was measured"

    def as_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON. Numbers are in seconds, ratios, per second, or plain."""
        rule, interval = self.threshold, self.interval
        return {
            "rule": str(rule),
            "metric": rule.metric,
            "aggregate": rule.aggregate or None,
            "selector": dict(rule.selector),
            "comparison": rule.comparison,
            "limit": rule.limit,
            "value": self.value,
            "worded": "-" if self.value is None else rule.format(self.value),
            "low": interval and interval.low,
            "high": interval.high if interval and math.isfinite(interval.high) else None,
            "spread": self.spread,
            "is_narrow": self.is_narrow,
            "outcome": NOT_JUDGED if self.outcome is Outcome.INTERRUPTED else self.outcome.value,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome with its reasons, one sentence each. A run that passed has none."""

    outcome: Outcome
    reasons: tuple[str, ...]
    violations: tuple[Violation, ...] = ()
    """The trust checks that the generator failed."""
    results: tuple[Result, ...] = ()
    """The result of every threshold."""
    notes: tuple[str, ...] = ()
    """Explanations of the figures, one sentence each. Notes do not change the outcome."""

    @property
    def exit_code(self) -> ExitCode:
        """The process's exit code."""
        return _EXIT_CODES[self.outcome]


def decide(record: RunRecord, violations: Sequence[Violation], results: Sequence[Result] = ()) -> Verdict:
    """Return the verdict on a run.

    The first rule that applies decides:

    - An interrupted run is not the run that was asked for, whatever it measured, and none of its thresholds is judged.
    - Without requests there is no data to judge.
    - If the generator was not fit to measure, no threshold means anything, passed or failed, so violations come next.
      The thresholds' sentences stay among the reasons.
    - A run in which every request failed has failed, whatever its rules are. So has one in which a name never
      succeeded, unless a rule of that name's own judges it, and one in which most of the requests failed whose errors
      no rule judges.
    - A failed threshold outweighs one without data. But a run with a threshold without data has not passed, nor has one
      that ended within its warm-up.

    Failures that are faster than successes are a violation if something was, or may be, judged by the times of both,
    unless a threshold failed. Otherwise they are noted, as are response times that grow to the end.

    Args:
        record: the run's record.
        violations: the result of `loadtest.judging.trust`.
        results: the results of the thresholds, from `loadtest.judging.judge`.
    """
    if record.interruption is not None:
        results = [replace(result, outcome=Outcome.INTERRUPTED) for result in results]
    results = [_with_folded(record, result) for result in results]
    failed = [result.sentence for result in results if result.outcome is Outcome.FAILED]
    without_data = [result.sentence for result in results if result.outcome is Outcome.NO_DATA]
    without_data += _all_warm_up(record)
    mixed = not results or any(result.threshold.judges_all_times for result in results)
    noted = [
        one.sentence
        for one in violations
        if (one.rule == FAST_FAILURES and (failed or not mixed)) or (one.rule == UNSTEADY and failed)
    ]
    violations = [one for one in violations if one.sentence not in noted]
    without_success = [*_failed_setup(record, results), *_never_succeeded(record, results)]
    without_success = without_success or list(_mostly_failed(record, results))
    reasons = [*(violation.sentence for violation in violations), *without_success, *failed, *without_data]
    if record.requests and record.failures == record.requests:
        reasons.insert(0, _all_failed(record))
    if not record.requests:
        reasons.insert(0, _nothing_measured(record))
    if record.interruption is not None:
        outcome = Outcome.INTERRUPTED
        reasons.insert(0, record.interruption.sentence)
    elif not record.requests:
        outcome = Outcome.NO_DATA
    elif violations:
        outcome = Outcome.NOT_TRUSTWORTHY
    elif failed or without_success or record.failures == record.requests:
        outcome = Outcome.FAILED
    else:
        outcome = Outcome.NO_DATA if without_data else Outcome.PASSED
    return Verdict(outcome, tuple(reasons), tuple(violations), tuple(results), (*noted, *_notes(record, results)))


def _nothing_measured(record: RunRecord) -> str:
    """Say that there was no request, and why, if an exception explains it."""
    for row in record.exceptions():
        return f"the run measured no request: the scenario raised {row}. Next: fix the scenario"
    in_setup = f" of its load, and {_setup_counts(record)}" if record.setup else ""
    return f"the run measured no request{in_setup}. Next: check the workers' logs"


def _all_warm_up(record: RunRecord) -> Iterator[str]:
    """Say that the load ended within its warm-up: test data ran out, a person stopped it, or --run-time was short."""
    if record.warm_up_s and record.load_s is not None and record.load_s <= record.warm_up_s:
        yield (
            f"the load of {record.load_s:.3g} s ended within its warm-up of {record.warm_up_s:g} s, so nothing is left "
            "to judge. Next: run longer, or reduce WARM_UP"
        )


def _with_folded(record: RunRecord, result: Result) -> Result:
    """Return a result without data if a rule on a name passed although requests counted as ``other`` may have it."""
    chosen = dict(result.threshold.selector)
    if result.outcome is not Outcome.PASSED or chosen.get("name", OTHER) == OTHER:
        return result
    rule = replace(result.threshold, selector=tuple({**chosen, "name": OTHER}.items()))
    part = record.of_phase(rule.phase).counts()
    folded = sum(
        view.requests for view in part if rule.selects(scenario=view.scenario, method=view.method, name=view.name)
    )
    if not folded:
        return result
    return replace(result, value=None, interval=None, outcome=Outcome.NO_DATA, folded=folded)


def _all_failed(record: RunRecord) -> str:
    """Say that no request succeeded, with the most frequent error."""
    all_of_them = "the only request" if record.requests == 1 else f"every one of the {record.requests:,} requests"
    return f"{all_of_them} failed{_most_frequent(record)}. Next: check the system under test and the host of the run"


def _most_frequent(record: RunRecord) -> str:
    """The most frequent error, as the end of a sentence."""
    return "".join(f", most often with {error.error_class}: {error.message}" for error in record.errors()[:1])


def _setup_counts(record: RunRecord) -> str:
    setup = record.setup
    return f"{setup.failures:,} of the {counted(setup.requests, 'request')} of its set-up failed" if setup else ""


def _failed_setup(record: RunRecord, results: Sequence[Result]) -> list[str]:
    """Say that the set-up failed entirely, or more often than a rule on all errors allows, unless a rule judges it.

    Users whose log-in failed may get responses without errors from then on, such as a log-in page.
    """
    setup = record.setup
    if setup is None or not setup.failures or any(result.threshold.is_of_setup for result in results):
        return []
    ratio = setup.failures / setup.requests
    broken = [
        result.threshold.condition
        for result in results
        if result.threshold.metric == "error_ratio"
        and {label for label, _ in result.threshold.selector} <= {"scenario"}
        and not result.threshold.holds(ratio)
    ]
    if ratio < 1.0 and not broken:
        return []
    allowed = f"{broken[0]} applies there too. " if broken else ""
    advice = 'fix the set-up, or allow failures in it by a threshold such as error_ratio{phase="setup"} < 50%'
    return [f"{_setup_counts(record)}{_most_frequent(setup)}: {allowed}Next: {advice}"]


def _never_succeeded(record: RunRecord, results: Sequence[Result]) -> Iterator[str]:
    """Name the requests, transactions and checks that always failed: among many others they hardly change a ratio."""
    if record.requests == record.failures:
        return
    for phase, metric, noun, allowed in _WHOLLY_FAILED:
        rules = [one.threshold for one in results if one.threshold.metric == metric]
        judged = [rule for rule in rules if rule.phase == phase and "name" in dict(rule.selector)]
        for view in record.of_phase(phase).counts():
            labels = {"scenario": view.scenario, "method": view.method, "name": view.name}
            is_judged = any(rule.selects(**labels) for rule in judged)
            if is_judged or view.requests != view.failures or view.failures < MIN_FAILURES:
                continue
            most = max(view.errors, key=view.errors.__getitem__, default="")
            yield (
                f"every one of the {view.requests:,} {noun} of {f'{view.method} {view.name}'.strip()} failed"
                f"{f', most often with {most}' if most else ''}. Next: fix it, or allow it with a "
                f'threshold such as {metric}{{name="{view.name}"}} {allowed}'
            )


def _mostly_failed(record: RunRecord, results: Sequence[Result]) -> Iterator[str]:
    """Say that more than half of the requests failed whose errors no rule judges."""
    rules = [one.threshold for one in results if one.threshold.metric == "error_ratio" and one.threshold.phase == LOAD]
    requests = failures = 0
    for view in record.of_phase(LOAD).counts():
        labels = {"scenario": view.scenario, "method": view.method, "name": view.name}
        if not any(rule.selects(**labels) for rule in rules):
            requests, failures = requests + view.requests, failures + view.failures
    if failures >= MIN_FAILURES and failures > requests / 2 and record.failures < record.requests:
        yield (
            f"{failures:,} of {requests:,} requests failed{_most_frequent(record)}: no threshold says how many may. "
            "Next: fix that, or allow it with a threshold such as error_ratio < 75%"
        )


def _notes(record: RunRecord, results: Sequence[Result]) -> tuple[str, ...]:
    notes = [event.text for event in record.events if event.kind in {RESET, USERS, RATE}]
    ended = [event.text for event in record.events if event.kind in {FEED, DECIDED, ABORTED}]
    notes += [f"{text}; the rest of the plan was not run" for text in ended]
    notes += plan.notes(record)
    notes += _warm_up(record)
    if record.context.get("imitation"):
        notes.append(
            "an imitation of Redis, such as fakeredis, answered: these figures describe it, not Redis. Next: set "
            "REDIS_URL to a Redis with RedisJSON"
        )
    raised = [row for row in record.exceptions() if row.scenario != LISTENERS]
    notes += [f"{row.occurrences} x the scenario raised {row}" for row in raised[:NAMED]]
    notes += declared.notes(record)
    notes += [found.sentence for found in idle.find(record) if not found.is_broken]
    if record.setup is not None and record.setup.failures and not _failed_setup(record, results):
        notes.append(
            f"{_setup_counts(record)}{_most_frequent(record.setup)}: users may have run without being set up. "
            'Next: look at the set-up in the report, or set a threshold such as error_ratio{phase="setup"} <= 0%'
        )
    notes += [
        f"{result.threshold.condition}: it passed on {counted(result.samples, 'request')}, but even without a failure, "
        f"{result.threshold.samples_needed:,} are needed to show that it holds. Next: run longer, or raise the load"
        for result in results
        if result.outcome is Outcome.PASSED and result.samples
    ]
    notes += [
        f"{result.threshold.condition}: it passed, but its limit lies within the 95 % interval of its value, so a "
        "repeated run may fail. Next: run longer, or raise the load, for a narrower interval"
        for result in results
        if result.outcome is Outcome.PASSED and result.is_narrow and not result.samples
    ]
    notes += tallied.notes(record)
    notes += _failed_steps(record)
    if not results:
        notes.append("no threshold was set: only the load generator was judged. Next: set THRESHOLD or THRESHOLDS_FILE")
    if shared := shared_cores.note(record):
        notes.append(shared)
    return tuple(notes)


def _failed_steps(record: RunRecord) -> Iterator[str]:
    """Say which checks and transactions failed: the figures of requests do not include them."""
    for phase, advice in ((CHECK, "check_ratio >= 100%"), (TRANSACTION, "transaction_error_ratio <= 0%")):
        part = record.of_phase(phase)
        if part.failures:
            worst = sorted(part.counts(), key=lambda view: -view.failures)
            named = ", ".join(f"{view.name} {view.failures:,}" for view in worst[:NAMED] if view.failures)
            yield (
                f"{part.failures:,} of {counted(part.requests, phase)} failed ({named}). Next: see the "
                f"report, or set a threshold such as {advice}"
            )


def _warm_up(record: RunRecord) -> Iterator[str]:
    """Say which part of the load was, or should be, left out of the judgement."""
    if record.warm_up_s:
        yield f"the first {record.warm_up_s:g} s of load were warm-up: part of the figures shown, but of no threshold"
    elif record.configuration.get("warm_up"):
        yield "no warm-up was found: the thresholds judge the whole load"
    elif (found := steady.find(record)).warm_up_s:
        yield (
            f"the first {found.warm_up_s:g} s of load look like a warm-up: response times were "
            f"{found.before_s * 1000:.1f} ms (median), and {found.after_s * 1000:.1f} ms after that; they are in every "
            "figure. Next: set WARM_UP to auto, or to a duration"
        )
