"""Strips: drawings of a figure over many runs, with its levels and the changes between them; they have no scripts.

Tested in tests/unit/comparing/test_changes.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadtest.reporting.page import text

if TYPE_CHECKING:
    from collections.abc import Mapping

_WIDTH: Final = 1_000
_HEIGHT: Final = 70
_EDGE: Final = 6
_SAME: Final = "vector-effect='non-scaling-stroke'"
"""Keeps dots and lines as thick on a phone as on a large screen."""
_DOT: Final = f"stroke='var(--seven)' stroke-width='4' stroke-linecap='round' {_SAME}"
_COLOURS: Final = {"worse": "var(--bad)", "better": "var(--good)"}


def changed(one: Mapping[str, Any]) -> str:
    """Return a list item with a change from `loadtest.comparing.trend`: between which runs which figures changed."""
    sentences = "".join(f"<li>{text(sentence)}</li>" for sentence in one["sentences"])
    tone = "bad" if one["is_worse"] else "good"
    return f"<li><span class='tag {tone}'>{text(one['between'])}</span><ul>{sentences}</ul></li>"


def html(strip: Mapping[str, Any]) -> str:
    """Return the drawing of a figure over all runs, from the result of `loadtest.comparing.trend.strip`."""
    values: list[float] = strip["values"]
    low, high, last = min(values), max(values), max(1, int(strip["runs"]) - 1)

    def x(place: float) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * place / last

    def y(value: float) -> float:
        return _EDGE + (_HEIGHT - 2 * _EDGE) * ((high - value) / (high - low) if high > low else 0.5)

    lines = "".join(
        f"<line x1='{x(start):.1f}' x2='{x(stop - 1):.1f}' y1='{y(level):.1f}' y2='{y(level):.1f}' "
        f"stroke='var(--one)' stroke-width='2' {_SAME}/>"
        for start, stop, level in strip["levels"]
    )
    marks = "".join(
        f"<line x1='{x(place - 0.5):.1f}' x2='{x(place - 0.5):.1f}' y1='0' y2='{_HEIGHT}' "
        f"stroke='{_COLOURS[finding]}' stroke-dasharray='3' {_SAME}/>"
        for place, finding in strip["changes"]
    )
    dots = "".join(
        f"<path d='M{x(place):.1f} {y(value):.1f}h0' {_DOT}/>"
        for place, value in zip(strip["places"], values, strict=True)
    )
    return (
        f"<figure><figcaption>{text(strip['title'])} <small>{text(strip['ends'])}</small></figcaption>"
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' width='100%' height='{_HEIGHT}' preserveAspectRatio='none' role='img' "
        f"aria-label='{text(strip['title'])}'>{marks}{dots}{lines}</svg></figure>"
    )
