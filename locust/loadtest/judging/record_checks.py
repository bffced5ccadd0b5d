"""RecordChecks: the trust checks over the record of a run: what is missing, and what is misleading.

Tested in tests/unit/judging/test_record_checks.py.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

from loadtest.judging import idle, plan, steady, tallied
from loadtest.judging.violation import NAMED, Violation
from loadtest.measuring.error_classes import GENERATOR, UNFINISHED
from loadtest.measuring.measurements import LISTENERS
from loadtest.measuring.record import SOFTWARE
from loadtest.progress import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.measuring.record import RunRecord

FAST_FAILURES: Final = "fast_failures"
"""The rule about how a run is judged rather than how it was made: see `loadtest.judging.outcome.decide`."""
UNSTEADY: Final = "unsteady"
"""The rule that does not apply if a threshold failed: an overloaded service has failed."""
GENERATOR_ERRORS: Final = 1
SCHEDULE_LAG_P99_S: Final = 0.100
LATE_ITERATIONS: Final = 5
"""The minimum number of late iterations: among a dozen, a single late start would be the 99th percentile."""
DROPPED_RATIO: Final = 0.01
COMPLETENESS: Final = 0.99
OTHER_WORKERS: Final = 1
REFUSED_RATIO: Final = 0.001
UNTIMED_REQUESTS: Final = 20
"""The minimum number of requests of a name, all with a duration of 0, that break the rule on durations."""
LISTENER_EXCEPTIONS: Final = 1
EXCEPTIONS_RATIO: Final = 0.01
"""Share of a scenario's iterations that raised an exception, or of its users that one ended."""
STALL_S: Final = 2
"""Whole seconds without a response while half of the users waited for one."""
STALL_BY_MEDIAN: Final = 10
"""The shortest stall, as a multiple of the median response time."""
SILENCE_RATIO: Final = 0.5
"""The smallest share of the load, at its end, during which users ran without making a request."""
SILENCE_S: Final = 5
"""The minimum length of that period, in seconds."""
UNFINISHED_RATIO: Final = 0.01
"""Share of the requests of one name that had no response when their users were stopped."""
UNFINISHED_USERS_RATIO: Final = 0.05
"""The number of these requests divided by the peak number of users: few requests may have blocked many users."""
FAILURES_RATIO: Final = 0.01
"""The smallest share of failed requests of one name for a comparison of their times with those of successes."""
FASTER: Final = 0.5
"""The median time of failures divided by that of successes, at or below which failures lower the percentiles."""
FASTER_S: Final = 0.005
"""The smallest difference between these medians, in seconds."""
FEW_FAILURES: Final = 20
"""The minimum number of failures, and successes, of one name for a comparison of their times."""
LOAD_ADVICE: Final = (
    "run longer or start users faster; check the exceptions and the workers' logs for users that ended themselves or "
    "never started"
)
EXCESS_ADVICE: Final = (
    "check that the scenario starts no iterations of its own, and read the workers' logs; the run did not have the "
    "arrival rate that it states"
)
SOFTWARE_ADVICE: Final = "give every worker the master's image and the same files, and repeat the run"
STALL_ADVICE: Final = "check what the service was doing then, or use an arrival rate, which counts their wait"


def violations(record: RunRecord) -> Iterator[Violation]:
    """The violations of rules about the record."""
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
    yield from _load_exceeded(record)
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
            "workers' logs, and the kernel log for an out-of-memory kill, and repeat the run",
        )


def _other_software(record: RunRecord) -> Iterator[Violation]:
    """Workers whose code differs from the master's: their requests belong to another test."""
    for event in record.events:
        if event.kind == SOFTWARE:
            subject = event.text.partition(" ran ")[0]
            yield Violation("other_software", subject, OTHER_WORKERS, OTHER_WORKERS, f"{event.text}: {SOFTWARE_ADVICE}")


def _dropped(record: RunRecord) -> Iterator[Violation]:
    requests, tasks = Counter[str](), Counter[str]()
    for view in record.counts():
        requests[view.scenario] += view.requests
    for (scenario, _), begun in record.tasks.items():
        tasks[scenario] += begun
    for scenario, dropped in record.dropped.items():
        # Every iteration begins at least one task, so this ratio is never an overestimate. Requests are not a measure
        # of iterations: there may be many, and those of a duet belong to other scenarios.
        ratio = dropped / (dropped + (tasks[scenario] or requests[scenario])) if dropped else 0.0
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
    for view in record.series():
        times = view.service_time
        if times.count >= UNTIMED_REQUESTS and not times.max_s:
            yield Violation(
                "durations",
                f"{view.method} {view.name}",
                1.0,
                1.0,
                f"all {times.count:,} requests of {f'{view.method} {view.name}'.strip()} have a duration of 0: have "
                "their client measure it, and report it as response_time in milliseconds",
            )


def _own_errors(record: RunRecord) -> Iterator[Violation]:
    """Errors of the generator itself: a single one shows that it had reached a limit."""
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
    """Requests without a response: their times are unknown, so the remaining times have survivorship bias."""
    if not any(UNFINISHED in counts.errors for counts in record.counts()):
        return
    found = [view for view in record.series() if UNFINISHED in view.errors]
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
        f"{counted(unfinished, 'request')} had no response when their users were stopped ({'; '.join(names)}), so "
        "the percentiles cover only the requests that were answered: find out why the service does not answer the "
        "rest; if it is only slow, raise --stop-timeout",
    )


