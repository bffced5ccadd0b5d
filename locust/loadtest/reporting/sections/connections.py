"""Connections: the sections with the phases of connections, and with the ids of traces.

Tested in tests/unit/reporting/test_run_page.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadtest.measuring.labels import CONNECT, CONNECTION_PHASES, DNS, RECEIVING, TLS, WAITING
from loadtest.progress import counted, milliseconds
from loadtest.reporting import page
from loadtest.reporting.page import moment, section, text
from loadtest.reporting.sections.names import time_text

if TYPE_CHECKING:
    from loadtest.reporting.document import Document, Times

MAX_TRACES: Final = 100
"""The maximum number of rows in the table of traces: failures first, then the slowest."""
_CONNECTION_PHASES: Final = {
    DNS: "name lookup",
    CONNECT: "TCP",
    TLS: "TLS",
    WAITING: "waiting for the first byte",
    RECEIVING: "receiving the rest",
}


def html(document: Document) -> str:
    """Return how long opening connections took, by host; empty if none was opened."""
    rows = [
        f"<tr><th scope='row'>{page.name(one['host'])}</th><td>{_CONNECTION_PHASES[phase]}</td>"
        f"<td class='n'>{one[phase]['count']:,}</td>{_phase(one[phase])}</tr>"
        for one in document.get("connections", ())
        for phase in CONNECTION_PHASES
        if one[phase]
    ]
    table = page.table("Connections", ("host", "phase", "count", "p50 ms", "p95 ms", "max ms"), rows)
    peak = document.get("connections_peak")
    sentence = f"<p>At most {counted(peak, 'connection')} of all users were open at a time.</p>" if peak else ""
    hint = "of new connections, and of responses in several parts, including the set-up"
    return section("connections", "Connections", sentence + table, hint) if rows else ""


def _phase(times: Times) -> str:
    cells = (time_text(times, figure) for figure in ("p50_s", "p95_s", "max_s"))
    return "".join(f"<td class='n'>{cell}</td>" for cell in cells)


def traces(document: Document) -> str:
    """Return the trace ids of slow and failed requests; empty if none was traced."""
    rows = [
        f"<tr><th scope='row'>{text(one['method'])} {page.name(one['name'])}</th>"
        f"<td>{text(one['error_class'] or 'success')}</td><td class='n'>{milliseconds(one['response_time_s'])}</td>"
        f"<td>{moment(one['seen'])}</td><td><code>{text(one['trace_id'])}</code></td></tr>"
        for one in sorted(document.get("traces", ()), key=lambda one: one["error_class"] is None)[:MAX_TRACES]
    ]
    table = page.table("Traces", ("name", "outcome", "response time ms", "seen", "trace id"), rows)
    return section("traces", "Traces", table, "the slowest of each name and outcome") if rows else ""
