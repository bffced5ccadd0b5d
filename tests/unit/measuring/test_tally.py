"""Sparse histograms by row against dense ones."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadtest.measuring.histogram import Histogram
from loadtest.measuring.tally import _COMPACT_ABOVE, Binned, SparseHistograms, Tally

durations = st.one_of(st.floats(-1.0, 5000.0), st.just(math.nan))
slices = st.lists(st.tuples(st.integers(0, 20), st.lists(durations, min_size=1, max_size=20)), max_size=12)


def fill(tally: Tally, samples: list[tuple[int, list[float]]]) -> None:
    """Add samples as the recorder does: (row, durations)."""
    if samples:
        rows, values = zip(*samples, strict=True)
        lengths = np.array([len(one) for one in values])
        tally.add_values(np.array(rows), lengths, np.concatenate([np.array(one) for one in values]))


def row_of(sparse: SparseHistograms, row: int) -> Histogram:
    """One row, dense."""
    start = int(sparse.lengths[:row].sum())
    own = slice(start, start + int(sparse.lengths[row]))
    one = SparseHistograms(
        sparse.lengths[row : row + 1], sparse.bins[own], sparse.counts[own], sparse.moments[:, [row]]
    )
    return one.merged()


@given(st.lists(slices, max_size=4))
def test_rows_hold_the_histograms_of_their_samples(parts: list[list[tuple[int, list[float]]]]) -> None:
    """However samples come in, each row taken out equals the histogram of that row's samples."""
    tally = Tally()
    expected = [Histogram() for _ in range(21)]
    for part in parts:
        fill(tally, part)
        for row, values in part:
            expected[row].add_many(np.array(values))
    taken = tally.take(np.arange(21))
    assert [row_of(taken, row) for row in range(21)] == expected
    assert taken.counts_per_row().tolist() == [one.count for one in expected]


@given(st.lists(st.tuples(*[st.lists(durations, min_size=1, max_size=5)] * 2), min_size=1, max_size=5))
def test_kinds_binned_at_once_are_told_apart(columns: list[tuple[list[float], list[float]]]) -> None:
    """Several kinds of durations that are binned in one pass come out as if each had been binned by itself."""
    kinds = list(zip(*columns, strict=True))
    parts = [np.array(part) for kind in kinds for part in kind]
    binned = Binned.of(np.concatenate(parts), np.array([len(part) for part in parts]))
    rows = np.arange(len(columns))
    for kind, own in zip(kinds, binned.split(len(rows)), strict=True):
        tally = Tally()
        tally.add_binned(rows, own)
        taken = tally.take(rows)
        assert [row_of(taken, row) for row in range(len(rows))] == [Histogram.of(part) for part in kind]


@given(slices, slices, st.permutations(range(21)))
def test_sparse_rows_add_up(one: list, other: list, places: list[int]) -> None:
    """Adding taken rows to another tally, at other places, adds up their samples."""
    first, second, total = Tally(), Tally(), Tally()
    fill(first, one)
    fill(second, other)
    rows = np.arange(21)
    total.add_sparse(np.array(places), first.take(rows))
    total.add_sparse(rows, second.take(rows))
    expected = [Histogram() for _ in range(21)]
    for row, values in one:
        expected[places[row]].add_many(np.array(values))
    for row, values in other:
        expected[row].add_many(np.array(values))
    taken = total.take(rows)
    assert [row_of(taken, row) for row in range(21)] == expected


def test_two_rows_may_go_to_one() -> None:
    """Rows that fold into the same row are added up."""
    tally, total = Tally(), Tally()
    fill(tally, [(0, [0.1, 0.2]), (1, [0.1])])
    total.add_sparse(np.array([3, 3]), tally.take(np.arange(2)))
    assert row_of(total.take(np.arange(4)), 3) == Histogram.of([0.1, 0.2, 0.1])


def test_taking_starts_afresh() -> None:
    """What was taken is not taken again."""
    tally = Tally()
    fill(tally, [(2, [0.5, -1.0])])
    assert tally.take(np.arange(3)).count == 1
    assert [row_of(tally.take(np.arange(3)), row) for row in range(3)] == [Histogram()] * 3


def test_waiting_samples_are_bounded() -> None:
    """Uncompacted samples never exceed their bound, however many come before a take."""
    tally = Tally()
    for _ in range(40):
        tally.add_values(np.array([0]), np.array([8_192]), np.full(8_192, 0.001))
        assert tally._single_count <= _COMPACT_ABOVE
    assert tally.take(np.arange(1)).count == 40 * 8_192


def test_no_rows_merge_to_an_empty_histogram() -> None:
    """The merge of no rows is the empty histogram."""
    assert SparseHistograms.empty(0).merged() == Histogram()
    assert SparseHistograms.empty(3).merged() == Histogram()
