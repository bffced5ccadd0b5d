"""The rules about each generator process's observations of itself."""

import pytest

from loadtest.judging import generator_health as health
from loadtest.judging import trust
from loadtest.judging.generator_health import PEAKS, SUSTAINED, process_violations
from loadtest.measuring.health import MASTER, Health, Watch
from loadtest.measuring.record import RunRecord
from tests.trust_harness import observed, record_with, rules


@pytest.mark.parametrize("name", SUSTAINED)
def test_a_sustained_limit_must_be_reached_for_five_seconds(name: str) -> None:
    """A rule fails at the limit for five seconds; for four, or just below it for any time, it does not."""
    rule = SUSTAINED[name]
    assert process_violations(observed(4, **{name: rule.limit})) == []
    assert process_violations(observed(60, **{name: rule.limit * 0.999})) == []
    [violation] = process_violations(observed(5, **{name: rule.limit}))
    assert (violation.rule, violation.subject, violation.limit) == (rule.name, "worker 3", rule.limit)
    assert violation.sentence.endswith(rule.advice)


@pytest.mark.parametrize(("figure", "rule"), [*SUSTAINED.items(), *PEAKS.items()])
def test_a_busy_master_is_not_helped_by_another_worker(figure: str, rule: health.HealthRule) -> None:
    """It merges the workers' measurements, so its advice is a different one."""
    [violation] = process_violations(observed(9, subject=MASTER, **{figure: rule.limit}))
    assert "add a worker" not in violation.sentence


def test_the_seconds_must_follow_each_other() -> None:
    """One good second restarts the count, and the longest period is reported."""
    watch = Watch()
    for cpu in (0.95, 0.95, 0.95, 0.95, 0.2, 0.97, 0.97, 0.97, 0.97, 0.97, 0.97, 0.1, 0.92):
        watch.add("worker 3", Health(cpu_ratio=cpu), 1.0, 5)
    assert [violation.sentence for violation in process_violations(watch)] == [
        "worker 3 was at 97% CPU for 6 s: add a worker or lower the rate"
    ]


def test_bad_seconds_add_up_over_the_run() -> None:
    """Throttling in every other second is never sustained, but still a tenth of the run."""
    watch = Watch()
    for second in range(20):
        watch.add("worker 3", Health(throttled_ratio=0.2 * (second % 2)), 1.0, 5)
    assert [violation.sentence for violation in process_violations(watch)] == [
        "worker 3 was throttled by its cgroup 10% of the time for 20 s: raise its CPU limit or add a worker"
    ]


@pytest.mark.parametrize("name", PEAKS)
def test_a_peak_breaks_its_rule_at_once(name: str) -> None:
    """A single interval at the limit fails the rule; one just below does not."""
    rule = PEAKS[name]
    assert process_violations(observed(9, **{name: rule.limit * 0.999})) == []
    [violation] = process_violations(observed(1, subject=MASTER, **{name: rule.limit * 1.5}))
    assert (violation.rule, violation.subject) == (rule.name, MASTER)
    assert rule.limit * 1.5 == pytest.approx(violation.value)


def test_time_without_users_does_not_count() -> None:
    """Loading data before the run, or idling after it, fails no rule."""
    assert process_violations(observed(60, users=0, cpu_ratio=1.0, loop_lag_s=1.0)) == []


@pytest.mark.parametrize(("crowded_s", "expected"), [(0, []), (9, []), (10, ["other_processes"])])
def test_a_crowded_machine_breaks_its_rule_from_a_tenth_of_the_run(crowded_s: int, expected: list[str]) -> None:
    """CPU time of other processes adds up over the run, however it is spread; the finding has the amount."""
    watch = Watch()
    for second in range(100):
        crowded = second % 10 == 5 and second < 10 * crowded_s
        watch.add(MASTER, Health(others_cpu_ratio=0.5 * crowded, crowded_ratio=float(crowded)), 1.0, 5)
    found = trust.violations(record_with(), watch)
    assert [violation.rule for violation in found] == expected
    assert all("they took 5% of its cores" in violation.sentence for violation in found)


