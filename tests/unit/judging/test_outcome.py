"""Outcome: the verdict on a run, from the trust checks and the thresholds' results."""

import pytest

from loadtest.exceptions import ExitCode
from loadtest.judging.judge import Judge
from loadtest.judging.outcome import Outcome, Result, decide
from loadtest.judging.record_checks import FAST_FAILURES
from loadtest.judging.threshold_parser import parse
from loadtest.judging.violation import Violation
from loadtest.measuring.measurements import Measurements
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_rows import Interruption
from loadtest.measuring.recorder import Recorder

VIOLATION = Violation("cpu", "worker 1", 0.99, 0.9, "worker 1 was busy")


def test_a_run_without_requests_names_the_exception_that_prevented_them() -> None:
    """If every user raises in on_start, no data has that as its reason."""
    recorder, record = Recorder(), RunRecord()
    recorder.on_user_error(None, KeyError("token"))
    record.add(recorder.take(), 0)
    assert decide(record, ()).reasons[0] == (
        "the run measured no request: the scenario raised KeyError: 'token' at ?:0 in ?. Next: fix the scenario"
    )


def test_declared_requests_that_were_never_made_are_named() -> None:
    """A declared request that no user made is noted with the verdict."""
    recorder = Recorder()
    recorder.series("shop", "GET", "buy").success(1.0, 1.0, 1.01, 1)
    record = RunRecord(context={"declared": [["GET", "buy"], ["POST", "pay"]]})
    record.add(recorder.take(), 0)
    assert "1 of 2 declared requests were never made: POST pay" in decide(record, ()).notes
    record.context["declared"] = [["GET", "buy"]]
    assert [note for note in decide(record, ()).notes if "declared" in note] == []


def test_iterations_that_sent_nothing_are_noted_before_they_break_a_rule() -> None:
    """A closed run may have a task that only waits."""
    key = ("shop", "Shopper.think")
    [note] = [note for note in decide(RunRecord(tasks={key: 100}, idle={key: 10}), ()).notes if "no request" in note]
    assert note.startswith("10 of 100 iterations of scenario shop sent no request (10 of Shopper.think)")


@pytest.mark.parametrize(
    ("failures", "rules", "expected"),
    [
        (5, "error_ratio < 10%", Outcome.FAILED),
        (4, "error_ratio < 10%", Outcome.PASSED),
        (5, 'error_ratio < 10%, error_ratio{name="pay"} > 99%', Outcome.PASSED),
        (5, 'error_ratio < 10%, error_ratio{name="buy"} < 99%', Outcome.FAILED),
    ],
)
def test_a_name_that_never_succeeded_has_failed_unless_a_rule_of_its_own_judges_it(
    failures: int, rules: str, expected: Outcome
) -> None:
    """Among a thousand other names it hardly moves the overall ratio."""
    recorder, record = Recorder(), RunRecord()
    buy, pay = recorder.series("shop", "GET", "buy"), recorder.series("shop", "POST", "pay")
    judge = Judge(parse(rules, "here"), record)
    for _ in range(1000):
        buy.success(1.0, 1.0, 1.01, 1)
    for _ in range(failures):
        pay.failure(1.0, 1.0, 1.01, 0, "status_5xx", "500")
    record.add(recorder.take(), 0)
    verdict = decide(record, (), judge.results())
    assert verdict.outcome is expected
    told = "every one of the 5 requests of POST pay failed, most often with status_5xx"
    assert any(told in reason for reason in verdict.reasons) is (expected is Outcome.FAILED)


@pytest.mark.parametrize(
    ("names", "rule", "expected"),
    [
        (100, 'error_ratio{name="pay"} < 50%', Outcome.PASSED),
        (2_100, 'error_ratio{name="pay"} < 50%', Outcome.NO_DATA),
        (2_100, 'p50{method="POST",name="pay"} < 5s', Outcome.PASSED),
        (2_100, 'error_ratio{name="other"} < 50%', Outcome.PASSED),
        (2_100, "error_ratio < 50%", Outcome.PASSED),
    ],
)
def test_a_rule_on_a_name_is_not_met_where_names_are_not_kept_apart(names: int, rule: str, expected: Outcome) -> None:
    """Another worker may count requests of that name as other, and all of them may have failed."""
    recorder, record = Recorder(), RunRecord()
    for _ in range(100):
        recorder.series("shop", "POST", "pay").success(0.0, 0.0, 0.1, 1)
        recorder.series("shop", "GET", "pay").success(0.0, 0.0, 0.1, 1)
    for number in range(names):
        recorder.series("shop", "GET", f"/item/{number}").success(0.0, 0.0, 0.1, 1)
    record.add(recorder.take())
    verdict = decide(record, [], Judge(parse(rule, "here"), record).results())
    [result] = verdict.results
    assert (verdict.outcome, result.outcome, result.value is None) == (expected, expected, expected is Outcome.NO_DATA)
    told = [reason for reason in verdict.reasons if "requests had too many names to be counted separately" in reason]
    assert len(told) == (expected is Outcome.NO_DATA)


