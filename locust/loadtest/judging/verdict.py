"""The verdict on a run, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from loadtest.exceptions import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.judging.judge import Result
    from loadtest.judging.trust import Finding
    from loadtest.measuring.record import RunRecord


class Outcome(Enum):
    """What a run came to; the value is what people and files read."""

    PASSED = "passed"
    FAILED = "failed"
    NO_DATA = "no data"
    NOT_TRUSTWORTHY = "not trustworthy"


_EXIT_CODES = {
    Outcome.PASSED: ExitCode.PASSED,
    Outcome.FAILED: ExitCode.THRESHOLD_FAILED,
    Outcome.NO_DATA: ExitCode.NO_DATA,
    Outcome.NOT_TRUSTWORTHY: ExitCode.NOT_TRUSTWORTHY,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome with its reasons, one sentence each; a run that passed has none."""

    outcome: Outcome
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    """The broken rules about the generator."""
    results: tuple[Result, ...] = ()
    """What became of each threshold, kept or not."""

    @property
    def exit_code(self) -> ExitCode:
        """What the process says when it ends."""
        return _EXIT_CODES[self.outcome]

    @classmethod
    def of(cls, record: RunRecord, findings: Sequence[Finding], results: Sequence[Result] = ()) -> Verdict:
        """Judge a run.

        Without requests there is nothing to judge. A generator that was not fit to measure makes every threshold
        meaningless, kept or not, so it comes before them; their sentences stay among the reasons. A threshold that
        failed outweighs one without data, which is not passed either.

        Args:
            record: the run's record.
            findings: the broken rules of `loadtest.judging.trust`.
            results: of the thresholds, from `loadtest.judging.judge`.
        """
        failed = [result.sentence for result in results if result.outcome is Outcome.FAILED]
        without_data = [result.sentence for result in results if result.outcome is Outcome.NO_DATA]
        reasons = [*(finding.sentence for finding in findings), *failed, *without_data]
        if not record.requests:
            outcome = Outcome.NO_DATA
            reasons.insert(0, "the run measured no request: look into the workers' logs")
        elif findings:
            outcome = Outcome.NOT_TRUSTWORTHY
        elif failed:
            outcome = Outcome.FAILED
        else:
            outcome = Outcome.NO_DATA if without_data else Outcome.PASSED
        return cls(outcome, tuple(reasons), tuple(findings), tuple(results))
