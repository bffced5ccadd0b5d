"""The figures of requests: exact, present from the start, and bounded."""

from pathlib import Path

import pytest
from locust import User
from locust.env import Environment
from prometheus_client.parser import text_string_to_metric_families

from loadtest import scenarios
from loadtest.exporting import compatibility
from loadtest.exporting.exposition import MAX_SERIES, Exposition
from loadtest.exporting.metrics import METRICS
from loadtest.exporting.scrape import MAX_STEPS
from loadtest.exporting.series import BOUNDS_S
from loadtest.measuring.error_classes import ERROR_CLASSES
from loadtest.measuring.labels import CONNECTION_PHASES, ENDED_BY, ITERATION
from loadtest.measuring.recorder import Recorder
from tests import reports
from tests.swarms import record_keeper
from tests.unit.exporting.samples import count, flush, record, samples_of, scrape, total, value


@pytest.mark.parametrize("compatible", [False, True])
def test_declared_requests_are_at_zero_before_load(compatible: bool) -> None:
    """All series of each request that the largest built-in scenario declares are 0 before anything is sent."""
    scenario = scenarios.load("documents")
    made = Environment(user_classes=list(scenario.user_classes))
    made.create_local_runner()
    record_keeper(made)
    samples = samples_of(Exposition(made, compatible=compatible).text().decode())
    made.runner.quit()
    assert scenario.requests
    for method, name in scenario.requests:
        labels = {"scenario": "documents", "method": method, "name": name}
        for result in ("success", "failure"):
            assert value(samples, "loadtest_requests_total", **labels, result=result) == 0
        for error_class in ERROR_CLASSES:
            assert value(samples, "loadtest_errors_total", **labels, class_=error_class) == 0
        for histogram in ("loadtest_response_time_seconds", "loadtest_service_time_seconds"):
            assert value(samples, f"{histogram}_bucket", **labels, le="+Inf") == 0
            assert value(samples, f"{histogram}_sum", **labels) == 0
        assert value(samples, "loadtest_response_bytes_total", **labels) == 0
        assert value(samples, "loadtest_request_bytes_total", **labels) == 0
    for gauge in ("loadtest_users", "loadtest_users_target", "loadtest_iterations_dropped_total"):
        assert value(samples, gauge, scenario="documents") == 0
    assert value(samples, "loadtest_schedule_lag_seconds_count", scenario="documents") == 0
    assert value(samples, "loadtest_run_start_time_seconds", run_id="") == 0
    assert value(samples, "loadtest_run_completeness_ratio", run_id="") == 1


def test_every_metric_has_its_type_and_meaning(environment: Environment) -> None:
    """The exposition has each metric of the table once, with its type, its meaning, and its labels."""
    count(environment, "read", [0.01])
    text = Exposition(environment).text().decode()
    heads = [line for line in text.splitlines() if line.startswith("#")]
    expected = [
        line
        for metric in METRICS
        for line in (f"# HELP {metric.name} {metric.meaning}", f"# TYPE {metric.name} {metric.kind}")
    ]
    assert heads == expected
    for family in text_string_to_metric_families(text):
        (metric,) = [m for m in METRICS if m.name in (family.name, f"{family.name}_total")]
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)


def test_counts_sums_and_buckets_are_exact(environment: Environment) -> None:
    """Requests by result, bytes, errors by class, and each bucket's count match the raw samples."""
    times_s = [0.00005, 0.0001, 0.002, 0.0021, 0.25, 59.0, 70.0]
    count(environment, "read", times_s, errors=2)
    samples = scrape(environment)
    labels = {"scenario": "mine", "method": "GET", "name": "read"}
    assert len(times_s) - 2 == value(samples, "loadtest_requests_total", **labels, result="success")
    assert value(samples, "loadtest_requests_total", **labels, result="failure") == 2
    assert value(samples, "loadtest_errors_total", **labels, class_="status_5xx") == 2
    assert 10 * len(times_s) == value(samples, "loadtest_response_bytes_total", **labels)
    assert 20 * (len(times_s) - 2) == value(samples, "loadtest_request_bytes_total", **labels)
    for histogram in ("loadtest_response_time_seconds", "loadtest_service_time_seconds"):
        for bound in BOUNDS_S:
            # The samples are differences of floats near 100, so they are a few femtoseconds off their decimals.
            expected = sum(took_s <= bound + 1e-12 for took_s in times_s)
            assert value(samples, f"{histogram}_bucket", **labels, le=str(bound)) == expected
        assert len(times_s) == value(samples, f"{histogram}_bucket", **labels, le="+Inf")
        assert len(times_s) == value(samples, f"{histogram}_count", **labels)
        assert value(samples, f"{histogram}_sum", **labels) == pytest.approx(sum(times_s), abs=1e-7)


