"""Thresholds: the section with all thresholds, and the outcome of each in the form that other sections show.

Tested in tests/unit/reporting/test_run_page.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadtest.judging.metric import METRICS
from loadtest.reporting import page
from loadtest.reporting.document import outcome_of
from loadtest.reporting.page import section, text

if TYPE_CHECKING:
    from loadtest.reporting.document import Document

TONES: Final = {
    "passed": "good",
    "failed": "bad",
    "no data": "doubt",
    "not trustworthy": "doubt",
    "interrupted": "doubt",
}


def html(document: Document) -> str:
    """Return each threshold with its outcome and value."""
    rows = [
        f"<tr><th scope='row'><code>{page.name(one['rule'])}</code></th><td>{tag(one)}</td>"
        f"<td>{text(one['worded'])}</td><td>{text(one.get('spread') or '-')}</td></tr>"
        for one in document["thresholds"]
    ]
    if not rows:
        return section("thresholds", "Thresholds", "<p class='quiet'>This run had no thresholds.</p>")
    heads = ("threshold", "outcome", "value", "95 % interval")
    return section("thresholds", "Thresholds", page.table("Thresholds", heads, rows))


def tag(threshold: dict[str, Any]) -> str:
    """Return the outcome of a threshold, with its sentence as a tooltip."""
    tone, title = TONES.get(threshold["outcome"], "doubt"), f"{threshold['rule']}: {threshold['worded']}"
    return f"<span class='tag {tone}' title='{text(title)}'>{text(outcome_of(threshold))}</span>"


def thresholds_on(document: Document, one: dict[str, Any], phase: str, *, alone: bool = False) -> list[dict[str, Any]]:
    """Return the thresholds on this request, transaction or check only: those that name it; all, if it is alone."""
    return [
        threshold
        for threshold in document["thresholds"]
        if threshold["selector"].get("phase", METRICS[threshold["metric"]].phase) == phase
        and ("name" in threshold["selector"] or alone)
        and all(one.get(label, value) == value for label, value in threshold["selector"].items())
    ]
