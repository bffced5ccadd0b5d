"""Judge: rules judged on merged measurements, during a run and at its end."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from loadtest.judging.judge import Judge
from loadtest.judging.outcome import Outcome
from loadtest.judging.threshold_parser import parse
from loadtest.measuring.histogram import RELATIVE_ERROR
from loadtest.measuring.labels import EVENT_GAP, FIRST_BYTE, FIRST_EVENT, ITERATION, SeriesKey
from loadtest.measuring.measurements import Accumulator, Measurements
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder

GET = SeriesKey("documents", "GET", "documents/get")
PUT = SeriesKey("documents", "PUT", "documents/put")
STARTED_AT = 1000.25


def measured(
    key: SeriesKey, times_s: list[float], failures: int = 0, lag_s: float = 0.0, dropped: int = 0
) -> Measurements:
    """Return requests of one series with this service time; each is late by the lag, which is in the response time."""
    counts = Accumulator()
    counts.labels.row(key)
    counts.labels.scenario_row(key.scenario)
    rows, lengths = np.array([0]), np.array([len(times_s)])
    if times_s:
        lags = np.full(len(times_s), lag_s)
        counts.add_late(rows, rows, lengths, lag_s=lags, service_s=np.array(times_s))
        counts.add_outcomes([failures], [0], [0])
    if dropped:
        counts.add_dropped(0, dropped)
    return counts.take()


@dataclass
class Run:
    """A record that grows step by step, and the clock of its judge."""

    rules: str
    now: float = STARTED_AT
    longest_s: float | None = None
    record: RunRecord = field(default_factory=lambda: RunRecord("r", STARTED_AT))

    def __post_init__(self) -> None:
        """Make the judge at the beginning of the load."""
        self.judge = Judge(parse(self.rules, "here"), self.record, longest_s=self.longest_s, now=lambda: self.now)

    def add(self, second: int, *several: Measurements) -> "Run":
        """Add the measurements of a second."""
        for one in several:
            self.record.add(one, second)
        return self

    def results(self) -> list[tuple[float | None, str]]:
        """Return value and outcome of each rule."""
        return [(result.value, result.outcome.value) for result in self.judge.results()]


def test_percentiles_mean_and_extremes_are_of_all_series_together() -> None:
    """Without a selector every request counts, whether failed or successful."""
    run = Run("p50 < 20.2ms, p100 < 30ms, mean < 21ms, min >= 10ms, max < 30ms")
    run.add(0, measured(GET, [0.010, 0.020] * 2)).add(1, measured(PUT, [0.030] * 2, failures=1))
    values, outcomes = zip(*run.results(), strict=True)
    assert pytest.approx(values, rel=RELATIVE_ERROR) == (0.020, 0.030, 0.020, 0.010, 0.030)
    assert outcomes == ("passed", "failed", "passed", "passed", "failed")


def test_selectors_choose_by_name_method_and_scenario() -> None:
    """A rule about a name, a method or a scenario ignores the others."""
    run = Run(
        'max{name="documents/get"} < 1s, max{method="PUT"} < 1s, max{scenario="documents"} < 1s, '
        'requests{scenario="other"} > 0, error_ratio{method="PUT", name="documents/put"} < 50%'
    )
    run.add(0, measured(GET, [0.1]), measured(PUT, [0.2, 0.2], failures=1))
    run.add(0, measured(SeriesKey("other", "GET", "x"), [0.4, 0.4, 0.4]))
    expected = [(0.1, "passed"), (0.2, "passed"), (0.2, "passed"), (3, "passed"), (0.5, "failed")]
    assert run.results() == expected


def test_response_time_counts_the_lag_and_service_time_does_not() -> None:
    """The lag of a request sent 50 ms late is in the response time, and in the schedule lag of its scenario."""
    run = Run('max < 1s, max(service_time) < 1s, max(schedule_lag) < 1s, max(schedule_lag){scenario="x"} < 1s')
    run.add(0, measured(GET, [0.010], lag_s=0.050))
    values = [value for value, _ in run.results()]
    assert values == [pytest.approx(0.060), pytest.approx(0.010), pytest.approx(0.050), None]


def test_dropped_ratio_is_of_all_intended_iterations() -> None:
    """One dropped of four intended is a quarter."""
    run = Run("dropped_ratio <= 25%, dropped_ratio < 25%").add(0, measured(GET, [0.01] * 3, dropped=1))
    assert run.results() == [(0.25, "passed"), (0.25, "failed")]


def test_everything_dropped_is_data() -> None:
    """If no iteration began at all, the dropped ratio is 1, not missing."""
    run = Run("dropped_ratio < 1%").add(0, measured(GET, [], dropped=5))
    assert run.results() == [(1.0, "failed")]


def test_rates_are_per_second_of_load() -> None:
    """The rate's time goes from the judge's start to the end of the load, without draining and reporting."""
    run = Run("requests_per_s >= 10/s").add(0, measured(GET, [0.01] * 50)).add(4, measured(GET, [0.01] * 50))
    run.now += 10
    run.judge.end()
    run.now += 30
    run.judge.end()
    assert run.results() == [(pytest.approx(10.0), "passed")]


def test_rates_end_with_the_schedule_and_not_with_its_last_answers() -> None:
    """A load of known length ends on schedule, whenever its end is reported."""
    run = Run("requests_per_s >= 10/s", longest_s=5.0).add(0, measured(GET, [0.01] * 50))
    run.now += 9
    assert (run.judge.load_s, run.results()) == (5.0, [(pytest.approx(10.0), "passed")])


def test_a_run_without_load_has_no_rate() -> None:
    """A run that ended before its first arrival was under no load, however short it was."""
    run = Run("requests_per_s >= 10/s", longest_s=0.0).add(0, measured(GET, [0.01] * 50))
    run.now += 1e-6
    run.judge.end()
    assert (run.judge.load_s, run.judge.counted_s, run.results()) == (0.0, 0.0, [(None, "no data")])


def test_bytes_iterations_and_connections_are_counted() -> None:
    """Each has its own phase, except bytes, which are those of the requests."""
    rules = 'response_bytes <= 200B, request_bytes < 0.06kB, response_bytes{name="b"} < 100B, iterations < 2'
    run = Run(f'{rules}, connections >= 3, connections{{name="a:80"}} > 3')
    recorder = Recorder()
    for name in "ab":
        recorder.series("documents", "GET", name).success(0.0, 0.0, 0.1, 100, 30)
    recorder.series("documents", "", "", ITERATION).success(0.0, 0.0, 0.25, 0)
    for host in ("a:80", "a:80", "b:80"):
        recorder.series("documents", "GET", "a").tally("connect", host, 0.002)
    run.add(0, recorder.take())
    expected = [(200, "passed"), (60, "failed"), (100, "failed"), (1, "passed"), (3, "passed"), (2, "failed")]
    assert run.results() == expected
    assert [result.threshold.format(result.value) for result in run.judge.results()][:2] == ["200B", "0.06kB"]


def test_connections_are_judged_by_the_most_that_were_open() -> None:
    """The maximum is of the whole run, or after the warm-up; without any, as with Locust's own clients, no data."""
    run = Run("connections_open < 5, connections_open < 3 warm_up=10s, connections_open > 0")
    run.add(0, measured(GET, [0.01]))
    assert run.results() == [(None, "no data")] * 3
    run.record.note_connections(1, 5)
    run.record.note_connections(12, 2)
    assert run.results() == [(5, "failed"), (2, "passed"), (5, "passed")]


