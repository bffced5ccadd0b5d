"""The rules about the record of a run."""

import pytest
from locust.exception import StopUser

from loadtest.judging import trust
from loadtest.measuring.health import Watch
from loadtest.measuring.labels import LOAD, SETUP
from loadtest.measuring.measurements import LISTENERS
from loadtest.measuring.record import SOFTWARE, RunRecord
from loadtest.measuring.record_rows import Delivery, Missing
from loadtest.measuring.recorder import Recorder
from tests.trust_harness import record_with, rules


@pytest.mark.parametrize(("late", "expected"), [(0, []), (4, []), (5, ["schedule_lag"]), (12, ["schedule_lag"])])
def test_one_late_start_of_a_short_run_is_no_saturation(late: int, expected: list[str]) -> None:
    """Among a dozen iterations a single one is the 99th percentile; the rule requires five late ones."""
    recorder = Recorder()
    series = recorder.series("shop", "GET", "buy")
    for number in range(12):
        series.success(100.0, 100.0 + (0.25 if number < late else 0.001), 101.0, 1)
    record = RunRecord()
    record.add(recorder.take())
    assert rules(record) == expected


@pytest.mark.parametrize("phase", [LOAD, SETUP])
def test_an_error_of_the_generator_breaks_its_rule_with_the_cause(phase: str) -> None:
    """One request that failed because of a limit of the generator shows that it was reached, also in a set-up."""
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
    """If the 99th percentile of the schedule lag reaches its limit, the finding names the scenario."""
    [violation] = trust.violations(record_with(lag_s=0.25), Watch())
    assert (violation.rule, violation.subject) == ("schedule_lag", "scenario shop")
    assert "250 ms after their intended start (p99)" in violation.sentence


def test_dropped_iterations_break_their_rule_from_one_in_a_hundred() -> None:
    """Less than 1 % of dropped iterations is tolerated, from 1 % on they are named."""
    assert rules(record_with(1000, dropped=9)) == []
    assert rules(record_with(1000, dropped=11)) == ["dropped_iterations"]


@pytest.mark.parametrize(("requests", "begun", "expected"), [(0, 9000, []), (9000, 900, ["dropped_iterations"])])
def test_dropped_iterations_are_a_share_of_those_that_began(requests: int, begun: int, expected: list[str]) -> None:
    """The number of requests per iteration does not matter; in a duet it is 0, since both sides have their own."""
    record = record_with(requests, dropped=46)
    record.tasks["shop", "pair"] = begun
    assert rules(record) == expected


def test_what_is_missing_breaks_the_rule_below_99_percent() -> None:
    """A lost interval is tolerated in a long run; in a short one it is named with worker and time."""
    record = record_with()
    record.delivery = Delivery(0.99, (Missing(2, 1, 17.0, None),))
    assert rules(record) == []
    record.delivery = Delivery(0.95, (Missing(2, 1, 17.0, None),))
    [violation] = trust.violations(record, Watch())
    assert "95.0%" in violation.sentence
    assert "worker 2: 1 interval(s) missing, from 17 s" in violation.sentence


def test_a_worker_with_other_code_breaks_its_rule() -> None:
    """Its measurements are not of the test that the run names; other events fail no rule."""
    record = record_with()
    record.note(3.0, SOFTWARE, "worker 2 ran another scenario, or other files of it, than the master")
    record.note(3.0, "worker", "worker 3 joined")
    [violation] = trust.violations(record, Watch())
    assert (violation.rule, violation.subject) == ("other_software", "worker 2")
    assert violation.sentence.startswith("worker 2 ran another scenario, or other files of it, than the master: give")


def record_with_exceptions(begun: int, raised: int, source: object = None) -> RunRecord:
    """A record of one scenario in which some iterations raised."""
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
    """Below 1 % they are noted with the verdict; from 1 % on the run is not trustworthy."""
    record = record_with_exceptions(1000, raised, InShop())
    assert rules(record) == expected
    if expected:
        [violation] = trust.violations(record, Watch())
        assert "in scenario shop 10 of 1000 iterations raised an exception (" in violation.sentence
        assert "10 x KeyError: 'price' at ?:0 in ?" in violation.sentence


def test_a_listener_that_raised_breaks_its_rule_with_the_place() -> None:
    """One exception is enough: the preparation or check that it should have made is missing."""
    recorder, record = Recorder(), record_with()
    recorder.add_exception(LISTENERS, KeyError("token"))
    record.add(recorder.take())
    [violation] = trust.violations(record, Watch())
    assert (violation.rule, violation.value) == ("listener_exceptions", 1)
    assert "1 x KeyError: 'token' at" in violation.sentence


def test_a_user_that_ends_itself_is_no_exception() -> None:
    """A journey may end this way; whether load is missing is another rule's question."""
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
    """A record of 15 s with ten users, in which the service stalled and then responded to the waiting ones."""
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
        (3, 4, 0.003, "closed", []),  # most users were only in their own wait time
        (3, 10, 0.4, "closed", []),  # a slow service with few users
        (3, 10, 0.003, "open", []),
    ],
)
def test_a_standstill_of_the_service_breaks_its_rule(
    gap_s: int, held: int, median_s: float, model: str, expected: list[str]
) -> None:
    """In the closed model, two whole seconds without a response while half of the users wait are reported."""
    assert rules(record_with_gap(gap_s, held, median_s, model)) == expected


@pytest.mark.parametrize(
    ("answered_until", "users_until", "model", "expected"),
    [
        (1, 20, "closed", ["silence"]),
        (9, 19, "closed", ["silence"]),
        (11, 20, "closed", []),  # half of the load is needed
        (1, 4, "closed", []),  # missing users belong to another rule
        (0, 20, "closed", []),  # without requests there is no data
        (1, 20, "open", []),
    ],
)
def test_users_that_make_no_request_any_more_break_their_rule(
    answered_until: int, users_until: int, model: str, expected: list[str]
) -> None:
    """Half of the load without requests, while users run, is not the requested load."""
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
    """A record of two names, one of which was blocked by requests that never ended."""
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
    """A name with unanswered requests is reported with their waiting time."""
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
    """The rule applies from 20 and 1 % of a name's requests on, at half the time; the sentence has both medians."""
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
        assert "200 of 1,000 GET buy failed, in 1.0 ms (median) while successes took 30" in found[0].sentence


@pytest.mark.parametrize(("requests", "slowest_s", "broken"), [(20, 0.0, True), (19, 0.0, False), (20, 0.000_1, False)])
def test_requests_that_took_no_time_break_the_rule_on_durations(requests: int, slowest_s: float, broken: bool) -> None:
    """A custom client that reports 0 ms for each request would meet any limit."""
    recorder, record = Recorder(), RunRecord()
    for _ in range(requests - 1):
        recorder.on_request("grpc", "Buy", 0, 10)
    recorder.on_request("grpc", "Buy", 1e3 * slowest_s, 10)
    record.add(recorder.take())
    found = [one for one in trust.violations(record, Watch()) if one.rule == "durations"]
    assert [one.subject for one in found] == ["grpc Buy"] * broken
    assert all("all 20 requests of grpc Buy have a duration of 0" in one.sentence for one in found)


@pytest.mark.parametrize(("duration_s", "words"), [(-1.0, "1000 durations were negative"), (5000.0, "1000 were above")])
def test_impossible_durations_break_their_rule(duration_s: float, words: str) -> None:
    """Durations that were refused or clamped are reported."""
    [violation] = trust.violations(record_with(duration_s=duration_s), Watch())
    assert violation.rule == "durations"
    assert words in violation.sentence
