"""Trust checks: was the generator fit to measure? Rules over what each process observed about itself, and the record.

A run whose generator was the bottleneck describes the generator, not the system under test: it is *not trustworthy*,
whatever its numbers are. Every rule has a stated limit (the table in docs/measuring.md shows `SUSTAINED`, `PEAKS` and
the constants here). A rule about load must be broken for `SUSTAINED_S` consecutive seconds, or on average over the run,
since one slow second on a shared machine moves no percentile of a run. Only intervals with running users count: a
master that loads data before a run may be busy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from loadtest.judging import idle, plan, steady, tallied
from loadtest.measuring.error_classes import GENERATOR, UNFINISHED
from loadtest.measuring.health import FIGURES, LATE_S, MASTER, OTHERS, SATURATED, Health
from loadtest.measuring.measurements import LISTENERS
from loadtest.measuring.record import SOFTWARE
from loadtest.progress import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.measuring.health import Observed, Watch
    from loadtest.measuring.record import RunRecord

SUSTAINED_S: Final = 5.0
FAST_FAILURES: Final = "fast_failures"
"""The rule that is about how a run is judged, not about how it was made: see `loadtest.judging.outcome.decide`."""
UNSTEADY: Final = "unsteady"
"""The rule that says nothing where a threshold failed: a service that is overloaded has failed."""


class HealthRule(NamedTuple):
    """A rule over one field of `Health`; it is broken when the limit is reached."""

    name: str
    limit: float
    message: str
    """The sentence's middle; ``{value}``, ``{rest}`` (of 1) and ``{seconds}`` are filled in."""
    advice: str


SUSTAINED: Final = {
    "cpu_ratio": HealthRule(
        "cpu", SATURATED["cpu_ratio"], "was at {value:.0%} CPU for {seconds:.0f} s", "add a worker or lower the rate"
    ),
    "loop_lag_s": HealthRule(
        "event_loop_lag",
        SATURATED["loop_lag_s"],
        "ran its event loop {value_ms:.0f} ms late (p99) for {seconds:.0f} s",
        "add a worker, lower the rate, or take blocking calls out of the scenario",
    ),
    "throttled_ratio": HealthRule(
        "cpu_throttling",
        SATURATED["throttled_ratio"],
        "was throttled by its cgroup {value:.0%} of the time for {seconds:.0f} s",
        "raise its CPU limit or add a worker",
    ),
    "gc_ratio": HealthRule(
        "garbage_collection",
        SATURATED["gc_ratio"],
        "spent {value:.0%} of the time in garbage collection for {seconds:.0f} s",
        "add a worker, or keep fewer objects in the scenario",
    ),
    "page_waits_per_s": HealthRule(
        "swapping",
        SATURATED["page_waits_per_s"],
        "waited {value:.0f} times a second for memory that had been swapped out, for {seconds:.0f} s",
        "give it more memory, turn swap off, or lower USERS",
    ),
}
"""Rules that must be broken for `SUSTAINED_S` consecutive seconds, or on average over a run of that length or more. The
value is the mean of those seconds."""

PEAKS: Final = {
    "gc_pause_s": HealthRule(
        "gc_pause",
        1.0,
        "was paused for {value:.2f} s by one garbage collection",
        "keep fewer objects in the scenario, or add a worker",
    ),
    "clock_step_s": HealthRule(
        "clock_step",
        1.0,
        "saw its wall clock step by {value:.1f} s",
        "let the clock settle, do not suspend the machine, and repeat the run",
    ),
    "descriptors_ratio": HealthRule(
        "file_descriptors",
        0.90,
        "used {value:.0%} of the file descriptors that it may open",
        "raise the limit (ulimit -n) or add a worker",
    ),
    "memory_ratio": HealthRule(
        "memory",
        0.95,
        "had only {rest:.0%} of its memory left, so the kernel may end it or swap",
        "give it more memory, add a machine, or lower USERS",
    ),
    "ports_ratio": HealthRule(
        "ephemeral_ports",
        0.90,
        "used {value:.0%} of the ephemeral ports",
        "keep connections alive, widen net.ipv4.ip_local_port_range, or add a machine",
    ),
}
"""Rules that are broken by a single interval. The value is the highest."""