@pytest.mark.parametrize(
    "rule",
    [
        "p99 < 1s",
        "mean < 1s",
        "error_ratio < 1%",
        "dropped_ratio < 1%",
        "requests < 5",
        "response_bytes < 5MB",
        "connections < 5",
        "requests_per_s < 5/s",
        "max > 1s",
    ],
)
def test_without_samples_there_is_no_data(rule: str) -> None:
    """Without a measurement a rule has neither passed nor failed, whatever its comparison."""
    assert Run(rule).results() == [(None, "no data")]


def test_warm_up_leaves_the_first_seconds_out_of_everything() -> None:
    """Counts, percentiles, extremes, errors and rates are those after the warm-up, cut at the next whole second."""
    rules = [
        "max < 1s",
        "min < 1s",
        "requests < 9",
        "error_ratio < 9%",
        "requests_per_s < 9/s",
        "max(schedule_lag) < 1s",
    ]
    run = Run(", ".join(f"{rule} warm_up=2s" for rule in rules))
    for second in (0, 1, 2):  # the warm-up ends at 1002.25, within second 2
        run.add(second, measured(GET, [0.001, 9.0], failures=2, lag_s=5.0))
    run.add(3, measured(GET, [0.2, 0.3, 0.4], failures=0, lag_s=0.1))
    run.now = 1006.0
    values = [value for value, _ in run.results()]
    assert pytest.approx(values) == [0.5, 0.3, 3, 0.0, 1.0, 0.1]


