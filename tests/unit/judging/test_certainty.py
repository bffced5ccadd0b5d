"""Certainty: a threshold's value has an interval, and a value that may be beyond the limit is narrow."""

from dataclasses import replace
from random import Random

import pytest

from loadtest.estimating.intervals import Interval
from loadtest.judging.judge import Judge
from loadtest.judging.metric import METRICS
from loadtest.judging.outcome import Outcome, Result, decide
from loadtest.judging.threshold_parser import parse
from loadtest.measuring.labels import CHECK, ITERATION, SETUP, TRANSACTION
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from tests import reports

FIGURES = (
    "p50 < 1s, p95 < 1s, p99 < 1s, mean < 1s, error_ratio < 50%, requests_per_s > 1/s, requests > 1, max < 1s, "
    'p100 < 1s, p50(service_time) < 1s, p50{result="success"} < 1s'
)


def results_of(rules: str, record: RunRecord | None = None, started_at: float = 1_700_000_000.25) -> list[Result]:
    """Return the results of rules at the end of a run of 60 s."""
    judge = Judge(parse(rules, "here"), record or reports.record(60, failing="b"), started_at, longest_s=60.0)
    return judge.final_results()


def test_what_is_kept_by_second_has_an_interval_around_its_value() -> None:
    """Percentiles, the mean, the error ratio and the rate have one; extremes and counts are those of this run."""
    results = results_of(FIGURES)
    known = {result.threshold.condition.split(" ")[0]: result.interval for result in results}
    for result in results:
        if result.interval is not None:
            assert result.interval.low <= (result.value or -1.0) <= result.interval.high
    assert [name for name, interval in known.items() if interval is None] == [
        "requests",
        "max(response_time)",
        "p100(response_time)",
    ]


def test_a_selector_selects_what_the_interval_is_of() -> None:
    """The median of the faster name is between 10 and 20 ms, that of the slower one between 20 and 40 ms."""
    quick, slow = results_of('p50{name="a"} < 1s, p50{name="b"} < 1s')
    assert quick.interval is not None
    assert slow.interval is not None
    assert 0.013 < quick.interval.low < quick.interval.high < 0.017
    assert 0.026 < slow.interval.low < slow.interval.high < 0.034


def test_the_warm_up_of_a_rule_is_not_in_its_interval() -> None:
    """A first half that is three times as slow widens the interval of the whole, but not that of the rest."""
    rules = parse("p50 < 1s, p50 < 1s warm_up=30s", "here")
    record = RunRecord("r", 1_700_000_000.0)
    judge = Judge(rules, record, 1_700_000_000.0, longest_s=60.0)
    recorder, chance = Recorder(), Random(3)
    for second in range(60):
        for _ in range(40):
            took_s = (0.03 if second < 30 else 0.01) * (1 + chance.random() / 2)
            recorder.series("s", "GET", "a").success(0.0, 0.0, took_s, 0)
        record.add(recorder.take(), second)
    whole, rest = judge.final_results()
    assert rest.interval is not None
    assert 0.011 < rest.interval.low < rest.interval.high < 0.014
    assert whole.interval is None or whole.interval.high > 0.03


def test_what_is_measured_beside_the_requests_has_intervals_of_its_own() -> None:
    """Transactions of 50 ms and checks, a tenth of which fail, besides requests of 10 ms that were sent 100 ms late."""
    rules = "p50(transaction_time) < 1s, transaction_error_ratio < 50%, check_ratio > 50%, p50(service_time) < 1s"
    rules += ", p95(iteration_time) < 1s"
    record, recorder, chance = RunRecord("r", 1_700_000_000.0), Recorder(), Random(4)
    judge = Judge(parse(f'{rules}, p50 < 1s, error_ratio{{phase="setup"}} < 50%', "here"), record, 1_700_000_000.0)
    for second in range(60):
        for _ in range(20):
            noise = 1 + 0.1 * chance.random()
            sent_late_s = 0.1 if second >= 30 else 0.0
            recorder.series("s", "GET", "a").success(0.0, sent_late_s, sent_late_s + 0.01 * noise, 0)
            recorder.series("s", "GET", "a", SETUP).success(0.0, 0.0, 0.01, 0)
            recorder.series("s", "", "", ITERATION).success(0.0, 0.0, 0.2 * noise, 0)
            recorder.series("s", "", "buy", TRANSACTION).success(0.0, 0.0, 0.05 * noise, 0)
            check = recorder.series("s", "", "total", CHECK)
            check.success(0.0, 0.0, 0.0, 0) if chance.random() < 0.9 else check.failure(0.0, 0.0, 0.0, 0, "check", "no")
        record.add(recorder.take(), second)
    bought, none_failed, met, sent, iterated, waited, setup = (result.interval for result in judge.final_results())
    assert bought is not None
    assert 0.05 < bought.low < bought.high < 0.055
    assert none_failed is not None
    assert none_failed.low == 0 < none_failed.high < 0.02
    assert met is not None
    assert 0.85 < met.low < 0.9 < met.high < 0.93
    assert sent is not None
    assert 0.01 < sent.low < sent.high < 0.0115
    assert iterated is not None
    assert 0.215 < iterated.low < iterated.high < 0.225
    assert waited is None or waited.high > 0.1
    assert setup is not None
    assert 0 == setup.low < setup.high < 0.02


@pytest.fixture(name="everything", scope="module")
def _everything() -> RunRecord:
    """A minute in which everything was measured about 20 times a second."""
    return reports.everything(60)


VARYING = [name for name, metric in METRICS.items() if metric.kind in {"time", "ratio", "rate"}]


