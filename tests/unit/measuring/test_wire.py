"""The wire format of a delta."""

import struct
import zlib
from dataclasses import replace

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.exceptions import RecordError
from loadtest.measuring.evidence import Evidence
from loadtest.measuring.health import Health
from loadtest.measuring.labels import Labels
from loadtest.measuring.measurements import Accumulator, Measurements
from loadtest.measuring.packed import PackedMeasurements, Summed, merge, summed
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_rows import SeriesView
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.traces import Trace
from loadtest.measuring.wire import Delta

requests = st.lists(
    st.tuples(
        st.text(max_size=8),
        st.one_of(st.none(), st.floats(0.0, 5000.0)),
        st.floats(-1.0, 5000.0),
        st.integers(0, 1 << 50),
        st.booleans(),
    ),
    max_size=30,
)


COLUMNS = ("lengths", "bins", "counts", "summaries")


def measured(samples: list, dropped: int = 0) -> Measurements:
    """The recorder's measurements of these requests."""
    recorder = Recorder()
    for name, late, duration, size, failed in samples:
        series = recorder.series("scenario", "GET", name)
        intended = 5000.0
        sent = intended if late is None else intended + late
        if failed:
            series.failure(intended, sent, sent + duration, size, "reset", f"connection {name}")
        else:
            series.success(intended, sent, sent + duration, size, size // 3)
    if dropped:
        recorder.drop_iterations("scenario", dropped)
    return recorder.take()


def delta_of(measurements: Measurements) -> Delta:
    """A delta with this content."""
    return Delta(
        "run-1", 7, 12.5, 13.5, False, {"scenario": 3}, Health(cpu_ratio=0.5), PackedMeasurements.of(measurements)
    )


def asdict_of(view: SeriesView) -> tuple:
    """The content of a view, comparable."""
    return (
        view.name,
        view.requests,
        view.failures,
        view.response_bytes,
        view.request_bytes,
        dict(view.errors),
        view.response_time,
        view.service_time,
        view.failure_time,
    )


def same_arrays(one: Measurements, other: Measurements) -> bool:
    """Whether every array of two measurements is the same."""

    def flat(measurements: Measurements) -> list:
        times = (
            measurements.response_time,
            measurements.service_time,
            measurements.schedule_lag,
            measurements.failure_time,
        )
        arrays = [
            array
            for each in times
            if each is not None
            for array in (each.lengths, each.bins, each.counts, each.summaries)
        ]
        return [
            *arrays,
            measurements.requests,
            measurements.failures,
            measurements.response_bytes,
            measurements.request_bytes,
            measurements.dropped,
        ]

    return all(map(np.array_equal, flat(one), flat(other)))


@given(requests, st.integers(0, 1 << 33))
def test_a_delta_is_read_back_equal(samples: list, dropped: int) -> None:
    """Any measurements arrive unchanged."""
    content = measured(samples, dropped)
    sent = delta_of(content)
    read = Delta.from_bytes(sent.to_bytes())
    unpacked = read.packed.unpacked()
    assert (read.run, read.sequence, read.start_s, read.end_s) == (sent.run, sent.sequence, sent.start_s, sent.end_s)
    assert (read.final, read.users, read.health) == (sent.final, sent.users, sent.health)
    assert (unpacked.series, unpacked.errors, unpacked.scenarios) == (content.series, content.errors, content.scenarios)
    assert same_arrays(content, unpacked)
    assert (content.service_time is None) == (unpacked.service_time is None)
    assert (content.failure_time is None) == (unpacked.failure_time is None)
    assert bool(read.packed) == bool(content)


@given(st.lists(requests, max_size=4))
def test_many_are_merged_to_what_they_are_one_by_one(parts: list[list]) -> None:
    """Merged at once, second by second, the workers' measurements add up exactly."""
    one_by_one, at_once = RunRecord(), RunRecord()
    for second in (parts, parts[:1]):
        packed = [Delta.from_bytes(delta_of(measured(part)).to_bytes()).packed for part in second]
        for one in packed:
            one_by_one.add(one.unpacked())
        at_once.add(merge(packed, at_once.labels))
    assert [asdict_of(view) for view in at_once.series()] == [asdict_of(view) for view in one_by_one.series()]
    assert at_once.schedule_lag == one_by_one.schedule_lag
    assert at_once.dropped == one_by_one.dropped


def test_nothing_is_merged_to_nothing() -> None:
    """A second in which no worker reported has no series."""
    assert not merge([], Labels())


def test_merged_series_come_once_and_in_order() -> None:
    """However the workers name them, and however many there are, the merged series are in the order of their labels."""
    labels = Labels()
    contents = [[(name, None, 1.0, 7, False) for name in names] for names in ("ab", "ca", "c")]
    packed = [PackedMeasurements.of(measured(content)) for content in contents]
    for times in (1, 500, 1, 500):
        merged = merge(packed * times, labels)
        assert [key.name for key in merged.series] == ["a", "b", "c"]
        assert merged.requests.tolist() == [2 * times, times, 2 * times]
        assert merged.response_time.counts.tolist() == [2 * times, times, 2 * times]


def test_the_same_labels_are_the_same_object() -> None:
    """When a worker repeats a series, the master does not process its labels again."""
    data = delta_of(measured([("a", None, 1.0, 1, False)])).to_bytes()
    assert Delta.from_bytes(data).packed.series is Delta.from_bytes(data).packed.series


def test_a_delta_without_samples_is_small() -> None:
    """An idle worker sends well under 200 bytes a second."""
    assert len(delta_of(Accumulator().take()).to_bytes()) < 200


def test_damage_anywhere_is_an_error() -> None:
    """Whichever bit is flipped, and wherever the delta is cut, it is refused instead of counted wrongly."""
    data = delta_of(measured([("a", None, 1.0, 1, True), ("b", 0.25, 1.0, 1, False)])).to_bytes()
    for at in range(len(data)):
        with pytest.raises(RecordError):
            Delta.from_bytes(data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :])
        with pytest.raises(RecordError):
            Delta.from_bytes(data[:at])


