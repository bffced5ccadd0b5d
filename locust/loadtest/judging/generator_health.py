"""GeneratorHealth: the trust checks over what each process of the load generator observed about itself.

A rule about load must be broken for `SUSTAINED_S` consecutive seconds, or on average over the run, because one slow
second on a shared machine changes no percentile of a run. Only intervals with running users count: a master that loads
data before a run may be busy.

Tested in tests/unit/judging/test_generator_health.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from loadtest.judging.violation import Violation
from loadtest.measuring.health import FIGURES, LATE_S, MASTER, OTHERS, SATURATED, Health
from loadtest.progress import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.measuring.health import Observed, Watch
    from loadtest.measuring.record import RunRecord

SUSTAINED_S: Final = 5.0


class HealthRule(NamedTuple):
    """A rule over one field of `Health`, broken when its limit is reached."""

    name: str
    limit: float
    message: str
    """The middle of the sentence, in which ``{value}``, ``{value_ms}``, ``{rest}`` (1 - value) and ``{seconds}`` are
    replaced."""
    advice: str

    def worded(self, value: float, seconds: float) -> str:
        """Return the message with its values."""
        return self.message.format(value=value, value_ms=1000 * value, rest=1 - value, seconds=seconds)


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
"""Rules that must be broken for `SUSTAINED_S` consecutive seconds, or on average over a run of at least that length.
The value is the mean of those seconds."""
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
        "wait for the clock to synchronise, do not suspend the machine, and repeat the run",
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
        "had only {rest:.0%} of its memory left, so the kernel may kill it or swap",
        "give it more memory, add a machine, or lower USERS",
    ),
    "ports_ratio": HealthRule(
        "ephemeral_ports",
        0.90,
        "used {value:.0%} of the ephemeral ports",
        "keep connections alive, widen net.ipv4.ip_local_port_range, or add a machine",
    ),
}
"""Rules that a single interval can break. The value is the highest."""
_FOR_MASTER: Final = "give the master a core of its own, use fewer workers, or name fewer requests"
MASTER_ADVICE: Final = {
    "cpu": _FOR_MASTER,
    "event_loop_lag": _FOR_MASTER,
    "garbage_collection": _FOR_MASTER,
    "gc_pause": _FOR_MASTER,
    "cpu_throttling": "raise its CPU limit",
    "file_descriptors": "raise the limit (ulimit -n)",
}
"""The advice for the master: it merges what the workers measure, so a further worker would add to its work."""
CROWDED_RATIO: Final = 0.10
"""Share of the run in which other processes crowded the machine. A twentieth would change the 95th percentile."""
RUN_DELAY_RATIO: Final = 0.10
"""The wait for a core per time slice, divided by the median response time."""
RUN_DELAY_S: Final = 0.000_2
"""The shortest wait, in seconds, that counts: on an idle machine it is a few hundredths of a millisecond."""
LATE_SHARE: Final = 0.5
"""The event loop's delay, divided by the same percentile of the response times."""
SHOWN: Final = {"median": 0.5, "p95": 0.95, "p99": 0.99}
"""The percentiles in reports. One is compared if the part of the run beyond it is as long as `BEYOND_S`."""
BEYOND_S: Final = 0.25
SLOWER: Final = 3.0
"""The highest tolerated mean response time of a worker, divided by that of the others."""
SLOWER_S: Final = 0.005
SHARE: Final = 0.5
"""The smallest tolerated number of requests per user of a worker, divided by that of the others."""
COMPARED_REQUESTS: Final = 200
"""The minimum number of requests, of a worker or expected of it, for a comparison with the others."""


def violations(record: RunRecord, watch: Watch) -> list[Violation]:
    """The violations of rules about the processes and their machines."""
    return [
        *process_violations(watch),
        *_machine_violations(record, watch),
        *_late_wake_ups(record, watch),
        *_uneven_workers(record, watch),
    ]


def process_violations(watch: Watch) -> list[Violation]:
    """The violations of rules about the processes."""
    return [violation for observed in watch for violation in _violations_of(observed)]


def _violations_of(observed: Observed) -> Iterator[Violation]:
    for name, rule in SUSTAINED.items():
        period, mean = observed.longest[name], observed.sums[FIGURES.index(name)] / observed.seconds
        if period.seconds >= SUSTAINED_S:
            yield _violation(observed.subject, rule, period.mean, period.seconds)
        elif observed.seconds >= SUSTAINED_S and mean >= rule.limit:
            yield _violation(observed.subject, rule, mean, observed.seconds)
    for name, rule in PEAKS.items():
        value = observed.highest[FIGURES.index(name)]
        if value >= rule.limit:
            yield _violation(observed.subject, rule, value, 0.0)


def _violation(subject: str, rule: HealthRule, value: float, seconds: float) -> Violation:
    advice = MASTER_ADVICE.get(rule.name, rule.advice) if subject == MASTER else rule.advice
    return Violation(rule.name, subject, value, rule.limit, f"{subject} {rule.worded(value, seconds)}: {advice}")


def _machine_violations(record: RunRecord, watch: Watch) -> Iterator[Violation]:
    median_s = record.total().response_time.quantile(0.5)
    master = next((observed.mean() for observed in watch if observed.subject == MASTER), Health())
    # Then only the service uses the cores, which is a note rather than a violation: see `shared_cores`.
    only_the_service = master.target_cpu_ratio > 0 and master.others_cpu_ratio < OTHERS
    for observed in watch:
        mean = observed.mean()
        if mean.crowded_ratio >= CROWDED_RATIO:
            yield Violation(
                "other_processes",
                observed.subject,
                mean.crowded_ratio,
                CROWDED_RATIO,
                f"other processes kept the machine of {observed.subject} busy for {mean.crowded_ratio:.0%} of the "
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
                f"{observed.subject} waited {delay_s * 1000:.2f} ms for a core per time slice, which is part of "
                f"every response time (median {median_s * 1000:.2f} ms): stop other processes, use fewer workers, or "
                "use a machine with more cores",
            )


def _late_wake_ups(record: RunRecord, watch: Watch) -> Iterator[Violation]:
    times = record.total().response_time
    for observed in watch if times.count else ():
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
                    "scenario, add a worker, and make sure that nothing suspends the process",
                )
                break


def _uneven_workers(record: RunRecord, watch: Watch) -> Iterator[Violation]:
    """A worker that is slower than the others. With several scenarios, workers may differ because of what they run."""
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
            "uneven_workers", one.subject, value, limit, f"{one.subject} {found}: check its machine, or remove it"
        )
