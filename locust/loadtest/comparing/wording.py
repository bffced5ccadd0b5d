"""Wording: the figures of a comparison as people read them, the same in terminal, page and comment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadtest.comparing.comparison import CONFIDENCE, ERROR_MARGIN_SHARE, Comparison, Difference, Finding
from loadtest.progress import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.comparing.blocked_run import Name

HEADS: Final = {
    "throughput": "throughput",
    "error_ratio": "errors",
    "p50": "p50",
    "p95": "p95",
    "p99": "p99",
}
SENTENCES: Final = {
    Finding.WORSE: "Worse: at least one request got worse by more than the margin.",
    Finding.BETTER: "Better: at least one request got better by more than the margin, and none got worse.",
    Finding.SAME: "The same: every difference is within the margin.",
    Finding.CANNOT_TELL: "Nothing is known to be worse, but not everything can be told: too few, or too restless.",
}


def label(name: Name) -> str:
    """Return a request name with its method."""
    return f"{name.method} {name.name}".strip()


def value(difference: Difference, figure: float | None) -> str:
    """Return a figure in its metric's unit."""
    if figure is None:
        return "-"
    if difference.metric == "throughput":
        return f"{figure:,.1f}/s"
    if difference.metric == "error_ratio":
        return f"{figure:.2%}"
    return f"{milliseconds(figure)} ms"


def change(difference: Difference, figure: float | None) -> str:
    """Return a change: relative, or in percentage points."""
    if figure is None:
        return "-"
    return f"{100 * figure:+.2f} points" if difference.metric == "error_ratio" else f"{figure:+.1%}"


def interval(difference: Difference) -> str:
    """Return the interval of the change; empty without one."""
    if difference.low is None or difference.high is None:
        return ""
    return f"{change(difference, difference.low)} to {change(difference, difference.high)}"


def sentence(name: Name, difference: Difference) -> str:
    """Return one difference in a line."""
    return (
        f"{label(name)}: {HEADS[difference.metric]} {difference.finding.value}, "
        f"{value(difference, difference.base)} → {value(difference, difference.new)}, "
        f"{change(difference, difference.change)} ({interval(difference)})"
    )


def decided(comparison: Comparison, *findings: Finding) -> Iterator[tuple[Name, Difference]]:
    """Return the differences with one of these findings."""
    for name in comparison.names:
        for difference in name.differences:
            if difference.finding in findings:
                yield name.name, difference


def method(comparison: Comparison) -> str:
    """Return how the comparison was made, in a sentence."""
    base_s, new_s = comparison.stretch_s
    points = comparison.margin * ERROR_MARGIN_SHARE * 100
    return (
        f"{comparison.tests} intervals, all of them right at once with {CONFIDENCE:.0%}; "
        f"margin {comparison.margin:.1%}, for error ratios {points:.2g} points; "
        f"stretches of up to {base_s} s and {new_s} s resampled"
    )