_FOR_MASTER: Final = "give the master a core of its own, use fewer workers, or name fewer requests"
MASTER_ADVICE: Final = {
    "cpu": _FOR_MASTER,
    "event_loop_lag": _FOR_MASTER,
    "garbage_collection": _FOR_MASTER,
    "gc_pause": _FOR_MASTER,
    "cpu_throttling": "raise its CPU limit",
    "file_descriptors": "raise the limit (ulimit -n)",
}
"""What to do where it is the master: it merges what the workers measure, and another worker is more of that."""

CROWDED_RATIO: Final = 0.10
"""Share of the run in which other processes crowded the machine; a twentieth would move the 95th percentile."""
RUN_DELAY_RATIO: Final = 0.10
"""The wait for a core before each turn, relative to the median response time."""
RUN_DELAY_S: Final = 0.000_2
"""The shortest wait that counts: on an idle machine a turn is a few hundredths of a millisecond late."""
LATE_SHARE: Final = 0.5
"""The event loop's delay relative to the same percentile of the response times."""
SHOWN: Final = {"median": 0.5, "p95": 0.95, "p99": 0.99}
"""The percentiles that reports show; one is compared when the part of the run beyond it is as long as `BEYOND_S`."""
BEYOND_S: Final = 0.25
SLOWER: Final = 3.0
"""How many times as long as the others' a worker's mean response time may be."""
SLOWER_S: Final = 0.005
SHARE: Final = 0.5
"""The smallest tolerated share of the requests per user of the other workers."""
COMPARED_REQUESTS: Final = 200
"""Minimum number of requests, of a worker or expected of it, before it is compared with the others."""
GENERATOR_ERRORS: Final = 1
SCHEDULE_LAG_P99_S: Final = 0.100
LATE_ITERATIONS: Final = 5
"""Minimum number of late iterations: among a dozen, a single late start would be the 99th percentile."""
DROPPED_RATIO: Final = 0.01
COMPLETENESS: Final = 0.99
OTHER_WORKERS: Final = 1
REFUSED_RATIO: Final = 0.001
LISTENER_EXCEPTIONS: Final = 1
EXCEPTIONS_RATIO: Final = 0.01
"""Share of a scenario's iterations that raised, or of its users that ended in an exception."""
STALL_S: Final = 2
"""Whole seconds without an answer, while half of the users waited for one."""
STALL_BY_MEDIAN: Final = 10
"""The least length of a stall, as a multiple of the median response time."""
SILENCE_RATIO: Final = 0.5
"""The last part of the load in which users ran and made no request, and"""
SILENCE_S: Final = 5
"""its least length."""
UNFINISHED_RATIO: Final = 0.01
"""Share of the requests of one name that had no answer when their users were stopped."""
UNFINISHED_USERS_RATIO: Final = 0.05
"""The same number by the most users that ran: few requests may have held many users for most of the run."""
FAILURES_RATIO: Final = 0.01
"""Share of the requests of one name that failed, from which their times"""
FASTER: Final = 0.5
"""are compared: the median of the failures relative to that of the successes."""
FASTER_S: Final = 0.005
"""How much shorter the median must be at least."""
FEW_FAILURES: Final = 20
"""Failures, and successes, of one name before their times are compared."""
LOAD_ADVICE: Final = (
    "run longer or start users faster; check the exceptions and the workers' logs for users that ended themselves or "
    "never started"
)
SOFTWARE_ADVICE: Final = "give every worker the master's image and the same files, and repeat the run"
STALL_ADVICE: Final = "check what the service was doing then, or use an arrival rate, which counts their wait"
NAMED: Final = 5
"""How many of several things a sentence names."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A trust check that failed."""

    rule: str
    subject: str
    """What broke it: ``worker 3``, ``master``, ``scenario documents``, ``run``."""
    value: float
    limit: float
    sentence: str
    """What was wrong and what to do, for people."""


def violations(record: RunRecord, watch: Watch) -> list[Violation]:
    """Every broken rule of a run."""
    return [
        *process_violations(watch),
        *_machine_violations(record, watch),
        *_late_wake_ups(record, watch),
        *_uneven_workers(record, watch),
        *_record_violations(record),
    ]


def process_violations(watch: Watch) -> list[Violation]:
    """The broken rules about processes."""
    return [violation for observed in watch for violation in _violations_of(observed)]


