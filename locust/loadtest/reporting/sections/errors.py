"""Errors: the section with the failed requests by class and name, and the exceptions of the scenario.

Tested in tests/unit/reporting/test_run_page.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadtest.reporting import page
from loadtest.reporting.page import moment, section, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.reporting.document import Document

MAX_ERRORS: Final = 100
"""The maximum number of rows in the table of errors: one per class and name, with its most frequent message."""


def html(document: Document) -> str:
    """Return the failed requests and the exceptions."""
    if not document["total"]["failures"]:
        return section("errors", "Errors", "<p class='quiet'>No request failed.</p>" + _exceptions(document))
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for error in document["errors"]:
        groups.setdefault((error["error_class"], f"{error['method']} {error['name']}"), []).append(error)
    ordered = sorted(groups.items(), key=lambda group: -sum(error["occurrences"] for error in group[1]))
    rows = [
        f"<tr><th scope='row'>{page.name(name)}</th><td>{text(error_class)}</td>"
        f"<td class='n'>{sum(error['occurrences'] for error in errors):,}</td>"
        f"<td class='message'>{text(max(errors, key=lambda error: error['occurrences'])['message'])}</td>"
        f"<td>{moment(min(error['first_seen'] for error in errors))}</td>"
        f"<td>{moment(max(error['last_seen'] for error in errors))}</td></tr>" + _samples(errors)
        for (error_class, name), errors in ordered[:MAX_ERRORS]
    ]
    heads = ("name", "class", "count", "message", "first seen", "last seen")
    hint = f"the {MAX_ERRORS} most frequent" if len(ordered) > MAX_ERRORS else "with their most frequent messages"
    body = page.table("Errors by class", heads, rows)
    return section("errors", "Errors", body + _exceptions(document), hint)


def _samples(errors: Sequence[dict[str, Any]]) -> str:
    """Return the kept failed exchanges of one class and name, folded, as a row of their table."""
    kept = [one["evidence"] for one in errors if one.get("evidence")]
    if not kept:
        return ""
    shown = "".join(
        f"<pre>{text(one['request'])}</pre><pre class='answer'>{text(one['answer'] or 'no answer')}</pre>"
        for one in kept
    )
    folded = f"<details><summary>Request and response</summary>{shown}</details>"
    return f"<tr class='sample'><td colspan='6'>{folded}</td></tr>"


def _exceptions(document: Document) -> str:
    """Return the exceptions in the scenario's code; empty if there are none."""
    rows = [
        f"<tr><th scope='row'>{text(row['exception'])}</th><td>{text(row['place'])}</td>"
        f"<td class='n'>{row['occurrences']:,}</td><td class='message'>{text(row['message'])}</td>"
        f"<td>{moment(row['first_seen'])}</td><td>{moment(row['last_seen'])}</td></tr>"
        for row in document.get("exceptions", ())[:MAX_ERRORS]
    ]
    heads = ("exception", "raised at", "count", "message", "first seen", "last seen")
    return f"<h3>Exceptions of the scenario</h3>{page.table('Exceptions', heads, rows)}" if rows else ""