def test_a_reset_of_the_statistics_restarts_the_rules() -> None:
    """Earlier samples count in no rule, with or without warm-up; rates start at the reset."""
    run = Run("requests < 9, requests < 9 warm_up=1s, requests_per_s < 9/s").add(3, measured(GET, [0.1] * 5))
    run.record.reset(4)
    run.add(5, measured(GET, [0.1] * 2))
    run.now = 1006.0
    assert [value for value, _ in run.results()] == [2, 2, 1.0]


def test_a_rule_aborts_only_if_it_says_so_and_has_failed_without_a_break() -> None:
    """abort_on_fail waits for its delay, and a second that meets the rule restarts it."""
    run = Run("max < 1us, error_ratio < 50% delay=2s abort_on_fail")
    aborted = []
    for second, (requests, failures) in enumerate([(1, 1), (2, 0), (4, 4), (1, 0), (1, 0)]):
        run.add(second, measured(GET, [0.1] * requests, failures=failures))
        run.now = STARTED_AT + second
        aborted.append(run.judge.tick())
    # failed of all: 1/1, 1/3, 5/7, 5/8, 5/9; the last is 2 s after it failed again
    assert aborted[:4] == [None, None, None, None]
    assert (
        str(aborted[4].threshold),
        aborted[4].value,
    ) == ("error_ratio < 50% delay=2s abort_on_fail", pytest.approx(5 / 9))


def test_a_rule_that_ended_the_run_has_failed_whatever_came_after_that() -> None:
    """Responses that arrive while the users stop do not make it pass."""
    run = Run("error_ratio < 50% abort_on_fail, requests > 1").add(0, measured(GET, [0.01] * 4, failures=3))
    assert run.judge.tick()
    run.add(1, measured(GET, [0.01] * 100))
    assert run.results() == [(0.75, "failed"), (104, "passed")]


def test_without_a_delay_a_rule_aborts_at_once() -> None:
    """The first tick with a failed rule aborts; a rule without data does not."""
    run = Run("max < 50ms abort_on_fail")
    assert run.judge.tick() is None
    assert run.add(0, measured(GET, [0.1])).judge.tick().outcome is Outcome.FAILED