def test_a_newer_delta_is_an_error_with_both_versions() -> None:
    """Workers and master of different releases get an error with both versions."""
    data = bytearray(delta_of(Accumulator().take()).to_bytes())
    data[2] = 8
    with pytest.raises(RecordError, match="version 8, this program reads up to 7; run the same release"):
        Delta.from_bytes(bytes(data))


def test_traces_travel_and_are_checked() -> None:
    """A trace arrives with its series; an invalid one, or one of an unknown series, is refused."""
    recorder = Recorder()
    for name in ("a", "b"):
        recorder.series("shop", "GET", name).success(0.0, 0.0, 0.5, 1)
    recorder.series("shop", "GET", "b").trace("ab" * 16, 0.0, 0.0, 0.5)
    taken = recorder.take()
    read = Delta.from_bytes(delta_of(taken).to_bytes()).packed.unpacked()
    assert read.traces == ((1, Trace("ab" * 16, 0.5, "")),)
    before = PackedMeasurements.of(measured([("c", None, 0.5, 1, False)]))
    both = merge([before, PackedMeasurements.of(taken)], Labels())
    assert [(both.series[series].name, trace.trace_id) for series, trace in both.traces] == [("b", "ab" * 16)]
    good = read.traces[0][1]
    for series, trace in (
        (2, good), (1, good._replace(trace_id="x")), (1, good._replace(response_s=-1.0)),
        (1, good._replace(error_class="mine")), (1, good._replace(seen=float("nan"))),
    ):  # fmt: skip
        with pytest.raises(RecordError, match="trace"):
            Delta.from_bytes(delta_of(replace(taken, traces=((series, trace),))).to_bytes())


