"""Markdown: summary.md, a run's summary for a comment on a pull request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from loadtest.progress import clock, counted, one_line
from loadtest.reporting import page
from loadtest.reporting.document import (
    STREAM_HEADS,
    STREAM_TIMES,
    by_name,
    failure_reasons,
    failure_samples,
    iteration_sentences,
    load_s,
    ms_with_interval,
    name_of,
    notes,
    outcome_of,
    rate_per_s,
    setup_sentence,
    stream_rows,
    target_sentence,
    times_apart,
    times_sentences,
)
from loadtest.settings.scenario_files import name_of_scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.reporting.document import Document, Series

MARKS: Final = {"passed": "✅", "failed": "❌", "no data": "⚪", "not trustworthy": "⚠️", "interrupted": "⚠️"}
MAX_NAMES: Final = 50
"""The maximum number of names shown: GitHub limits a comment to 65,536 characters."""
_TIMES: Final = ("p50_s", "p95_s", "p99_s")
_FENCES: Final = re.compile("`{3,}")
_SPECIAL: Final = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>#|~"})


def summary(document: Document) -> str:
    """Return the verdict and its reasons, the thresholds, and the figures by request name."""
    verdict, configuration = document["verdict"], document["configuration"]
    scenario = _escape(f"{name_of_scenario(configuration.get('scenario', ''))} with {configuration.get('profile', '')}")
    lines = [
        f"### {MARKS.get(verdict['name'], '')} Load test {_escape(verdict['name'])}: {scenario}",
        f"Target: {_escape(target_sentence(document))}",
        "",
        _counts(document),
        *(f"- Set-up: {sentence}" for sentence in [setup_sentence(document)] if sentence),
        *(f"- Iterations: {_escape(sentence)}" for sentence in iteration_sentences(document)),
        *(f"- {_escape(reason)}" for reason in verdict["reasons"]),
        *(f"- Failed: {_escape(reason)}" for reason in failure_reasons(document)),
        *(f"- Note: {_escape(note)}" for note in notes(document)),
        "",
    ]
    if document["thresholds"]:
        rows = [
            (MARKS.get(one["outcome"], ""), *map(_escape, (one["rule"], one["worded"], _interval(one))))
            for one in document["thresholds"]
        ]
        lines += [*_table(("", "threshold", "value", "95 % interval"), rows), ""]
    for key, heads_of_times in (("transactions", _TIMES), ("checks", ())):
        steps = [_step(one, heads_of_times) for one in document.get(key, ())]
        if steps:
            lines += [*_table((key, "made", "failed", *(f"{time[:-2]} ms" for time in heads_of_times)), steps, 1), ""]
    series = by_name(document)
    heads = ("request", "requests", "failed", "per s", "p50 ms", "p95 ms", "p99 ms")
    rows_of_names = []
    for one in series[:MAX_NAMES]:
        rows_of_names.append(_row(name_of(one), one, document))
        rows_of_names += [_row(f"… {part['name']}", part, document) for part in times_apart(one)]
    if document["total"]["requests"]:
        rows_of_names.append(_row("all", document["total"], document))
    lines += _table(heads, rows_of_names, right_from=1)
    if len(series) > MAX_NAMES:
        lines += ["", f"{len(series) - MAX_NAMES:,} more names are in the report."]
    brackets = ["in brackets: 95 % intervals"] if document["total"]["response_time"].get("intervals") else []
    for sentence in (*brackets, *times_sentences(document)):
        lines += ["", f"{sentence[0].upper()}{sentence[1:]}."]
    if streamed := stream_rows(document)[:MAX_NAMES]:
        rows_of_streams = [tuple(map(_escape, _stream(*one))) for one in streamed]
        lines += ["", "Streamed responses, times in ms:", "", *_table(["request", *STREAM_HEADS], rows_of_streams, 1)]
    for title, evidence in failure_samples(document):
        lines += ["", *_sample(title, evidence)]
    return "".join(f"{one_line(line)}\n" for line in lines)


def _interval(result: dict[str, Any]) -> str:
    spread = result.get("spread") or "-"
    return f"{spread}: {outcome_of(result)}" if result.get("is_narrow") else spread


def _counts(document: Document) -> str:
    total = document["total"]
    return (
        f"{counted(total['requests'], 'request')} in {clock(load_s(document))}, {total['failures']:,} failed · "
        f"run {_escape(document['run_id'])}"
    )


def _row(name: str, series: dict[str, Any], document: Document) -> tuple[str, ...]:
    return (
        _escape(name),
        f"{series['requests']:,}",
        f"{series['failures']:,}",
        f"{rate_per_s(series, document):,.1f}",
        *(ms_with_interval(series["response_time"], time) for time in _TIMES),
    )


def _stream(one: Series, figures: list[str]) -> list[str]:
    times = [ms_with_interval(one[kind], figure) for kind, figure in STREAM_TIMES]
    return [name_of(one), *figures[: -len(times)], *times]


def _step(one: dict[str, Any], times: Sequence[str]) -> tuple[str, ...]:
    figures = (ms_with_interval(one["response_time"], time) for time in times)
    return _escape(one["name"]), f"{one['made']:,}", f"{one['failures']:,}", *figures


def _sample(title: str, evidence: dict[str, str]) -> list[str]:
    """Return one failed exchange, folded, in a fence that is longer than any in its text."""
    text = f"{evidence['request']}\n\n→ {evidence['answer'] or 'no answer'}"
    fence = "`" * (max((len(run) for run in _FENCES.findall(text)), default=2) + 1)
    summary = f"<details><summary>A failed request: {page.text(title)}</summary>"
    return [summary, "", fence, *text.splitlines(), fence, "", "</details>"]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], right_from: int | None = None) -> list[str]:
    """Return the lines of a table with columns from ``right_from`` on right-aligned."""
    start = len(heads) if right_from is None else right_from
    rule = "|".join("---:" if index >= start else "---" for index in range(len(heads)))
    return [f"| {' | '.join(heads)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]


def _escape(text: str) -> str:
    """Return text that Markdown shows unchanged, on one line and without HTML."""
    return one_line(text).translate(_SPECIAL).replace("@", "@\u200b")  # a request's name must not notify anyone
