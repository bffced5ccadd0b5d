"""Blocks: each series in a bounded number of blocks, by which two runs are compared."""

import numpy as np
import pytest

from loadtest.exceptions import RecordError
from loadtest.measuring import blocks
from loadtest.measuring.blocks import Blocks, BlockTable
from loadtest.measuring.measurements import Measurements
from loadtest.measuring.recorder import Recorder


def measured(**requests: int) -> Measurements:
    """Requests of a millisecond each, by name; the last of each name fails."""
    recorder = Recorder()
    for name, count in requests.items():
        series = recorder.series("shop", "GET", name)
        for _ in range(count - 1):
            series.success(0.0, 0.0, 0.001, 10)
        series.failure(0.0, 0.0, 1.0, 0, "closed", "gone")
    return recorder.take()


def add(made: Blocks, second: int, rows: list[int], measurements: Measurements) -> None:
    """Add measurements with their response times."""
    totals = np.stack((measurements.requests, measurements.failures))
    made.add(second, np.array(rows), totals, measurements.response_time)


def table_of(made: Blocks, rows: list[int]) -> BlockTable:
    """Return the table that is read back from them."""
    return BlockTable.of(made.table(rows).as_dict())


def test_counts_are_kept_by_second_and_series() -> None:
    """Requests, failures and response times are read back by block and series."""
    made = Blocks()
    add(made, 0, [0, 1], measured(a=3, b=2))
    add(made, 2, [1], measured(b=5))
    table = table_of(made, [0, 1])
    assert table.counts.T.tolist() == [[0, 0, 3, 1], [0, 1, 2, 1], [2, 1, 5, 1]]
    assert table.response_time.T[:, [0, 1, 3]].tolist() == [
        [0, 0, 2],
        [0, 0, 1],
        [0, 1, 1],
        [0, 1, 1],
        [2, 1, 4],
        [2, 1, 1],
    ]


def test_a_second_that_comes_again_is_added() -> None:
    """Late counts of a second are added to the existing ones."""
    made = Blocks()
    add(made, 1, [0], measured(a=3))
    add(made, 1, [0], measured(a=4))
    table = table_of(made, [0])
    assert table.counts.T.tolist() == [[1, 0, 7, 2]]
    assert table.response_time[3].tolist() == [5, 2]


def test_long_runs_get_wider_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the maximum number of blocks their width doubles, and nothing is lost."""
    monkeypatch.setattr(blocks, "MAX_BLOCKS", 10)
    made = Blocks()
    for second in range(75):
        add(made, second, [0], measured(a=2))
    table = table_of(made, [0])
    assert (made.width_s, int(table.counts[2].sum()), int(table.response_time[3].sum())) == (8, 150, 150)
    assert table.counts[0].tolist() == list(range(10))


def test_many_bins_get_wider_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the maximum number of filled bins the width doubles, too."""
    monkeypatch.setattr(blocks, "MAX_ENTRIES", 8)
    made = Blocks()
    for second in range(8):
        add(made, second, [0], measured(a=2))
    assert (made.width_s, table_of(made, [0]).counts[2].tolist()) == (2, [2 * 2] * 4)


def test_damaged_blocks_are_refused() -> None:
    """Invalid base 64 is named."""
    with pytest.raises(RecordError, match="blocks are damaged"):
        BlockTable.of({"width_s": 1, "counts": "%", "response_time": ""})


@pytest.mark.parametrize("widened", ["whole", "part"])
def test_a_part_and_the_rest_are_on_the_blocks_of_all(widened: str) -> None:
    """The last of 4 and of 6 requests failed, after a second; either may have got blocks wider than a second."""
    whole, failed = Blocks(), Blocks()
    for second, count in ((0, 4), (3, 6)):
        one = measured(a=1, b=count)
        totals = np.stack((one.requests, one.failures))
        whole.add(second, np.array([1, 0]), totals, one.response_time)
        assert one.failure_time is not None
        failed.add(second, np.array([1, 0]), totals, one.failure_time)
    {"whole": whole, "part": failed}[widened]._widen()
    every, part = whole.table([0, 1]), failed.table([0, 1])
    rest, own = every.without(part), every.of_part(part)
    assert [(one.width_s, sorted(set(one.counts[0].tolist()))) for one in (rest, own)] == [(2, [0, 1])] * 2
    assert rest.response_time[[0, 1, 3]].T.tolist() == [[0, 0, 3], [1, 0, 5]]
    assert sorted(own.response_time[[0, 1, 3]].T.tolist()) == [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
