"""Charts: the sections that draw a run: over time, by load, one name, the distribution, and the trend of its history.

Tested in tests/unit/reporting/test_run_page.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.progress import clock, milliseconds
from loadtest.reporting import chart_data, page, strips
from loadtest.reporting.document import earlier_and_own, interval_ms
from loadtest.reporting.page import section, text
from loadtest.reporting.sections.thresholds import TONES

if TYPE_CHECKING:
    from loadtest.reporting.document import Document


def over_time(document: Document) -> str:
    """Return the load, the throughput, the errors and the times of each second, and the events."""
    if not document["timeline"]:
        return section("over-time", "Over time", "<p class='quiet'>Nothing was measured.</p>")
    marks = "".join(
        f"<li><b>{index}</b> {text(event['text'])} at <b>{clock(event['second'])}</b></li>"
        for index, event in enumerate(document["events"], 1)
    )
    events = f"<ol class='events' aria-label='Events'>{marks}</ol>" if marks else ""
    load = "Users" if _is_open(document) else "Users, actual and planned"
    charts = (
        _figure("chart-throughput", "Throughput", "requests per second")
        + _figure("chart-load", load, "running concurrently")
        + _figure("chart-errors", "Errors", "failed requests per second, by class")
        + _figure("chart-times", "Response time", "percentiles in milliseconds, where there are enough requests")
    )
    return section(
        "over-time", "Over time", charts + events, "drag to zoom, double-click to reset; as data in timeline.csv"
    )


def by_load(document: Document) -> str:
    """Return throughput and response time against the load; empty without requests."""
    if not document["total"]["requests"]:
        return ""
    load = "planned iterations/s" if _is_open(document) else "users"
    body = (
        "<div class='pair'>"
        + _figure("chart-capacity", "Throughput by load", f"requests/s by {load}", "load")
        + _figure("chart-latency", "Response time by throughput", "milliseconds by requests/s", "load")
        + "</div>"
    )
    return section("by-load", "By load", body, "a point for each second")


def one_name(document: Document) -> str:
    """Return the charts of a name that the reader selects; empty without requests."""
    if not document["total"]["requests"]:
        return ""
    body = (
        "<p><label>Name <select id='name-chosen'></select></label></p>"
        + _figure("chart-name-rate", "Throughput and errors", "per second", "name")
        + _figure(
            "chart-name-times", "Response time", "percentiles in milliseconds, where there are enough requests", "name"
        )
        + _figure("chart-name-bars", "Histogram", "requests by response time; the scale is logarithmic", "name")
    )
    return section(
        "one-name",
        "One name",
        body,
        f"all requests, or one of the {chart_data.MAX_NAMES} most frequent, or a transaction",
    )


def distribution(document: Document) -> str:
    """Return the distribution of response and service times; empty without requests."""
    if not document["total"]["requests"]:
        return ""
    hint = "milliseconds by percentile; both scales are logarithmic"
    body = (
        "<div class='toggles' id='names-shown' role='group' aria-label='Names shown'></div><div class='pair'>"
        + _figure("chart-response", "Response time", "from the intended start", "distribution")
        + _figure("chart-service", "Service time", "from the send", "distribution")
        + "</div>"
    )
    return section("distribution", "Distribution", body, hint)


def trend(document: Document) -> str:
    """Return this run together with earlier runs of its scenario and profile; empty if there are none."""
    body = _earlier(document) + _changes(document)
    hint = "the latest runs of this scenario and profile, this one last"
    return section("trend", "Trend", body, hint) if body else ""


def _earlier(document: Document) -> str:
    runs = earlier_and_own(document)
    rows = [
        f"<tr><th scope='row'>{number} {page.name(one['run_id'])}</th>"
        f"<td><span class='tag {TONES.get(one['verdict'], 'doubt')}'>{text(one['verdict'])}</span></td>"
        f"<td class='n'>{one['requests_per_s']:,.1f}</td>"
        + "".join(
            f"<td class='n'>{milliseconds(one[time])}<br><small>{interval_ms(one, time)}</small></td>"
            for time in ("p50_s", "p95_s", "p99_s")
        )
        + "</tr>"
        for number, one in enumerate(runs, 1)
    ]
    if not rows:
        return ""
    charts = (
        "<div class='pair'>"
        + _figure("chart-trend-times", "Response time", "percentiles in milliseconds, by run", "trend")
        + _figure("chart-trend-throughput", "Throughput", "requests per second, by run", "trend")
        + "</div>"
    )
    return charts + page.table("Runs", ("run", "verdict", "per s", "p50 ms", "p95 ms", "p99 ms"), rows)


def _changes(document: Document) -> str:
    """Return when the figures of the run's history changed, with a strip for each; empty without changes."""
    history = document.get("changes")
    if not history:
        return ""
    items = "".join(map(strips.changed, history["changed"]))
    drawings = "".join(map(strips.html, history["strips"]))
    hint = f"{text(history['sentence'])}; a dot is a run, a line the level between two changes"
    return f"<h3>Changes <small>{hint}</small></h3>{f'<ul>{items}</ul>' if items else ''}{drawings}"


def _figure(place: str, caption: str, hint: str, kind: str = "time") -> str:
    readout = f"<p class='quiet' id='{place}-readout' aria-live='polite'></p>" if kind == "distribution" else ""
    return (
        f"<figure><figcaption>{caption} <small>{hint}</small></figcaption>"
        f"<div class='plot' id='{place}' data-kind='{kind}' tabindex='0' role='application' "
        f"aria-label='Chart: {caption}. Use the arrow keys to move along it; the CSV files have its figures.'></div>"
        f"{readout}</figure>"
    )


def _is_open(document: Document) -> bool:
    return bool((document["context"].get("plan") or {}).get("model") == "open")
