"""The rules about the generator."""

from pathlib import Path

import pytest
from locust.exception import StopUser

from loadtest.judging import generator_health as health
from loadtest.judging import idle, plan, steady, tallied, trust
from loadtest.judging import record_checks as checks
from loadtest.judging.generator_health import PEAKS, SUSTAINED, process_violations
from loadtest.measuring.health import LATE_S, MASTER, Health, Watch
from loadtest.measuring.labels import LOAD, SETUP
from loadtest.measuring.measurements import LISTENERS
from loadtest.measuring.record import SOFTWARE, RunRecord
from loadtest.measuring.record_rows import Delivery, Missing
from loadtest.measuring.recorder import Recorder


def observed(seconds: int, users: int = 5, subject: str = "worker 3", **values: float) -> Watch:
    """A process that is the same for some seconds."""
    watch = Watch()
    for _ in range(seconds):
        watch.add(subject, Health(**values), 1.0, users)
    return watch


@pytest.mark.parametrize("name", SUSTAINED)
def test_a_sustained_limit_must_be_reached_for_five_seconds(name: str) -> None:
    """At the limit for five seconds a rule is broken; for four, or just below it for any time, it is not."""
    rule = SUSTAINED[name]
    assert process_violations(observed(4, **{name: rule.limit})) == []
    assert process_violations(observed(60, **{name: rule.limit * 0.999})) == []
    [violation] = process_violations(observed(5, **{name: rule.limit}))
    assert (violation.rule, violation.subject, violation.limit) == (rule.name, "worker 3", rule.limit)
    assert violation.sentence.endswith(rule.advice)


@pytest.mark.parametrize(("figure", "rule"), [*SUSTAINED.items(), *PEAKS.items()])
def test_a_busy_master_is_not_helped_by_another_worker(figure: str, rule: health.HealthRule) -> None:
    """It merges what the workers measure, so its own advice is another."""
    [violation] = process_violations(observed(9, subject=MASTER, **{figure: rule.limit}))
    assert "add a worker" not in violation.sentence


def test_the_seconds_must_follow_each_other() -> None:
    """One good second restarts the count, and the longest stretch is reported."""
    watch = Watch()
    for cpu in (0.95, 0.95, 0.95, 0.95, 0.2, 0.97, 0.97, 0.97, 0.97, 0.97, 0.97, 0.1, 0.92):
        watch.add("worker 3", Health(cpu_ratio=cpu), 1.0, 5)
    assert [violation.sentence for violation in process_violations(watch)] == [
        "worker 3 was at 97% CPU for 6 s: add a worker or lower the rate"
    ]


def test_bad_seconds_add_up_over_the_run() -> None:
    """Throttled in every other second is never sustained, and still a tenth of the run."""
    watch = Watch()
    for second in range(20):
        watch.add("worker 3", Health(throttled_ratio=0.2 * (second % 2)), 1.0, 5)
    assert [violation.sentence for violation in process_violations(watch)] == [
        "worker 3 was throttled by its cgroup 10% of the time for 20 s: raise its CPU limit or add a worker"
    ]


@pytest.mark.parametrize("name", PEAKS)
def test_a_peak_breaks_its_rule_at_once(name: str) -> None:
    """A single interval at the limit breaks the rule; just below does not."""
    rule = PEAKS[name]
    assert process_violations(observed(9, **{name: rule.limit * 0.999})) == []
    [violation] = process_violations(observed(1, subject=MASTER, **{name: rule.limit * 1.5}))
    assert (violation.rule, violation.subject) == (rule.name, MASTER)
    assert rule.limit * 1.5 == pytest.approx(violation.value)


def test_time_without_users_does_not_count() -> None:
    """Loading data before the run, or idling after it, makes nobody suspicious."""
    assert process_violations(observed(60, users=0, cpu_ratio=1.0, loop_lag_s=1.0)) == []