def _violations_of(observed: Observed) -> Iterator[Violation]:
    for name, rule in SUSTAINED.items():
        stretch, mean = observed.longest[name], observed.sums[FIGURES.index(name)] / observed.seconds
        if stretch.seconds >= SUSTAINED_S:
            yield _violation(observed.subject, rule, stretch.mean, stretch.seconds)
        elif observed.seconds >= SUSTAINED_S and mean >= rule.limit:
            yield _violation(observed.subject, rule, mean, observed.seconds)
    for name, rule in PEAKS.items():
        value = observed.highest[FIGURES.index(name)]
        if value >= rule.limit:
            yield _violation(observed.subject, rule, value, 0.0)


def _violation(subject: str, rule: HealthRule, value: float, seconds: float) -> Violation:
    message = rule.message.format(value=value, value_ms=1000 * value, rest=1 - value, seconds=seconds)
    advice = MASTER_ADVICE.get(rule.name, rule.advice) if subject == MASTER else rule.advice
    return Violation(rule.name, subject, value, rule.limit, f"{subject} {message}: {advice}")


def _machine_violations(record: RunRecord, watch: Watch) -> Iterator[Violation]:
    median_s = record.total().response_time.quantile(0.5)
    master = next((observed.mean() for observed in watch if observed.subject == MASTER), Health())
    # Then nobody but the service takes the cores: that is noted beside the verdict, see `shared_cores`.
    only_the_service = master.target_cpu_ratio > 0 and master.others_cpu_ratio < OTHERS
    for observed in watch:
        mean = observed.mean()
        if mean.crowded_ratio >= CROWDED_RATIO:
            yield Violation(
                "other_processes",
                observed.subject,
                mean.crowded_ratio,
                CROWDED_RATIO,
                f"the machine of {observed.subject} was crowded by other processes for {mean.crowded_ratio:.0%} of the "
                f"run: they took {mean.others_cpu_ratio:.0%} of its cores, which were {mean.machine_cpu_ratio:.0%} "
                f"busy, and processes waited for a core {mean.pressure_ratio:.0%} of the time: stop them, or use a "
                "dedicated machine",
            )
        delay_s = 0.0 if only_the_service else mean.delay_per_turn_s
        is_worker = observed.subject != MASTER
        if is_worker and median_s > 0 and delay_s >= max(RUN_DELAY_S, RUN_DELAY_RATIO * median_s):
            yield Violation(
                "run_delay",
                observed.subject,
                delay_s / median_s,
                RUN_DELAY_RATIO,
                f"{observed.subject} waited {delay_s * 1000:.2f} ms for a core before each turn, which is part of "
                f"every response time (median {median_s * 1000:.2f} ms): stop other processes, use fewer workers, or "
                "use a machine with more cores",
            )


def _late_wake_ups(record: RunRecord, watch: Watch) -> Iterator[Violation]:
    times = record.total().response_time
    for observed in watch:
        if observed.subject == MASTER:
            continue
        for name, q in SHOWN.items():
            lag_s, shown_s = observed.lag_s(q), times.quantile(q)
            enough = (1 - q) * observed.seconds >= BEYOND_S
            if enough and lag_s >= max(LATE_S, LATE_SHARE * shown_s):
                yield Violation(
                    "late_wake_ups",
                    observed.subject,
                    lag_s / shown_s,
                    LATE_SHARE,
                    f"{observed.subject} woke up {lag_s * 1000:.1f} ms late ({name} of its event loop), which is part "
                    f"of the {name} of the response times, {shown_s * 1000:.1f} ms: take blocking calls out of the "
                    "scenario, add a worker, and let nothing stop the process",
                )
                break


