"""When the response times under a level load settled, on records with a known course."""

import random

import pytest

from loadtest.judging import steady, trust
from loadtest.judging.judge import Judge
from loadtest.judging.outcome import Outcome, decide
from loadtest.judging.threshold_parser import parse
from loadtest.measuring.health import Watch
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder

LEVEL = [[0.0, 10.0], [1_000.0, 10.0]]
FAST_S = 0.010


def run_of(times_s: list[float], levels: list | None = None, judge: bool = False) -> tuple[RunRecord, Judge | None]:
    """A run of this many seconds with ten requests each, of about these durations, and its judge."""
    record = RunRecord(context={"plan": {"levels": LEVEL if levels is None else levels, "model": "closed"}})
    record.note(2.0, "start", "load begins")
    rules = parse("p95 < 15ms, error_ratio < 1%", "test")
    judging = Judge(rules, record, 2.0, now=lambda: 2.0 + len(times_s), finds_warm_up_in_s=float(len(times_s)))
    noise = random.Random(7)
    for second, time_s in enumerate(times_s, 2):
        recorder = Recorder()
        series = recorder.series("shop", "GET", "buy")
        for _ in range(10):
            series.success(0.0, 0.0, time_s * noise.uniform(0.9, 1.1), 1)
        record.add(recorder.take(), second)
    judging.end()
    record.load_s = judging.load_s
    return record, judging if judge else None


COURSES = {
    "level": ([FAST_S] * 60, 0.0, False),
    "slow for ten seconds": ([0.05] * 10 + [FAST_S] * 50, 10.0, False),
    "slow for twelve": ([0.05] * 12 + [FAST_S] * 48, 15.0, False),
    "slow for a moment": ([0.05] * 3 + [FAST_S] * 57, 5.0, False),
    "slow for ten of thirty, and stiller later": ([0.05] * 10 + [FAST_S * 1.2] * 5 + [FAST_S] * 15, 10.0, False),
    "slow for half of it": ([0.05] * 30 + [FAST_S] * 30, 0.0, False),
    "a little slower at first": ([FAST_S * 1.3] * 10 + [FAST_S] * 50, 0.0, False),
    "slow in the middle": ([FAST_S] * 25 + [0.2] * 10 + [FAST_S] * 25, 0.0, False),
    "slower from half-time on": ([FAST_S] * 30 + [0.05] * 30, 0.0, False),
    "growing to the end": ([FAST_S + 0.005 * second for second in range(60)], 0.0, True),
    "growing a little": ([FAST_S + 0.000_1 * second for second in range(60)], 0.0, False),
    "too short to say": ([0.05] * 8 + [FAST_S] * 16, 0.0, False),
}


@pytest.mark.parametrize("course", COURSES)
def test_a_warm_up_and_growth_are_found_and_nothing_else(course: str) -> None:
    """Slow times that settle are a warm-up, rounded to five seconds; times that grow to the end are unsteady."""
    times_s, warm_up_s, grew = COURSES[course]
    found = steady.find(run_of(times_s)[0])
    assert (found.warm_up_s, found.grew) == (warm_up_s, grew)


@pytest.mark.parametrize("levels", [[], [[0.0, 1.0], [60.0, 100.0]]])
def test_a_load_that_is_not_level_has_no_steady_state(levels: list) -> None:
    """Response times follow the load; without a plan it is unknown whether it is level."""
    assert steady.find(run_of(COURSES["growing to the end"][0], levels)[0]) == steady.Steady()


def test_a_run_that_goes_on_is_not_looked_at() -> None:
    """The verdict is updated every second, and would cost more with each second of a long run."""
    record, _ = run_of(COURSES["slow for ten seconds"][0])
    record.load_s = None
    assert steady.find(record) == steady.Steady()


def test_a_warm_up_that_was_found_is_left_out_of_rules_without_their_own() -> None:
    """It is rounded up to a fifteenth of the run; the record keeps it."""
    record, judge = run_of(COURSES["slow for ten seconds"][0], judge=True)
    assert [one.outcome for one in judge.results()] == [Outcome.FAILED, Outcome.PASSED]
    record.warm_up_s = judge.leave_out(steady.find(record).warm_up_s)
    assert record.warm_up_s == pytest.approx(12.0)
    results = judge.results()
    assert [str(one.threshold).rpartition(" ")[2] for one in results] == ["warm_up=12s"] * 2
    assert [one.outcome for one in results] == [Outcome.PASSED, Outcome.PASSED]
    assert record.requests == 600
    verdict = decide(record, trust.violations(record, Watch()), results)
    assert "the first 12 s of load were warm-up: part of the figures shown, but of no threshold" in verdict.notes


def test_no_warm_up_leaves_nothing_out() -> None:
    """This holds even if a warm-up was searched for, which is noted."""
    record, judge = run_of(COURSES["level"][0], judge=True)
    record.configuration["warm_up"] = "auto"
    assert judge.leave_out(steady.find(record).warm_up_s) == 0.0
    assert "no warm-up was found: the thresholds judge the whole load" in decide(record, (), judge.results()).notes


def test_a_warm_up_that_nobody_asked_for_is_a_note() -> None:
    """It is in the percentiles, and the reader should know."""
    record, judge = run_of(COURSES["slow for ten seconds"][0], judge=True)
    [note] = [note for note in decide(record, (), judge.results()).notes if "warm-up" in note]
    assert note.startswith("the first 10 s of load look like a warm-up: response times were ")
    assert note.endswith("they are in every figure. Next: set WARM_UP to auto, or to a duration")


def test_growth_is_a_violation_unless_a_threshold_failed() -> None:
    """An overloaded service has failed; one that passes now would fail in a longer run."""
    record, judge = run_of(COURSES["growing to the end"][0], judge=True)
    found = trust.violations(record, Watch())
    assert [one.rule for one in found] == ["unsteady"]
    assert "response times grew to the end, from " in found[0].sentence
    failed, passed = judge.results()
    assert decide(record, found, [passed]).outcome is Outcome.NOT_TRUSTWORTHY
    verdict = decide(record, found, [failed, passed])
    assert (verdict.outcome, found[0].sentence in verdict.notes) == (Outcome.FAILED, True)