def test_results_say_rule_value_and_limit() -> None:
    """The sentence for people has all three; the JSON form has them in base units."""
    run = Run('p100{name="documents/get"} < 50ms warm_up=1s, min > 50ms').add(3, measured(GET, [0.0612]))
    first, second = run.judge.results()
    assert (
        first.sentence == 'p100(response_time){name="documents/get"} < 50ms: failed with 61.2ms (after 1 s of warm-up)'
    )
    assert second.sentence == "min(response_time) > 50ms: passed with 61.2ms"
    expected = {
        "rule": 'p100(response_time){name="documents/get"} < 50ms warm_up=1s',
        "metric": "response_time",
        "aggregate": "p100",
        "selector": {"name": "documents/get"},
        "comparison": "<",
        "limit": 0.05,
        "value": pytest.approx(0.0612),
        "worded": "61.2ms",
        "low": None,
        "high": None,
        "spread": "",
        "is_narrow": False,
        "outcome": "failed",
        "sentence": first.sentence,
    }
    assert first.as_dict() == expected


def test_no_data_says_so() -> None:
    """A rule without data has its own sentence."""
    nothing, nobody = Run('p99 < 50ms, error_ratio{name="x", method="GET"} < 1%').judge.results()
    assert nothing.sentence == "p99(response_time) < 50ms: no data; nothing that this rule covers was measured"
    assert "no data; no request had method 'GET', name 'x'. Next: correct the selector" in nobody.sentence


@pytest.mark.parametrize(("rule", "needed"), [("p95", 59), ("p99", 299), ("p1", 299), ("p99.9", 2995), ("max", 1)])
def test_a_percentile_is_judged_from_as_many_samples_as_show_it(rule: str, needed: int) -> None:
    """With one sample fewer, the chance that all are below the percentile exceeds 5 %: there is no data."""
    few, enough = (Run(f"{rule} < 1s").add(0, measured(GET, [0.1] * count)) for count in (needed - 1, needed))
    assert [outcome for run in (few, enough) for _, outcome in run.results()] == ["no data", "passed"]
    (result,) = few.judge.results()
    assert (f"needs {needed:,} samples, and there were {needed - 1:,}." in result.sentence) is (needed > 1)


def test_the_counted_time_is_that_since_the_last_reset() -> None:
    """Without a reset it is the time of the load; counts are always divided by the time they cover."""
    run = Run("requests_per_s < 9/s")
    run.now += 10
    whole = run.judge.counted_s
    run.record.reset(4)
    assert (whole, run.judge.counted_s) == (10.0, 6.25)


def test_only_a_rule_about_set_up_judges_set_up() -> None:
    """A rule covers the load; with phase="setup" it covers requests sent in on_start and on_stop."""
    run = Run('max < 1s, requests{phase="load"} < 9, error_ratio{phase="setup"} < 9%, max{phase="setup"} < 1s')
    run.add(0, measured(GET, [0.1, 0.2]), measured(GET._replace(phase="setup"), [3.0, 5.0], failures=1))
    assert run.results() == [(0.2, "passed"), (2, "passed"), (0.5, "failed"), (5.0, "failed")]


def test_a_rule_on_a_name_that_only_the_set_up_requested_says_so() -> None:
    """It is not a rule about the load, and lacks the phase."""
    run = Run('max{name="login"} < 1s, max{name="logout"} < 1s, max{name="login", phase="load"} < 1s')
    run.add(0, measured(GET, [0.1]), measured(SeriesKey("documents", "POST", "login", "setup"), [0.1]))
    login, logout, of_load = (result.sentence for result in run.judge.results())
    assert login.endswith(
        "no data; only requests of the set-up had name 'login', and they are not part of the load. "
        'Next: add phase="setup" to the selector'
    )
    assert "no request had name 'logout'" in logout
    assert "no request had phase 'load', name 'login'" in of_load


