"""Streams: their counts are in figures of their own, and in no other."""

import math

import pytest

from loadtest.measuring import record_dict
from loadtest.measuring.labels import STREAM_PHASES, Labels
from loadtest.measuring.packed import PackedMeasurements, check, merge, summed
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.streams import StreamView
from tests.reports import stream


def recorder_of(*answers: tuple[str, str]) -> Recorder:
    """A recorder with streamed responses, by name and kind of end, and one request each."""
    recorder = Recorder()
    for name, ended_by in answers:
        stream(recorder, name, ended_by)
        recorder.series("documents", "GET", name).success(0.0, 0.0, 0.07, 50)
    return recorder


def test_phases_are_put_together_by_name() -> None:
    """After the wire, and merged from two workers, each figure of each name is exact."""
    packed = [
        PackedMeasurements.of(recorder_of(("a", "server"), ("b", "user")).take()),
        PackedMeasurements.of(recorder_of(("a", "timeout"), ("a", "server")).take()),
    ]
    check(packed)
    record = RunRecord()
    record.add(merge(packed, Labels()), 0)
    found = {view.name: view for view in record.streams()}
    assert found["a"].ended_by == {"server": 2, "user": 0, "timeout": 1, "error": 0}
    assert found["b"].ended_by == {"server": 0, "user": 1, "timeout": 0, "error": 0}
    a = found["a"]
    assert (a.first_byte.count, a.first_event.count, a.event_gap.count, a.events, a.response_bytes) == (3, 3, 6, 9, 150)
    assert a.pace_per_s == pytest.approx(100)
    assert a.first_event.quantile(0.5) == pytest.approx(0.05, rel=0.01)


def test_phases_are_in_no_figure_of_requests() -> None:
    """They are not in the record's totals, series, time line and blocks, nor in the master's sums for a worker."""
    measured = recorder_of(("a", "server"), ("b", "user")).take()
    assert summed([PackedMeasurements.of(measured)]) == [(2, pytest.approx(0.14))]
    record = RunRecord()
    record.add(measured, 0)
    assert (record.requests, record.total().response_bytes, record.setup) == (2, 100, None)
    assert [view.name for view in record.series()] == ["a", "b"]
    assert record.window(1).requests == 2
    assert [one["requests"] for one in record_dict.as_dict(record)["series"]] == [1, 1]
    assert {key.phase for key in record.labels.keys} - {"load"} <= {*STREAM_PHASES}


def test_a_reset_takes_streams_too_and_a_warm_up_leaves_them_out() -> None:
    """Streams behave like all other counts."""
    record = RunRecord()
    later = record.since(5)
    for second in (0, 5):
        record.add(recorder_of(("a", "server")).take(), second)
    assert (record.streams()[0].events, later.streams()[0].events) == (6, 3)
    record.reset(6)
    assert record.streams() == later.streams() == []


def test_names_can_be_added_up() -> None:
    """The sum counts the remaining names."""
    record = RunRecord()
    record.add(recorder_of(("a", "server"), ("b", "error")).take(), 0)
    both = StreamView("other", "other", "other")
    assert math.isnan(both.pace_per_s)
    for view in record.streams():
        both.add(view)
    assert (both.events, both.response_bytes) == (6, 100)
    assert both.ended_by == {"server": 1, "user": 0, "timeout": 0, "error": 1}
