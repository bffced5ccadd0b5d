"""All workers' measurements of a second in one."""

from hypothesis import given
from hypothesis import strategies as st

from loadtest.measuring.accumulator import Accumulator
from loadtest.measuring.labels import Labels
from loadtest.measuring.measurements import Measurements
from loadtest.measuring.merging import DenseTally, Merger
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.wire import PackedMeasurements

requests = st.lists(
    st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.floats(0.0, 9.0)), st.floats(-1.0, 5000.0)), max_size=20
)


def measured(samples: list[tuple[str, float | None, float]]) -> Measurements:
    """What a recorder counts of requests: name, lateness, duration."""
    recorder = Recorder()
    for name, late, duration in samples:
        sent = 5000.0 if late is None else 5000.0 + late
        recorder.series("shop", "GET", name).success(5000.0, sent, sent + duration, 7)
    return recorder.take()


def figures(record: RunRecord) -> tuple:
    """All that a record counted."""
    views = [
        (view.name, view.requests, view.response_bytes, view.response_time, view.service_time)
        for view in sorted(record.series(), key=lambda view: view.name)
    ]
    return views, record.schedule_lag, record.dropped


@given(st.lists(requests, max_size=4))
def test_merged_at_once_is_merged_one_by_one(contents: list[list]) -> None:
    """Sorted or counted densely, the workers' measurements add up exactly, second after second."""
    labels = Labels()
    merger, dense = Merger(labels), Accumulator(DenseTally)
    one_by_one, at_once, densely = (RunRecord(labels=labels) for _ in range(3))
    for second in (contents, contents[:1]):
        packed = [PackedMeasurements.of(measured(content)) for content in second]
        for one in packed:
            one_by_one.add(one.unpacked())
            dense.add(one.unpacked(), labels.rows(one.series), labels.scenario_rows(one.scenarios))
        at_once.add(merger.merge(packed))
        densely.add(dense.take(labels.keys, labels.scenarios))
    assert figures(one_by_one) == figures(at_once) == figures(densely)


def test_nothing_is_merged_to_nothing() -> None:
    """A second in which no worker reported holds no series."""
    assert not Merger(Labels()).merge([])


def test_series_come_once_and_in_order() -> None:
    """However the workers name them, and however many they are, the merged series follow the labels."""
    labels = Labels()
    merger = Merger(labels)
    packed = [PackedMeasurements.of(measured([(name, None, 1.0) for name in names])) for names in ("ab", "ca", "c")]
    for times in (1, 500, 1, 500):
        merged = merger.merge(packed * times)
        assert [key.name for key in merged.series] == ["a", "b", "c"]
        assert merged.requests.tolist() == [2 * times, times, 2 * times]
        assert merged.response_time.counts.tolist() == [2 * times, times, 2 * times]
