"""From requests to counts, and how the recorder replaces Locust's listener."""

import math

import gevent
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.measuring import labels
from loadtest.measuring import series as measuring_series
from loadtest.measuring.histogram import Histogram
from loadtest.measuring.labels import SeriesKey
from loadtest.measuring.measurements import FURTHER_MESSAGES, MAX_MESSAGES, Measurements
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_dict import as_dict
from loadtest.measuring.recorder import FOLD_LEAST, FOLD_PAYS, FOLD_SLICE, SERIES_SLICE, Recorder
from loadtest.measuring.tallies import leads_nowhere
from tests.event_loop import looks_at_sockets


def series_of(measured: Measurements) -> dict[SeriesKey, int]:
    """Requests by series."""
    return dict(zip(measured.series, measured.requests.tolist(), strict=True))


def test_a_request_is_counted_with_its_three_times() -> None:
    """Response time runs from the intended start, service time from the send; schedule lag is the difference."""
    counts = Recorder()
    series = counts.series("documents", "GET", "documents/read")
    series.success(10.0, 10.25, 11.0, 123)
    taken = counts.take()
    assert series_of(taken) == {SeriesKey("documents", "GET", "documents/read"): 1}
    assert taken.response_time.total() == Histogram.of([1.0])
    assert taken.service_time.total() == Histogram.of([0.75])
    assert taken.schedule_lag.total() == Histogram.of([0.25])
    assert taken.scenarios == ("documents",)
    assert taken.response_bytes.tolist() == [123]
    assert taken.failures.tolist() == [0]


def test_no_failure_leaves_evidence_where_none_is_kept() -> None:
    """It is counted all the same, and evidence is not even made."""
    counts = Recorder()
    counts.keep_evidence(False)
    counts.series("s", "GET", "n").failure(1.0, 1.0, 2.0, 0, "check", "no", lambda: pytest.fail("it is made"))
    (error,) = counts.take().errors
    assert (error.occurrences, error.evidence) == (1, None)


def test_a_request_without_an_intended_start_has_no_lag() -> None:
    """When the intended start is the send, response and service time are equal, and there is no lag to count."""
    counts = Recorder()
    sent = 10.0
    counts.series("s", "GET", "n").success(sent, sent, 10.5, 0)
    taken = counts.take()
    assert taken.service_time is None
    assert taken.response_time.total() == Histogram.of([0.5])
    assert taken.schedule_lag.count == 0


def test_a_send_before_the_intended_start_is_not_late() -> None:
    """A request sent early has lag 0, and its response time is its service time."""
    counts = Recorder()
    counts.series("s", "GET", "n").success(10.5, 10.25, 11.0, 0)
    taken = counts.take()
    assert Histogram.of([0.75]) == taken.response_time.total() == taken.service_time.total()
    assert taken.schedule_lag.total() == Histogram.of([0.0])


sample = st.tuples(
    st.integers(0, 4),
    st.one_of(st.none(), st.floats(0.0, 3.0)),
    st.floats(0.0, 10.0),
    st.integers(0, 1 << 40),
    st.booleans(),
)


@given(st.lists(st.lists(sample, max_size=40), max_size=5))
def test_no_sample_is_lost_or_counted_twice(takes: list[list[tuple[int, float | None, float, int, bool]]]) -> None:
    """Whatever is recorded between takes, all takes together have each sample exactly once."""
    counts = Recorder()
    response, service, lag = Histogram(), Histogram(), Histogram()
    taken_response, taken_service, taken_lag = Histogram(), Histogram(), Histogram()
    totals = np.zeros(3, np.int64)
    expected = np.zeros(3, np.int64)
    for samples in takes:
        for name, late, duration, size, failed in samples:
            series = counts.series("s", "GET", str(name))
            intended = 1000.0
            sent = intended if late is None else intended + late
            end = sent + duration
            if failed:
                series.failure(intended, sent, end, size, "timeout_read", "slow")
            else:
                series.success(intended, sent, end, size)
            response.add(end - sent if late is None else (sent - intended) + (end - sent))
            service.add(end - sent)
            if late is not None:
                lag.add(sent - intended)
            expected += (1, failed, size)
        taken = counts.take()
        taken_response.merge(taken.response_time.total())
        taken_service.merge((taken.service_time or taken.response_time).total())
        taken_lag.merge(taken.schedule_lag.total())
        totals += [column.sum() for column in (taken.requests, taken.failures, taken.response_bytes)]
        assert sum(error.occurrences for error in taken.errors) == taken.failures.sum()
    assert totals.tolist() == expected.tolist()
    assert (taken_response, taken_service, taken_lag) == (response, service, lag)
    assert not counts.take()