def record_with(
    requests: int = 1000, lag_s: float | None = None, dropped: int = 0, duration_s: float = 0.5
) -> RunRecord:
    """A record of one scenario."""
    recorder = Recorder()
    series = recorder.series("shop", "GET", "buy")
    for _ in range(requests):
        intended = 100.0
        sent = intended if lag_s is None else intended + lag_s
        series.success(intended, sent, sent + duration_s, 1)
    if dropped:
        recorder.drop_iterations("shop", dropped)
    record = RunRecord()
    record.add(recorder.take())
    return record


def rules(record: RunRecord, watch: Watch | None = None) -> list[str]:
    """The names of the rules that a record breaks."""
    return [violation.rule for violation in trust.violations(record, watch or Watch())]


def test_a_calm_record_breaks_no_rule() -> None:
    """Requests on time, nothing dropped, nothing missing: nothing is found."""
    assert rules(record_with(lag_s=0.01)) == []


@pytest.mark.parametrize(("late", "expected"), [(0, []), (4, []), (5, ["schedule_lag"]), (12, ["schedule_lag"])])
def test_one_late_start_of_a_short_run_is_no_saturation(late: int, expected: list[str]) -> None:
    """Of a dozen iterations a single one is the 99th percentile; the rule wants five that were late."""
    recorder = Recorder()
    series = recorder.series("shop", "GET", "buy")
    for number in range(12):
        series.success(100.0, 100.0 + (0.25 if number < late else 0.001), 101.0, 1)
    record = RunRecord()
    record.add(recorder.take())
    assert rules(record) == expected


@pytest.mark.parametrize(("crowded_s", "expected"), [(0, []), (9, []), (10, ["other_processes"])])
def test_a_crowded_machine_breaks_its_rule_from_a_tenth_of_the_run(crowded_s: int, expected: list[str]) -> None:
    """What other processes took adds up over the run, however it is spread; the finding says how much it was."""
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
    """A millisecond before each turn is a fifth of a median of 5 ms and breaks the rule; the master times nothing."""
    watch = observed(20, subject=subject, run_delay_ratio=delay_s * 200, turns_per_s=200.0)
    assert [one.rule for one in trust.violations(record_with(duration_s=0.005), watch)] == expected
    assert trust.violations(record_with(duration_s=0.5), watch) == []  # the same wait moves nothing here
    assert trust.violations(record_with(duration_s=0.0), watch) == []  # nothing that it could be a part of


def test_a_wait_for_a_core_that_the_service_takes_is_no_violation() -> None:
    """When only the service on the same machine takes the cores, that is a note; with others it is not its doing."""
    watch = observed(20, subject="worker 0", run_delay_ratio=0.2, turns_per_s=200.0)
    watch.add(MASTER, Health(target_cpu_ratio=0.8), 20.0, 5)
    assert rules(record_with(duration_s=0.005), watch) == []
    watch.add(MASTER, Health(target_cpu_ratio=0.5, others_cpu_ratio=0.3), 20.0, 5)
    assert rules(record_with(duration_s=0.005), watch) == ["run_delay"]


@pytest.mark.parametrize(
    ("late_s", "expected"),
    [
        ((0.09, 0.09), ["late_wake_ups"]),  # stalls of 90 ms, twice a second: more than a twentieth of the wake-ups
        ((0.004, 0.004), []),  # below what counts
        ((), []),
    ],
)
def test_stalls_add_up_over_the_run(late_s: tuple[float, ...], expected: list[str]) -> None:
    """A delay that moves a percentile which is shown breaks the rule, though no second is bad by itself."""
    watch = Watch()
    for _ in range(20):
        watch.add("worker 0", Health(loop_lag_s=0.09, late_s=late_s), 1.0, 5)
    assert rules(record_with(duration_s=0.003), watch) == expected
    assert rules(record_with(duration_s=0.5), watch) == []  # the same stalls are little of half a second


