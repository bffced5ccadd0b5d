"""DuetPage: the difference between the two sides of a duet over time, for its comparison.html.

Tested in tests/unit/comparing/test_duet.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from loadtest.comparing import text as words
from loadtest.estimating.blocked_run import ALL
from loadtest.estimating.resampling import typical_ratios
from loadtest.reporting.page import text

if TYPE_CHECKING:
    from loadtest.estimating.blocked_run import BlockedRun, Name

MAX_STRIPS: Final = 20
"""The maximum number of names that are drawn: those with the most pairs."""
_WIDTH: Final = 1_000
_HEIGHT: Final = 90
_REACH: Final = 3.0  # the least range drawn on both sides of no difference, in margins


def over_time(ratios: BlockedRun, margin: float) -> str:
    """Return a section with a strip for each name; empty without pairs.

    Args:
        ratios: the pairs of a duet, as `BlockedRun.of_pairs` reads them.
        margin: relative.
    """
    counts = {name: series.times.sum() for name, series in ratios.series.items()}
    names = sorted((name for name, pairs in counts.items() if pairs), key=lambda name: (name != ALL, -counts[name]))
    if not names:
        return ""
    strips = "".join(_strip(ratios, name, margin) for name in names[:MAX_STRIPS])
    return (
        "<section aria-labelledby='over-time-title'><h2 id='over-time-title'>Over time <small>by how much the new "
        f"version took longer, by pairs; a dot for each {ratios.width_s} s, the band is the margin</small></h2>"
        f"{strips}</section>"
    )


def _strip(ratios: BlockedRun, name: Name, margin: float) -> str:
    series = ratios.series[name]
    measured = np.flatnonzero(series.times.sum(axis=1))
    values = typical_ratios(series.times[measured], series)
    reach = max(float(np.abs(values).max()), _REACH * math.log1p(margin))

    def y(value: float) -> float:
        return _HEIGHT / 2 * (1 - 0.95 * value / reach)

    band = math.log1p(margin)
    dots = "".join(
        f"<circle cx='{_WIDTH * (block + 0.5) / ratios.blocks:.1f}' cy='{y(value):.1f}' r='3' fill='var(--seven)'/>"
        for block, value in zip(measured.tolist(), values.tolist(), strict=True)
    )
    label = words.label(name)
    return (
        f"<figure><figcaption>{text(label)} <small>{math.expm1(-reach):+.1%} to {math.expm1(reach):+.1%}</small>"
        f"</figcaption><svg viewBox='0 0 {_WIDTH} {_HEIGHT}' width='100%' role='img' "
        f"aria-label='{text(label)}: difference over time'>"
        f"<rect x='0' width='{_WIDTH}' y='{y(band):.1f}' height='{y(-band) - y(band):.1f}' fill='var(--grid)'/>"
        f"<line x1='0' x2='{_WIDTH}' y1='{y(0):.1f}' y2='{y(0):.1f}' stroke='var(--line)'/>{dots}</svg></figure>"
    )
