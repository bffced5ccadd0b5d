"""RunPage: report.html, with the verdict first, then the run over time, the figures, and the environment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from loadtest.judging.threshold import METRICS, samples_needed
from loadtest.judging.trust import PEAKS, SUSTAINED
from loadtest.measuring.labels import CHECK, CONNECT, CONNECTION_PHASES, DNS, LOAD, RECEIVING, TLS, TRANSACTION, WAITING
from loadtest.measuring.record_dict import QUANTILES
from loadtest.progress import clock, counted, milliseconds, size
from loadtest.reporting import chart_data, page, strips
from loadtest.reporting.document import (
    STREAM_HEADS,
    by_name,
    earlier_and_own,
    interval_ms,
    load_s,
    met,
    notes,
    outcome_of,
    percentile_ms,
    percentile_sentences,
    rate_per_s,
    setup_sentence,
    stream_rows,
    target_sentence,
    times_apart,
)
from loadtest.reporting.page import text
from loadtest.settings.config import name_of_scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.judging.trust import HealthRule
    from loadtest.reporting.document import Document

MAX_ROWS: Final = 400
"""The most names in the table; stats.csv has all of them."""
MAX_ERRORS: Final = 100
"""The most rows in the table of errors: one for each class and name, with its most frequent message."""
MAX_TRACES: Final = 100
"""The most rows in the table of traces: failures first, then the slowest."""
TONES: Final = {
    "passed": "good",
    "failed": "bad",
    "no data": "doubt",
    "not trustworthy": "doubt",
    "interrupted": "doubt",
}
_WORDS: Final = {
    "passed": "Passed: every threshold was met, and no trust check failed.",
    "failed": "Failed: at least one threshold was not met.",
    "no data": "No data: there was nothing to judge.",
    "not trustworthy": "Not trustworthy: a trust check of the load generator failed, so the figures are not reliable.",
    "interrupted": "Interrupted: the run ended early, so it was not judged.",
}
_STREAM_TIMES: Final = STREAM_HEADS.index("first byte p50")
"""Where the times begin among the figures of streamed responses; with them in one table it is wider than a page."""
_UNJUDGED: Final = "Passed: no threshold was set, and no trust check failed."
_HEALTH: Final = {**SUSTAINED, **PEAKS}
_TIMES: Final = {
    "mean_s": "mean ms",
    "p50_s": "p50 ms",
    "p90_s": "p90 ms",
    "p95_s": "p95 ms",
    "p99_s": "p99 ms",
    "p999_s": "p99.9 ms",
    "max_s": "max ms",
}
_CONNECTION_PHASES: Final = {
    DNS: "name lookup",
    CONNECT: "TCP",
    TLS: "TLS",
    WAITING: "waiting for the first byte",
    RECEIVING: "receiving the rest",
}
_JUMPS: Final = (
    ("errors", "Errors"), ("thresholds", "Thresholds"), ("over-time", "Over time"), ("by-load", "By load"),
    ("names", "By name"), ("one-name", "One name"), ("distribution", "Distribution"), ("trend", "Trend"),
    ("steps", "Transactions and checks"), ("connections", "Connections"), ("traces", "Traces"),
    ("generator", "Generator"), ("made-with", "Environment"),
)  # fmt: skip


def html(document: Document) -> str:
    """Return the page."""
    title = f"{_subject(document)} · {document['run_id']}"
    sections = (
        _errors, _thresholds, _over_time, _by_load, _names, _steps, _one_name, _distribution, _trend, _connections,
        _traces, _generator, _made_with,
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
        *((label, _time(total, f"{label.lower()}_s")) for label in ("Mean", "p50", "p95", "p99")),
        ("Received", size(total["response_bytes"])),
        ("Sent", size(total.get("request_bytes", 0))),
        ("Peak users", f"{users:,}"),
        ("Duration", clock(load_s(document))),
    )
    tiles_html = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in tiles)
    return f"""<section class="verdict {TONES.get(name, "doubt")}" aria-label="Verdict">