def test_response_time_and_service_time_are_distinguished(environment: Environment) -> None:
    """A late send shows in the response time and in the schedule lag, not in the service time."""
    recorder = Recorder.of(environment)
    recorder.series("mine", "GET", "late").success(10.0, 12.0, 12.5, 1)
    record_keeper(environment).totals.add(recorder.take())
    samples = scrape(environment)
    labels = {"scenario": "mine", "method": "GET", "name": "late"}
    assert value(samples, "loadtest_response_time_seconds_sum", **labels) == pytest.approx(2.5)
    assert value(samples, "loadtest_service_time_seconds_sum", **labels) == pytest.approx(0.5)
    assert value(samples, "loadtest_schedule_lag_seconds_sum", scenario="mine") == pytest.approx(2.0)


def test_iterations_are_at_zero_before_load_and_timed_by_scenario(environment: Environment) -> None:
    """Their duration has its own histogram, which counts no request."""
    name = "loadtest_iteration_time_seconds"
    assert value(scrape(environment), f"{name}_count", scenario="mine") == 0
    for took_s in (0.5, 2.0):
        Recorder.of(environment).series("mine", "", "", ITERATION).success(1.0, 1.0, 1.0 + took_s, 0)
    flush(environment)
    found = scrape(environment)
    assert value(found, f"{name}_count", scenario="mine") == 2
    assert value(found, f"{name}_sum", scenario="mine") == pytest.approx(2.5)
    assert total(found, "loadtest_requests_total") == 0


def test_streamed_answers_are_at_zero_before_load_and_counted_by_part(environment: Environment) -> None:
    """Those that the scenario declares exist from the start; each figure has its own metric."""
    declared = scenarios.load("assistant").user_classes[0]
    before = samples_of(Exposition(_with(environment, declared)).text().decode())
    labels = {"scenario": "assistant", "method": "POST", "name": "assistant/answer"}
    assert [value(before, "loadtest_streams_total", **labels, ended_by=who) for who in ENDED_BY] == [0, 0, 0, 0]
    assert value(before, "loadtest_stream_event_gap_seconds_count", **labels) == 0
    reports.stream(Recorder.of(environment), "n", "server")
    reports.stream(Recorder.of(environment), "n", "timeout")
    flush(environment)
    found = scrape(environment)
    labels = {"scenario": "documents", "method": "GET", "name": "n"}
    assert [value(found, "loadtest_streams_total", **labels, ended_by=who) for who in ENDED_BY] == [1, 0, 1, 0]
    assert value(found, "loadtest_stream_events_total", **labels) == 6
    assert value(found, "loadtest_stream_bytes_total", **labels) == 100
    for part, times in (("first_byte", 2), ("first_event", 2), ("event_gap", 4)):
        assert value(found, f"loadtest_stream_{part}_seconds_count", **labels) == times
    assert value(found, "loadtest_stream_first_event_seconds_sum", **labels) == pytest.approx(0.1)
    assert total(found, "loadtest_requests_total") == 0


def test_phases_of_connections_are_at_zero_before_load_and_counted(environment: Environment) -> None:
    """Each phase has its own histogram, over all hosts."""
    before = scrape(environment)
    name = "loadtest_connection_phase_seconds"
    assert [value(before, f"{name}_count", phase=phase) for phase in CONNECTION_PHASES] == [0] * 5
    series = Recorder.of(environment).series("mine", "GET", "read")
    for host in ("a:80", "b:80"):
        series.tally("connect", host, 0.25)
    flush(environment)
    found = scrape(environment)
    assert [value(found, f"{name}_count", phase=phase) for phase in CONNECTION_PHASES] == [0, 2, 0, 0, 0]
    assert value(found, f"{name}_sum", phase="connect") == pytest.approx(0.5)
    assert total(found, "loadtest_requests_total") == 0