def test_a_process_that_stood_still_once_is_found_by_what_it_missed() -> None:
    """Three seconds out of twenty are one late wake-up, and 15 % of the time."""
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
    """Much slower, or a much smaller share of the requests than its users: the merge would hide it."""
    watch = Watch()
    for subject, made, each_s in (("worker 0", 1000, 0.003), ("worker 1", requests, mean_s)):
        watch.add(subject, Health(), 10.0, 5, made, made * each_s)
    found = trust.violations(record_with(), watch)
    assert [one.rule for one in found] == expected
    assert [one.subject for one in found] == ["worker 1"] * len(expected)


@pytest.mark.parametrize("phase", [LOAD, SETUP])
def test_an_error_of_the_generator_breaks_its_rule_with_the_cause(phase: str) -> None:
    """One request that failed for a limit of the generator shows that it had reached it, in a set-up as well."""
    recorder = Recorder()
    recorder.series("shop", "GET", "buy").success(1.0, 1.0, 1.1, 1)
    series = recorder.series("shop", "GET", "buy", phase)
    series.failure(1.0, 1.0, 1.1, 0, "generator", "this process may not open more files: raise the limit (ulimit -n)")
    record = RunRecord()
    record.add(recorder.take())
    [violation] = trust.violations(record, Watch())
    assert violation.rule == "generator_errors"
    assert "1 request failed at a limit of the load generator: this process may not open more" in violation.sentence


def test_late_sends_break_the_lag_rule() -> None:
    """When the 99th percentile of the schedule lag reaches its limit, the finding names the scenario."""
    [violation] = trust.violations(record_with(lag_s=0.25), Watch())
    assert (violation.rule, violation.subject) == ("schedule_lag", "scenario shop")
    assert "250 ms after their intended start (p99)" in violation.sentence


def test_dropped_iterations_break_their_rule_from_one_in_a_hundred() -> None:
    """Below 1 % of iterations dropped is tolerated, from 1 % on it is named."""
    assert rules(record_with(1000, dropped=9)) == []
    assert rules(record_with(1000, dropped=11)) == ["dropped_iterations"]


@pytest.mark.parametrize(("requests", "begun", "expected"), [(0, 9000, []), (9000, 900, ["dropped_iterations"])])
def test_dropped_iterations_are_a_share_of_those_that_began(requests: int, begun: int, expected: list[str]) -> None:
    """However many requests each sends: none in a duet, whose requests are those of its two sides."""
    record = record_with(requests, dropped=46)
    record.tasks["shop", "pair"] = begun
    assert rules(record) == expected


def test_what_is_missing_breaks_the_rule_below_99_percent() -> None:
    """A lost interval in a long run is tolerated, in a short one it is named with worker and time."""
    record = record_with()
    record.delivery = Delivery(0.99, (Missing(2, 1, 17.0, None),))
    assert rules(record) == []
    record.delivery = Delivery(0.95, (Missing(2, 1, 17.0, None),))
    [violation] = trust.violations(record, Watch())
    assert "95.0%" in violation.sentence
    assert "worker 2: 1 interval(s) missing, from 17 s" in violation.sentence


def test_a_worker_with_other_code_breaks_its_rule() -> None:
    """Whatever it measured, it is not of the test that the run names; other events break nothing."""
    record = record_with()
    record.note(3.0, SOFTWARE, "worker 2 ran another scenario, or other files of it, than the master")
    record.note(3.0, "worker", "worker 3 joined")
    [violation] = trust.violations(record, Watch())
    assert (violation.rule, violation.subject) == ("other_software", "worker 2")
    assert violation.sentence.startswith("worker 2 ran another scenario, or other files of it, than the master: give")


def record_with_exceptions(begun: int, raised: int, source: object = None) -> RunRecord:
    """A record of one scenario, some of whose iterations raised."""
    recorder = Recorder()
    recorder.begun("shop")[rules] += begun
    recorder.series("shop", "GET", "buy").success(1.0, 1.0, 1.01, 1)
    for _ in range(raised):
        recorder.on_user_error(source, KeyError("price"))
    record = RunRecord()
    record.add(recorder.take(), 0)
    record.timeline.set_users(0, 100)
    return record