<p>{text(words)}</p>{f"<ul>{reasons}</ul>" if reasons else ""}</section>
<dl class="tiles">{tiles_html}</dl>"""


def _time(total: dict[str, Any], figure: str) -> str:
    """Return a tile's time with its unit, or how many requests it needs where there were fewer."""
    shown = percentile_ms(total, figure)
    if shown != "-" or figure not in QUANTILES:
        spread = interval_ms(total, figure)
        return f"{shown} <small>ms{f'<br>{spread}' if spread else ''}</small>"
    return f"<small>needs {samples_needed(QUANTILES[figure]):,} requests</small>"


def _figure(place: str, caption: str, hint: str, kind: str = "time") -> str:
    readout = f"<p class='quiet' id='{place}-readout' aria-live='polite'></p>" if kind == "distribution" else ""
    return (
        f"<figure><figcaption>{caption} <small>{hint}</small></figcaption>"
        f"<div class='plot' id='{place}' data-kind='{kind}' tabindex='0' role='application' "
        f"aria-label='Chart: {caption}. Use the arrow keys to move along it; the CSV files have its figures.'></div>"
        f"{readout}</figure>"
    )


def _over_time(document: Document) -> str:
    if not document["timeline"]:
        return _section("over-time", "Over time", "<p class='quiet'>Nothing was measured.</p>")
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
    return _section(
        "over-time", "Over time", charts + events, "drag to zoom, double-click to reset; as data in timeline.csv"
    )


def _is_open(document: Document) -> bool:
    return bool((document["context"].get("plan") or {}).get("model") == "open")


def _by_load(document: Document) -> str:
    if not document["total"]["requests"]:
        return ""
    load = "planned iterations/s" if _is_open(document) else "users"
    body = (
        "<div class='pair'>"
        + _figure("chart-capacity", "Throughput by load", f"requests/s by {load}", "load")
        + _figure("chart-latency", "Response time by throughput", "milliseconds by requests/s", "load")
        + "</div>"
    )
    return _section("by-load", "By load", body, "a point for each second")


def _one_name(document: Document) -> str:
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
    return _section(
        "one-name",
        "One name",
        body,
        f"all requests, or one of the {chart_data.MAX_NAMES} most frequent, or a transaction",
    )


def _trend(document: Document) -> str:
    """Return this run beside the earlier ones of its scenario and profile; nothing where there are none."""
    body = _earlier(document) + _changes(document)
    hint = "the latest runs of this scenario and profile, this one last"
    return _section("trend", "Trend", body, hint) if body else ""


