"""Events counted in addition to the requests: from a series to the record, over the wire and back."""

import json

import pytest

from loadtest.exceptions import RecordError
from loadtest.measuring import record_dict
from loadtest.measuring.health import Health
from loadtest.measuring.measurements import MAX_TALLIES
from loadtest.measuring.packed import PackedMeasurements
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_rows import TallyRow
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.tallies import CONNECTION, LOOKUP, REDIRECT, SIZE, TALLIES, VERSION, TallyCount
from loadtest.measuring.wire import Delta


def test_tallies_come_with_the_requests_of_their_name() -> None:
    """The tally of a connection that was opened for a request waits until that request ends."""
    recorder = Recorder()
    series = recorder.series("shop", "GET", "buy")
    series.tally(CONNECTION, "10.0.0.7", 0.25)
    assert recorder.take().tallies == ()
    series.success(1.0, 1.0, 1.1, 1)
    assert recorder.take().tallies == (TallyCount(0, CONNECTION, "10.0.0.7", 1, 0.25),)
    assert recorder.take().tallies == ()


def test_tallies_of_workers_add_up_in_the_record_and_set_up_is_apart() -> None:
    """Tallies of several workers are sent over the wire and merged."""
    record = RunRecord()
    for _ in range(3):
        recorder = Recorder()
        recorder.series("shop", "POST", "pay").success(1.0, 1.0, 1.1, 1)  # so that places differ
        for phase in ("load", "setup"):
            series = recorder.series("shop", "GET", "buy", phase)
            series.success(1.0, 1.0, 1.1, 1)
            series.tally(REDIRECT)
            series.tally(LOOKUP, "shop.example", 0.5)
        packed = PackedMeasurements.of(recorder.take())
        delta = Delta("run", 1, 0.0, 1.0, False, {}, Health(), packed)
        record.add(Delta.from_bytes(delta.to_bytes()).packed.unpacked(), 0)
    expected = [
        TallyRow("shop", "GET", "buy", REDIRECT, "", 3, 0.0),
        TallyRow("shop", "GET", "buy", LOOKUP, "shop.example", 3, 1.5),
    ]
    assert (record.tallies(), record.setup.tallies()) == (expected, expected)
    assert [row["kind"] for row in json.loads(json.dumps(record_dict.as_dict(record)))["tallies"]] == [REDIRECT, LOOKUP]
    record.reset(1)
    assert record.tallies() == []


@pytest.mark.parametrize(
    "wrong", [(9, SIZE, "1", 1, 0.0), (0, "colour", "", 1, 0.0), (0, SIZE, "1", -1, 0.0), (0, SIZE, "1", 1, -1.0)]
)
def test_a_wrong_tally_is_refused(wrong: tuple) -> None:
    """A worker of another version, or a forged message, cannot fill the record."""
    recorder = Recorder()
    recorder.series("shop", "GET", "buy").success(1.0, 1.0, 1.1, 1)
    packed = PackedMeasurements.of(recorder.take())._replace(tallies=(TallyCount(*wrong),))
    with pytest.raises(RecordError):
        Delta.from_bytes(Delta("run", 1, 0.0, 1.0, False, {}, Health(), packed).to_bytes())


def test_details_are_bounded_and_none_is_lost() -> None:
    """A scenario may use any number of hosts."""
    recorder = Recorder()
    series = recorder.series("shop", "GET", "buy")
    series.success(1.0, 1.0, 1.1, 1)
    for number in range(MAX_TALLIES + 100):
        series.tally(LOOKUP, f"host{number}.example")
    tallies = recorder.take().tallies
    assert len(tallies) == MAX_TALLIES + 1
    assert sum(tally.times for tally in tallies) == MAX_TALLIES + 100


def test_only_new_extremes_of_sizes_are_counted_and_none_where_the_scenario_looks() -> None:
    """A request thus costs nothing more, and with `expect` or catch_response the advice to use them ends."""
    recorder = Recorder()
    series = recorder.series("shop", "GET", "buy")
    series.success(1.0, 1.0, 1.1, 1)
    for size_bytes in (100, 100, 90, 5_000, 200, 0):
        series.note_size(size_bytes)
    details = {tally.detail: tally.times for tally in recorder.take().tallies if tally.kind == SIZE}
    assert details == {"64": 2, "4096": 1, "1": 1}
    series.is_checked = True
    series.note_size(1_000_000)
    series.success(1.0, 1.0, 1.1, 1)
    assert recorder.take().tallies == ()
    assert SIZE in TALLIES


def test_versions_of_the_service_are_those_of_set_up_and_load() -> None:
    """Each is kept once, in order of appearance: either phase may open a connection."""
    recorder = Recorder()
    for phase, versions in (("load", ("2", "1", "2")), ("setup", ("1",))):
        series = recorder.series("shop", "GET", "buy", phase)
        series.success(1.0, 1.0, 1.1, 1)
        for version in versions:
            series.tally(VERSION, version)
    record = RunRecord()
    record.add(recorder.take(), 0)
    assert record_dict.as_dict(record)["service_versions"] == ["1", "2"]