def _exceptions(record: RunRecord) -> Iterator[Violation]:
    """Iterations that raised an exception, which did only part of their work, and users that an exception ended."""
    rows = [row for row in record.exceptions() if not row.is_own_end and row.scenario != LISTENERS]
    for scenario in sorted({row.scenario for row in rows}):
        own = [row for row in rows if row.scenario == scenario]
        raised = sum(row.occurrences for row in own if not row.ends_user)
        ended = sum(row.occurrences for row in own if row.ends_user)
        # The tasks of users with a loop of their own are not counted; each of their iterations sends a request or
        # raises.
        begun = sum(begun for (name, _), begun in record.tasks.items() if name == scenario) or (
            raised + sum(view.requests for view in record.series(lambda key, name=scenario: key.scenario == name))  # type: ignore[misc]
        )
        users = max((point.users for point in record.timeline), default=0)
        ratio = max(raised / begun if begun else 0.0, ended / (ended + users) if ended else 0.0)
        if ratio >= EXCEPTIONS_RATIO:
            named = "; ".join(f"{row.occurrences} x {row}" for row in own[:NAMED])
            failed = [f"{raised} of {begun} iterations raised an exception"] * (raised > 0)
            failed += [f"{counted(ended, 'user')} ended in an exception"] * (ended > 0)
            yield Violation(
                "task_exceptions",
                f"scenario {scenario}",
                ratio,
                EXCEPTIONS_RATIO,
                f"in scenario {scenario} {', and '.join(failed)} ({named}): fix the scenario; the load lacks the work "
                "that they did not do",
            )


def _idle(record: RunRecord) -> Iterator[Violation]:
    """Iterations that ended without a request: their users ran without generating load."""
    for found in filter(lambda one: one.is_broken, idle.find(record)):
        yield Violation("idle_iterations", f"scenario {found.scenario}", found.ratio, found.limit, found.sentence)


def _listeners(record: RunRecord) -> Iterator[Violation]:
    """Listeners of Locust's events that raised an exception; stock Locust then ends with an error."""
    rows = [row for row in record.exceptions() if row.scenario == LISTENERS]
    if rows:
        raised = sum(row.occurrences for row in rows)
        named = "; ".join(f"{row.occurrences} x {row}" for row in rows[:NAMED])
        yield Violation(
            "listener_exceptions",
            "run",
            raised,
            LISTENER_EXCEPTIONS,
            f"listeners of Locust's events, or greenlets of the scenario's own, raised {counted(raised, 'exception')} "
            f"({named}): fix them; what they prepare, check or count is missing from the run",
        )


def _load_not_reached(record: RunRecord) -> Iterator[Violation]:
    """Users or arrivals that were missing."""
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


def _load_exceeded(record: RunRecord) -> Iterator[Violation]:
    """Iterations without an arrival of the profile."""
    surplus = plan.surplus(record)
    if surplus is not None and surplus.ratio >= plan.SURPLUS_RATIO:
        yield Violation(
            "load_exceeded",
            "run",
            surplus.ratio,
            plan.SURPLUS_RATIO,
            f"{surplus.iterations:,} iterations were made for the {surplus.planned:,.0f} arrivals of the profile: "
            f"{EXCESS_ADVICE}",
        )


def _stall(record: RunRecord) -> Iterator[Violation]:
    """A stall of the service in the closed model: waiting users send nothing, so few requests are affected."""
    if (record.context.get("plan") or {}).get("model") == "open":
        return  # arrivals continue, and wait from their intended start
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
    """Users in the closed model that stop making requests, because they wait for longer than the run, or hang."""
    load_s = record.load_s
    if not load_s or (record.context.get("plan") or {}).get("model") == "open":  # or the run is not over
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
            f"no request was made in the last {silent_s:.0f} s of {load_s:.0f} s, while users ran: their think time is "
            "longer than the run, or something blocks them; run longer, shorten the think time, or find out what "
            "blocks them",
        )


def _fast_failures(record: RunRecord) -> Iterator[Violation]:
    """Failures that are faster than successes: they lower every percentile, so a failing service looks faster."""
    for view in record.series() if record.failures else ():
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
                f"(median) while successes took {succeeded_s * 1000:.1f} ms, so percentiles of all requests are too "
                'low: judge the times of result="success", and the share of failures with error_ratio',
            )


def _unsteady(record: RunRecord) -> Iterator[Violation]:
    """Response times that grow until the end: a longer run would have worse figures."""
    found = steady.find(record)
    if found.grew:
        yield Violation(
            UNSTEADY,
            "run",
            found.after_s / found.before_s if found.before_s else steady.GROWTH,
            steady.GROWTH,
            f"response times grew to the end, from {found.before_s * 1000:.1f} ms (median of the first third) to "
            f"{found.after_s * 1000:.1f} ms (of the last), under a constant load, so every figure depends on the run's "
            "length: run longer, or lower the load until response times settle",
        )


def _longest_gap(record: RunRecord) -> tuple[int, int]:
    """The most consecutive whole seconds in which users ran without a response, and how many users ran in them."""
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