def test_streamed_answers_are_bounded(environment: Environment) -> None:
    """Names beyond the budget count as other, with exact sums; the number of series stays within the budget."""
    for number in range(120):
        reports.stream(Recorder.of(environment), f"n{number}", "server")
    flush(environment)
    found = scrape(environment)
    assert total(found, "loadtest_stream_events_total") == 360
    assert value(found, "loadtest_stream_events_total", scenario="other", method="other", name="other") > 0
    assert len(found) <= MAX_SERIES


def _with(environment: Environment, user_class: type[User]) -> Environment:
    environment.user_classes = [user_class]
    return environment


def test_dropped_iterations_are_counted(environment: Environment) -> None:
    """Iterations that never began are in their scenario's counter."""
    recorder = Recorder.of(environment)
    recorder.drop_iterations("mine", 3)
    record_keeper(environment).totals.add(recorder.take())
    assert value(scrape(environment), "loadtest_iterations_dropped_total", scenario="mine") == 3


def test_any_name_survives_the_text_format(environment: Environment) -> None:
    """Quotes, backslashes, line ends, per cent signs and other scripts are kept as recorded."""
    names = ['say "hi"', "C:\\new", "two\nlines", "100 %d %s %", "Übergröße 漢字", "{curly},le=", ""]
    for name in names:
        count(environment, name, [0.01])
    samples = scrape(environment)
    for name in names:
        labels = {"scenario": "mine", "method": "GET", "name": name}
        assert value(samples, "loadtest_requests_total", **labels, result="success") == 1
        assert value(samples, "loadtest_response_time_seconds_count", **labels) == 1


@pytest.mark.parametrize("compatible", [False, True])
def test_series_are_bounded_and_sums_stay_exact(environment: Environment, compatible: bool) -> None:
    """There are at most `MAX_SERIES` time series; the rest counts as `other`."""
    exposed = Exposition(environment, compatible=compatible)
    few = 30
    for number in range(few):
        record(environment, f"name {number}", [0.01])
    flush(environment)
    before = samples_of(exposed.text().decode())
    recorder = Recorder.of(environment)
    for number in range(1_000):
        record(environment, f"name {number}", [0.01, 0.02], errors=1)
        series = recorder.series(f"scenario {number % 30}", f"METHOD{number % 7}", f"{number}")
        series.failure(1.0, 1.5, 2.0, 10, sorted(ERROR_CLASSES)[number % len(ERROR_CLASSES)], "text")
    count(environment, "other", [0.5])
    after = samples_of(exposed.text().decode())
    assert len(after) <= MAX_SERIES
    names = {dict(labels)["name"] for (metric, labels) in after if metric == "loadtest_requests_total"}
    assert {f"name {number}" for number in range(few)} < names
    assert len(names) > 50
    requests = few + 3_001
    assert requests == total(after, "loadtest_requests_total")
    assert requests == total(after, "loadtest_response_time_seconds_count")
    assert total(after, "loadtest_errors_total") == 2_000
    assert total(after, "loadtest_schedule_lag_seconds_count") == 1_000
    for key, number in before.items():
        if key[0].endswith(("_total", "_count", "_bucket")):
            assert after[key] >= number


@pytest.mark.parametrize(("compatible", "sentence"), [(False, "room for {} combinations"), (True, "({} with the")])
def test_as_many_requests_have_room_as_the_reference_says(
    environment: Environment, compatible: bool, sentence: str
) -> None:
    """Of 100 requests that each fail in every way, the first ones keep all their classes separate."""
    recorder = Recorder.of(environment)
    for number in range(100):
        for error_class in sorted(ERROR_CLASSES):
            recorder.series("mine", "GET", f"{number:03}").failure(1.0, 1.0, 2.0, 10, error_class, "text")
    flush(environment)
    samples = samples_of(Exposition(environment, compatible=compatible).text().decode())
    names = {dict(labels)["name"] for (metric, labels) in samples if metric == "loadtest_requests_total"}
    reference = (Path(__file__).parents[3] / "docs" / "reference" / "metrics.md").read_text()
    assert sentence.format(len(names - {"other"})) in reference