def _earlier(document: Document) -> str:
    runs = earlier_and_own(document)
    rows = [
        f"<tr><th scope='row'>{number} {page.name(one['run_id'])}</th>"
        f"<td><span class='tag {TONES.get(one['verdict'], 'doubt')}'>{text(one['verdict'])}</span></td>"
        f"<td class='n'>{one['requests_per_s']:,.1f}</td>"
        + "".join(f"<td class='n'>{milliseconds(one[time])}</td>" for time in ("p50_s", "p95_s", "p99_s"))
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
    """Return when the figures of the run's history changed, with a strip for each; nothing where there is none."""
    history = document.get("changes")
    if not history:
        return ""
    items = "".join(map(strips.changed, history["changed"]))
    drawings = "".join(map(strips.html, history["strips"]))
    hint = f"{text(history['sentence'])}; a dot is a run, a line the level between two changes"
    return f"<h3>Changes <small>{hint}</small></h3>{f'<ul>{items}</ul>' if items else ''}{drawings}"


def _distribution(document: Document) -> str:
    if not document["total"]["requests"]:
        return ""
    hint = "milliseconds by percentile; both scales are logarithmic"
    body = (
        "<div class='toggles' id='names-shown' role='group' aria-label='Names shown'></div><div class='pair'>"
        + _figure("chart-response", "Response time", "from the intended start", "distribution")
        + _figure("chart-service", "Service time", "from the send", "distribution")
        + "</div>"
    )
    return _section("distribution", "Distribution", body, hint)


def _names(document: Document) -> str:
    heads = ("name", "requests", "failed", "per s", *_TIMES.values(), "service p99 ms", "received", "sent")
    series = by_name(document)
    rows = [_name_row(one, document) for one in series[:MAX_ROWS]]
    foot = _name_row({**document["total"], "name": "all", "method": ""}, document, "all") if series else ""
    more = (
        f"<p class='quiet'>{len(series) - MAX_ROWS:,} more names are in stats.csv.</p>"
        if len(series) > MAX_ROWS
        else ""
    )
    table = page.table("Figures by request name", heads, rows, foot, key="by-name")
    more += "".join(f"<p class='quiet'>{text(one)}.</p>" for one in percentile_sentences(document, tuple(_TIMES)))
    more += _apart(series) + _streams(document) + _setup(document)
    hint = "response times in milliseconds, p50, p95 and p99 with their 95 % interval; stats.csv"
    return _section("names", "By name", table + more, hint)


def _apart(series: list[dict[str, Any]]) -> str:
    """Return the times of successes and of failures apart, where a name has both."""
    rows = [
        f"<tr><th scope='row'>{text(one['method'])} {page.name(one['name'])}</th><td>{part['name']}</td>"
        f"<td class='n'>{part['requests']:,}</td>{_times(part)}</tr>"
        for one in series[:MAX_ROWS]
        for part in times_apart(one)
    ]
    heads = ("name", "result", "requests", "p50 ms", "p95 ms", "p99 ms", "max ms")
    table = page.table("Response times of successes and failures", heads, rows)
    return f"<h3>Successes and failures</h3>{table}" if rows else ""


def _streams(document: Document) -> str:
    """Return the figures of streamed responses; nothing where there are none."""
    streamed = stream_rows(document)[:MAX_ROWS]
    tables = []
    for label, part in (("Streamed responses", slice(_STREAM_TIMES)), ("Their times", slice(_STREAM_TIMES, None))):
        rows = [
            f"<tr><th scope='row'>{page.name(name)}</th>"
            + "".join(f"<td class='n'>{one}</td>" for one in figures[part])
            + "</tr>"
            for name, figures in streamed
        ]
        tables.append(page.table(label, ("name", *STREAM_HEADS[part]), rows))
    return f"<h3>Streamed responses <small>times in ms</small></h3>{''.join(tables)}" if streamed else ""


def _times(series: dict[str, Any]) -> str:
    return "".join(f"<td class='n'>{percentile_ms(series, time)}</td>" for time in ("p50_s", "p95_s", "p99_s", "max_s"))


def _setup(document: Document) -> str:
    """Return the figures of on_start and on_stop, folded; nothing when there were none."""
    sentence = setup_sentence(document)
    if not sentence:
        return ""
    heads = ("name", "requests", "failed", "p50 ms", "p95 ms", "p99 ms", "max ms")
    rows = [
        f"<tr><th scope='row'>{text(one['method'])} {page.name(one['name'])}</th>"
        f"<td class='n'>{one['requests']:,}</td><td class='n'>{one['failures']:,}</td>" + _times(one) + "</tr>"
        for one in by_name(document["setup"])[:MAX_ROWS]
    ]
    table = page.table("Figures of the set-up by request name", heads, rows)
    return f"<details><summary>Set-up: {text(sentence)}</summary>{table}</details>"


def _name_row(series: dict[str, Any], document: Document, kind: str = "") -> str:
    requests, rate = series["requests"], rate_per_s(series, document)
    times = [(time, "response_time") for time in _TIMES] + [("p99_s", "service_time")]
    numbers = [(series["failures"], f"{series['failures']:,}"), (rate, f"{rate:,.1f}")]
    numbers += [(series[which][time] or 0, _with_interval(series, time, which)) for time, which in times]
    numbers += [(count, size(count)) for count in (series["response_bytes"], series.get("request_bytes", 0))]
    most = max(one["requests"] for one in document["series"])
    share = "" if kind else f" style='--share:{100 * requests / most:.1f}%'"
    cells = f"<td class='n bar' data-v='{requests}'{share}>{requests:,}</td>"
    cells += "".join(f"<td class='n' data-v='{value}'>{shown}</td>" for value, shown in numbers)
    full = f"{series['method']} {series['name']}"
    outcomes = "" if kind else "".join(f" {_tag(rule)}" for rule in _rules_on(document, series, LOAD))
    return (
        f"<tr class='{kind}' data-name='{text(full)}'>"
        f"<th scope='row'>{text(series['method'])} {page.name(series['name'])}{outcomes}</th>{cells}</tr>"
    )


def _with_interval(series: dict[str, Any], time: str, which: str) -> str:
    spread = interval_ms(series, time) if which == "response_time" else ""
    return f"{percentile_ms(series, time, which)}{f'<br><small>{spread}</small>' if spread else ''}"


def _errors(document: Document) -> str:
    if not document["total"]["failures"]:
        return _section("errors", "Errors", "<p class='quiet'>No request failed.</p>" + _exceptions(document))
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for error in document["errors"]:
        groups.setdefault((error["error_class"], f"{error['method']} {error['name']}"), []).append(error)
    ordered = sorted(groups.items(), key=lambda group: -sum(error["occurrences"] for error in group[1]))
    rows = [
        f"<tr><th scope='row'>{page.name(name)}</th><td>{text(error_class)}</td>"
        f"<td class='n'>{sum(error['occurrences'] for error in errors):,}</td>"
        f"<td class='message'>{text(max(errors, key=lambda error: error['occurrences'])['message'])}</td>"
        f"<td>{_moment(min(error['first_seen'] for error in errors))}</td>"
        f"<td>{_moment(max(error['last_seen'] for error in errors))}</td></tr>" + _samples(errors)
        for (error_class, name), errors in ordered[:MAX_ERRORS]
    ]
    heads = ("name", "class", "count", "message", "first seen", "last seen")
    hint = f"the {MAX_ERRORS} most frequent" if len(ordered) > MAX_ERRORS else "with their most frequent messages"
    body = page.table("Errors by class", heads, rows)
    return _section("errors", "Errors", body + _exceptions(document), hint)


def _samples(errors: Sequence[dict[str, Any]]) -> str:
    """Return the failed exchanges that are kept of one class and name, folded, as a row of their table."""
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
    """Return the exceptions of the scenario's code; nothing where there are none."""
    rows = [
        f"<tr><th scope='row'>{text(row['exception'])}</th><td>{text(row['place'])}</td>"
        f"<td class='n'>{row['occurrences']:,}</td><td class='message'>{text(row['message'])}</td>"
        f"<td>{_moment(row['first_seen'])}</td><td>{_moment(row['last_seen'])}</td></tr>"
        for row in document.get("exceptions", ())[:MAX_ERRORS]
    ]
    heads = ("exception", "raised at", "count", "message", "first seen", "last seen")
    return f"<h3>Exceptions of the scenario</h3>{page.table('Exceptions', heads, rows)}" if rows else ""


def _moment(epoch_s: float) -> str:
    return f"{datetime.fromtimestamp(epoch_s, UTC):%H:%M:%S}"


def _thresholds(document: Document) -> str:
    rows = [
        f"<tr><th scope='row'><code>{page.name(one['rule'])}</code></th><td>{_tag(one)}</td>"
        f"<td>{text(one['worded'])}</td><td>{text(one.get('spread') or '-')}</td></tr>"
        for one in document["thresholds"]
    ]
    if not rows:
        return _section("thresholds", "Thresholds", "<p class='quiet'>This run had no thresholds.</p>")
    heads = ("threshold", "outcome", "value", "95 % interval")
    return _section("thresholds", "Thresholds", page.table("Thresholds", heads, rows))


def _tag(rule: dict[str, Any]) -> str:
    """Return the outcome of a threshold; what it says is shown where the pointer rests on it."""
    tone, title = TONES.get(rule["outcome"], "doubt"), f"{rule['rule']}: {rule['worded']}"
    return f"<span class='tag {tone}' title='{text(title)}'>{text(outcome_of(rule))}</span>"


def _rules_on(document: Document, one: dict[str, Any], phase: str, *, alone: bool = False) -> list[dict[str, Any]]:
    """Return the thresholds on just this request, transaction or check: those that name it; all, where it is alone."""
    return [
        rule
        for rule in document["thresholds"]
        if rule["selector"].get("phase", METRICS[rule["metric"]].phase) == phase
        and ("name" in rule["selector"] or alone)
        and all(one.get(label, value) == value for label, value in rule["selector"].items())
    ]


def _steps(document: Document) -> str:
    """Return the transactions and the checks, with the thresholds on each; nothing where the scenario has none."""
    transactions, checks = document.get("transactions", ()), document.get("checks", ())
    timed = [_step_row(document, one, TRANSACTION, _times({**one, "requests": one["made"]})) for one in transactions]
    judged = [_step_row(document, one, CHECK, f"<td class='n'>{met(one)}</td>") for one in checks]
    heads = ("transaction", "made", "failed", "p50 ms", "p95 ms", "p99 ms", "max ms", "thresholds")
    body = page.table("Transactions", heads, timed) if timed else ""
    body += page.table("Checks", ("check", "made", "failed", "met", "thresholds"), judged) if judged else ""
    hint = "measured in addition to the requests, and in none of their figures"
    return _section("steps", "Transactions and checks", body, hint) if body else ""


def _step_row(document: Document, one: dict[str, Any], phase: str, figures: str) -> str:
    alone = len(document["transactions" if phase == TRANSACTION else "checks"]) == 1
    rules = _rules_on(document, one, phase, alone=alone)
    judged = "<br>".join(f"{_tag(rule)} <code>{text(rule['rule'])}</code> {text(rule['worded'])}" for rule in rules)
    return (
        f"<tr data-name='{text(phase)} {text(one['name'])}'>"
        f"<th scope='row'>{page.name(one['name'])}</th><td class='n'>{one['made']:,}</td>"
        f"<td class='n'>{one['failures']:,}</td>{figures}<td class='rules'>{judged or '-'}</td></tr>"
    )


def _connections(document: Document) -> str:
    """Return how long it took to open connections, by host; nothing where none was opened."""
    rows = [
        f"<tr><th scope='row'>{page.name(one['host'])}</th><td>{_CONNECTION_PHASES[phase]}</td>"
        f"<td class='n'>{one[phase]['count']:,}</td>{_phase(one[phase])}</tr>"
        for one in document.get("connections", ())
        for phase in CONNECTION_PHASES
        if one[phase]
    ]
    table = page.table("Connections", ("host", "phase", "count", "p50 ms", "p95 ms", "max ms"), rows)
    hint = "of new connections, and of responses in several parts, including the set-up"
    return _section("connections", "Connections", table, hint) if rows else ""


def _phase(times: dict[str, Any]) -> str:
    series = {"requests": times["count"], "response_time": times}
    figures = [percentile_ms(series, figure) for figure in ("p50_s", "p95_s", "max_s")]
    return "".join(f"<td class='n'>{figure}</td>" for figure in figures)


def _traces(document: Document) -> str:
    """Return the trace ids of slow and failed requests; nothing where none was traced."""
    rows = [
        f"<tr><th scope='row'>{text(one['method'])} {page.name(one['name'])}</th>"
        f"<td>{text(one['error_class'] or 'success')}</td><td class='n'>{milliseconds(one['response_time_s'])}</td>"
        f"<td>{_moment(one['seen'])}</td><td><code>{text(one['trace_id'])}</code></td></tr>"
        for one in sorted(document.get("traces", ()), key=lambda one: one["error_class"] is None)[:MAX_TRACES]
    ]
    table = page.table("Traces", ("name", "outcome", "response time ms", "seen", "trace id"), rows)
    return _section("traces", "Traces", table, "the slowest of each name and outcome") if rows else ""


def _generator(document: Document) -> str:
    processes = document["workers"]
    rows = [_health_row(key, rule, processes) for key, rule in _HEALTH.items() if processes]
    heads = ("check", "limit", "highest", "in")
    delivery = document["delivery"]
    sentences = [f"The record holds {delivery['completeness']:.2%} of the workers' measurements."]
    sentences += [_on_its_machine(one) for one in document["workers"] if one["mean"].get("machine_cpu_ratio")]
    for one in document["scenarios"]:
        lag = one["schedule_lag"]["p99_s"]
        if lag is not None or one["dropped"]:
            sentences.append(
                f"Scenario {one['scenario']}: schedule lag {milliseconds(lag)} ms (p99), "
                f"{counted(one['dropped'], 'iteration')} dropped."
            )
    notes = "".join(f"<p class='quiet'>{text(sentence)}</p>" for sentence in sentences)
    hint = "the highest value of any second, and the limit at which a run is not trustworthy"
    body = page.table("Generator health", heads, rows) + _processes(processes) + notes
    return _section("generator", "Generator", body, hint)


def _health_row(key: str, rule: HealthRule, processes: Sequence[dict[str, Any]]) -> str:
    """Return the highest value of all processes, and whose it is."""
    worst = max(processes, key=lambda one: one["highest"].get(key, 0.0))
    return (
        f"<tr><th scope='row'>{_words_of(rule)}</th><td class='n'>{text(_share(key, rule.limit))}</td>"
        f"{_health_cell(key, rule.limit, worst['highest'].get(key, 0.0))}<td>{text(worst['subject'])}</td></tr>"
    )


def _processes(processes: Sequence[dict[str, Any]]) -> str:
    """Return the health of each process, folded: with many of them the table is longer than it is wide."""
    rows = [
        f"<tr><th scope='row'>{text(one['subject'])}</th>"
        + "".join(_health_cell(key, rule.limit, one["highest"].get(key, 0.0)) for key, rule in _HEALTH.items())
        + "</tr>"
        for one in processes
    ]
    table = page.table("Health of each process", ("process", *map(_words_of, _HEALTH.values())), rows)
    return f"<details><summary>Each process</summary>{table}</details>" if rows else ""


def _words_of(rule: HealthRule) -> str:
    return rule.name.replace("_", " ")


def _on_its_machine(process: dict[str, Any]) -> str:
    mean = process["mean"]
    others = f", {mean['others_cpu_ratio']:.0%} by other processes" if mean.get("others_cpu_ratio") else ""
    delay_ms = 1000 * mean["run_delay_ratio"] / mean["turns_per_s"] if mean["turns_per_s"] else 0.0
    return (
        f"{process['subject']}: its machine's cores were {mean['machine_cpu_ratio']:.0%} busy{others}; processes "
        f"waited for a core {mean['pressure_ratio']:.0%} of the time, this one {delay_ms:.2f} ms before each turn."
    )


def _health_cell(key: str, limit: float, value: float) -> str:
    shown = text(_share(key, value))
    inner = f"<span class='tag doubt'>{shown}</span>" if value >= limit else shown
    return f"<td class='n'>{inner}</td>"


def _share(key: str, value: float) -> str:
    if key.endswith("_ratio"):
        return f"{value:.0%}"
    return f"{value:.0f}/s" if key.endswith("_per_s") else f"{value * 1e3:.0f} ms"


def _made_with(document: Document) -> str:
    context = document["context"]
    host = dict(context.get("host") or {})
    if host.get("memory_bytes"):
        host["memory"] = f"{host.pop('memory_bytes') / 2**30:.1f} GiB"
    source = context.get("source") or {"commit": "not in a git repository"}
    configuration = {name: value for name, value in document["configuration"].items() if value not in {None, ""}}
    shown = "".join(page.facts(title, values) for title, values in (("Host", host), ("Scenario", source)))
    folded = "".join(
        f"<details><summary>{title}</summary><div class='facts'>{page.facts(title, values)}</div></details>"
        for title, values in (("Configuration", configuration), ("Versions", context.get("versions") or {}))
    )
    return _section("made-with", "Environment", f"<div class='facts'>{shown}</div>{folded}")


def _section(key: str, title: str, body: str, hint: str = "") -> str:
    small = f" <small>{hint}</small>" if hint else ""
    return f"<section id='{key}' aria-labelledby='{key}-title'><h2 id='{key}-title'>{title}{small}</h2>{body}</section>"