class InShop:
    """Stands for a TaskSet of a user of the shop."""

    class user:  # noqa: N801 - an attribute
        """The user."""

        scenario = "shop"


@pytest.mark.parametrize(("raised", "expected"), [(0, []), (9, []), (10, ["task_exceptions"])])
def test_iterations_that_raise_break_their_rule_from_one_in_a_hundred(raised: int, expected: list[str]) -> None:
    """Below 1 % they are named beside the verdict, from 1 % on the run is not believed."""
    record = record_with_exceptions(1000, raised, InShop())
    assert rules(record) == expected
    if expected:
        [violation] = trust.violations(record, Watch())
        assert "in scenario shop 10 of 1000 iterations raised an exception (" in violation.sentence
        assert "10 x KeyError: 'price' at ?:0 in ?" in violation.sentence


def test_a_listener_that_raised_breaks_its_rule_with_the_place() -> None:
    """Once is enough: what it should have prepared or checked is missing."""
    recorder, record = Recorder(), record_with()
    recorder.add_exception(LISTENERS, KeyError("token"))
    record.add(recorder.take())
    [violation] = trust.violations(record, Watch())
    assert (violation.rule, violation.value) == ("listener_exceptions", 1)
    assert "1 x KeyError: 'token' at" in violation.sentence


def test_a_user_that_ends_itself_is_no_exception() -> None:
    """A journey may end so; whether load is missing for it is another rule."""
    recorder, record = Recorder(), record_with()
    with pytest.raises(StopUser) as ending:
        raise StopUser
    recorder.on_end(InShop.user, ending.value, 0.0, is_started=True)
    record.add(recorder.take())
    assert rules(record) == []
    [row] = record.exceptions()
    assert (row.is_own_end, str(row)[:35]) == (True, "StopUser: the user ended itself at ")


@pytest.mark.parametrize(("ended", "expected"), [(0, []), (1, []), (2, ["task_exceptions"])])
def test_users_that_end_in_an_exception_break_the_rule(ended: int, expected: list[str]) -> None:
    """One of a hundred users is tolerated; two are not, however many iterations the others made."""
    record = record_with_exceptions(100_000, ended, InShop.user)
    assert rules(record) == expected
    for violation in trust.violations(record, Watch()):
        assert violation.sentence.startswith("in scenario shop 2 users ended in an exception (")


def test_iterations_that_sent_nothing_break_their_rule() -> None:
    """Half of the iterations of a closed run were no load."""
    record = record_with(1000)
    record.tasks, record.idle = {("shop", "Shopper.buy"): 1000}, {("shop", "Shopper.buy"): 500}
    [violation] = trust.violations(record, Watch())
    assert (violation.rule, violation.subject, violation.value) == ("idle_iterations", "scenario shop", 0.5)


def record_with_gap(gap_s: int, held: int, median_s: float = 0.003, model: str = "closed") -> RunRecord:
    """A record of 15 s with ten users, in which the service stood still and then answered those that waited."""
    record = RunRecord(context={"plan": {"model": model}})
    for second in range(15):
        recorder = Recorder()
        series = recorder.series("shop", "GET", "buy")
        if not 5 <= second < 5 + gap_s:
            for _ in range(50):
                series.success(1.0, 1.0, 1.0 + median_s, 1)
        if second == 5 + gap_s:
            for _ in range(held):
                series.success(1.0, 1.0, 1.0 + gap_s + 0.5, 1)
        record.add(recorder.take(), second)
        record.timeline.set_users(second, 10)
    return record


