"""Names: the section with the figures of each request name, of streamed responses, and of the set-up.

Tested in tests/unit/reporting/test_run_page.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadtest.measuring.labels import LOAD
from loadtest.progress import counted, milliseconds, size
from loadtest.reporting import groups, page
from loadtest.reporting.document import (
    STREAM_HEADS,
    STREAM_TIMES,
    by_name,
    interval_ms,
    lacking,
    name_of,
    rate_per_s,
    setup_sentence,
    stream_rows,
    times_apart,
    times_sentences,
)
from loadtest.reporting.page import section, text
from loadtest.reporting.sections.thresholds import tag, thresholds_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.reporting.document import Document, Series, Times

MAX_ROWS: Final = 400
"""The maximum number of names in the table; stats.csv has all of them."""
_TIMES: Final = {
    "mean_s": "mean ms",
    "p50_s": "p50 ms",
    "p90_s": "p90 ms",
    "p95_s": "p95 ms",
    "p99_s": "p99 ms",
    "p999_s": "p99.9 ms",
    "max_s": "max ms",
}


def html(document: Document) -> str:
    """Return the table of all names, and what belongs below it."""
    heads = ("name", "requests", "failed", "per s", *_TIMES.values(), "service p99 ms", "received", "sent")
    series = by_name(document)
    rows = _rows(series[:MAX_ROWS], document)
    foot = _name_row({**document["total"], "title": "all", "method": ""}, document, "all") if series else ""
    more = (
        f"<p class='quiet'>{len(series) - MAX_ROWS:,} more names are in stats.csv.</p>"
        if len(series) > MAX_ROWS
        else ""
    )
    table = page.table("Figures by request name", heads, rows, foot, key="by-name")
    more += "".join(f"<p class='quiet'>{text(one)}.</p>" for one in times_sentences(document))
    more += _apart(series) + _streams(document) + _setup(document)
    hint = "response times in milliseconds, percentiles with their 95 % intervals; stats.csv"
    return section("names", "By name", table + more, hint)


def _rows(series: Sequence[Series], document: Document) -> list[str]:
    """Return a row for each name. Those of a group are together, below a row with their sums."""
    if not document.get("groups"):
        return [_name_row(one, document) for one in series]
    rows = []
    for group in document["groups"]:
        members = [one for one in series if groups.prefix(one) == group["prefix"]]
        title = f"{group['prefix'] or 'other'}, {counted(len(members), 'name')}"
        rows.append(_name_row({**group, "method": "", "title": title}, document, "group", group["prefix"]))
        rows += [_name_row(one, document, group=group["prefix"]) for one in members]
    return rows


def _name_row(series: Series, document: Document, kind: str = "", group: str | None = None) -> str:
    requests, rate = series["requests"], rate_per_s(series, document)
    times = [(time, "response_time") for time in _TIMES] + [("p99_s", "service_time")]
    numbers = [(series["failures"], f"{series['failures']:,}"), (rate, f"{rate:,.1f}")]
    numbers += [(series[which][time] or 0, time_text(series[which], time)) for time, which in times]
    numbers += [(count, size(count)) for count in (series["response_bytes"], series.get("request_bytes", 0))]
    most = max(one["requests"] for one in document["series"])
    share = "" if kind else f" style='--share:{100 * requests / most:.1f}%'"
    cells = f"<td class='n bar' data-v='{requests}'{share}>{requests:,}</td>"
    cells += "".join(f"<td class='n' data-v='{value}'>{shown}</td>" for value, shown in numbers)
    full = f"{series['method']} {series['title']}"
    outcomes = "" if kind else "".join(f" {tag(one)}" for one in thresholds_on(document, series, LOAD))
    of_group = "" if group is None else f" data-group='{text(group)}'"
    return (
        f"<tr class='{kind}' data-name='{text(full)}'{of_group}>"
        f"<th scope='row'>{text(series['method'])} {page.name(series['title'])}{outcomes}</th>{cells}</tr>"
    )


def time_text(times: Times, figure: str) -> str:
    """Return a figure in milliseconds with its 95 % interval; with too few samples, how many it needs."""
    if few := lacking(times, figure):
        return f"<small>{few.replace(', ', ',<br>')}</small>"  # on one line it is wider than any figure
    spread = interval_ms(times, figure)
    return f"{milliseconds(times[figure])}{f'<br><small>{spread}</small>' if spread else ''}"


def _apart(series: list[dict[str, Any]]) -> str:
    """Return the times of successes and of failures separately, for names that have both."""
    rows = [
        f"<tr><th scope='row'>{text(one['method'])} {page.name(one['title'])}</th><td>{part['name']}</td>"
        f"<td class='n'>{part['requests']:,}</td>{time_cells(part)}</tr>"
        for one in series[:MAX_ROWS]
        for part in times_apart(one)
    ]
    heads = ("name", "result", "requests", "p50 ms", "p95 ms", "p99 ms", "max ms")
    table = page.table("Response times of successes and failures", heads, rows)
    return f"<h3>Successes and failures</h3>{table}" if rows else ""


def _streams(document: Document) -> str:
    """Return the figures of streamed responses; empty if there are none."""
    streamed = stream_rows(document)[:MAX_ROWS]
    counts = len(STREAM_HEADS) - len(STREAM_TIMES)  # in one table with the times they are wider than a page
    rows_of_counts = [_cells(one, figures[:counts]) for one, figures in streamed]
    rows_of_times = [_cells(one, [time_text(one[kind], time) for kind, time in STREAM_TIMES]) for one, _ in streamed]
    tables = page.table("Streamed responses", ("name", *STREAM_HEADS[:counts]), rows_of_counts)
    tables += page.table("Their times", ("name", *STREAM_HEADS[counts:]), rows_of_times)
    return f"<h3>Streamed responses <small>times in ms</small></h3>{tables}" if streamed else ""


def _cells(one: Series, cells: Sequence[str]) -> str:
    shown = "".join(f"<td class='n'>{cell}</td>" for cell in cells)
    return f"<tr><th scope='row'>{page.name(name_of(one))}</th>{shown}</tr>"


def _setup(document: Document) -> str:
    """Return the figures of on_start and on_stop, folded; empty if there are none."""
    sentence = setup_sentence(document)
    if not sentence:
        return ""
    heads = ("name", "requests", "failed", "p50 ms", "p95 ms", "p99 ms", "max ms")
    rows = [
        f"<tr><th scope='row'>{text(one['method'])} {page.name(one['title'])}</th>"
        f"<td class='n'>{one['requests']:,}</td><td class='n'>{one['failures']:,}</td>" + time_cells(one) + "</tr>"
        for one in by_name(document["setup"])[:MAX_ROWS]
    ]
    table = page.table("Figures of the set-up by request name", heads, rows)
    return f"<details><summary>Set-up: {text(sentence)}</summary>{table}</details>"


def time_cells(series: Series) -> str:
    """Return the cells of a row with p50, p95, p99 and the highest response time, in milliseconds."""
    cells = (time_text(series["response_time"], figure) for figure in ("p50_s", "p95_s", "p99_s", "max_s"))
    return "".join(f"<td class='n'>{cell}</td>" for cell in cells)