def test_a_fold_is_bounded_by_count() -> None:
    """No slice folds more than its bound, however much is waiting, and all slices together fold everything."""
    counts = Recorder()
    quick, late = counts.series("s", "GET", "quick"), counts.series("s", "GET", "late")
    for _ in range(3 * FOLD_SLICE):
        quick.success(1.0, 1.0, 1.5, 1)
        late.success(1.0, 1.25, 1.5, 1)
    slices = 0
    more = True
    while more:
        before = counts.waiting()
        more = counts.fold_slice()
        assert before - counts.waiting() <= 2 * FOLD_SLICE  # a late sample is two numbers
        slices += 1
    assert counts.waiting() == 0
    assert slices >= 6
    assert counts.take().requests.sum() == 6 * FOLD_SLICE


def test_a_fold_is_bounded_by_series() -> None:
    """With many names a slice folds only some of them, and all slices together fold all."""
    counts = Recorder()
    for number in range(3 * SERIES_SLICE):
        counts.series("s", "GET", str(number)).success(1.0, 1.0, 1.5, 1)
    waiting = []
    while counts.fold_slice():
        waiting.append(counts.waiting())
    assert waiting == [2 * SERIES_SLICE, SERIES_SLICE]
    assert counts.take().requests.sum() == 3 * SERIES_SLICE


def test_one_series_is_folded_in_pieces() -> None:
    """A series with more samples of both kinds than fit into a slice is folded in pieces, none beyond the bound."""
    counts = Recorder()
    series = counts.series("s", "GET", "n")
    for _ in range(FOLD_SLICE + 10):
        series.success(1.0, 1.0, 1.5, 1)
        series.success(1.0, 1.25, 1.5, 1)
    waiting = [counts.waiting()]
    while counts.fold_slice():
        waiting.append(counts.waiting())
    assert waiting == [3 * (FOLD_SLICE + 10), 2 * FOLD_SLICE + 30, 40]
    taken = counts.take()
    assert 2 * (FOLD_SLICE + 10) == taken.response_time.count == taken.service_time.count
    assert taken.schedule_lag.count == FOLD_SLICE + 10


