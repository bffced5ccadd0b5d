"""Histograms in rows, compared with single histograms."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.measuring import histogram_table
from loadtest.measuring.histogram import Histogram
from loadtest.measuring.histogram_table import DenseHistogramTable, HistogramTable, grown

ROWS = np.arange(21)

durations = st.one_of(st.floats(-1.0, 5000.0), st.just(math.nan))
Samples = list[tuple[int, list[float]]]
samples = st.lists(st.tuples(st.integers(0, 20), st.lists(durations, min_size=1, max_size=20)), max_size=12)


def parts_of(content: Samples) -> list[tuple[np.ndarray, HistogramTable]]:
    """A table of single durations, with its rows, as the recorder makes it."""
    if not content:
        return []
    rows, values = zip(*content, strict=True)
    lengths = np.array([len(one) for one in values])
    return [(np.array(rows), HistogramTable.of(np.concatenate([np.array(one) for one in values]), lengths))]


def table_of(content: Samples) -> HistogramTable:
    """A merged table of 21 rows."""
    return HistogramTable.merge(parts_of(content), ROWS)


def expected_of(content: Samples, places: list[int] | None = None) -> list[Histogram]:
    """The rows' histograms, one by one, each at its place."""
    expected = [Histogram() for _ in ROWS]
    for row, values in content:
        expected[row if places is None else places[row]].add_many(np.array(values))
    return expected


def rows_of(table: HistogramTable | DenseHistogramTable) -> list[Histogram]:
    """Every row of a table."""
    return [table.row(row) for row in range(len(ROWS))]


def sum_of(histograms: list[Histogram]) -> Histogram:
    """All histograms in one."""
    total = Histogram()
    for histogram in histograms:
        total.merge(histogram)
    return total


@pytest.fixture(scope="module", params=[math.inf, 0], ids=["dense", "sparse"], autouse=True)
def _storage(request: pytest.FixtureRequest) -> Iterator[None]:
    """Merge by adding all bins, or by sorting the filled ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histogram_table, "_DENSE_BELOW", request.param)
        yield


@given(st.lists(samples, max_size=4))
def test_rows_hold_the_histograms_of_their_samples(contents: list[Samples]) -> None:
    """However samples are added, each row of the sum equals the histogram of that row's samples."""
    merged = HistogramTable.merge([part for content in contents for part in parts_of(content)], ROWS)
    expected = expected_of([sample for content in contents for sample in content])
    assert rows_of(merged) == expected
    assert merged.total() == sum_of(expected)
    assert merged.counts_per_row().tolist() == [one.count for one in expected]
    assert merged.count == sum(one.count for one in expected)
    assert merged.is_empty == (not any(one.count or one.refused for one in expected))


@given(st.lists(st.tuples(*[st.lists(durations, min_size=1, max_size=5)] * 2), min_size=1, max_size=5))
def test_a_table_is_split_by_rows(columns: list[tuple[list[float], list[float]]]) -> None:
    """Several kinds of durations binned in one pass equal those binned separately."""
    kinds = list(zip(*columns, strict=True))
    parts = [np.array(part) for kind in kinds for part in kind]
    table = HistogramTable.of(np.concatenate(parts), np.array([len(part) for part in parts]))
    split = table.split(len(columns))
    assert [[own.row(row) for row in range(len(columns))] for own in split] == [
        [Histogram.of(part) for part in kind] for kind in kinds
    ]


@given(samples, samples, st.permutations(range(21)))
def test_merged_tables_add_up(one: Samples, other: Samples, places: list[int]) -> None:
    """Tables, the first at other rows, and single durations add up to all samples."""
    parts = [(np.array(places), table_of(one)), (ROWS, table_of(other)), *parts_of(other)]
    expected = expected_of(one, places)
    for row, histogram in enumerate(expected_of(other + other)):
        expected[row].merge(histogram)
    assert rows_of(HistogramTable.merge(parts, ROWS)) == expected


def test_only_the_rows_that_are_asked_for_come() -> None:
    """The rows of the sum are selected by their numbers, in ascending order."""
    merged = HistogramTable.merge(parts_of([(9, [0.1]), (3, [0.2, 0.2])]), np.array([3, 9, 15]))
    assert [merged.row(row) for row in range(3)] == [Histogram.of([0.2, 0.2]), Histogram.of([0.1]), Histogram()]


def test_two_rows_may_go_to_one() -> None:
    """Rows that fold into the same row are added up."""
    merged = HistogramTable.merge([(np.array([3, 3]), table_of([(0, [0.1, 0.2]), (1, [0.1])]).split(2)[0])], ROWS)
    assert merged.row(3) == Histogram.of([0.1, 0.2, 0.1])


def test_counts_too_high_to_be_sorted_with_their_keys_add_up() -> None:
    """Counts of more than 31 bits are exact, too."""
    table = table_of([(0, [0.1]), (2, [0.1, 0.3])])
    huge = HistogramTable(table.lengths, table.bins, table.counts << 40, table.summaries)
    merged = HistogramTable.merge([(ROWS, huge), (ROWS, table)], ROWS)
    assert merged.counts.tolist() == [(1 << 40) + 1] * 3


@given(st.lists(samples, max_size=4))
def test_a_dense_table_holds_the_same(contents: list[Samples]) -> None:
    """Tables merged into a dense one, one by one, give the same rows and the same total."""
    dense = DenseHistogramTable()
    dense.grow(len(ROWS))
    for content in contents:
        dense.merge(table_of(content), ROWS)
    before = dense.copy()
    expected = expected_of([sample for content in contents for sample in content])
    assert (rows_of(dense), dense.total()) == (expected, sum_of(expected))
    dense.merge(table_of([(0, [0.1])]), ROWS)
    assert rows_of(before) == expected


def test_no_rows_are_an_empty_histogram() -> None:
    """The total of no rows, and of rows without samples, is the empty histogram."""
    totals = [HistogramTable.empty(0).total(), HistogramTable.empty(3).total(), DenseHistogramTable().total()]
    assert totals == [Histogram()] * 3


def test_arrays_grow_by_doubling() -> None:
    """An array that is long enough is returned itself, another one at least doubled, and filled with a value."""
    array = np.array([[1, 2], [3, 4]])
    assert grown(array, 2) is array
    assert grown(array, 3).tolist() == [[1, 2, 0, 0], [3, 4, 0, 0]]
    assert grown(array, 5, np.array([[7], [8]])).tolist() == [[1, 2, 7, 7, 7], [3, 4, 8, 8, 8]]