def _uneven_workers(record: RunRecord, watch: Watch) -> Iterator[Violation]:
    """A worker that is slow on its own; with more than one scenario, workers may differ by what they run."""
    workers = [one for one in watch if one.subject != MASTER and one.user_seconds]
    if len(record.schedule_lag) != 1:
        return
    for one in workers:
        others = [other for other in workers if other is not one]
        requests = sum(other.requests for other in others)
        expected = requests / sum(other.user_seconds for other in others) * one.user_seconds if others else 0.0
        if min(requests, expected) < COMPARED_REQUESTS:
            continue
        mean_s = one.response_s / one.requests if one.requests else 0.0
        others_s = sum(other.response_s for other in others) / requests
        if one.requests <= SHARE * expected:
            value, limit = one.requests / expected, SHARE
            found = f"made {counted(one.requests, 'request')}, but by its number of users its share was {expected:,.0f}"
        elif mean_s >= max(SLOWER * others_s, others_s + SLOWER_S):
            value, limit = mean_s / others_s, SLOWER
            found = f"measured {mean_s * 1000:.1f} ms on average, the other workers {others_s * 1000:.1f} ms"
        else:
            continue
        yield Violation(
            "uneven_workers", one.subject, value, limit, f"{one.subject} {found}: check its machine, or leave it out"
        )


def _record_violations(record: RunRecord) -> Iterator[Violation]:
    yield from _completeness(record)
    yield from _other_software(record)
    for scenario, lag in record.schedule_lag.items():
        if lag.count < LATE_ITERATIONS:
            continue
        p99_s = lag.quantile(min(0.99, 1 - (LATE_ITERATIONS - 0.5) / lag.count))
        if p99_s >= SCHEDULE_LAG_P99_S:
            yield Violation(
                "schedule_lag",
                f"scenario {scenario}",
                p99_s,
                SCHEDULE_LAG_P99_S,
                f"scenario {scenario} sent its requests {1000 * p99_s:.0f} ms after their intended start (p99): "
                "add users or workers, or lower the rate",
            )
    yield from _dropped(record)
    yield from _refused(record)
    yield from _own_errors(record)
    yield from _unfinished(record)
    yield from _exceptions(record)
    yield from _listeners(record)
    yield from _idle(record)
    yield from _load_not_reached(record)
    yield from _stall(record)
    yield from _silence(record)
    yield from _fast_failures(record)
    yield from _unsteady(record)
    for finding in tallied.findings(record):
        yield Violation(*finding)


def _completeness(record: RunRecord) -> Iterator[Violation]:
    if record.completeness < COMPLETENESS:
        missing = "; ".join(map(str, record.delivery.missing[:3]))
        yield Violation(
            "completeness",
            "run",
            record.completeness,
            COMPLETENESS,
            f"the record holds {record.completeness:.1%} of what the workers measured ({missing}): check the "
            "workers' logs, and the kernel's for a process killed for lack of memory, and repeat the run",
        )


def _other_software(record: RunRecord) -> Iterator[Violation]:
    """Workers with code that is not the master's: their requests are those of another test."""
    for event in record.events:
        if event.kind == SOFTWARE:
            subject = event.text.partition(" ran ")[0]
            yield Violation("other_software", subject, OTHER_WORKERS, OTHER_WORKERS, f"{event.text}: {SOFTWARE_ADVICE}")


def _dropped(record: RunRecord) -> Iterator[Violation]:
    begun: dict[str, int] = {}
    for view in record.series():
        begun[view.scenario] = begun.get(view.scenario, 0) + view.requests
    for scenario, dropped in record.dropped.items():
        # Every iteration sends at least one request, so this ratio is never an overestimate.
        ratio = dropped / (dropped + begun.get(scenario, 0)) if dropped else 0.0
        if ratio >= DROPPED_RATIO:
            yield Violation(
                "dropped_iterations",
                f"scenario {scenario}",
                ratio,
                DROPPED_RATIO,
                f"scenario {scenario} did not start {dropped} of its iterations ({ratio:.1%}): add users or workers, "
                "or lower the rate",
            )


def _refused(record: RunRecord) -> Iterator[Violation]:
    times = record.total().response_time
    bad = times.refused + times.above
    ratio = bad / (times.count + times.refused) if bad else 0.0
    if ratio >= REFUSED_RATIO:
        yield Violation(
            "durations",
            "run",
            ratio,
            REFUSED_RATIO,
            f"{times.refused} durations were negative or not a number and {times.above} were above an hour "
            f"({ratio:.1%}): check the scenario's client and the machine's clock",
        )