def test_a_fold_folds_all_that_waited() -> None:
    """However badly the series fit into slices, one fold leaves nothing behind."""
    counts = Recorder()
    for number in range(6):
        series = counts.series("s", "GET", str(number))
        for _ in range(FOLD_SLICE // 2 + 1):  # no two fit into a slice
            series.success(1.0, 1.0, 1.5, 1)
    counts.fold()
    assert counts.waiting() == 0


def test_taking_amid_a_fold_takes_everything() -> None:
    """Samples of series that a fold in progress has already passed are taken too."""
    counts = Recorder()
    for number in range(2 * SERIES_SLICE):
        counts.series("s", "GET", str(number)).success(1.0, 1.0, 1.5, 1)
    assert counts.fold_slice()
    counts.series("s", "GET", "0").success(1.0, 1.0, 1.5, 1)
    assert counts.take().requests.sum() == 2 * SERIES_SLICE + 1


def test_folding_early_waits_until_it_pays() -> None:
    """Few samples, or those of many names, wait for the end of the second; many samples are folded immediately."""
    counts = Recorder()
    quick, other = counts.series("s", "GET", "quick"), counts.series("s", "GET", "other")
    other.success(1.0, 1.0, 1.5, 1)
    counts.fold_early()
    assert counts.waiting() == 1
    for _ in range(2 * FOLD_PAYS):
        quick.success(1.0, 1.0, 1.5, 1)
    counts.fold_early()
    assert counts.waiting() == 1 + 2 * FOLD_PAYS
    for _ in range(FOLD_LEAST):
        quick.success(1.0, 1.0, 1.5, 1)
    counts.fold_early()
    assert counts.waiting() == 0


def test_a_fold_gives_way_between_slices() -> None:
    """Arrived data is read between the slices of a long fold."""
    counts = Recorder()
    series = counts.series("s", "GET", "n")
    for _ in range(5 * FOLD_SLICE):
        series.success(1.0, 1.0, 1.5, 1)
    with looks_at_sockets() as looks:
        gevent.spawn(counts.fold).join()
    assert not counts.waiting()
    assert len(looks) >= 4


@pytest.mark.parametrize("bad_end", [0.5, math.nan])
def test_an_impossible_duration_is_refused_and_the_request_counted(bad_end: float) -> None:
    """A negative duration or NaN is not in the times, but the request is counted."""
    counts = Recorder()
    counts.series("s", "GET", "n").success(1.0, 1.0, bad_end, 0)
    taken = counts.take()
    assert taken.requests.tolist() == [1]
    assert (taken.response_time.count, taken.response_time.total().refused) == (0, 1)


def test_names_beyond_the_cap_count_as_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap, undeclared names count as other, so that memory is bounded, and totals stay exact."""
    monkeypatch.setattr(labels, "MAX_SERIES", 3)
    monkeypatch.setattr(labels, "MAX_OTHER_SERIES", 1)
    monkeypatch.setattr(measuring_series, "_LOOKED_UP", 6)
    counts = Recorder()
    for number in range(10):
        counts.series("s", "GET", f"/user/{number}").success(1.0, 1.0, 2.0, 1)
        counts.series("s", "PUT", f"/user/{number}").success(1.0, 1.0, 2.0, 1)
    taken = series_of(counts.take())
    assert sum(taken.values()) == 20
    kept = {SeriesKey("s", method, f"/user/{n}") for method, n in (("GET", 0), ("PUT", 0), ("GET", 1))}
    assert kept < set(taken)
    assert taken[SeriesKey("s", "PUT", "other")] == 9
    assert taken[SeriesKey("other", "other", "other")] == 8
    assert len(counts._by_key) == len(counts._series) == 5
    assert len(counts.by_labels) <= 6


def test_error_messages_are_bounded() -> None:
    """Distinct messages beyond the cap are counted as one, long ones are truncated, addresses are left out."""
    counts = Recorder()
    series = counts.series("s", "GET", "n")
    for number in range(MAX_MESSAGES + 50):
        series.failure(1.0, 1.0, 2.0, 0, "exception", f"order {number} of <Thing at 0x7f{number:x}>" + "x" * 400)
    errors = counts.take().errors
    assert sum(error.occurrences for error in errors) == MAX_MESSAGES + 50
    assert next(error.occurrences for error in errors if error.message == FURTHER_MESSAGES) == 50
    assert all(len(error.message) <= measuring_series.MAX_MESSAGE_CHARS for error in errors)
    assert errors[0].message.startswith("order 0 of <Thing at 0x…>x")


def test_an_error_message_holds_no_secret_of_a_url() -> None:
    """The library requests puts the URL into its messages, and a scenario may do so, too."""
    counts = Recorder()
    said = "Max retries exceeded with url: /x?access_token=hunter2 (Caused by a port)"
    counts.series("s", "GET", "n").failure(1.0, 1.0, 2.0, 0, "connect", said)
    counts.add_exception("s", ValueError("http://user:hunter2@host"))
    taken = counts.take()
    assert "hunter2" not in f"{taken.errors} {taken.exceptions}"
    assert taken.errors[0].message == said.replace("hunter2", "***")


def test_an_unknown_error_class_counts_as_other() -> None:
    """The label ``class`` has a fixed vocabulary."""
    counts = Recorder()
    counts.series("s", "GET", "n").failure(1.0, 1.0, 2.0, 0, "my own class", "x")
    assert [error.error_class for error in counts.take().errors] == ["other"]


def test_dropped_iterations_are_counted_by_scenario() -> None:
    """Iterations that never began are counted once, by scenario."""
    counts = Recorder()
    counts.drop_iterations("a")
    counts.drop_iterations("b", 5)
    taken = counts.take()
    assert dict(zip(taken.scenarios, taken.dropped.tolist(), strict=True)) == {"a": 1, "b": 5}
    assert not counts.take()


def test_an_attribute_of_the_scenario_is_no_phase() -> None:
    """A user may have its own attribute `phase`; its requests are load."""
    recorder = Recorder()
    recorder.on_request("GET", "page", 1.0, 0, user=type("Shopper", (), {"phase": "checkout"})())
    recorder.series("shop", "GET", "page", "checkout").success(1.0, 1.0, 1.1, 0)
    assert {key.phase for key in recorder.take().series} == {"load"}


@pytest.mark.parametrize(
    ("place", "expected"), [("", True), ("/a", True), ("/b", False), ("http://[", False), ("['/a', '/b']", False)]
)
def test_a_redirect_that_is_not_followed_leads_nowhere_or_to_another_place(place: str, expected: bool) -> None:
    """An invalid URL counts as another place, and the request is not lost."""
    assert leads_nowhere(302, (), "http://127.0.0.1/a", place) is expected


def test_phases_of_connections_are_no_requests_and_bounded() -> None:
    """They are kept by scenario and host, the first hosts separately; none is in a figure of requests, or a tally."""
    counts, record = Recorder(), RunRecord()
    series = counts.series("shop", "GET", "buy")
    series.tally(labels.DNS, "shop.example:443", 0.5)
    for number in range(labels.MAX_HOSTS + 5):
        series.tally(labels.CONNECT, "shop.example:443" if number == 0 else f"{number}.example:80", 0.25)
    series.success(1.0, 1.0, 2.0, 3)
    record.add(counts.take(), 0)
    (shop, *others) = as_dict(record)["connections"]
    assert (record.requests, record.tallies()) == (1, [])
    assert [shop[name] for name in ("scenario", "host", "tls")] == ["shop", "shop.example:443", None]
    assert [shop[phase]["max_s"] for phase in ("dns", "connect")] == [0.5, 0.25]
    assert len(others) == labels.MAX_HOSTS
    assert others[-1]["host"] == "other"
    assert others[-1]["connect"]["count"] == 5