def forged(change: object) -> bytes:
    """A delta with a valid checksum and a changed body."""
    data = delta_of(measured([("a", None, 1.0, 1, True)])).to_bytes()
    body = msgpack.unpackb(data[7:])
    change(body)
    packed = msgpack.packb(body)
    return struct.pack("<2sBI", b"LD", 1, zlib.crc32(packed)) + packed


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.pop(),
        lambda body: body[7].pop(),
        lambda body: body[7].__setitem__(1, body[7][1] + b"x"),
        lambda body: body[7].__setitem__(7, b""),
        lambda body: body[7][2].__setitem__(1, bytes((0xFF, 0xFF))),
        lambda body: body[7][2].__setitem__(0, body[7][2][0] * 2),
        lambda body: body[7][2].__setitem__(0, b"xyz"),
        lambda body: body[7][2].__setitem__(2, 3),
        lambda body: body[7][2].__setitem__(3, b""),
        lambda body: body[7][2].pop(),
        lambda body: body[7].__setitem__(4, [[9, "reset", "x", 1]]),
        lambda body: body[7].__setitem__(4, [[0, "reset", "x", -1]]),
        lambda body: body[7].__setitem__(4, [[0, "reset"]]),
        lambda body: body[7].__setitem__(4, [[0, "reset", "x", 1, ["sent"]]]),
        lambda body: body[7].__setitem__(4, [[0, "reset", "x", 1, ["sent", 1]]]),
        lambda body: body[7].__setitem__(4, [[0, "reset", "x", 1, ["sent", "x" * 2_001]]]),
        lambda body: body[7].__setitem__(0, msgpack.packb([["a", "b"]])),
        lambda body: body[7].__setitem__(0, b""),
        lambda body: body.__setitem__(6, [1.0] * 20),
    ],
)
def test_a_delta_that_contradicts_itself_is_an_error(change: object) -> None:
    """Even with a valid checksum, inconsistent content is refused."""
    with pytest.raises(RecordError, match="is damaged"):
        Delta.from_bytes(forged(change))


def test_evidence_arrives_once() -> None:
    """Of two workers with the same failure the first one's is kept, even if many are merged at once."""
    packed = []
    for worker in range(2):
        recorder = Recorder()
        shown = Evidence(f"sent by {worker}", "")
        recorder.series("shop", "GET", "a").failure(0.0, 0.0, 1.0, 0, "reset", "gone", lambda shown=shown: shown)
        packed.append(PackedMeasurements.of(recorder.take()))
    assert PackedMeasurements.from_wire(msgpack.unpackb(msgpack.packb(packed[0]))) == packed[0]
    merged = merge(packed, Labels())
    assert merged.errors == ((0, "reset", "gone", 2, Evidence("sent by 0", "")),)


def test_what_the_scenarios_code_did_arrives_whole() -> None:
    """Begun tasks and exceptions arrive, also alone in a delta, and merging two workers adds them up."""
    recorder = Recorder()
    recorder.begun("shop")[measured] += 3
    recorder.idle("shop")[measured] += 1
    recorder.on_user_error(None, KeyError("a"))
    packed = PackedMeasurements.of(recorder.take())
    assert bool(packed)
    assert PackedMeasurements.from_wire(msgpack.unpackb(msgpack.packb(packed))) == packed
    merged = merge([packed, packed], Labels())
    assert merged.tasks == (("shop", "measured", 6, 2),)
    assert merged.exceptions == (("other", "KeyError", "'a'", "?:0 in ?", True, 2),)


@pytest.mark.parametrize(
    ("tasks", "exceptions"),
    [
        ([("shop", "buy", -1)], []),
        ([("shop", 3, 1)], []),
        ([], [("shop", "KeyError", "x", "y", 1, 1)]),
        ([], [("shop", "KeyError", "x", "y", True, 2**70)]),
        ([], [("shop", "KeyError", None, "y", True, 1)]),
    ],
)
def test_impossible_counts_of_the_scenarios_code_are_refused(tasks: list, exceptions: list) -> None:
    """Values that cannot be added up are not counted."""
    wire = list(PackedMeasurements.of(Accumulator().take()))
    with pytest.raises((ValueError, TypeError)):
        PackedMeasurements.from_wire([*wire[:-2], tasks, exceptions])


def test_sums_are_each_workers_own_requests() -> None:
    """Several workers, some without a request, each have their number and seconds; a transaction is not a request."""
    nothing = PackedMeasurements.of(Recorder().take())
    one, two = Recorder(), Recorder()
    for _ in range(3):
        one.series("shop", "GET", "buy").success(1.0, 1.0, 1.5, 1)
    one.series("shop", "POST", "login", "setup").failure(1.0, 1.0, 3.0, 1, "status_5xx", "503")
    one.series("shop", "TRANSACTION", "checkout", "transaction").success(1.0, 1.0, 9.0, 0)
    two.series("shop", "GET", "buy").success(1.0, 1.0, 1.25, 1)
    first, last = PackedMeasurements.of(one.take()), PackedMeasurements.of(two.take())
    sums = summed([nothing, first, nothing, last])
    assert sums == [Summed(0, 0.0), Summed(4, pytest.approx(3.5)), Summed(0, 0.0), Summed(1, pytest.approx(0.25))]
    assert summed([nothing]) == [Summed(0, 0.0)]
