"""Names: the section with the figures of each request name, of streamed responses, and of the set-up.

Tested in tests/unit/reporting/test_run_page.py.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from loadtest.measuring.histogram import Histogram
from loadtest.measuring.labels import LOAD
from loadtest.measuring.record_dict import histogram_dict
from loadtest.progress import size
from loadtest.reporting import page
from loadtest.reporting.document import (
    STREAM_HEADS,
    by_name,
    interval_ms,
    percentile_ms,
    percentile_sentences,
    rate_per_s,
    setup_sentence,
    stream_rows,
    times_apart,
)
from loadtest.reporting.page import section, text
from loadtest.reporting.sections.thresholds import tag, thresholds_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.reporting.document import Document, Series

MAX_ROWS: Final = 400
"""The most names in the table; stats.csv has all of them."""
GROUPED_FROM: Final = 10
"""The fewest names that are grouped by what stands before their last slash."""
_STREAM_TIMES: Final = STREAM_HEADS.index("first byte p50")
"""Where the times begin among the figures of streamed responses; with them in one table it is wider than a page."""
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
    """Return the table of all names, with what belongs under it."""
    heads = ("name", "requests", "failed", "per s", *_TIMES.values(), "service p99 ms", "received", "sent")
    series = by_name(document)
    rows = _rows(series[:MAX_ROWS], document)
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
    return section("names", "By name", table + more, hint)


def _rows(series: Sequence[Series], document: Document) -> list[str]:
    """Return a row for each name; of many, those that begin alike together, below a row with their sums."""
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(one["name"].rpartition("/")[0], []).append(one)
    if len(series) < GROUPED_FROM or not 1 < len(groups) <= len(series) // 2:
        return [_name_row(one, document) for one in series]
    rows = []
    for prefix, members in sorted(groups.items()):
        title = f"{prefix or 'other'}, {len(members)} {'name' if len(members) == 1 else 'names'}"
        rows.append(_name_row(_sum(title, members), document, "group", prefix))
        rows += [_name_row(one, document, group=prefix) for one in members]
    return rows


def _sum(name: str, members: Sequence[Series]) -> Series:
    """Return several series as one."""
    summed: Series = {"name": name, "method": ""}
    for figure in ("requests", "failures", "response_bytes", "request_bytes"):
        summed[figure] = sum(one.get(figure, 0) for one in members)
    for times in ("response_time", "service_time"):
        merged = Histogram()
        for one in members:
            merged.merge(Histogram.from_bytes(base64.b64decode(one[times]["histogram"])))
        summed[times] = histogram_dict(merged)
    return summed


def _name_row(series: Series, document: Document, kind: str = "", group: str | None = None) -> str:
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
    outcomes = "" if kind else "".join(f" {tag(one)}" for one in thresholds_on(document, series, LOAD))
    of_group = "" if group is None else f" data-group='{text(group)}'"
    return (
        f"<tr class='{kind}' data-name='{text(full)}'{of_group}>"
        f"<th scope='row'>{text(series['method'])} {page.name(series['name'])}{outcomes}</th>{cells}</tr>"
    )


def _with_interval(series: dict[str, Any], time: str, which: str) -> str:
    spread = interval_ms(series, time, which)
    return f"{percentile_ms(series, time, which)}{f'<br><small>{spread}</small>' if spread else ''}"


def _apart(series: list[dict[str, Any]]) -> str:
    """Return the times of successes and of failures apart, where a name has both."""
    rows = [
        f"<tr><th scope='row'>{text(one['method'])} {page.name(one['name'])}</th><td>{part['name']}</td>"
        f"<td class='n'>{part['requests']:,}</td>{time_cells(part)}</tr>"
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


def _setup(document: Document) -> str:
    """Return the figures of on_start and on_stop, folded; nothing when there were none."""
    sentence = setup_sentence(document)
    if not sentence:
        return ""
    heads = ("name", "requests", "failed", "p50 ms", "p95 ms", "p99 ms", "max ms")
    rows = [
        f"<tr><th scope='row'>{text(one['method'])} {page.name(one['name'])}</th>"
        f"<td class='n'>{one['requests']:,}</td><td class='n'>{one['failures']:,}</td>" + time_cells(one) + "</tr>"
        for one in by_name(document["setup"])[:MAX_ROWS]
    ]
    table = page.table("Figures of the set-up by request name", heads, rows)
    return f"<details><summary>Set-up: {text(sentence)}</summary>{table}</details>"


def time_cells(series: dict[str, Any]) -> str:
    """Return the cells of a row with p50, p95, p99 and the highest response time, in milliseconds."""
    cells = (_with_interval(series, time, "response_time") for time in ("p50_s", "p95_s", "p99_s", "max_s"))
    return "".join(f"<td class='n'>{cell}</td>" for cell in cells)
