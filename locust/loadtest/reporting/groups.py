"""Groups: sums of request names that are equal up to their last slash, which the report folds.

Tested in tests/unit/reporting/test_document.py and test_run_page.py.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from loadtest.measuring.histogram import Histogram
from loadtest.measuring.record_dict import histogram_dict

if TYPE_CHECKING:
    from collections.abc import Sequence

    Series = dict[str, Any]

GROUPED_FROM: Final = 10
"""The minimum number of names that form a group."""


def of(series: Sequence[Series]) -> list[Series]:
    """Return the sums of the groups, each with the indices of its members; empty if folding would gain little."""
    groups: dict[str, list[int]] = {}
    for number, one in enumerate(series):
        groups.setdefault(prefix(one), []).append(number)
    if len(series) < GROUPED_FROM or not 1 < len(groups) <= len(series) // 2:
        return []
    return [_sum(name, members, [series[one] for one in members]) for name, members in sorted(groups.items())]


def prefix(series: Series) -> str:
    """Return the common prefix of the names of a group; empty without a slash."""
    return str(series["name"]).rpartition("/")[0]


def _sum(name: str, numbers: list[int], members: Sequence[Series]) -> Series:
    summed: Series = {"prefix": name, "members": numbers}
    for figure in ("requests", "failures", "response_bytes", "request_bytes"):
        summed[figure] = sum(one.get(figure, 0) for one in members)
    for times in ("response_time", "service_time"):
        merged = Histogram()
        for one in members:
            merged.merge(Histogram.from_bytes(base64.b64decode(one[times]["histogram"])))
        summed[times] = histogram_dict(merged)
    return summed