def _own_errors(record: RunRecord) -> Iterator[Violation]:
    """Errors that are the generator's: one of them shows that it had reached a limit."""
    parts = filter(None, (record, record.setup))
    found = [error for part in parts for error in part.errors() if error.error_class == GENERATOR]
    if found:
        count = sum(error.occurrences for error in found)
        yield Violation(
            "generator_errors",
            "run",
            count,
            GENERATOR_ERRORS,
            f"{count:,} request{'s' * (count != 1)} failed at a limit of the load generator: {found[0].message}",
        )


def _unfinished(record: RunRecord) -> Iterator[Violation]:
    """Requests without an answer: their times are unknown, so those of the others are times of survivors."""
    found = [view for view in record.series() if UNFINISHED in view.errors]
    if not found:
        return
    unfinished = sum(view.errors[UNFINISHED] for view in found)
    ratio = max(view.errors[UNFINISHED] / view.requests for view in found)
    users = max((point.users for point in record.timeline), default=0)
    if ratio < UNFINISHED_RATIO and unfinished < UNFINISHED_USERS_RATIO * users:
        return
    found.sort(key=lambda view: -view.errors[UNFINISHED])
    names = [
        f"{view.errors[UNFINISHED]} of {view.requests} {view.method} {view.name}, after up to "
        f"{view.response_time.max_s:.1f} s"
        for view in found[:NAMED]
    ]
    yield Violation(
        "unfinished_requests",
        "run",
        ratio,
        UNFINISHED_RATIO,
        f"{counted(unfinished, 'request')} had no answer when their users were stopped ({'; '.join(names)}), so "
        "the percentiles cover only the requests that were answered: find out why the service does not answer the "
        "others; if it is only slow, raise --stop-timeout",
    )


def _exceptions(record: RunRecord) -> Iterator[Violation]:
    """Iterations that raised did less than the scenario says, and users that ended so did nothing more."""
    rows = [row for row in record.exceptions() if not row.is_own_end and row.scenario != LISTENERS]
    for scenario in sorted({row.scenario for row in rows}):
        own = [row for row in rows if row.scenario == scenario]
        raised = sum(row.occurrences for row in own if not row.ends_user)
        ended = sum(row.occurrences for row in own if row.ends_user)
        # The tasks of users with a loop of their own are not counted; their iterations send a request, or raise.
        begun = sum(begun for (name, _), begun in record.tasks.items() if name == scenario) or (
            raised + sum(view.requests for view in record.series(lambda key, name=scenario: key.scenario == name))  # type: ignore[misc]
        )
        users = max((point.users for point in record.timeline), default=0)
        ratio = max(raised / begun if begun else 0.0, ended / (ended + users) if ended else 0.0)
        if ratio >= EXCEPTIONS_RATIO:
            named = "; ".join(f"{row.occurrences} x {row}" for row in own[:NAMED])
            told = [f"{raised} of {begun} iterations raised an exception"] * (raised > 0)
            told += [f"{counted(ended, 'user')} ended in an exception"] * (ended > 0)
            yield Violation(
                "task_exceptions",
                f"scenario {scenario}",
                ratio,
                EXCEPTIONS_RATIO,
                f"in scenario {scenario} {', and '.join(told)} ({named}): fix it; what it should have done is "
                "missing from the load",
            )


def _idle(record: RunRecord) -> Iterator[Violation]:
    """Iterations that ended without a request: users that ran and were no load."""
    for found in filter(lambda one: one.is_broken, idle.find(record)):
        yield Violation("idle_iterations", f"scenario {found.scenario}", found.ratio, found.limit, found.sentence)


def _listeners(record: RunRecord) -> Iterator[Violation]:
    """Listeners of Locust's events that raised did not do what they are for; stock Locust ends with an error."""
    rows = [row for row in record.exceptions() if row.scenario == LISTENERS]
    if rows:
        raised = sum(row.occurrences for row in rows)
        named = "; ".join(f"{row.occurrences} x {row}" for row in rows[:NAMED])
        yield Violation(
            "listener_exceptions",
            "run",
            raised,
            LISTENER_EXCEPTIONS,
            f"listeners of Locust's events raised {raised:,} times ({named}): fix them; what they prepare, check or "
            "count is missing from the run",
        )


