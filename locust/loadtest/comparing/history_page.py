"""History page: the changes of each history, and a strip of each changed figure over its runs; it has no scripts.

Tested in tests/unit/comparing/test_changes.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadtest.comparing import text as words
from loadtest.comparing import trend
from loadtest.comparing.changes import History, series_of
from loadtest.reporting import page, strips
from loadtest.reporting.page import text

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_STRIPS: Final = 60
"""The maximum number of strips per history; all changes are listed in any case."""


def html(histories: Sequence[History]) -> str:
    """Return the page."""
    sections = "".join(_history(history, number) for number, history in enumerate(histories))
    body = f"""<header class="top"><div class="wrap"><h1>Changes over time</h1></div></header>
<main id="main" class="wrap">{sections or "<p>There are no runs with trustworthy figures.</p>"}</main>
<footer><div class="wrap">In each strip a dot is a run, a line the level between two changes. docs/comparing.md explains
the method.</div></footer>"""
    return page.whole("Changes over time", body)


def _history(history: History, number: int) -> str:
    items = "".join(strips.changed(trend.changed(one)) for one in history.changed)
    series, figures = series_of(history.runs), list(trend.changed_figures(history))[:MAX_STRIPS]
    drawings = "".join(strips.html(trend.strip(history, *which, series[which])) for which in figures)
    hint = words.of_history(history)
    return (
        f"<section aria-labelledby='history-{number}'><h2 id='history-{number}'>{text(history.key)} "
        f"<small>{text(hint)}</small></h2>{f'<ul>{items}</ul>' if items else ''}{drawings}</section>"
    )
