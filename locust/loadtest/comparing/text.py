"""Text: a comparison in words and on the terminal; its page uses the same words.

Tested in tests/unit/comparing/test_comparison.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from loadtest.comparing.comparison import CONFIDENCE, ERROR_MARGIN_SHARE, Comparison, Conclusion, Difference
from loadtest.progress import milliseconds
from loadtest.reporting.console_table import ConsoleTable, print_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from loadtest.comparing.blocked_run import Name

HEADINGS: Final = {"throughput": "throughput", "error_ratio": "errors", "p50": "p50", "p95": "p95", "p99": "p99"}
SENTENCES: Final = {
    Conclusion.WORSE: "Worse: at least one request got worse by more than the margin.",
    Conclusion.BETTER: "Better: at least one request got better by more than the margin, and none got worse.",
    Conclusion.SAME: "The same: every difference is within the margin.",
    Conclusion.INCONCLUSIVE: "Inconclusive: nothing is known to be worse, but there were too few requests or too much "
    "noise to be sure.",
}
_STYLES: Final = {
    Conclusion.WORSE: "bold red",
    Conclusion.BETTER: "bold green",
    Conclusion.SAME: "",
    Conclusion.INCONCLUSIVE: "dim",
}
_MARKS: Final = {
    Conclusion.WORSE: "✗",
    Conclusion.BETTER: "✓",
    Conclusion.SAME: "=",
    Conclusion.INCONCLUSIVE: "?",
}


def show(comparison: Comparison, console: Console) -> None:
    """Print a row for each request name, a line for each clear difference, and the conclusion."""
    title = f"{comparison.base} → {comparison.new}"
    table = ConsoleTable(title, ("request",), (*HEADINGS.values(), "verdict"))
    for name in comparison.names:
        cells = [Text(_cell(one), style=_STYLES[one.conclusion]) for one in name.differences]
        conclusion = name.conclusion
        table.add_row((label(name.name),), (*cells, Text(conclusion.value, style=_STYLES[conclusion])))
    console.print(table)
    for name_of, difference in clear(comparison):
        console.print(Text(sentence(name_of, difference), style=_STYLES[difference.conclusion]))
    for note in comparison.notes:
        print_line(console, "note", note)
    print_line(console, "marks", "✗ worse, ✓ better, = the same, ? inconclusive: too few requests or too much noise")
    print_line(console, "method", method(comparison))
    print_line(console, "comparison", comparison.conclusion.value)


def _cell(difference: Difference) -> str:
    return f"{change(difference, difference.change).removesuffix(' points')} {_MARKS[difference.conclusion]}"


def label(name: Name) -> str:
    """Return a request name with its method."""
    return f"{name.method} {name.name}".strip()


def value(difference: Difference, figure: float | None) -> str:
    """Return a figure in the unit of its metric."""
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
        f"{label(name)}: {HEADINGS[difference.metric]} {difference.conclusion.value}, "
        f"{value(difference, difference.base)} → {value(difference, difference.new)}, "
        f"{change(difference, difference.change)} ({interval(difference)})"
    )


def clear(comparison: Comparison) -> Iterator[tuple[Name, Difference]]:
    """Yield the differences that are better or worse."""
    for name in comparison.names:
        for difference in name.differences:
            if difference.conclusion in {Conclusion.WORSE, Conclusion.BETTER}:
                yield name.name, difference


def method(comparison: Comparison) -> str:
    """Return how the comparison was made, in a sentence."""
    base_s, new_s = comparison.stretch_s
    points = comparison.margin * ERROR_MARGIN_SHARE * 100
    return (
        f"{comparison.tests} intervals, simultaneous at {CONFIDENCE:.0%} confidence; "
        f"margin {comparison.margin:.1%}, for error ratios {points:.2g} points; "
        f"resampled in stretches of up to {base_s} s and {new_s} s"
    )