def test_few_exceptions_stand_beside_the_verdict() -> None:
    """Notes that do not change the outcome are shown as well."""
    recorder, record = Recorder(), RunRecord()
    recorder.series("shop", "GET", "buy").success(1.0, 1.0, 1.01, 1)
    recorder.on_user_error(None, KeyError("token"))
    record.add(recorder.take(), 0)
    assert "1 x the scenario raised KeyError: 'token' at ?:0 in ?" in decide(record, ()).notes


@pytest.mark.parametrize(
    ("rule", "failed", "expected"),
    [
        ("", 5, Outcome.FAILED),
        ("", 4, Outcome.PASSED),
        ("error_ratio < 1%", 1, Outcome.FAILED),
        ("error_ratio < 90%", 4, Outcome.PASSED),
        ("max < 1s", 5, Outcome.FAILED),
        ('error_ratio{phase="load"} < 1%', 4, Outcome.PASSED),
        ('error_ratio{name="documents/get"} < 1%', 4, Outcome.PASSED),
    ],
)
def test_a_set_up_that_failed_is_no_pass(rule: str, failed: int, expected: Outcome) -> None:
    """It fails as a whole, or by a rule on all errors; a rule of its own takes precedence over both."""
    recorder = Recorder()
    recorder.series("documents", "GET", "documents/get").success(0.0, 0.0, 0.1, 1)
    login = recorder.series("documents", "POST", "login", "setup")
    for number in range(5):
        if number < failed:
            login.failure(0.0, 0.0, 0.1, 1, "status_5xx", "501")
        else:
            login.success(0.0, 0.0, 0.1, 1)
    record = RunRecord()
    record.add(recorder.take())
    error_free = [Result.of(one, 0.0) for one in parse(rule, "here")] if rule else []
    verdict = decide(record, (), error_free)
    said = f"{failed} of the 5 requests of its set-up failed, most often with status_5xx: 501"
    assert verdict.outcome is expected
    assert [said in one for one in verdict.reasons] == [True] * (expected is Outcome.FAILED)
    assert any(said in one for one in verdict.notes) is (expected is Outcome.PASSED)
    own = [*error_free, *(Result.of(one, 0.4) for one in parse('error_ratio{phase="setup"} < 50%', "here"))]
    assert decide(record, (), own).outcome is Outcome.PASSED


def one_request_taken() -> Measurements:
    """The measurements of one request."""
    recorder = Recorder()
    recorder.series("documents", "GET", "documents/get").success(0.0, 0.0, 0.1, 1)
    return recorder.take()


def one_request() -> RunRecord:
    """A record of one request."""
    record = RunRecord()
    record.add(one_request_taken())
    return record


def results_of(*rules: str) -> list[Result]:
    """The results of rules for a request of 100 ms named documents/get."""
    return [
        Result.of(rule, 0.1 if rule.selects(name="documents/get") else None) for rule in parse(", ".join(rules), "here")
    ]


@pytest.mark.parametrize(
    ("rules", "violations", "expected"),
    [
        ((), [], (Outcome.PASSED, 0, 0)),
        (("max < 1s",), [], (Outcome.PASSED, 0, 0)),
        (("max < 1s", "min > 1s"), [], (Outcome.FAILED, 3, 1)),
        (("max < 1s", 'max{name="documents/put"} < 1s'), [], (Outcome.NO_DATA, 4, 1)),
        (("min > 1s", 'max{name="documents/put"} < 1s'), [], (Outcome.FAILED, 3, 2)),
        (("min > 1s",), [VIOLATION], (Outcome.NOT_TRUSTWORTHY, 5, 2)),
    ],
)
def test_verdict_weighs_violations_failures_and_missing_data(
    rules: tuple[str, ...], violations: list[Violation], expected: tuple[Outcome, int, int]
) -> None:
    """Not trustworthy outweighs failed, failed outweighs no data, and each has its exit code and reasons."""
    verdict = decide(one_request(), violations, results_of(*rules) if rules else [])
    assert (verdict.outcome, int(verdict.exit_code), len(verdict.reasons)) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("", (Outcome.NOT_TRUSTWORTHY, 1, False)),
        ("max < 1s", (Outcome.NOT_TRUSTWORTHY, 1, False)),
        ('max{result="success"} < 1s', (Outcome.PASSED, 0, True)),
        ("requests > 0", (Outcome.PASSED, 0, True)),
        ("min > 1s", (Outcome.FAILED, 1, True)),
    ],
)
def test_fast_failures_weigh_where_times_of_both_results_are_judged(
    rule: str, expected: tuple[Outcome, int, bool]
) -> None:
    """If a threshold failed, or none covers all times, they are a note with the verdict."""
    fast = Violation(FAST_FAILURES, "GET buy", 0.1, 0.5, "20 of 40 GET buy failed, in 1 ms")
    verdict = decide(one_request(), [fast], results_of(rule) if rule else [])
    assert (verdict.outcome, len(verdict.reasons), fast.sentence in verdict.notes) == expected


