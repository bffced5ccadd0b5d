"""The RunRecord: its counts, figures, and completeness."""

import base64
import json
import math

import pytest

from loadtest.measuring import record as record_module
from loadtest.measuring import record_dict
from loadtest.measuring.evidence import Evidence
from loadtest.measuring.histogram import Histogram
from loadtest.measuring.labels import SETUP
from loadtest.measuring.measurements import LISTENERS, Measurements
from loadtest.measuring.packed import PackedMeasurements, unpack
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_rows import Delivery, Missing
from loadtest.measuring.recorder import Recorder


def measure(*requests: tuple[str, float, float | None, str | None]) -> Measurements:
    """Measure requests: name, service time, lag or None, error class or None; 10 bytes each."""
    recorder = Recorder()
    for name, service, lag, error in requests:
        series = recorder.series("shop", "GET", name)
        intended = 100.0
        sent = intended if lag is None else intended + lag
        if error:
            series.failure(intended, sent, sent + service, 10, error, f"{error} happened")
        else:
            series.success(intended, sent, sent + service, 10)
    return recorder.take()


def sample_record() -> RunRecord:
    """A record of two seconds."""
    record = RunRecord("r1", 1_700_000_000.25, {"profile": "quick"})
    record.add(measure(("a", 0.5, None, None), ("a", 0.25, None, "reset"), ("b", 1.0, None, None)), 0)
    record.add(measure(("a", 0.125, 0.5, "reset"), ("a", 0.125, None, "timeout_read")), 1)
    return record


def test_series_hold_counts_errors_and_both_times() -> None:
    """Each series has requests, failures, bytes, errors by class, response and service times."""
    by_name = {view.name: view for view in sample_record().series()}
    a = by_name["a"]
    assert (a.scenario, a.method, a.requests, a.failures, a.response_bytes) == ("shop", "GET", 4, 3, 40)
    assert a.errors == {"reset": 2, "timeout_read": 1}
    assert a.response_time == Histogram.of([0.5, 0.25, 0.625, 0.125])
    assert a.service_time == Histogram.of([0.5, 0.25, 0.125, 0.125])
    assert (a.success_time.sum_s, a.success_time.count) == (0.5, 1)
    assert a.failure_time == Histogram.of([0.25, 0.625, 0.125])
    assert Histogram.of([1.0]) == by_name["b"].response_time == by_name["b"].service_time
    assert sample_record().schedule_lag["shop"] == Histogram.of([0.5])


def test_the_total_is_the_sum_of_the_series() -> None:
    """All series together have the sums of counts, errors and histograms."""
    record = sample_record()
    total = record.total()
    merged = Histogram()
    for view in record.series():
        merged.merge(view.response_time)
    assert (
        (5, 3, 50) == (total.requests, total.failures, total.response_bytes) == (record.requests, record.failures, 50)
    )
    assert total.errors == {"reset": 2, "timeout_read": 1}
    assert total.response_time == merged
    assert total.service_time.count == 5


def test_a_view_does_not_change_with_the_record() -> None:
    """A view does not change when more data arrives."""
    record = sample_record()
    before = next(record.series()).response_time
    count = before.count
    record.add(measure(("a", 0.5, None, None)), 2)
    assert before.count == count


def test_errors_are_listed_with_their_times() -> None:
    """Each distinct error has its message, its number, and its first and last time."""
    first = sample_record().errors()[0]
    assert (first.name, first.error_class, first.message, first.occurrences) == ("a", "reset", "reset happened", 2)
    assert (first.first_seen, first.last_seen) == (1_700_000_000, 1_700_000_001)


def test_the_first_failures_of_a_kind_have_evidence() -> None:
    """Three messages of a name and class keep their first one each, and a reset of the counts removes none."""
    record = RunRecord()
    for second in range(2):
        for number in range(5):
            recorder = Recorder()
            shown = Evidence(f"{number} at {second}", "")
            failed = recorder.series("shop", "GET", "a")
            failed.failure(0.0, 0.0, 1.0, 0, "check", f"m{number}", lambda shown=shown: shown)
            record.add(recorder.take(), second)
        kept = [(row.message, row.evidence.request) for row in record.errors() if row.evidence]
        assert kept == [("m0", "0 at 0"), ("m1", "1 at 0"), ("m2", "2 at 0")]
        record.reset(second)
    assert record.errors() == []