def test_classes_of_error_without_room_count_as_other(environment: Environment) -> None:
    """If there is no room for another class of error, its occurrences count as `other`, and stay there."""
    exposed = Exposition(environment)
    recorder = Recorder.of(environment)
    for number in range(1_000):
        recorder.series("mine", "GET", f"name {number}").success(1.0, 1.0, 2.0, 10)
    flush(environment)
    exposed.text()
    for error_class in sorted(ERROR_CLASSES):
        for number in range(40):
            recorder.series("mine", "GET", f"name {number}").failure(1.0, 1.0, 2.0, 10, error_class, "text")
    flush(environment)
    first = samples_of(exposed.text().decode())
    assert len(first) <= MAX_SERIES
    assert 40 * len(ERROR_CLASSES) == total(first, "loadtest_errors_total")
    folded = total(first, "loadtest_errors_total", **{"class": "other"})
    assert folded > 40
    flush(environment)
    assert total(samples_of(exposed.text().decode()), "loadtest_errors_total", **{"class": "other"}) == folded


def test_locusts_aggregated_row_is_not_there(environment: Environment) -> None:
    """No series adds up others: the sum over all names is the number of requests."""
    for name in ("a", "b", "c"):
        count(environment, name, [0.01] * 5)
    text = Exposition(environment).text().decode()
    assert "Aggregated" not in text
    assert total(samples_of(text), "loadtest_requests_total") == 15


def test_compatible_names_are_locusts_numbers(environment: Environment) -> None:
    """With the setting, the names of dashboards 11985 and 12081 are exported, in ms, without a duplicate total."""
    stats = environment.stats
    for name, took_ms, error in (("a", 10, None), ("a", 30, "boom"), ("b", 80, None)):
        stats.log_request("GET", name, took_ms, 100)
        if error:
            stats.log_error("GET", name, error)
    count(environment, "a", [0.01, 0.03], errors=1)
    count(environment, "b", [0.08])
    plain = scrape(environment)
    assert not [name for name, _ in plain if name.startswith("locust_")]
    seen = samples_of(Exposition(environment, compatible=True).text().decode())
    for labels in ({"method": "GET", "name": "a"}, {"method": "GET", "path": "a"}):
        prefix = "locust_stats" if "path" in labels else "locust_requests"
        assert value(seen, f"{prefix}_num_requests", **labels) == 2
        assert value(seen, f"{prefix}_num_failures", **labels) == 1
        assert value(seen, f"{prefix}_avg_response_time", **labels) == 20
        assert value(seen, f"{prefix}_min_response_time", **labels) == 10
        assert value(seen, f"{prefix}_max_response_time", **labels) == 30
        assert value(seen, f"{prefix}_avg_content_length", **labels) == 100
    assert value(seen, "locust_requests_num_requests", method="", name="Aggregated") == 3
    assert value(seen, "locust_requests_fail_ratio") == pytest.approx(1 / 3)
    with_total = {name for name, labels in seen if ("name", "Aggregated") in labels}
    assert with_total == {"locust_requests_num_requests", "locust_requests_num_failures"}
    assert value(seen, "locust_stats_num_requests", method="Aggregated", path="Aggregated") == 3
    assert (
        len([key for key in seen if key not in plain]) <= compatibility.FIXED_LINES + 2 * compatibility.LINES_PER_NAME
    )


def test_transactions_and_checks_are_bounded_and_exact(environment: Environment) -> None:
    """The first ones have their own metrics, the others are counted together, and neither counts as a request."""
    recorder = Recorder.of(environment)
    for number in range(MAX_STEPS + 5):
        recorder.series("mine", "", f"buy {number}", "transaction").success(1.0, 1.0, 1.5, 0)
        recorder.series("mine", "", f"id {number}", "check").failure(1.0, 1.0, 1.0, 0, "check", "not met")
    flush(environment)
    samples = scrape(environment)
    assert total(samples, "loadtest_transactions_total", result="success") == MAX_STEPS + 5
    assert value(samples, "loadtest_transactions_total", scenario="other", name="other", result="success") == 5
    assert value(samples, "loadtest_transaction_time_seconds_sum", scenario="mine", name="buy 0") == 0.5
    assert total(samples, "loadtest_transaction_time_seconds_count") == MAX_STEPS + 5
    assert total(samples, "loadtest_checks_total", result="failure") == MAX_STEPS + 5
    assert total(samples, "loadtest_requests_total") == 0