def test_a_run_without_requests_has_no_data_whatever_its_rules() -> None:
    """Exit code 4 means no measurements, even with violations, which stay among the reasons."""
    verdict = decide(RunRecord(), [VIOLATION], [])
    assert (verdict.outcome, int(verdict.exit_code), len(verdict.reasons)) == (Outcome.NO_DATA, 4, 2)


def test_a_run_of_which_every_request_failed_has_failed_whatever_its_rules() -> None:
    """The reason has the number and the most frequent error, even without rules, which is noted."""
    recorder = Recorder()
    for _ in range(3):
        recorder.series("documents", "GET", "documents/get").failure(0.0, 0.0, 0.1, 1, "status_5xx", "status 500")
    record = RunRecord()
    record.add(recorder.take())
    verdict = decide(record, [])
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reasons[0].startswith("every one of the 3 requests failed, most often with status_5xx: status 500.")
    assert [note.split(":")[0] for note in verdict.notes] == ["no threshold was set"]
    assert decide(record, [], results_of("max < 1s")).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("succeeded", "failed", "rules", "expected"),
    [
        (1, 39, "", Outcome.FAILED),
        (19, 20, "max < 1s", Outcome.FAILED),
        (20, 20, "max < 1s", Outcome.PASSED),
        (1, 4, "", Outcome.PASSED),
        (1, 39, "error_ratio < 99%", Outcome.PASSED),
        (1, 39, 'error_ratio{name="buy"} < 99%', Outcome.PASSED),
        (1, 39, 'error_ratio{name="pay"} < 99%', Outcome.FAILED),
        (1, 39, 'error_ratio{phase="setup"} < 99%', Outcome.FAILED),
        (1, 39, "requests > 10", Outcome.FAILED),
    ],
)
def test_a_run_that_mostly_failed_is_no_pass_unless_a_rule_judges_its_errors(
    succeeded: int, failed: int, rules: str, expected: Outcome
) -> None:
    """A run without a rule on errors does not permit that most requests fail."""
    recorder, record = Recorder(), RunRecord()
    buy, pay = recorder.series("shop", "GET", "buy"), recorder.series("shop", "POST", "pay")
    judge = Judge(parse(rules, "here") if rules else [], record)
    for number in range(succeeded):
        (pay if number else buy).success(1.0, 1.0, 1.01, 1)
    for _ in range(failed):
        buy.failure(1.0, 1.0, 1.01, 0, "status_5xx", "500")
    record.add(recorder.take(), 0)
    verdict = decide(record, (), judge.results())
    told = [reason for reason in verdict.reasons if "no threshold says how many may" in reason]
    assert told == [] or expected is Outcome.FAILED, verdict.reasons
    assert verdict.outcome is expected


def test_what_a_reset_removed_is_noted_with_the_verdict() -> None:
    """The note is the event's text; a reset without data has none."""
    record = one_request()
    record.reset(7)
    record.reset(9)
    record.add(one_request_taken())
    expected = "the statistics were reset at 7 s; in no figure of this run: 1 request, 0 of them failed"
    assert (record.reset_at_s, decide(record, [], results_of("max < 1s")).notes) == (9, (expected,))


@pytest.mark.parametrize(
    ("load_s", "warm_up_s", "rules", "expected"),
    [
        (8.0, 10.0, (), Outcome.NO_DATA),
        (10.0, 10.0, ("max < 1s",), Outcome.NO_DATA),
        (8.0, 10.0, ("min > 1s",), Outcome.FAILED),
        (11.0, 10.0, (), Outcome.PASSED),
        (8.0, 0.0, (), Outcome.PASSED),
        (0.0, 0.0, (), Outcome.PASSED),
        (None, 10.0, (), Outcome.PASSED),  # it goes on
    ],
)
def test_a_load_that_ended_within_its_warm_up_is_no_pass(
    load_s: float | None, warm_up_s: float, rules: tuple[str, ...], expected: Outcome
) -> None:
    """Nothing is left to judge, whether there are thresholds or not."""
    record = one_request()
    record.load_s, record.warm_up_s = load_s, warm_up_s
    verdict = decide(record, (), results_of(*rules) if rules else ())
    said = "the load of 8 s ended within its warm-up of 10 s, so nothing is left to judge. Next: run longer"
    assert verdict.outcome is expected
    assert any(reason.startswith(said) for reason in verdict.reasons) is (load_s == 8.0 and warm_up_s == 10.0)


