"""Threshold: the parts of a rule, and the format of a value next to it."""

import pytest

from loadtest.judging.threshold import Threshold
from loadtest.judging.threshold_parser import parse


def rule(text: str) -> Threshold:
    """Return the only rule of a text."""
    (only,) = parse(text, "here")
    return only


def test_percentiles_are_the_decimals_that_they_look_like() -> None:
    """p99.9 is exactly the quantile 0.999, which is the 999th of 1000 samples."""
    assert [rule(f"{p} < 1s").quantile for p in ("p99.9", "p0", "p100", "p50.0")] == [0.999, 0.0, 1.0, 0.5]
    assert rule("mean < 1s").quantile is None


def test_comparisons_hold_as_they_read() -> None:
    """A value equal to the limit meets <= and >=, but not < and >."""
    kept = {sign: [rule(f"requests {sign} 5").holds(value) for value in (4, 5, 6)] for sign in ("<", "<=", ">", ">=")}
    expected = {
        "<": [True, False, False], "<=": [True, True, False], ">": [False, False, True], ">=": [False, True, True]
    }  # fmt: skip
    assert kept == expected


def test_values_are_worded_in_the_units_of_the_tables() -> None:
    """A value is shown in the unit of the rule, and a time always in milliseconds."""
    values = [("p99 < 50ms", 0.0612), ("error_ratio < 1%", 0.0123), ("requests_per_s > 9/s", 8.5), ("requests > 9", 8)]
    values += [("max < 1us", 0.3104), ("max < 1s", 1.23456)]
    assert [rule(text).format(value) for text, value in values] == [
        "61.2ms",
        "1.23%",
        "8.5/s",
        "8",
        "310.4ms",
        "1235ms",
    ]


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("check_ratio >= 100%", 0.9999996, "99.99996%"),
        ("error_ratio < 1%", 0.0099999, "0.99999%"),
        ("p95 < 100ms", 0.1, "100ms"),
        ("p95 < 0.3s", 0.3, "300ms"),
        ("requests_per_s > 12345/s", 12345.4, "12345.4/s"),
        ("requests_per_s > 9/s", 12345.4, "12345/s"),
        ("p99 < 50ms", float("inf"), "infms"),
    ],
)
def test_a_value_is_never_rounded_onto_its_limit(text: str, value: float, expected: str) -> None:
    """The displayed value is on the same side of the limit as the outcome; the limit itself is shown unchanged."""
    assert rule(text).format(value) == expected