@pytest.mark.parametrize("metric", VARYING)
def test_each_metric_that_varies_has_an_interval_and_may_be_narrow(metric: str, everything: RunRecord) -> None:
    """The limit is just above the measured value."""
    subject, unit = f"p95({metric})", "ms"
    if METRICS[metric].kind != "time":
        subject, unit = metric, {"ratio": "%", "rate": "/s"}[METRICS[metric].kind]
    (first,) = results_of(f"{subject} <= 1{unit}", everything)
    assert first.value is not None
    limit = first.value * {"ms": 1e3, "%": 100, "/s": 1.0}[unit] * 1.0001
    (result,) = results_of(f"{subject} <= {limit:.9f}{unit}", everything)
    assert result.interval is not None
    assert result.interval.low <= first.value <= result.interval.high
    assert 0 < result.interval.low < result.interval.high < 2 * first.value
    assert (result.outcome, result.is_narrow) == (Outcome.PASSED, True)


def test_times_by_result_have_intervals_of_their_own(everything: RunRecord) -> None:
    """Failures take twice as long as successes: the two intervals do not overlap."""
    rules = 'p50{result="success"} < 1s, p50{result="failure"} < 1s, p50 < 1s'
    success, failure, both = (one.interval for one in results_of(rules, everything))
    assert success is not None
    assert failure is not None
    assert both is not None
    assert 0.010 < success.low < success.high < 0.013 < both.high
    assert 0.020 < failure.low < failure.high < 0.026


@pytest.mark.parametrize(("seconds", "is_known"), [(5, False), (60, True)])
def test_a_short_run_has_no_interval(seconds: int, is_known: bool) -> None:
    """A few seconds do not show their variation."""
    (result,) = results_of("p50 < 1s", reports.record(seconds))
    assert (result.interval is not None, bool(result.spread)) == (is_known, is_known)


@pytest.mark.parametrize(
    ("rule", "value", "interval", "is_narrow", "words"),
    [
        ("p95 < 100ms", 0.09, (0.08, 0.11), True, "passed, narrowly, with 90ms (95 % interval 80ms to 110ms)"),
        ("p95 < 100ms", 0.105, (0.09, 0.12), True, "failed, narrowly, with 105ms (95 % interval 90ms to 120ms)"),
        ("p95 < 100ms", 0.05, (0.04, 0.06), False, "passed with 50ms (95 % interval 40ms to 60ms)"),
        ("p99 < 100ms", 0.09, (0.08, float("inf")), True, "passed, narrowly, with 90ms (95 % interval 80ms or more)"),
        ("p99 < 100ms", 0.2, (0.15, float("inf")), False, "failed with 200ms (95 % interval 150ms or more)"),
        ("error_ratio <= 0%", 0.0, (0.0, 0.01), False, "passed with 0% (95 % interval 0% to 1%)"),
        ("error_ratio < 1%", 0.0, (0.0, 0.012), True, "passed, narrowly, with 0% (95 % interval 0% to 1.2%)"),
    ],
)
def test_narrow_is_what_another_run_may_turn_round(
    rule: str, value: float, interval: tuple[float, float], is_narrow: bool, words: str
) -> None:
    """A value is narrow if the limit is within its interval; a limit of no failures at all is about this run alone."""
    result = replace(Result.of(parse(rule, "here")[0], value), interval=Interval(*interval))
    assert (result.is_narrow, result.sentence.split(": ", 1)[1]) == (is_narrow, words)
    assert replace(result, outcome=Outcome.INTERRUPTED).is_narrow is False


def test_a_limit_that_hardly_any_request_comes_near_is_not_narrow() -> None:
    """Slow requests came in two segments, so p95 has no upper end; but 1 s, unlike 28 ms, is far beyond all of them."""
    record, recorder, chance = RunRecord("r", 1_700_000_000.0), Recorder(), Random(5)
    for second in range(60):
        for _ in range(40):
            took_s = (0.03 if second in {20, 21, 40} else 0.01) * (1 + chance.random() / 20)
            recorder.series("s", "GET", "a").success(0.0, 0.0, took_s, 0)
        record.add(recorder.take(), second)
    far, near = results_of("p95 < 1s, p95 < 31ms", record)
    assert [result.interval.high for result in (far, near) if result.interval] == [float("inf")] * 2
    assert [(result.outcome, result.is_narrow) for result in (far, near)] == [
        (Outcome.PASSED, False),
        (Outcome.PASSED, True),
    ]


def test_a_narrow_pass_passes_and_is_noted() -> None:
    """The outcome stays as defined."""
    (clear,) = results_of("p50 < 1s")
    assert clear.value is not None
    narrow = replace(clear, threshold=parse(f"p50 < {clear.value * 1000 + 0.01:.2f}ms", "here")[0])
    verdicts = [decide(reports.record(60), [], [result]) for result in (clear, narrow)]
    assert [verdict.outcome for verdict in verdicts] == [Outcome.PASSED] * 2
    assert ["lies within the 95 % interval" in " ".join(verdict.notes) for verdict in verdicts] == [False, True]


def test_a_pass_on_few_requests_is_noted_once() -> None:
    """Of an error ratio of 100 requests without a failure, one sentence says why it means little, not two."""
    results = results_of("error_ratio < 1%", reports.record(20, ("a",), 10))
    assert [(result.samples, result.is_narrow) for result in results] == [(200, True)]
    notes = decide(reports.record(20, ("a",), 10), [], results).notes
    assert [note.partition(",")[0] for note in notes if note.startswith("error_ratio")] == [
        "error_ratio < 1%: it passed on 200 requests"
    ]
