"""Durations in settings."""

import pytest

from loadtest.settings.value_types import duration_s


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90.0), ("20s", 20.0), ("1m30s", 90.0), ("2h", 7200.0), ("1h1m1.5s", 3661.5), (" 5m ", 300.0)],
)
def test_duration_is_read(text: str, expected: float) -> None:
    """A duration may have the usual units."""
    assert duration_s(text) == expected


@pytest.mark.parametrize("text", ["", "abc", "-5s", "5x", "1s1m", "nan", "s"])
def test_duration_is_refused(text: str) -> None:
    """An invalid duration is not read as a number, either."""
    with pytest.raises(ValueError, match="not a duration"):
        duration_s(text)