@pytest.mark.parametrize(
    ("gap_s", "held", "median_s", "model", "expected"),
    [
        (0, 10, 0.003, "closed", []),
        (1, 10, 0.003, "closed", []),
        (2, 10, 0.003, "closed", ["stall"]),
        (3, 5, 0.003, "closed", ["stall"]),
        (3, 4, 0.003, "closed", []),  # most users waited for nothing but their own wait time
        (3, 10, 0.4, "closed", []),  # a slow service with few users
        (3, 10, 0.003, "open", []),
    ],
)
def test_a_standstill_of_the_service_breaks_its_rule(
    gap_s: int, held: int, median_s: float, model: str, expected: list[str]
) -> None:
    """Two whole seconds without an answer while half of the users wait for one are told, in the closed model."""
    assert rules(record_with_gap(gap_s, held, median_s, model)) == expected


@pytest.mark.parametrize(
    ("answered_until", "users_until", "model", "expected"),
    [
        (1, 20, "closed", ["silence"]),
        (9, 19, "closed", ["silence"]),
        (11, 20, "closed", []),  # half of the load is needed
        (1, 4, "closed", []),  # users that are not there are another rule's
        (0, 20, "closed", []),  # without requests there is no data
        (1, 20, "open", []),
    ],
)
def test_users_that_make_no_request_any_more_break_their_rule(
    answered_until: int, users_until: int, model: str, expected: list[str]
) -> None:
    """Half of the load without any, while users run, is another load than was asked for."""
    record = RunRecord(context={"plan": {"model": model}}, load_s=19.0)
    record.note(0.5, "start", "load begins")
    for second in range(25):
        recorder = Recorder()
        if second < answered_until:
            recorder.series("shop", "GET", "buy").success(1.0, 1.0, 1.1, 1)
        record.add(recorder.take(), second)
        record.timeline.set_users(second, 10 * (second < users_until))
    assert rules(record) == expected
    record.load_s = None  # it goes on
    assert rules(record) == []


def record_of_users(answered: int, unfinished: int, users: int) -> RunRecord:
    """A record of two names, one of which was held by requests that never ended."""
    recorder = Recorder()
    for _ in range(answered):
        recorder.series("shop", "GET", "buy").success(1.0, 1.0, 1.01, 1)
    for _ in range(unfinished):
        recorder.series("shop", "GET", "hang").failure(1.0, 1.0, 17.0, 0, "unfinished", "no answer yet")
    record = RunRecord()
    record.add(recorder.take(), 0)
    record.timeline.set_users(0, users)
    return record


def test_requests_without_an_answer_break_their_rule_by_name() -> None:
    """A name whose requests were not answered is told, with the time that they waited."""
    assert rules(record_of_users(10_000, 0, 10)) == []
    [violation] = trust.violations(record_of_users(10_000, 1, 10), Watch())
    assert violation.rule == "unfinished_requests"
    assert "(1 of 1 GET hang, after up to 16.0 s)" in violation.sentence


@pytest.mark.parametrize(("unfinished", "expected"), [(1, []), (4, []), (5, ["unfinished_requests"])])
def test_few_unfinished_requests_that_held_many_users_break_the_rule(unfinished: int, expected: list[str]) -> None:
    """Among 10,000 requests five are few, but among 100 users they are many."""
    recorder = Recorder()
    series = recorder.series("shop", "GET", "buy")
    for number in range(10_000):
        if number < unfinished:
            series.failure(1.0, 1.0, 17.0, 0, "unfinished", "no answer yet")
        else:
            series.success(1.0, 1.0, 1.01, 1)
    record = RunRecord()
    record.add(recorder.take(), 0)
    record.timeline.set_users(0, 100)
    assert rules(record) == expected


@pytest.mark.parametrize(
    ("failures", "failed_s", "succeeded_s", "expected"),
    [
        (200, 0.001, 0.3, ["fast_failures"]),
        (20, 0.15, 0.3, ["fast_failures"]),
        (200, 0.3, 0.3, []),
        (200, 0.001, 0.004, []),
        (19, 0.001, 0.3, []),
    ],
)
def test_failures_that_are_faster_than_successes_break_their_rule(
    failures: int, failed_s: float, succeeded_s: float, expected: list[str]
) -> None:
    """From 20 and 1 % of a name's requests on, when they take half the time; the sentence has both medians."""
    recorder, record = Recorder(), RunRecord()
    series = recorder.series("shop", "GET", "buy")
    for number in range(1000):
        if number < failures:
            series.failure(0.0, 0.0, failed_s, 1, "status_5xx", "status 503")
        else:
            series.success(0.0, 0.0, succeeded_s, 1)
    record.add(recorder.take())
    found = trust.violations(record, Watch())
    assert [violation.rule for violation in found] == expected
    if failed_s == 0.001 and expected:
        assert "200 of 1,000 GET buy failed, in 1.0 ms (median) where successes took 30" in found[0].sentence


