"""The numbering of series and scenarios. Its bounds are tested with the recorder, in test_recorder.py."""

import pytest

from loadtest.measuring.labels import MAX_LABEL_CHARS, MAX_SCENARIOS, OTHER, Labels, SeriesKey, readable


def test_a_series_keeps_its_row() -> None:
    """Rows are numbered in order of appearance and never change."""
    labels = Labels()
    keys = tuple(SeriesKey("shop", "GET", name) for name in "abca")
    assert labels.rows(keys).tolist() == [0, 1, 2, 0]
    assert labels.rows(keys[1:3]).tolist() == [1, 2]
    assert labels.rows(keys).tolist() == [0, 1, 2, 0]


def test_scenarios_are_bounded() -> None:
    """Scenarios beyond the cap share the row of ``other``."""
    labels = Labels()
    rows = labels.scenario_rows(tuple(f"scenario-{number}" for number in range(MAX_SCENARIOS + 5)))
    assert rows.tolist() == [*range(MAX_SCENARIOS), *[MAX_SCENARIOS] * 5]
    assert labels.scenarios[-1] == OTHER


@pytest.mark.parametrize(
    ("label", "expected"), [("documents/read", "documents/read"), ("\udc80é", "?é"), ("x" * 999, "x" * MAX_LABEL_CHARS)]
)
def test_labels_are_made_readable(label: str, expected: str) -> None:
    """A label is truncated, and invalid characters become question marks."""
    assert readable(label) == expected
