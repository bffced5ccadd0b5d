"""Steps: the section with the iterations, the transactions and the checks of a scenario.

Tested in tests/unit/reporting/test_run_page.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadtest.measuring.labels import CHECK, ITERATION, TRANSACTION
from loadtest.reporting import page
from loadtest.reporting.document import iterations, met
from loadtest.reporting.page import section, text
from loadtest.reporting.sections.names import time_cells, time_text
from loadtest.reporting.sections.thresholds import tag, thresholds_on

if TYPE_CHECKING:
    from loadtest.reporting.document import Document


def html(document: Document) -> str:
    """Return the iterations, the transactions and the checks, with the thresholds on each; empty without any."""
    transactions, checks = document.get("transactions", ()), document.get("checks", ())
    timed = [_step_row(document, one, TRANSACTION, time_cells(one)) for one in transactions]
    judged = [_step_row(document, one, CHECK, f"<td class='n'>{met(one)}</td>") for one in checks]
    heads = ("transaction", "made", "failed", "p50 ms", "p95 ms", "p99 ms", "max ms", "thresholds")
    body = _iterations(document)
    body += page.table("Transactions", heads, timed) if timed else ""
    body += page.table("Checks", ("check", "made", "failed", "met", "thresholds"), judged) if judged else ""
    hint = "measured in addition to the requests, and in none of their figures"
    return section("steps", "Iterations, transactions and checks", body, hint) if body else ""


def _iterations(document: Document) -> str:
    """Return the durations of each scenario's iterations, their lags, and how many were dropped."""
    scenarios = iterations(document)
    alone = len(scenarios) == 1
    rows = [
        f"<tr><th scope='row'>{page.name(one['name'])}</th><td class='n'>{one['made']:,}</td>"
        f"<td class='n'>{one['dropped']:,}</td>{time_cells(one)}"
        f"<td class='n'>{time_text(one['schedule_lag'], 'p99_s')}</td>"
        f"<td class='thresholds'>{_judged(thresholds_on(document, one, ITERATION, alone=alone))}</td></tr>"
        for one in scenarios
    ]
    heads = ("iterations of", "made", "dropped", "p50 ms", "p95 ms", "p99 ms", "max ms", "lag p99 ms", "thresholds")
    return page.table("Iterations", heads, rows) if rows else ""


def _step_row(document: Document, one: dict[str, Any], phase: str, figures: str) -> str:
    alone = len(document["transactions" if phase == TRANSACTION else "checks"]) == 1
    on_it = thresholds_on(document, one, phase, alone=alone)
    return (
        f"<tr data-name='{text(phase)} {text(one['name'])}'>"
        f"<th scope='row'>{page.name(one['name'])}</th><td class='n'>{one['made']:,}</td>"
        f"<td class='n'>{one['failures']:,}</td>{figures}<td class='thresholds'>{_judged(on_it)}</td></tr>"
    )


def _judged(thresholds: list[dict[str, Any]]) -> str:
    outcomes = (f"{tag(one)} <code>{text(one['rule'])}</code> {text(one['worded'])}" for one in thresholds)
    return "<br>".join(outcomes) or "-"