def _load_not_reached(record: RunRecord) -> Iterator[Violation]:
    """Users or arrivals that were never there."""
    missing = plan.shortfall(record)
    if missing.ratio >= plan.SHORTFALL_RATIO:
        ended = [f"{row.occurrences} x {row}" for row in record.exceptions() if row.is_own_end]
        named = f" ({'; '.join(ended[:NAMED])})" if ended else ""
        yield Violation(
            "load_not_reached",
            "run",
            missing.ratio,
            plan.SHORTFALL_RATIO,
            f"{missing.what}{named}: {LOAD_ADVICE}",
        )


def _stall(record: RunRecord) -> Iterator[Violation]:
    """A standstill of the service in the closed model: users that wait send nothing, so few requests show it."""
    if (record.context.get("plan") or {}).get("model") == "open":
        return  # arrivals go on, and wait from their intended start
    stalled_s, users = _longest_gap(record)
    times = record.total().response_time
    held = -(-users // 2)
    if stalled_s < max(STALL_S, STALL_BY_MEDIAN * times.quantile(0.5)) or not 1 < held <= times.count:
        return
    if times.quantile(1 - (held - 0.5) / times.count) >= stalled_s:
        yield Violation(
            "stall",
            "run",
            float(stalled_s),
            float(STALL_S),
            f"no request was answered for {stalled_s} s, while users waited for an answer: the requests that they "
            f"would have sent in that time are in no percentile; {STALL_ADVICE}",
        )


def _silence(record: RunRecord) -> Iterator[Violation]:
    """Users in the closed model that make no request any more, since they wait for longer than the run, or hang."""
    load_s = record.load_s
    if not load_s or (record.context.get("plan") or {}).get("model") == "open":  # or the run goes on
        return
    answered_s = max((point.end for point in record.timeline if point.requests), default=math.inf)
    users_until_s = max((point.end for point in record.timeline if point.users), default=0)
    silent_s = min(users_until_s, plan.begins_s(record) + load_s) - answered_s
    if silent_s >= max(SILENCE_S, SILENCE_RATIO * load_s):
        yield Violation(
            "silence",
            "run",
            silent_s / load_s,
            SILENCE_RATIO,
            f"no request was made in the last {silent_s:.0f} s of {load_s:.0f} s, in which users ran: their wait is "
            "longer than the run, or something holds them; run longer, shorten the wait, or look what does",
        )


def _fast_failures(record: RunRecord) -> Iterator[Violation]:
    """Failures that are faster than successes lower every percentile of both: the more fail, the faster it seems."""
    for view in record.series():
        successes = view.requests - view.failures
        if min(view.failures, successes) < FEW_FAILURES or view.failures < FAILURES_RATIO * view.requests:
            continue
        failed_s, succeeded_s = view.failure_time.quantile(0.5), view.success_time.quantile(0.5)
        if failed_s <= min(FASTER * succeeded_s, succeeded_s - FASTER_S):
            yield Violation(
                FAST_FAILURES,
                f"{view.method} {view.name}",
                failed_s / succeeded_s,
                FASTER,
                f"{view.failures:,} of {view.requests:,} {view.method} {view.name} failed, in {failed_s * 1000:.1f} ms "
                f"(median) where successes took {succeeded_s * 1000:.1f} ms, so percentiles of all requests are too "
                'low: judge the times of result="success", and the share of failures with error_ratio',
            )


def _unsteady(record: RunRecord) -> Iterator[Violation]:
    """Response times that grow to the end: whatever figure is judged, a longer run has a worse one."""
    found = steady.find(record)
    if found.grew:
        yield Violation(
            UNSTEADY,
            "run",
            found.after_s / found.before_s if found.before_s else steady.GROWTH,
            steady.GROWTH,
            f"response times grew to the end, from {found.before_s * 1000:.1f} ms (median of the first third) to "
            f"{found.after_s * 1000:.1f} ms (of the last), under a level load, so every figure depends on how long the "
            "run was: run longer, or lower the load until they settle",
        )


def _longest_gap(record: RunRecord) -> tuple[int, int]:
    """The most whole seconds in a row in which users ran and nothing was answered, and how many users ran in them."""
    longest = (0, 0)
    gap, held = 0, 0
    answered = False
    for point in record.timeline:
        if point.requests or not point.users or point.width_s > 1:
            longest = max(longest, (gap, held)) if answered and point.requests else longest
            gap, held = 0, 0
            answered = answered or point.requests > 0
        else:
            gap, held = gap + 1, max(held, point.users)
    return longest