def test_the_slowest_traces_are_kept_with_their_second() -> None:
    """They are kept by name and outcome; a reset removes them like the requests."""
    record = RunRecord("r1", 1_700_000_000.25)
    for second in range(2):
        recorder = Recorder()
        series = recorder.series("shop", "GET", "a")
        for number in range(1, 4):
            end_s = (2 * number + second) / 8
            series.success(0.0, 0.0, end_s, 1)
            series.trace(f"{second}{number}" * 16, 0.0, 0.0, end_s)
        series.failure(0.0, 0.0, 0.125, 1, "reset", "no")
        series.trace(f"{second}f" * 16, 0.0, 0.0, 0.125, "reset")
        record.add(recorder.take(), second)
    shown = [(row.trace_id[:2], row.error_class, row.response_time_s, row.seen - 1.7e9) for row in record.traces()]
    assert shown == [
        ("13", None, 0.875, 1.0), ("03", None, 0.75, 0.0), ("12", None, 0.625, 1.0),
        ("0f", "reset", 0.125, 0.0), ("1f", "reset", 0.125, 1.0),
    ]  # fmt: skip
    record.reset(2)
    assert record.traces() == []


def test_distinct_errors_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap messages are merged; no occurrence is lost, and the classes stay exact."""
    monkeypatch.setattr(record_module, "MAX_ERRORS", 3)
    record = RunRecord()
    for number in range(10):
        record.add(measure((f"name-{number % 2}", 0.1, None, "reset"), (f"n{number}", 0.1, None, "timeout_read")))
    assert len(record.errors()) <= 3 + 12
    assert sum(error.occurrences for error in record.errors()) == 20
    assert record.total().errors == {"reset": 10, "timeout_read": 10}


def test_without_a_second_there_is_no_time_line() -> None:
    """The totals of a process's lifetime have no time line, which could grow."""
    record = RunRecord()
    record.add(measure(("a", 0.1, None, None)))
    assert (len(record.timeline), record.requests) == (0, 1)


def test_a_reset_forgets_counts_and_keeps_the_run() -> None:
    """After a reset only later samples are counted, and the record has the second of the reset."""
    record = sample_record()
    record.reset(2)
    assert (record.requests, record.failures, list(record.series()), record.schedule_lag) == (0, 0, [], {})
    record.add(measure(("a", 0.25, None, None)), 2)
    assert Histogram.of([0.25]) == record.total().response_time == record.total().service_time
    assert (record.run_id, record.reset_at_s, [point.second for point in record.timeline]) == ("r1", 2, [2])


def test_a_reset_keeps_what_is_missing_from_what_comes_after() -> None:
    """The work of a listener that failed, and users that ended, are still missing after a reset."""
    recorder, record = Recorder(), RunRecord()
    recorder.add_exception(LISTENERS, KeyError("prepare"))
    recorder.add_exception("shop", KeyError("user"), ends_user=True)
    recorder.add_exception("shop", KeyError("task"))
    record.add(recorder.take(), 0)
    record.reset(1)
    assert sorted(row.message for row in record.exceptions()) == ["'prepare'", "'user'"]


def test_many_series_fit() -> None:
    """Rows grow with the names; each keeps its own counts."""
    record = RunRecord()
    for start in (0, 300):
        record.add(measure(*((str(number), 0.001 * (1 + number), None, None) for number in range(start, start + 300))))
    record.add(measure(("450", 2.0, 1.0, None)))
    views = {view.name: view for view in record.series()}
    assert len(views) == 600
    assert all(0.001 * (1 + int(name)) == pytest.approx(view.response_time.min_s) for name, view in views.items())
    assert views["450"].service_time.count == Histogram.of([0.451, 2.0]).count
    assert views["450"].response_time.max_s == 3.0


