"""History page: the changes of each history, and each changed figure over its runs as a strip; it has no scripts.

Tested in tests/unit/comparing/test_changes.py.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from loadtest.comparing import text as words
from loadtest.comparing.changes import ChangedRun, History, series_of
from loadtest.comparing.page import TONES
from loadtest.reporting import page
from loadtest.reporting.page import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.comparing.run_figures import Figure
    from loadtest.estimating.blocked_run import Name

_WIDTH: Final = 1_000
_HEIGHT: Final = 70
_EDGE: Final = 6
_SAME: Final = "vector-effect='non-scaling-stroke'"
"""Dots and lines are as thick on a phone as on a screen."""
_DOT: Final = f"stroke='var(--seven)' stroke-width='4' stroke-linecap='round' {_SAME}"
MOST_STRIPS: Final = 60
"""The most strips of a history; the changes are listed all the same."""


def html(histories: Sequence[History]) -> str:
    """Return the page."""
    sections = "".join(_history(history, number) for number, history in enumerate(histories))
    body = f"""<header class="top"><div class="wrap"><h1>Changes over time</h1></div></header>
<main id="main" class="wrap">{sections or "<p>There are no runs.</p>"}</main>
<footer><div class="wrap">In each strip a dot is a run, a line the level between two changes. docs/comparing.md explains
the method.</div></footer>"""
    return page.whole("Changes over time", body)


def _history(history: History, number: int) -> str:
    items = "".join(_changed(one) for one in history.changed)
    figures: dict[tuple[Name, str], None] = {
        (name, difference.metric): None for one in history.changed for name, difference in one.changes
    }
    series = series_of(history.runs)
    strips = "".join(_strip(history, *which, *series[which]) for which in list(figures)[:MOST_STRIPS])
    hint = words.of_history(history)
    return (
        f"<section aria-labelledby='history-{number}'><h2 id='history-{number}'>{text(history.key)} "
        f"<small>{text(hint)}</small></h2>{f'<ul>{items}</ul>' if items else ''}{strips}</section>"
    )


def _changed(one: ChangedRun) -> str:
    tone = "bad" if one.is_worse else "good"
    sentences = "".join(
        f"<li>{text(words.sentence(name, difference))}</li>" for name, difference in one.changes[: words.MOST_CHANGES]
    )
    further = words.further(one)
    more = f"<li class='quiet'>{text(further)}</li>" if further else ""
    return f"<li><span class='tag {tone}'>{text(words.between(one))}</span><ul>{sentences}{more}</ul></li>"


def _strip(history: History, name: Name, metric: str, places: list[int], figures: list[Figure]) -> str:
    """Return the drawing of a figure over all runs, with its levels and change points."""
    values = [value if metric == "error_ratio" else math.exp(value) for value, _ in figures]
    low, high = min(values), max(values)

    def x(place: float) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * place / max(1, len(history.runs) - 1)

    def y(value: float) -> float:
        return _EDGE + (_HEIGHT - 2 * _EDGE) * ((high - value) / (high - low) if high > low else 0.5)

    starts = {run.run_id: place for place, run in enumerate(history.runs)}
    own = [
        (starts[one.first.run_id], difference)
        for one in history.changed
        for changed, difference in one.changes
        if (changed, difference.metric) == (name, metric)
    ]
    limits = [places[0], *(place for place, _ in own), places[-1] + 1]
    levels = [own[0][1].base, *(difference.new for _, difference in own)]
    lines = "".join(
        f"<line x1='{x(start):.1f}' x2='{x(stop - 1):.1f}' y1='{y(level):.1f}' y2='{y(level):.1f}' "
        f"stroke='var(--one)' stroke-width='2' {_SAME}/>"
        for (start, stop), level in zip(pairwise(limits), levels, strict=True)
        if level is not None
    )
    marks = "".join(
        f"<line x1='{x(place - 0.5):.1f}' x2='{x(place - 0.5):.1f}' y1='0' y2='{_HEIGHT}' "
        f"stroke='var(--{TONES[difference.conclusion]})' stroke-dasharray='3' {_SAME}/>"
        for place, difference in own
    )
    dots = "".join(
        f"<path d='M{x(place):.1f} {y(value):.1f}h0' {_DOT}/>" for place, value in zip(places, values, strict=True)
    )
    title = f"{words.label(name)}: {words.HEADINGS[metric]}"
    ends = f"{words.value(own[0][1], low)} to {words.value(own[0][1], high)}"
    return (
        f"<figure><figcaption>{text(title)} <small>{text(ends)}</small></figcaption>"
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' width='100%' height='{_HEIGHT}' preserveAspectRatio='none' role='img' "
        f"aria-label='{text(title)}'>"
        f"{marks}{dots}{lines}</svg></figure>"
    )
