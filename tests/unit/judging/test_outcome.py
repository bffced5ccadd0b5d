"""Outcome: the verdict on a run, from the trust checks and the thresholds' results."""

import pytest

from loadtest.exceptions import ExitCode
from loadtest.judging.outcome import Outcome, Result, decide
from loadtest.judging.threshold import parse
from loadtest.judging.trust import Violation
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder

VIOLATION = Violation("cpu", "worker 1", 0.99, 0.9, "worker 1 was busy")


def one_request() -> RunRecord:
    """A record of one request."""
    recorder = Recorder()
    recorder.series("documents", "GET", "documents/get").success(0.0, 0.0, 0.1, 1)
    record = RunRecord()
    record.add(recorder.take())
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
    """Not trustworthy outweighs failed, failed outweighs no data, and each has its exit code and its reasons."""
    verdict = decide(one_request(), violations, results_of(*rules) if rules else [])
    assert (verdict.outcome, int(verdict.exit_code), len(verdict.reasons)) == expected


def test_a_run_without_requests_has_no_data_whatever_its_rules() -> None:
    """Nothing measured is exit code 4, also with violations, which stay among the reasons."""
    verdict = decide(RunRecord(), [VIOLATION], [])
    assert (verdict.outcome, int(verdict.exit_code), len(verdict.reasons)) == (Outcome.NO_DATA, 4, 2)


def test_a_violation_is_a_reason_in_its_own_words() -> None:
    """The sentence of a failed trust check is the reason of the verdict."""
    verdict = decide(one_request(), [VIOLATION])
    assert (verdict.exit_code, verdict.reasons) == (ExitCode.NOT_TRUSTWORTHY, (VIOLATION.sentence,))