def test_failed_checks_and_transactions_are_noted_with_the_verdict() -> None:
    """They change no outcome without a threshold, but are noted; successful ones are not."""
    record, recorder = one_request(), Recorder()
    for name in ("id", "id", "new"):
        recorder.series("shop", "", name, "check").failure(1.0, 1.0, 1.0, 0, "check", "not met")
    recorder.series("shop", "", "buy", "transaction").success(1.0, 1.0, 2.0, 0)
    record.add(recorder.take(), 0)
    verdict = decide(record, [], results_of("max < 1s"))
    assert verdict.outcome is Outcome.PASSED
    (note,) = verdict.notes
    assert note.startswith("3 of 3 checks failed (id 2, new 1). Next: see the report")


@pytest.mark.parametrize(
    ("rule", "requests", "noted"),
    [
        ("error_ratio < 1%", 298, True),
        ("error_ratio < 1%", 299, False),
        ("error_ratio <= 50%", 4, True),
        ("error_ratio <= 50%", 5, False),
        ("error_ratio <= 0%", 1, False),
        ("requests > 0", 1, False),
    ],
)
def test_an_error_ratio_of_too_few_requests_is_noted(rule: str, requests: int, noted: bool) -> None:
    """Five requests without a failure do not show that fewer than one in a hundred fails."""
    recorder, record = Recorder(), RunRecord()
    judge = Judge(parse(rule, "test"), record)
    for _ in range(requests):
        recorder.series("shop", "GET", "buy").success(1.0, 1.0, 1.01, 1)
    record.add(recorder.take(), 0)
    verdict = decide(record, (), judge.results())
    assert verdict.outcome is Outcome.PASSED
    found = [note for note in verdict.notes if note.startswith(f"{rule}: it passed on {requests:,} request")]
    assert bool(found) is noted


def test_test_data_that_ended_the_load_is_noted() -> None:
    """A feed that is used up may stop the run before its plan is completed."""
    record = one_request()
    record.note(2.0, "feed", "every item of ids was used: 12")
    assert "every item of ids was used: 12; the rest of the plan was not run" in decide(record, ()).notes


def test_a_violation_is_a_reason_in_its_own_words() -> None:
    """The sentence of a failed trust check is the verdict's reason."""
    verdict = decide(one_request(), [VIOLATION])
    assert (verdict.exit_code, verdict.reasons) == (ExitCode.NOT_TRUSTWORTHY, (VIOLATION.sentence,))


@pytest.mark.parametrize(("rules", "violations"), [((), []), (("min > 1s",), [VIOLATION])])
def test_an_interrupted_run_is_nothing_else(rules: tuple[str, ...], violations: list[Violation]) -> None:
    """Whatever was measured, the requested run was not completed; the cause is the first reason."""
    record = one_request()
    record.interruption = Interruption("SIGTERM", 2.5, 2.04, 20.0)
    verdict = decide(record, violations, results_of(*rules) if rules else [])
    assert (verdict.outcome, verdict.exit_code) == (Outcome.INTERRUPTED, ExitCode.INTERRUPTED)
    assert verdict.reasons[0] == "interrupted after 2.0 s of 20 s of load (10% of the plan): SIGTERM"
    assert len(verdict.reasons) == 1 + len(violations)
    judged = [(result.as_dict()["outcome"], result.sentence) for result in verdict.results]
    sentence = "min(response_time) > 1s: not judged, since the run was interrupted; it was 100ms until then"
    assert judged == [("not judged", sentence)] * len(rules)


def test_an_interrupted_run_without_requests_is_interrupted() -> None:
    """Nothing was measured because nothing had begun: that is the second reason."""
    verdict = decide(RunRecord(interruption=Interruption("Ctrl-C", 0.5, 0.0, None)), [])
    assert [verdict.outcome, *verdict.reasons] == [
        Outcome.INTERRUPTED,
        "interrupted after 0.0 s of load, which had no planned end: Ctrl-C",
        "the run measured no request. Next: check the workers' logs",
    ]


def test_an_imitation_is_noted_with_the_verdict() -> None:
    """Its figures are not those of Redis; the outcome is unchanged."""
    record = one_request()
    record.context["imitation"] = True
    verdict = decide(record, [], results_of("max < 1s"))
    assert verdict.outcome is Outcome.PASSED
    assert [note.split(":")[0] for note in verdict.notes] == ["an imitation of Redis, such as fakeredis, answered"]