def test_transactions_and_checks_have_rules_of_their_own() -> None:
    """They are judged by name or in total, also after a warm-up, and no rule about requests counts them."""
    run = Run(
        'max(transaction_time) < 9s, max(transaction_time){name="a"} < 9s, transaction_error_ratio < 1%, '
        "max(transaction_time) < 9s warm_up=1s, check_ratio >= 100%, requests < 9, max < 1s"
    )
    run.now += 3
    run.add(0, measured(GET, [0.1]), measured(SeriesKey("documents", "", "a", "transaction"), [3.0, 4.0], failures=1))
    run.add(2, measured(SeriesKey("documents", "", "b", "transaction"), [5.0, 2.0]))
    run.add(2, measured(SeriesKey("documents", "", "c", "check"), [0.0] * 4, failures=1))
    values = [value for value, _ in run.results()]
    assert values == pytest.approx([5.0, 4.0, 0.25, 5.0, 0.75, 1, 0.1])
    assert run.results()[4][1] == "failed"


def test_a_rule_about_a_check_that_never_came_is_no_pass() -> None:
    """A misspelt name has no data, and is not taken for a request."""
    (result,) = Run('check_ratio{name="hass an id"} > 9%').judge.results()
    assert result.outcome is Outcome.NO_DATA
    assert "no check had name 'hass an id'. Next: correct the selector, or have the scenario make such checks" in (
        result.sentence
    )


def test_rules_on_iterations_judge_how_long_they_took() -> None:
    """They apply by scenario or in total; no figure of requests has the durations, and without any there is no data."""
    of_one, of_none = 'max(iteration_time){scenario="shop"} < 3s', 'max(iteration_time){scenario="none"} < 9s'
    run = Run(f"max(iteration_time) < 9s, {of_one}, {of_none}, requests < 9, max < 1s")
    shop = SeriesKey("shop", "", "", "iteration")
    run.add(0, measured(GET, [0.1]), measured(shop, [2.0, 4.0]), measured(shop._replace(scenario="pay"), [5.0]))
    assert run.results() == [(pytest.approx(5), "passed"), (pytest.approx(4), "failed"), (None, "no data"),
                             (1, "passed"), (pytest.approx(0.1), "passed")]  # fmt: skip


def test_rules_on_connections_judge_their_phases() -> None:
    """Each has its own times, of all hosts or of one; a phase that did not occur has no data, and none is a request."""
    of_one, of_none = 'max(connect_time){name="b:80"} < 30ms', "max(tls_time) < 1s"
    run = Run(f"max(dns_time) < 30ms, max(connect_time) < 30ms, {of_one}, {of_none}, p50(waiting_time) < 1s, max < 1s")
    host = SeriesKey("documents", "", "a:80", "dns")
    run.add(0, measured(host, [0.02]), measured(host._replace(phase="connect"), [0.05]), measured(GET, [0.2]))
    run.add(0, measured(host._replace(name="b:80", phase="connect"), [0.01]))
    run.add(0, measured(host._replace(phase="waiting"), [0.1] * 5))
    expected = [
        (0.02, "passed"),
        (0.05, "failed"),
        (0.01, "passed"),
        (None, "no data"),
        (0.1, "passed"),
        (0.2, "passed"),
    ]
    assert [(value and round(value, 3), outcome) for value, outcome in run.results()] == expected


def test_rules_on_streamed_answers_judge_their_phases() -> None:
    """Each has its own times, of the selected names; without a streamed response there is no data."""
    of_one, of_none = 'max(event_gap){name="documents/get"} < 30ms', 'min(event_gap){name="x"} < 1s'
    run = Run(f"max(first_byte) < 30ms, max(first_event) < 30ms, {of_one}, {of_none}")
    phases = {FIRST_BYTE: [0.02], FIRST_EVENT: [0.05], EVENT_GAP: [0.01, 0.02]}
    run.add(0, *(measured(GET._replace(phase=phase), times_s) for phase, times_s in phases.items()))
    run.add(0, measured(PUT._replace(phase=EVENT_GAP), [0.04]), measured(PUT, [0.5]))
    expected = [(0.02, "passed"), (0.05, "failed"), (0.02, "passed"), (None, "no data")]
    assert [(value and round(value, 6), outcome) for value, outcome in run.results()] == expected