@pytest.mark.parametrize(
    ("subject", "delay_s", "expected"),
    [("worker 0", 0.001, ["run_delay"]), ("worker 0", 0.0001, []), (MASTER, 0.001, [])],
)
def test_a_wait_for_a_core_counts_by_the_response_time(subject: str, delay_s: float, expected: list[str]) -> None:
    """A wait of a millisecond per turn is a fifth of a median of 5 ms and fails the rule; the master times nothing."""
    watch = observed(20, subject=subject, run_delay_ratio=delay_s * 200, turns_per_s=200.0)
    assert [one.rule for one in trust.violations(record_with(duration_s=0.005), watch)] == expected
    assert trust.violations(record_with(duration_s=0.5), watch) == []  # the same wait moves nothing here
    untimed = trust.violations(record_with(duration_s=0.0), watch)
    assert [one.rule for one in untimed] == ["durations"]  # no response time to compare it with


def test_a_wait_for_a_core_that_the_service_takes_is_no_violation() -> None:
    """If only the service on the same machine takes the cores, that is a note; with others it is a violation."""
    watch = observed(20, subject="worker 0", run_delay_ratio=0.2, turns_per_s=200.0)
    watch.add(MASTER, Health(target_cpu_ratio=0.8), 20.0, 5)
    assert rules(record_with(duration_s=0.005), watch) == []
    watch.add(MASTER, Health(target_cpu_ratio=0.5, others_cpu_ratio=0.3), 20.0, 5)
    assert rules(record_with(duration_s=0.005), watch) == ["run_delay"]


@pytest.mark.parametrize(
    ("late_s", "expected"),
    [
        ((0.09, 0.09), ["late_wake_ups"]),  # stalls of 90 ms, twice a second: more than a twentieth of the wake-ups
        ((0.004, 0.004), []),  # below the minimum that counts
        ((), []),
    ],
)
def test_stalls_add_up_over_the_run(late_s: tuple[float, ...], expected: list[str]) -> None:
    """A delay that moves a displayed percentile fails the rule, though no single second is bad."""
    watch = Watch()
    for _ in range(20):
        watch.add("worker 0", Health(loop_lag_s=0.09, late_s=late_s), 1.0, 5)
    assert rules(record_with(duration_s=0.003), watch) == expected
    assert rules(record_with(duration_s=0.5), watch) == []  # the same stalls are little of half a second
    assert rules(RunRecord(), watch) == []  # nor do they count without response times


def test_a_process_that_stood_still_once_is_found_by_what_it_missed() -> None:
    """Three seconds out of twenty are one late wake-up, but 15 % of the time."""
    watch = observed(17, subject="worker 0")
    watch.add("worker 0", Health(late_s=(3.0,)), 3.0, 5)
    [violation] = trust.violations(record_with(duration_s=0.003), watch)
    assert violation.rule == "late_wake_ups"
    assert "(p95 of its event loop)" in violation.sentence


@pytest.mark.parametrize(
    ("requests", "mean_s", "expected"),
    [
        (1000, 0.003, []),
        (1000, 0.02, ["uneven_workers"]),
        (1000, 0.007, []),  # a few milliseconds
        (400, 0.003, ["uneven_workers"]),
        (600, 0.003, []),
    ],
)
def test_a_worker_that_differs_from_the_others_is_named(requests: int, mean_s: float, expected: list[str]) -> None:
    """It is much slower, or has a much smaller share of the requests than of the users: the merge would hide it."""
    watch = Watch()
    for subject, made, each_s in (("worker 0", 1000, 0.003), ("worker 1", requests, mean_s)):
        watch.add(subject, Health(), 10.0, 5, made, made * each_s)
    found = trust.violations(record_with(), watch)
    assert [one.rule for one in found] == expected
    assert [one.subject for one in found] == ["worker 1"] * len(expected)


def test_a_violation_says_what_was_observed_and_what_to_do() -> None:
    """Its sentence has the subject, the mean value, the duration, and the advice."""
    [violation] = process_violations(observed(41, cpu_ratio=0.97))
    assert violation.sentence == "worker 3 was at 97% CPU for 41 s: add a worker or lower the rate"
