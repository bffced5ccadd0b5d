"""Blocks: each series in blocks of bounded number, as two runs are compared by."""

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


def table_of(made: Blocks, rows: list[int]) -> BlockTable:
    """Return what is read back of them."""
    return BlockTable.of(made.table(rows).as_dict())


def test_counts_are_kept_by_second_and_series() -> None:
    """Requests, failures and response times are read back by block and series."""
    made = Blocks()
    made.add(0, np.array([0, 1]), measured(a=3, b=2))
    made.add(2, np.array([1]), measured(b=5))
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
    """Late counts of a second join those that are there."""
    made = Blocks()
    made.add(1, np.array([0]), measured(a=3))
    made.add(1, np.array([0]), measured(a=4))
    table = table_of(made, [0])
    assert table.counts.T.tolist() == [[1, 0, 7, 2]]
    assert table.response_time[3].tolist() == [5, 2]


def test_long_runs_get_wider_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound of blocks the width doubles, and nothing is lost."""
    monkeypatch.setattr(blocks, "MAX_BLOCKS", 10)
    made = Blocks()
    for second in range(75):
        made.add(second, np.array([0]), measured(a=2))
    table = table_of(made, [0])
    assert (made.width_s, int(table.counts[2].sum()), int(table.response_time[3].sum())) == (8, 150, 150)
    assert table.counts[0].tolist() == list(range(10))


def test_many_bins_get_wider_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound of filled bins the width doubles, too."""
    monkeypatch.setattr(blocks, "MAX_ENTRIES", 8)
    made = Blocks()
    for second in range(8):
        made.add(second, np.array([0]), measured(a=2))
    assert (made.width_s, table_of(made, [0]).counts[2].tolist()) == (2, [2 * 2] * 4)


def test_damaged_blocks_are_refused() -> None:
    """What is no base 64 of a table is named."""
    with pytest.raises(RecordError, match="blocks are damaged"):
        BlockTable.of({"width_s": 1, "counts": "%", "response_time": ""})