def test_the_dictionary_is_json_and_whole() -> None:
    """The dictionary is complete, survives JSON, and its histograms can be read back."""
    record = sample_record()
    record.delivery = Delivery(0.5, (Missing(3, 2, 1.0, None),), 4, 5)
    read = json.loads(json.dumps(record_dict.as_dict(record), allow_nan=False))
    assert (read["run_id"], read["started_at"], read["duration_s"]) == ("r1", "2023-11-14T22:13:20.250+00:00", 2)
    assert read["configuration"] == {"profile": "quick"}
    assert read["delivery"]["missing"][0] == {"worker": 3, "deltas": 2, "start_s": 1.0, "end_s": None}
    a = next(view for view in read["series"] if view["name"] == "a")
    assert 4 == a["requests"] == a["response_time"]["count"]
    again = Histogram.from_bytes(base64.b64decode(a["response_time"]["histogram"]))
    assert again == next(view for view in record.series() if view.name == "a").response_time
    assert [point["requests"] for point in read["timeline"]] == [3, 2]
    assert read["scenarios"][0]["schedule_lag"]["max_s"] == 0.5


def test_an_empty_record_is_a_record() -> None:
    """Without requests every figure exists, as 0 or None, and can be read."""
    record = RunRecord()
    total = record.total()
    assert (total.requests, record.duration_s, record.completeness) == (0, 0, 1.0)
    assert math.isnan(total.response_time.quantile(0.5))
    assert (
        json.loads(json.dumps(record_dict.as_dict(record), allow_nan=False))["total"]["response_time"]["p50_s"] is None
    )


def test_what_is_missing_reads_as_a_sentence() -> None:
    """A gap has worker and interval; an unannounced end is called that."""
    assert str(Missing(2, 3, 10.0, 13.0)) == "worker 2: 3 interval(s) missing, from 10 s to 13 s"
    assert str(Missing(0, 1, 4.2, None)) == "worker 0: 1 interval(s) missing, from 4 s to its unannounced end"


def test_exceptions_have_the_times_at_which_they_were_seen() -> None:
    """Each distinct exception has its count, and its first and last time; a reset removes them."""
    record = RunRecord(started_at=1000.5)
    for second in (3, 8):
        recorder = Recorder()
        recorder.add_exception("other", KeyError("a"))
        recorder.begun("shop")[len] += 2
        recorder.idle("shop")[len] += 1
        record.add(recorder.take(), second)
    [row] = record.exceptions()
    assert (row.occurrences, row.first_seen, row.last_seen) == (2, 1003, 1008)
    assert str(row) == "KeyError: 'a' at ?:0 in ?"
    assert (record.tasks, record.idle) == ({("shop", "len"): 4}, {("shop", "len"): 2})
    record.reset(9)
    assert (record.exceptions(), record.tasks, record.idle) == ([], {}, {})


def test_set_up_is_recorded_apart_from_the_load() -> None:
    """A request of on_start is in no count, percentile, error or second of the load, but in a separate record."""
    recorder = Recorder()
    recorder.series("s", "GET", "page").success(0.0, 0.0, 0.010, 1)
    login = recorder.series("s", "POST", "login", SETUP)
    login.success(0.0, 0.0, 5.0, 1)
    login.failure(0.0, 0.0, 6.0, 1, "status_5xx", "status 500")
    record = RunRecord()
    later = record.since(2)
    for second in (1, 2):
        record.add(unpack([PackedMeasurements.of(recorder.take())]) if second == 1 else measure(), second)
    assert (record.requests, record.failures, record.errors()) == (1, 0, [])
    assert record.total().response_time.max_s == pytest.approx(0.010)
    assert [point.requests for point in record.timeline] == [1, 0]
    assert (record.setup.requests, record.setup.failures, later.setup) == (2, 1, None)
    found = json.loads(json.dumps(record_dict.as_dict(record)))["setup"]
    assert [(one["name"], one["requests"]) for one in found["series"]] == [("login", 2)]
    assert [(one["name"], one["message"]) for one in found["errors"]] == [("login", "status 500")]