@pytest.mark.parametrize(("duration_s", "words"), [(-1.0, "1000 durations were negative"), (5000.0, "1000 were above")])
def test_impossible_durations_break_their_rule(duration_s: float, words: str) -> None:
    """Durations that were refused or clamped are said."""
    [violation] = trust.violations(record_with(duration_s=duration_s), Watch())
    assert violation.rule == "durations"
    assert words in violation.sentence


def test_a_violation_says_what_was_observed_and_what_to_do() -> None:
    """Its sentence has the subject, the mean value, how long it lasted, and the advice."""
    [violation] = process_violations(observed(41, cpu_ratio=0.97))
    assert violation.sentence == "worker 3 was at 97% CPU for 41 s: add a worker or lower the rate"


def test_the_documentation_states_every_limit() -> None:
    """The table of rules in docs/measuring.md has each rule with its limit and its advice, and no other."""
    text = Path(__file__).parents[3].joinpath("docs", "measuring.md").read_text(encoding="utf-8")
    section = text.split("## Trust\n", 1)[1].split("\n##", 1)[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")
    ]

    def limit(name: str, value: float) -> str:
        if name.endswith("_per_s"):
            return f"≥ {value:.0f} times a second"
        return f"≥ {value * 1000:.0f} ms" if name.endswith("_s") else f"≥ {value:.0%}"

    rules_of_health = [
        [f"`{rule.name}`", f"{limit(name, rule.limit)} {suffix}", rule.advice]
        for group, suffix in ((SUSTAINED, f"for {health.SUSTAINED_S:.0f} s"), (PEAKS, "once"))
        for name, rule in group.items()
    ]
    late = f"≥ {checks.SCHEDULE_LAG_P99_S * 1000:.0f} ms"
    hung = f"≥ {checks.UNFINISHED_RATIO:.0%} of a name's requests without an answer when their users were stopped"
    never_there = f"≥ {plan.SHORTFALL_RATIO:.0%} of the profile's users or arrivals were never there"
    raised = (
        f"≥ {checks.LISTENER_EXCEPTIONS} exception of a listener of Locust's events, on the master or a worker; "
        "a greenlet of the scenario's own on the master that calls `sys.exit(0)`; "
        "≥ 1 `events.request` that cannot be counted, as with a `response_time` that is no number"
    )
    no_answer = f"≥ {checks.STALL_S} s without any answer, and {checks.STALL_BY_MEDIAN} times the median response time"
    fast = f"≥ {checks.FAILURES_RATIO:.0%} of a name's requests, and ≥ {checks.FEW_FAILURES}, failed"
    fast += f", and their median is ≤ {checks.FASTER:.0%} of that of the successes"
    growing = f"the median of the last third is ≥ {steady.GROWTH:.0f} times that of the first, and ≥ "
    growing += f"{steady.GROWTH_S * 1000:.0f} ms longer, and still grows (level load of "
    growing += f"{steady.BATCH * steady.FEWEST_BATCHES} s to an hour; no threshold failed)"
    lookups = f"≥ {tallied.LOOKUP_RATIO:.0%} of all response times, and ≥ {tallied.LOOKUP_S * 1000:.0f} ms each, "
    lookups += f"{tallied.FEWEST_LOOKUPS} at least"
    answers = (
        f"< {tallied.VARIED_RATIO:.0%} of {tallied.COMPARED_ANSWERS} answers or more differed from the one before, "
    )
    answers += "where `Expect(varies=True)` says that they do"
    no_request = f"≥ {plan.SHORTFALL_RATIO:.0%} of a scenario's iterations sent no request in the open model, "
    no_request += f"≥ {idle.IDLE_RATIO:.0%} in the closed one, and {idle.FEWEST_ITERATIONS} at least began"
    again = f"≥ {tallied.RESENT_RATIO:.0%} of a name's requests, and {tallied.FEWEST_RESENT} at least, were sent"
    away = f"≥ {tallied.AWAY_SHARE:.0%} of all requests, of {tallied.AWAY_NAMES} names or more, were redirected to one "
    away += f"place, each name ≥ {tallied.AWAY_RATIO:.0%} of the time"
    strangers = "worker ran another version of this package, or other files of the scenario, than the master"
    silent = f"≥ {checks.SILENCE_RATIO:.0%} of the load at its end, and ≥ {checks.SILENCE_S} s"
    rules_of_records = [
        ["`other_processes`", f"≥ {health.CROWDED_RATIO:.0%} of the run"],
        [
            "`run_delay`",
            f"≥ {health.RUN_DELAY_RATIO:.0%} of the median response time, and ≥ {health.RUN_DELAY_S * 1000:.1f} ms",
        ],
        [
            "`late_wake_ups`",
            f"≥ {health.LATE_SHARE:.0%} of the median, p95 or p99 of the response times, and ≥ {LATE_S * 1000:.0f} ms",
        ],
        [
            "`uneven_workers`",
            f"mean ≥ {health.SLOWER:.0f} times the others', or ≤ {health.SHARE:.0%} of its share of the requests",
        ],
        ["`schedule_lag`", f"{late} (p99 of a scenario, and for {checks.LATE_ITERATIONS} iterations at least)"],
        ["`dropped_iterations`", f"≥ {checks.DROPPED_RATIO:.0%} of a scenario's iterations"],
        ["`completeness`", f"< {checks.COMPLETENESS:.0%}"],
        ["`other_software`", f"≥ {checks.OTHER_WORKERS} {strangers}"],
        [
            "`generator_errors`",
            f"≥ {checks.GENERATOR_ERRORS} error of class `generator`, in the load or the set-up",
        ],
        ["`unfinished_requests`", f"{hung}, or as many as {checks.UNFINISHED_USERS_RATIO:.0%} of the users"],
        [
            "`task_exceptions`",
            f"≥ {checks.EXCEPTIONS_RATIO:.0%} of a scenario's iterations raised, or of its users ended in an exception",
        ],
        [
            "`listener_exceptions`",
            raised,
        ],
        ["`idle_iterations`", no_request],
        ["`load_not_reached`", f"{never_there}, or its ramp is that much too long for the run"],
        ["`load_exceeded`", f"≥ {plan.SURPLUS_RATIO:.0%} more iterations than the profile has arrivals (open model)"],
        ["`stall`", f"{no_answer}, while half of the users waited (closed model)"],
        ["`silence`", f"{silent}, without a request while users ran (closed model)"],
        [
            "`fast_failures`",
            f"{fast}, and ≥ {checks.FASTER_S * 1000:.0f} ms shorter",
        ],
        ["`unsteady`", growing],
        ["`name_lookups`", lookups],
        ["`resent_requests`", f"{again} again, since the service closed their connection without an answer"],
        ["`empty_redirects`", f"≥ {tallied.NOWHERE_RATIO:.0%} of a name's answers were of status 3xx and led nowhere"],
        ["`redirected_away`", away],
        ["`another_host`", "no request went to the host that HOST names"],
        ["`same_answers`", answers],
        ["`durations`", f"≥ {checks.REFUSED_RATIO:.1%} refused or above an hour"],
    ]
    assert rows[: len(rules_of_health)] == rules_of_health
    assert [row[:2] for row in rows[len(rules_of_health) :]] == rules_of_records
