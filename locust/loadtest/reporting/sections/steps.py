"""Steps: the section with the transactions and the checks of a scenario.

Tested in tests/unit/reporting/test_run_page.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadtest.measuring.labels import CHECK, TRANSACTION
from loadtest.reporting import page
from loadtest.reporting.document import met
from loadtest.reporting.page import section, text
from loadtest.reporting.sections.names import time_cells
from loadtest.reporting.sections.rules import rules_on, tag

if TYPE_CHECKING:
    from loadtest.reporting.document import Document


def html(document: Document) -> str:
    """Return the transactions and the checks, with the thresholds on each; nothing where the scenario has none."""
    transactions, checks = document.get("transactions", ()), document.get("checks", ())
    timed = [
        _step_row(document, one, TRANSACTION, time_cells({**one, "requests": one["made"]})) for one in transactions
    ]
    judged = [_step_row(document, one, CHECK, f"<td class='n'>{met(one)}</td>") for one in checks]
    heads = ("transaction", "made", "failed", "p50 ms", "p95 ms", "p99 ms", "max ms", "thresholds")
    body = page.table("Transactions", heads, timed) if timed else ""
    body += page.table("Checks", ("check", "made", "failed", "met", "thresholds"), judged) if judged else ""
    hint = "measured in addition to the requests, and in none of their figures"
    return section("steps", "Transactions and checks", body, hint) if body else ""


def _step_row(document: Document, one: dict[str, Any], phase: str, figures: str) -> str:
    alone = len(document["transactions" if phase == TRANSACTION else "checks"]) == 1
    rules = rules_on(document, one, phase, alone=alone)
    judged = "<br>".join(f"{tag(rule)} <code>{text(rule['rule'])}</code> {text(rule['worded'])}" for rule in rules)
    return (
        f"<tr data-name='{text(phase)} {text(one['name'])}'>"
        f"<th scope='row'>{page.name(one['name'])}</th><td class='n'>{one['made']:,}</td>"
        f"<td class='n'>{one['failures']:,}</td>{figures}<td class='rules'>{judged or '-'}</td></tr>"
    )
