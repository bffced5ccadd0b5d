"""RunPage: report.html, with the verdict first, then the run over time, the figures, and the environment."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from loadtest.progress import clock, size
from loadtest.reporting import chart_data, page
from loadtest.reporting.document import interval_ms, lacking, load_s, notes, percentile_ms, rate_per_s, target_sentence
from loadtest.reporting.page import text
from loadtest.reporting.sections import charts, connections, errors, generator, names, steps, thresholds
from loadtest.settings.scenario_files import name_of_scenario

if TYPE_CHECKING:
    from loadtest.reporting.document import Document, Times

_WORDS: Final = {
    "passed": "Passed: every threshold was met, and no trust check failed.",
    "failed": "Failed: at least one threshold was not met.",
    "no data": "No data: there was nothing to judge.",
    "not trustworthy": "Not trustworthy: a trust check of the load generator failed, so the figures are not reliable.",
    "interrupted": "Interrupted: the run ended early, so it was not judged.",
}
_UNJUDGED: Final = "Passed: no threshold was set, and no trust check failed."
_JUMPS: Final = (
    ("errors", "Errors"), ("thresholds", "Thresholds"), ("over-time", "Over time"), ("by-load", "By load"),
    ("names", "By name"), ("one-name", "One name"), ("distribution", "Distribution"), ("trend", "Trend"),
    ("steps", "Iterations"), ("connections", "Connections"), ("traces", "Traces"),
    ("generator", "Generator"), ("made-with", "Environment"),
)  # fmt: skip


def html(document: Document) -> str:
    """Return the page."""
    title = f"{_subject(document)} · {document['run_id']}"
    sections = (
        errors.html, thresholds.html, charts.over_time, charts.by_load, names.html, steps.html, charts.one_name,
        charts.distribution, charts.trend, connections.html, connections.traces, generator.html, generator.made_with,
    )  # fmt: skip
    main = "\n".join(section(document) for section in sections)
    body = f"{_head(document, main)}\n<main id='main' class='wrap'>\n{_verdict(document)}\n{main}\n</main>\n{_foot()}"
    return page.whole(title, body, chart_data.of(document))


def _head(document: Document, main: str) -> str:
    started = datetime.fromisoformat(document["started_at"])
    there = [(key, word) for key, word in _JUMPS if f"<section id='{key}'" in main]
    jumps = "".join(f"<li><a href='#{key}'>{word}</a></li>" for key, word in there)
    return f"""<header class="top"><div class="wrap">
<h1>Load test: {text(_subject(document))}</h1>
<button type="button" id="theme" class="theme" hidden>Light / dark</button>
<p class="when">Target: {text(target_sentence(document))}</p>
<p class="when"><time datetime="{text(document["started_at"])}">{started:%d %B %Y, %H:%M:%S} UTC</time>
 · run {text(document["run_id"])}</p>
</div></header>
<nav class="jump wrap" aria-label="Sections"><ul>{jumps}</ul></nav>"""


def _subject(document: Document) -> str:
    configuration = document["configuration"]
    scenario = name_of_scenario(configuration.get("scenario", "unnamed"))
    return f"{scenario} with {configuration.get('profile', 'no profile')}"


def _foot() -> str:
    return """<footer><div class="wrap">Percentiles are within 0.79 % of the true value; counts are exact.
Response time is measured from the intended start of a request, service time from its sending. This page is made from
record.json. Charts: uPlot (MIT).</div></footer>"""


def _verdict(document: Document) -> str:
    name = document["verdict"]["name"]
    reasons = "".join(f"<li>{text(reason)}</li>" for reason in document["verdict"]["reasons"])
    reasons += "".join(f"<li>Note: {text(note)}</li>" for note in notes(document))
    words = _WORDS.get(name, name) if document["thresholds"] or name != "passed" else _UNJUDGED
    total = document["total"]
    share = f"{total['failures'] / total['requests']:.2%}" if total["requests"] else "-"
    users = max((point["users"] for point in document["timeline"]), default=0)
    tiles = (
        ("Requests", f"{total['requests']:,}"),
        ("Throughput", f"{rate_per_s(total, document):,.1f} <small>/s</small>"),
        ("Failed", f"{total['failures']:,} <small>{share}</small>"),
        *((label, _time(total["response_time"], f"{label.lower()}_s")) for label in ("Mean", "p50", "p95", "p99")),
        ("Received", size(total["response_bytes"])),
        ("Sent", size(total.get("request_bytes", 0))),
        ("Peak users", f"{users:,}"),
        ("Duration", clock(load_s(document))),
    )
    tiles_html = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in tiles)
    return f"""<section class="verdict {thresholds.TONES.get(name, "doubt")}" aria-label="Verdict">
<p>{text(words)}</p>{f"<ul>{reasons}</ul>" if reasons else ""}</section>
<dl class="tiles">{tiles_html}</dl>"""


def _time(times: Times, figure: str) -> str:
    """Return a tile's time with its unit; with too few requests, how many it needs."""
    if few := lacking(times, figure):
        return f"<small>{few}</small>"
    spread = interval_ms(times, figure)
    return f"{percentile_ms(times, figure)} <small>ms{f'<br>{spread}' if spread else ''}</small>"
